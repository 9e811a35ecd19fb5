"""From shapes to the voxels of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from braindata.errors import BraindataError
from braindata.regions.kinds.shapes import Shape


def union_of_voxels(
    shapes: Sequence[Shape], affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.int64]:
    """Return the voxels whose centre lies in one of several shapes.

    Parameters
    ----------
    shapes : sequence of Shape
        At least one.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.
    shape : tuple of int
        Number of voxels along x, y and z.

    Returns
    -------
    ndarray of int64, shape (n_voxels,)
        Flat C-order indices, ascending, each once.

    Raises
    ------
    BraindataError
        When one of the shapes holds no voxel.
    """
    parts = []
    for part in shapes:
        inside = _voxels_in(part, affine, shape)
        if not len(inside):
            raise BraindataError(
                f"the {part} holds no voxel of the image grid",
                hint="check its coordinates, or make it larger",
            )
        parts.append(inside)
    return np.unique(np.concatenate(parts))


def _voxels_in(
    part: Shape, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.int64]:
    inverse = np.linalg.inv(affine[:3, :3])
    center = inverse @ (np.array(part.center) - affine[:3, 3])
    # Which voxels to look at: a row of the inverse maps mm to one index, so this bounds how far a
    # box of the shape's extent reaches along that index, for oblique grids too. One voxel more
    # absorbs rounding.
    reach = np.abs(inverse) @ np.array(part.extent) + 1
    low = np.clip(np.floor(center - reach), 0, shape).astype(np.int64)
    high = np.clip(np.ceil(center + reach) + 1, low, shape).astype(np.int64)
    axes = [np.arange(start, stop) for start, stop in zip(low, high, strict=True)]
    indices = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    offsets = indices @ affine[:3, :3].T + affine[:3, 3] - np.array(part.center)
    inside = indices[part.contains(offsets)]
    flat: NDArray[np.int64] = np.ravel_multi_index(inside.T, shape).astype(np.int64)
    return flat
