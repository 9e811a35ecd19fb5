"""The voxels that every store on a grid holds."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from braindata.regions.template import brain_mask

# Raised when the mask changes: stores of different masks are not mixed.
MASK_VERSION = 1
# Voxels by which the template's brain mask is widened, so that no region at its rim is cut off.
DILATION = 2


def store_mask(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the voxels that every store on a grid holds: the template's brain mask, dilated.

    Parameters
    ----------
    shape, affine
        The grid.

    Returns
    -------
    ndarray of bool, shape `shape`
        One fixed mask per grid, so that a region has the same voxels in every recording. Not
        writable.
    """
    return _store_mask(tuple(int(n) for n in shape), np.asarray(affine, np.float64).tobytes())


def template_brain(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the template's brain on a grid, not dilated; see `store_mask`. Not writable."""
    return _brain(tuple(int(n) for n in shape), np.asarray(affine, np.float64).tobytes())


@lru_cache(maxsize=4)
def _brain(shape: tuple[int, int, int], affine: bytes) -> NDArray[np.bool_]:
    inside = brain_mask(np.frombuffer(affine, np.float64).reshape(4, 4), shape)
    inside.setflags(write=False)
    return inside


@lru_cache(maxsize=4)
def _store_mask(shape: tuple[int, int, int], affine: bytes) -> NDArray[np.bool_]:
    # Kept in memory: the runs of one person mostly have one grid.
    # Only jobs that pack need it.
    from scipy.ndimage import binary_dilation, generate_binary_structure

    inside = _brain(shape, affine)
    structure = generate_binary_structure(3, 1)
    dilated: NDArray[np.bool_] = binary_dilation(inside, structure, iterations=DILATION)
    dilated.setflags(write=False)
    return dilated
