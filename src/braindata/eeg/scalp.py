"""Electrodes on the scalp of the template head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from braindata.eeg.head import Floats, Indices, Surface

# Triangles whose centres are nearest to an electrode; the one that it lies on is among them.
CANDIDATES = 12
# From this number on, the electrodes say how large the head is and where it lies; fewer may all be
# on one side of it.
MIN_FOR_FIT = 16
# A head that is smaller or larger than fsaverage's by more than this is not a head, but a wrong
# unit: adults' differ by 15 % at most.
MAX_SCALE = 1.35
ITERATIONS = 20


@dataclass(frozen=True)
class Weights:
    """Where electrodes lie on a surface.

    Attributes
    ----------
    vertices : ndarray of int, shape (n_channels, 3)
        Corners of the triangle that each is on.
    shares : ndarray, shape (n_channels, 3)
        Barycentric coordinates in it: not negative, they sum to 1.
    points : ndarray, shape (n_channels, 3)
        The point itself.
    """

    vertices: Indices
    shares: Floats
    points: Floats


def interpolate(surface: Surface, positions: Floats) -> Weights:
    """Find the point of a surface that is nearest to each electrode.

    Parameters
    ----------
    surface : Surface
        The scalp.
    positions : ndarray, shape (n_channels, 3)
        In the coordinates of the surface.
    """
    corners = surface.vertices[surface.triangles]
    count = min(CANDIDATES, len(corners))
    _, nearest = cKDTree(corners.mean(axis=1)).query(positions, count)
    triangles = corners[nearest.reshape(len(positions), count)]
    shares = _closest(triangles, positions[:, np.newaxis])
    points = (shares[..., np.newaxis] * triangles).sum(axis=2)
    distance = np.linalg.norm(points - positions[:, np.newaxis], axis=2)
    best = np.argmin(distance, axis=1)
    row = np.arange(len(positions))
    chosen = nearest.reshape(len(positions), count)[row, best]
    return Weights(surface.triangles[chosen], shares[row, best], points[row, best])


def fit_positions(surface: Surface, positions: Floats) -> Floats:
    """Bring the electrodes of another head onto the template's.

    One scale and one shift, so that they lie as near to the scalp as they can: heads differ in
    size, and the origin of a montage depends on where its fiducials were taken. Turned they are
    not, as the fiducials define the axes of head coordinates.

    Parameters
    ----------
    surface : Surface
        The scalp in head coordinates of fsaverage.
    positions : ndarray, shape (n_channels, 3)
        Head coordinates of the other head in m.

    Returns
    -------
    ndarray, shape (n_channels, 3)
        Points on the scalp. With fewer than `MIN_FOR_FIT` electrodes only the nearest ones.
    """
    if len(positions) < MIN_FOR_FIT:
        return interpolate(surface, positions).points
    moved = positions
    for _ in range(ITERATIONS):
        target = interpolate(surface, moved).points
        start = positions - positions.mean(axis=0)
        goal = target - target.mean(axis=0)
        scale = float((start * goal).sum() / (start**2).sum())
        scale = float(np.clip(scale, 1 / MAX_SCALE, MAX_SCALE))
        moved = scale * start + target.mean(axis=0)
    return interpolate(surface, moved).points


def _closest(triangles: Floats, points: Floats) -> Floats:
    """Return barycentric coordinates of the points of triangles that are nearest to points.

    Parameters
    ----------
    triangles : ndarray, shape (..., 3, 3)
        Corners.
    points : ndarray, shape (..., 3)
        Points; broadcast against the triangles.
    """
    a, b, c = (triangles[..., corner, :] for corner in range(3))
    ab, ac, ap = b - a, c - a, points - a
    bb, bc, cc = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    pb, pc = (ap * ab).sum(-1), (ap * ac).sum(-1)
    determinant = bb * cc - bc**2
    second = (cc * pb - bc * pc) / determinant
    third = (bb * pc - bc * pb) / determinant
    best = np.stack([1 - second - third, second, third], axis=-1)
    outside: NDArray[np.bool_] = np.any(best < 0, axis=-1)
    on_edges = []
    for start, end in ((0, 1), (1, 2), (2, 0)):
        along = triangles[..., end, :] - triangles[..., start, :]
        share = ((points - triangles[..., start, :]) * along).sum(-1) / (along**2).sum(-1)
        share = np.clip(share, 0, 1)
        edge = np.zeros((*share.shape, 3))
        edge[..., start], edge[..., end] = 1 - share, share
        on_edges.append(edge)
    edges = np.stack(on_edges)
    away = ((edges[..., np.newaxis] * triangles).sum(-2) - points) ** 2
    nearest = np.argmin(away.sum(-1), axis=0)
    on_edge = np.take_along_axis(edges, nearest[np.newaxis, ..., np.newaxis], axis=0)[0]
    return np.where(outside[..., np.newaxis], on_edge, best)
