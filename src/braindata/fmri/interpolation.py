"""Interpolation of volumes: cubic B-splines for images, trilinear for smooth fields.

All kernels are single-threaded and without fast-math, so that the same input gives the same bits.
Coordinates outside the field of view (beyond half a voxel from the outermost centres) give 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braindata.fmri.images import FloatArray, Volume

Function = TypeVar("Function", bound=Callable[..., object])
# Evaluation reaches two coefficients beyond the outermost voxel centres.
_PAD = 2


def compiled(function: Function) -> Function:
    """Compile `function` with numba, keeping its type for the type checker."""
    return cast(Function, numba.njit(cache=True, fastmath=False)(function))


def spline_coefficients(volume: Volume) -> Volume:
    """Return the cubic B-spline coefficients of a volume, for `sample_cubic`.

    Parameters
    ----------
    volume : ndarray of float32, shape (nx, ny, nz)
        The image.

    Returns
    -------
    ndarray of float32, shape (nx + 4, ny + 4, nz + 4)
        Coefficients, mirrored two voxels beyond each edge so that evaluation needs no edge cases.

    References
    ----------
    Unser, Aldroubi & Eden 1993, doi:10.1109/78.193220
    """
    coefficients = ndimage.spline_filter(volume, order=3, output=np.float32, mode="mirror")
    return np.ascontiguousarray(np.pad(coefficients, _PAD, mode="reflect"))


@compiled
def _cubic(coefficients: Volume, x: float, y: float, z: float) -> float:
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    total = 0.0
    wx, wy, wz = _weights(x - i), _weights(y - j), _weights(z - k)
    for a in range(4):
        plane = 0.0
        for b in range(4):
            line = 0.0
            for c in range(4):
                line += wz[c] * coefficients[i + a + 1, j + b + 1, k + c + 1]
            plane += wy[b] * line
        total += wx[a] * plane
    return total


@compiled
def _weights(t: float) -> tuple[float, float, float, float]:
    s = 1.0 - t
    return (
        s * s * s / 6.0,
        2.0 / 3.0 - t * t + 0.5 * t * t * t,
        2.0 / 3.0 - s * s + 0.5 * s * s * s,
        t * t * t / 6.0,
    )


@compiled
def sample_cubic(
    coefficients: Volume,
    matrix: FloatArray,
    points: FloatArray,
    outside: float,
    result: NDArray[np.float32],
) -> None:
    """Evaluate a cubic spline at affinely mapped points.

    Parameters
    ----------
    coefficients : ndarray of float32
        From `spline_coefficients`.
    matrix : ndarray of float64, shape (4, 4)
        Points to voxel indices.
    points : ndarray of float64, shape (n, 3)
        Where to.
    outside : float
        The value outside the field of view.
    result : ndarray of float32, shape (n,)
        Filled with the values.
    """
    nx, ny, nz = coefficients.shape[0] - 4, coefficients.shape[1] - 4, coefficients.shape[2] - 4
    for n in range(len(points)):
        p, q, r = points[n, 0], points[n, 1], points[n, 2]
        x = matrix[0, 0] * p + matrix[0, 1] * q + matrix[0, 2] * r + matrix[0, 3]
        y = matrix[1, 0] * p + matrix[1, 1] * q + matrix[1, 2] * r + matrix[1, 3]
        z = matrix[2, 0] * p + matrix[2, 1] * q + matrix[2, 2] * r + matrix[2, 3]
        if -0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5 and -0.5 <= z < nz - 0.5:
            result[n] = _cubic(coefficients, x, y, z)
        else:
            result[n] = outside


@compiled
def always_inside(
    shape: tuple[int, int, int], matrices: FloatArray, points: FloatArray
) -> NDArray[np.bool_]:
    """Tell which points lie in the field of view under every one of several affine maps.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image grid.
    matrices : ndarray of float64, shape (n_maps, 4, 4)
        Points to voxel indices.
    points : ndarray of float64, shape (n, 3)
        The points.

    Returns
    -------
    ndarray of bool, shape (n,)
        Whether a point can be sampled in every volume.
    """
    inside = np.ones(len(points), np.bool_)
    for n in range(len(points)):
        p, q, r = points[n, 0], points[n, 1], points[n, 2]
        for m in range(len(matrices)):
            matrix = matrices[m]
            x = matrix[0, 0] * p + matrix[0, 1] * q + matrix[0, 2] * r + matrix[0, 3]
            y = matrix[1, 0] * p + matrix[1, 1] * q + matrix[1, 2] * r + matrix[1, 3]
            z = matrix[2, 0] * p + matrix[2, 1] * q + matrix[2, 2] * r + matrix[2, 3]
            if not (
                -0.5 <= x < shape[0] - 0.5
                and -0.5 <= y < shape[1] - 0.5
                and -0.5 <= z < shape[2] - 0.5
            ):
                inside[n] = False
                break
    return inside


@compiled
def _corner(x: float, n: int) -> tuple[int, int, float]:
    x = min(max(x, 0.0), n - 1.0)
    i = min(int(x), max(n - 2, 0))
    return i, min(i + 1, n - 1), x - i


@compiled
def sample_linear(
    volume: Volume, matrix: FloatArray, points: FloatArray, clamp: bool
) -> NDArray[np.float32]:
    """Evaluate a volume trilinearly at affinely mapped points.

    Parameters
    ----------
    volume : ndarray of float32, shape (nx, ny, nz)
        The image.
    matrix : ndarray of float64, shape (4, 4)
        Points to voxel indices.
    points : ndarray of float64, shape (n, 3)
        Where to.
    clamp : bool
        Take the nearest edge's value outside the field of view, instead of 0.

    Returns
    -------
    ndarray of float32, shape (n,)
        The values.
    """
    nx, ny, nz = volume.shape
    result = np.zeros(len(points), np.float32)
    for n in range(len(points)):
        p, q, r = points[n, 0], points[n, 1], points[n, 2]
        x = matrix[0, 0] * p + matrix[0, 1] * q + matrix[0, 2] * r + matrix[0, 3]
        y = matrix[1, 0] * p + matrix[1, 1] * q + matrix[1, 2] * r + matrix[1, 3]
        z = matrix[2, 0] * p + matrix[2, 1] * q + matrix[2, 2] * r + matrix[2, 3]
        inside = -0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5 and -0.5 <= z < nz - 0.5
        if inside or clamp:
            result[n] = _linear(volume, x, y, z)
    return result


@compiled
def _linear(volume: Volume, x: float, y: float, z: float) -> float:
    i, i1, u = _corner(x, volume.shape[0])
    j, j1, v = _corner(y, volume.shape[1])
    k, k1, w = _corner(z, volume.shape[2])
    low = (1 - v) * ((1 - w) * volume[i, j, k] + w * volume[i, j, k1]) + v * (
        (1 - w) * volume[i, j1, k] + w * volume[i, j1, k1]
    )
    high = (1 - v) * ((1 - w) * volume[i1, j, k] + w * volume[i1, j, k1]) + v * (
        (1 - w) * volume[i1, j1, k] + w * volume[i1, j1, k1]
    )
    value: float = (1 - u) * low + u * high
    return value


@compiled
def resample_linear(
    volume: Volume, matrix: FloatArray, shape: tuple[int, int, int], clamp: bool
) -> Volume:
    """Resample a volume trilinearly onto another grid.

    Parameters
    ----------
    volume : ndarray of float32, shape (nx, ny, nz)
        The image.
    matrix : ndarray of float64, shape (4, 4)
        Voxel indices of the new grid to voxel indices of `volume`.
    shape : tuple of int
        Shape of the new grid.
    clamp : bool
        Take the nearest edge's value outside the field of view, instead of 0.

    Returns
    -------
    ndarray of float32, shape `shape`
        The resampled image.
    """
    nx, ny, nz = volume.shape
    result = np.zeros(shape, np.float32)
    for a in range(shape[0]):
        for b in range(shape[1]):
            for c in range(shape[2]):
                x = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + matrix[0, 3]
                y = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + matrix[1, 3]
                z = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + matrix[2, 3]
                inside = -0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5 and -0.5 <= z < nz - 0.5
                if inside or clamp:
                    result[a, b, c] = _linear(volume, x, y, z)
    return result


def transform_points(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Apply an affine matrix, shape (4, 4), to points, shape (n, 3)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def grid_points(mask: NDArray[np.bool_], affine: FloatArray) -> FloatArray:
    """Return the positions in mm, shape (n, 3), of a mask's voxels in C order."""
    return transform_points(affine, np.argwhere(mask).astype(np.float64))
