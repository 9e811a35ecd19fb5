"""Contours of maps as few short lines, and as the data of an SVG path."""

from __future__ import annotations

import contourpy
import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float64]


def contours(field: NDArray[np.floating], level: float) -> list[Line]:
    """Return the lines along which a map has a value.

    Parameters
    ----------
    field : ndarray of float, shape (rows, columns)
        The map. What lies beyond its rim counts as less than `level`, so every line is closed.
    level : float
        The value.

    Returns
    -------
    list of ndarray of float64, shape (n_vertices, 2)
        Column and row, counted from the centre of the first pixel.
    """
    padded = np.pad(np.asarray(field, np.float64), 1, constant_values=min(0.0, level - 1))
    lines = contourpy.contour_generator(z=padded).lines(level)
    return [np.asarray(line, np.float64) - 1 for line in lines]


def area(line: Line) -> float:
    """Return the area that a closed line encloses."""
    x, y = line.T
    return abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2


def simplified(line: Line, tolerance: float) -> Line:
    """Return a line with as few of its vertices as keep it within `tolerance`.

    Ramer's and Douglas and Peucker's method (doi:10.1016/S0146-664X(72)80017-0).

    Parameters
    ----------
    line : ndarray of float64, shape (n_vertices, 2)
        The line.
    tolerance : float
        Largest distance of a vertex that is left out from the line that is kept.

    Returns
    -------
    ndarray of float64, shape (n_kept, 2)
        Its first and last vertex are kept.
    """
    keep = np.zeros(len(line), bool)
    keep[[0, -1]] = True
    todo = [(0, len(line) - 1)]
    while todo:
        first, last = todo.pop()
        if last - first < 2:
            continue
        between, start = line[first + 1 : last], line[first]
        along = line[last] - start
        length = float(np.hypot(*along))
        offset = between - start
        # A closed line begins where it ends: then the distance is the one to that point.
        distance = (
            np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0]) / length
            if length > 0
            else np.hypot(offset[:, 0], offset[:, 1])
        )
        farthest = int(distance.argmax())
        if distance[farthest] > tolerance:
            middle = first + 1 + farthest
            keep[middle] = True
            todo += [(first, middle), (middle, last)]
    kept: Line = line[keep]
    return kept


def path_data(lines: list[Line], *, closed: bool) -> str:
    """Return the data of an SVG path: whole numbers, each relative to the one before.

    Parameters
    ----------
    lines : list of ndarray of float64, shape (n_vertices, 2)
        Rounded to whole units: scale them before.
    closed : bool
        Whether each line ends where it begins; its last vertex is then left out.

    Returns
    -------
    str
        Empty for no lines.
    """
    parts = []
    for line in lines:
        vertices = np.rint(line).astype(np.int64)
        steps = np.diff(vertices, axis=0)
        # Vertices that rounding has put on one place would be drawn twice.
        steps = steps[(steps != 0).any(axis=1)]
        if closed:
            steps = steps[:-1]
            if len(steps) < 2:
                continue
        numbers = " ".join(str(n) for n in steps.ravel().tolist()).replace(" -", "-")
        end = "z" if closed else ""
        parts.append(f"M{vertices[0, 0]} {vertices[0, 1]}l{numbers}{end}")
    return "".join(parts)
