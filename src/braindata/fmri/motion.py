"""Rigid head motion: inverse-compositional Gauss-Newton on smoothed, spline-interpolated volumes.

Each volume is matched to a reference by least squares with robust weights, on the third of the
head's voxels whose intensity gradient says most. Gradients are needed of the reference only, once
(Baker & Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd). A gain per volume is estimated
along with the six parameters, so that drifts and the first volumes' brightness do not look like
motion; Tukey's biweight keeps activation and artefacts from doing so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braindata.errors import DataError
from braindata.fmri.images import FloatArray, Image, Series, Volume, inverse
from braindata.fmri.interpolation import (
    compiled,
    grid_points,
    sample_cubic,
    spline_coefficients,
    transform_points,
)

FWHM_TO_SIGMA = 1.0 / 2.354820045
# Tukey's biweight: 95 % efficiency for Gaussian residuals.
TUKEY = 4.685
REFERENCE_VOLUMES = 24
_COARSE_FWHM = 12.0
_SELECTED = 1.0 / 3.0
_MAX_ITERATIONS = 40
# mm; for rotations, mm at 50 mm from the centre.
_TOLERANCE = 1e-3
# A step beyond this between neighbouring volumes is looked at again, from a coarser start.
_JUMP = 1.5


@dataclass(frozen=True)
class Motion:
    """Head motion of a run.

    Attributes
    ----------
    transforms : ndarray of float64, shape (n_volumes, 4, 4)
        Reference to volume coordinates in mm, RAS+.
    parameters : ndarray of float64, shape (n_volumes, 6)
        Translations (mm) along and rotations (rad) about x, y and z through `centre`: the motion
        of the head from the reference to the volume, rotations applied about x first.
    centre : ndarray of float64, shape (3,)
        Centre of the head in the reference, in mm.
    """

    transforms: FloatArray
    parameters: FloatArray
    centre: FloatArray


def rigid_matrix(parameters: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the (4, 4) matrix of three translations (mm) and three rotations (rad) about `centre`.

    The rotation is ``Rz @ Ry @ Rx``.
    """
    rx, ry, rz = parameters[3:]
    cx, sx, cy, sy, cz, sz = (f(a) for a in (rx, ry, rz) for f in (np.cos, np.sin))
    rotation = (
        np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre + parameters[:3] - rotation @ centre
    return matrix


def rigid_parameters(matrix: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the six parameters of `rigid_matrix`, its inverse."""
    rotation = matrix[:3, :3]
    translation = matrix[:3, 3] - centre + rotation @ centre
    angles = (
        np.arctan2(rotation[2, 1], rotation[2, 2]),
        np.arcsin(np.clip(-rotation[2, 0], -1.0, 1.0)),
        np.arctan2(rotation[1, 0], rotation[0, 0]),
    )
    return np.concatenate([translation, angles])


def smooth(volume: Volume, zooms: FloatArray, fwhm: float) -> Volume:
    """Smooth a volume with a Gaussian of `fwhm` mm."""
    sigma = fwhm * FWHM_TO_SIGMA / zooms
    result: Volume = ndimage.gaussian_filter(volume, sigma, mode="nearest", truncate=3.0)
    return result


class RigidAligner:
    """Aligns volumes to one reference.

    Parameters
    ----------
    reference : Image
        To which volumes are aligned.
    mask : ndarray of bool
        The head in the reference.
    fwhm : float
        Smoothing in mm of reference and volumes.
    """

    def __init__(self, reference: Image, mask: NDArray[np.bool_], fwhm: float):
        self._zooms = reference.zooms
        self._fwhm = fwhm
        self._to_voxel = inverse(reference.affine)
        smoothed = smooth(reference.data, self._zooms, fwhm)
        self.centre = grid_points(mask, reference.affine).mean(axis=0)
        gradient = _gradient(smoothed)[mask]
        gradient = gradient @ self._to_voxel[:3, :3]
        strength = (gradient**2).sum(axis=1)
        chosen = strength >= np.quantile(strength, 1.0 - _SELECTED)
        self._values = smoothed[mask][chosen].astype(np.float64)
        self._points = grid_points(mask, reference.affine)[chosen] - self.centre
        gradient = gradient[chosen]
        self._jacobian = np.column_stack([gradient, np.cross(self._points, gradient), self._values])
        self._sampled = np.empty(len(self._points), np.float32)

    def align(self, volume: Volume, start: FloatArray) -> tuple[FloatArray, float]:
        """Align one volume.

        Parameters
        ----------
        volume : ndarray of float32
            On the reference's grid.
        start : ndarray of float64, shape (4, 4)
            Reference to volume coordinates in mm, where to begin.

        Returns
        -------
        matrix : ndarray of float64, shape (4, 4)
            Reference to volume coordinates in mm.
        spread : float
            Robust standard deviation of what is left, in image units.
        """
        coefficients = spline_coefficients(smooth(volume, self._zooms, self._fwhm))
        origin = np.eye(4)
        origin[:3, 3] = self.centre
        warp = inverse(origin) @ start @ origin
        to_voxel = self._to_voxel @ origin
        gain = 0.0
        spread = np.inf
        for _ in range(_MAX_ITERATIONS):
            sample_cubic(coefficients, to_voxel @ warp, self._points, np.nan, self._sampled)
            residual = self._sampled - (1.0 + gain) * self._values
            seen = np.isfinite(residual)
            if seen.sum() < len(residual) // 2:
                return start, np.inf
            middle = np.median(residual[seen])
            spread = 1.4826 * float(np.median(np.abs(residual[seen] - middle)))
            if spread == 0.0:
                break
            normal, right = _normal_equations(
                self._jacobian, self._sampled, self._values, gain, TUKEY * spread
            )
            step: FloatArray = np.linalg.solve(normal, right).astype(np.float64)
            gain = float(step[6])
            warp = warp @ inverse(_twist(step[:6]))
            if max(np.abs(step[:3]).max(), 50.0 * np.abs(step[3:6]).max()) < _TOLERANCE:
                break
        return origin @ warp @ inverse(origin), spread


def _gradient(volume: Volume) -> FloatArray:
    return np.stack([np.gradient(volume, axis=axis) for axis in range(3)], axis=-1).astype(
        np.float64
    )


@compiled
def _normal_equations(
    jacobian: FloatArray, sampled: Volume, values: FloatArray, gain: float, cutoff: float
) -> tuple[FloatArray, FloatArray]:
    normal = np.zeros((7, 7))
    right = np.zeros(7)
    for n in range(len(values)):
        error = sampled[n] - values[n]
        u = (error - gain * values[n]) / cutoff
        if not abs(u) < 1.0:
            continue
        weight = (1.0 - u * u) ** 2
        for a in range(7):
            scaled = weight * jacobian[n, a]
            right[a] += scaled * error
            for b in range(a + 1):
                normal[a, b] += scaled * jacobian[n, b]
    for a in range(7):
        for b in range(a):
            normal[b, a] = normal[a, b]
    return normal, right


def _twist(step: FloatArray) -> FloatArray:
    """Return the matrix of a small translation and rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(step[3:]))
    x, y, z = step[3:]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sine = np.sinc(angle / np.pi)
    versine = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    matrix = np.eye(4)
    matrix[:3, :3] += sine * cross + versine * cross @ cross
    matrix[:3, 3] = step[:3]
    return matrix


def typical_volume(thumbnails: NDArray[np.float32], skip: int) -> int:
    """Return the volume most like all others: the one to which the rest is aligned first.

    Parameters
    ----------
    thumbnails : ndarray of float32, shape (n_volumes, n_voxels)
        Sparse samples of each volume.
    skip : int
        How many first volumes are not in a steady state and not eligible.

    Returns
    -------
    int
        Index of the volume with the highest correlation with the voxelwise median.
    """
    steady = thumbnails[skip:]
    middle = np.median(steady, axis=0)
    middle = middle - middle.mean()
    centred = steady - steady.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    similarity = centred @ middle / np.where(norms > 0, norms, 1.0)
    return skip + int(np.argmax(similarity))


def make_reference(series: Series, typical: int, skip: int, fwhm: float) -> Image:
    """Return the mean of volumes spread over the run, aligned to the typical one.

    Parameters
    ----------
    series : Series
        The run.
    typical : int
        Index of the volume to which they are aligned (see `typical_volume`).
    skip : int
        How many first volumes are left out.
    fwhm : float
        Smoothing in mm while aligning.
    """
    spread = np.linspace(skip, series.n_volumes - 1, REFERENCE_VOLUMES).round().astype(int)
    wanted = sorted({typical, *spread.tolist()})
    volumes = {n: v for n, v in enumerate(series.volumes()) if n in wanted}
    base = Image(volumes[typical], series.affine)
    mask = head_mask(base.data)
    aligner = RigidAligner(base, mask, fwhm)
    points = grid_points(np.ones(series.shape, np.bool_), series.affine)
    to_voxel = inverse(series.affine)
    total = np.zeros(len(points), np.float64)
    count = np.zeros(len(points), np.int64)
    sampled = np.empty(len(points), np.float32)
    for number in wanted:
        matrix, left = aligner.align(volumes[number], np.eye(4))
        if not np.isfinite(left):
            continue
        sample_cubic(
            spline_coefficients(volumes[number]), to_voxel @ matrix, points, np.nan, sampled
        )
        seen = np.isfinite(sampled)
        total[seen] += sampled[seen]
        count += seen
    mean = (total / np.maximum(count, 1)).reshape(series.shape)
    return Image(np.maximum(mean, 0).astype(np.float32), series.affine)


def head_mask(volume: Volume) -> NDArray[np.bool_]:
    """Return the voxels brighter than a quarter of the bright ones: the head, roughly.

    Raises
    ------
    DataError
        When too little is bright.
    """
    bright = np.quantile(volume, 0.98)
    mask: NDArray[np.bool_] = volume > 0.25 * bright
    if bright <= 0 or mask.sum() < 500:
        raise DataError("no head can be seen in the image", hint="look at it in a viewer")
    return mask


def estimate_motion(series: Series, reference: Image, fwhm: float) -> Motion:
    """Estimate the head motion of every volume of a run.

    Parameters
    ----------
    series : Series
        The run.
    reference : Image
        From `make_reference`.
    fwhm : float
        Smoothing in mm.

    Raises
    ------
    DataError
        When a volume cannot be aligned.
    """
    mask = head_mask(reference.data)
    aligner = RigidAligner(reference, mask, fwhm)
    coarse = RigidAligner(reference, mask, _COARSE_FWHM)
    transforms: list[FloatArray] = []
    spreads: list[float] = []
    for number, volume in enumerate(series.volumes()):
        start = transforms[-1] if transforms else np.eye(4)
        matrix, spread = aligner.align(volume, start)
        doubtful = _displacement(matrix, start, coarse.centre) > _JUMP or (
            bool(spreads) and spread > 2.0 * float(np.median(spreads))
        )
        if doubtful:
            for other in (np.eye(4), start):
                again, left = aligner.align(volume, coarse.align(volume, other)[0])
                if left < spread:
                    matrix, spread = again, left
        if not np.isfinite(spread):
            raise DataError(
                f"volume {number} cannot be aligned with the others",
                file=series.path,
                hint="look at it in a viewer; the head may have left the field of view",
            )
        transforms.append(matrix)
        spreads.append(spread)
    return _as_motion(transforms, aligner.centre)


def _displacement(matrix: FloatArray, other: FloatArray, centre: FloatArray) -> float:
    corners = centre + 50.0 * np.vstack([np.eye(3), -np.eye(3)])
    moved = transform_points(matrix, corners) - transform_points(other, corners)
    return float(np.linalg.norm(moved, axis=1).max())


def _as_motion(transforms: Sequence[FloatArray], centre: FloatArray) -> Motion:
    stacked = np.stack(transforms)
    parameters = np.stack([rigid_parameters(m, centre) for m in stacked])
    return Motion(stacked, parameters, centre)
