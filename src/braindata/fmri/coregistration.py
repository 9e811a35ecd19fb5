"""EPI to T1w: mutual information from several starts, then the boundary of white matter.

The boundary is taken from the T1w image; the EPI reference is sampled on both sides of it, and the
rigid transform is sought for which the contrast across it is largest (Greve & Fischl 2009,
doi:10.1016/j.neuroimage.2009.06.060).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from braindata.errors import DataError
from braindata.fmri.anatomy import Anatomy, axis_aligned, mutual_information, on_grid_of
from braindata.fmri.greedy import Pair, register_linear
from braindata.fmri.images import FloatArray, Image, inverse
from braindata.fmri.interpolation import grid_points, sample_linear, transform_points
from braindata.fmri.motion import rigid_matrix, smooth
from braindata.fmri.template import dilated

_BOUNDARY_POINTS = 20_000
_BOUNDARY_MM = 1.0
# How far from the boundary the EPI is sampled: about half the thickness of cortex each side.
_OFFSET_MM = 1.5
# Slope of the cost in 1 / % contrast, as in Greve & Fischl.
_SLOPE = 0.5
# A rotation of 1 / 50 rad moves the brain's surface by about as much as a shift of 1 mm.
_RADIUS_MM = 50.0
# The boundary refines; a result farther than this from where it began is another minimum.
_FARTHEST_MM = 6.0


@dataclass(frozen=True)
class Boundary:
    """Points on the border of white matter.

    Attributes
    ----------
    points : ndarray of float64, shape (n, 3)
        Positions in T1w coordinates, mm.
    normals : ndarray of float64, shape (n, 3)
        Unit vectors from white to gray matter.
    """

    points: FloatArray
    normals: FloatArray


def white_matter_boundary(anatomy: Anatomy) -> Boundary:
    """Find the boundary between white and gray matter to a fraction of a voxel.

    Where the T1w intensity crosses the middle between the medians of both tissues, near where the
    template has white matter and away from deep gray matter's blurred border.

    Raises
    ------
    DataError
        When the two tissues do not differ.
    """
    brain = Image(anatomy.brain, anatomy.working.affine)
    # The brain at 1 mm, cropped: the grid of the T1w image may be finer than is useful.
    box = ndimage.find_objects((anatomy.brain > 0.5).astype(np.uint8))[0]
    origin = transform_points(brain.affine, np.array([[s.start for s in box]], np.float64))[0]
    size = [int((s.stop - s.start) * brain.zooms[i] / _BOUNDARY_MM) for i, s in enumerate(box)]
    affine = np.diag([_BOUNDARY_MM, _BOUNDARY_MM, _BOUNDARY_MM, 1.0])
    affine[:3, 3] = origin
    grid = Image(np.empty((size[0], size[1], size[2]), np.float32), affine)
    data = smooth(on_grid_of(grid, anatomy.t1w), grid.zooms, 1.0)
    white = on_grid_of(grid, Image(anatomy.white_matter, brain.affine))
    gray = on_grid_of(grid, Image(anatomy.gray_matter, brain.affine))
    white_median = float(np.median(data[white > 0.9]))
    gray_median = float(np.median(data[(gray > 0.8) & (white < 0.1)]))
    contrast = white_median - gray_median
    if not contrast > 0.05 * white_median:
        raise DataError(
            "white matter is no brighter than gray matter in the T1w image",
            hint="look at it: is it T1-weighted, and of the whole brain?",
        )
    threshold = gray_median + 0.5 * contrast
    near = (white > 0.1) & (white < 0.95) & (gray > 0.1)
    gradient = np.stack(
        [np.gradient(data, _BOUNDARY_MM, axis=axis)[near] for axis in range(3)], axis=-1
    ).astype(np.float64)
    steepness = np.linalg.norm(gradient, axis=1)
    steep = steepness > 0.1 * contrast
    direction = gradient[steep] / steepness[steep, None]
    away = (threshold - data[near][steep]) / steepness[steep]
    close = np.abs(away) < 0.5 * _BOUNDARY_MM
    points = grid_points(near, affine)[steep] + away[:, None] * direction
    if close.sum() < 1000:
        raise DataError(
            "the boundary of white matter cannot be seen in the T1w image",
            hint="look at it: is it T1-weighted, and of the whole brain?",
        )
    chosen = np.flatnonzero(close)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(_BOUNDARY_POINTS, len(chosen))).astype(int)]
    return Boundary(points[chosen], -direction[chosen])


def register_to_t1w(
    reference: Image,
    mask: NDArray[np.bool_],
    anatomy: Anatomy,
    boundary: Boundary,
    seed: int,
    scratch: Path,
) -> FloatArray:
    """Register an EPI reference rigidly to the T1w image.

    Parameters
    ----------
    reference : Image
        Mean of the motion-corrected run.
    mask : ndarray of bool
        Its brain.
    anatomy : Anatomy
        The T1w image.
    boundary : Boundary
        From `white_matter_boundary`.
    seed : int
        For greedy.
    scratch : Path
        Where temporary files go.

    Returns
    -------
    ndarray of float64, shape (4, 4)
        T1w to EPI reference coordinates in mm, RAS+.
    """
    to_t1w = _by_mutual_information(reference, mask, anatomy, seed, scratch)
    start = inverse(to_t1w)
    return refine_by_boundary(reference, boundary, start)


def _by_mutual_information(
    reference: Image, mask: NDArray[np.bool_], anatomy: Anatomy, seed: int, scratch: Path
) -> FloatArray:
    fixed = axis_aligned(reference, 3.0)
    grown = dilated(mask, 4.0, reference.zooms).astype(np.float32)
    fixed_mask = on_grid_of(fixed, Image(grown, reference.affine)) > 0.5
    # Without the skull, which EPI hardly shows; a rim of fluid stays.
    head = dilated(anatomy.brain > 0.5, 4.0, anatomy.working.zooms)
    moving = Image(anatomy.working.data * head, anatomy.working.affine)
    pair = Pair(fixed, moving, fixed_mask)
    centre = grid_points(mask, reference.affine).mean(axis=0)
    shift = grid_points(anatomy.brain > 0.5, moving.affine).mean(axis=0) - centre
    starts = [
        rigid_matrix(np.array([*move, tilt, 0, 0]), centre)
        for move in (np.zeros(3), shift)
        for tilt in np.deg2rad([0.0, -15.0, 15.0])
    ]
    points = grid_points(fixed_mask, fixed.affine)
    values = fixed.data[fixed_mask]

    def score(matrix: FloatArray) -> float:
        to_voxel = inverse(moving.affine) @ matrix
        return mutual_information(values, sample_linear(moving.data, to_voxel, points, False))

    candidates = [register_linear(pair, s, 6, "60x0", seed, scratch) for s in starts]
    best = max(candidates, key=score)
    return register_linear(pair, best, 6, "40x40", seed, scratch)


def refine_by_boundary(reference: Image, boundary: Boundary, start: FloatArray) -> FloatArray:
    """Refine a rigid transform by the contrast across the boundary of white matter.

    Parameters
    ----------
    reference : Image
        The EPI reference.
    boundary : Boundary
        In T1w coordinates.
    start : ndarray of float64, shape (4, 4)
        T1w to EPI coordinates in mm.

    Returns
    -------
    ndarray of float64, shape (4, 4)
        T1w to EPI coordinates in mm; `start` itself when no better one is near.
    """
    cost = boundary_cost(reference, boundary, start)
    scale = np.array([1, 1, 1, 1 / _RADIUS_MM, 1 / _RADIUS_MM, 1 / _RADIUS_MM])
    centre = boundary.points.mean(axis=0)

    def matrix_of(step: FloatArray) -> FloatArray:
        return start @ rigid_matrix(step * scale, centre)

    def value_of(step: FloatArray) -> float:
        return cost(matrix_of(step))

    best = np.zeros(6)
    # Powell's line searches see past small dips; the second round starts with fresh directions.
    for reach in (2.0, 0.5):
        best = optimize.minimize(
            value_of,
            best,
            method="Powell",
            options={
                "direc": reach * np.eye(6),
                "xtol": 1e-3,
                "ftol": 1e-6,
                "maxiter": 20,
            },
        ).x
    moved = transform_points(matrix_of(best), boundary.points) - transform_points(
        start, boundary.points
    )
    farthest = float(np.sqrt((moved**2).sum(axis=1).mean()))
    if farthest > _FARTHEST_MM or value_of(best) >= value_of(np.zeros(6)):
        return start
    return matrix_of(best)


def boundary_cost(
    reference: Image, boundary: Boundary, start: FloatArray
) -> Callable[[FloatArray], float]:
    """Return the cost of a transform (T1w to EPI, mm): 0 best, 1 without contrast, 2 reversed.

    Which side is brighter is read off at `start`: gray matter in T2*-weighted images, but not in
    every sequence or simulation.
    """
    to_voxel = inverse(reference.affine)
    inner = boundary.points - _OFFSET_MM * boundary.normals
    outer = boundary.points + _OFFSET_MM * boundary.normals
    floor = 0.1 * float(np.median(reference.data[reference.data > reference.data.mean()]))

    def contrast(matrix: FloatArray) -> NDArray[np.float32]:
        inside = sample_linear(reference.data, to_voxel @ matrix, inner, False)
        outside = sample_linear(reference.data, to_voxel @ matrix, outer, False)
        mean = 0.5 * (inside + outside)
        # Outside the field of view or where the signal has dropped out: no contrast, cost 1.
        seen = (inside > floor) & (outside > floor)
        return np.where(seen, 100.0 * (outside - inside) / np.where(seen, mean, 1.0), 0.0)

    sign = 1.0 if np.median(contrast(start)) >= 0 else -1.0

    def cost(matrix: FloatArray) -> float:
        return float(np.mean(1.0 - np.tanh(_SLOPE * sign * contrast(matrix))))

    return cost
