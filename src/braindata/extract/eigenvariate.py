"""The first eigenvariate of a region: the course that explains most of its voxels' variance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Floats = NDArray[np.float64]


def first_eigenvariate(voxels: Floats, weights: Floats) -> Floats:
    """Return the first eigenvariate of voxels.

    Parameters
    ----------
    voxels : ndarray of float64, shape (n_volumes, n_voxels)
        Cleaned; their means are removed here.
    weights : ndarray of float64, shape (n_voxels,)
        Weight of each voxel in the region's mean, none negative; their sum is 1. With equal
        weights this is SPM's eigenvariate; otherwise a voxel counts as often as it weighs.

    Returns
    -------
    ndarray of float64, shape (n_volumes,)
        With SPM's sign and scale: it correlates positively with the region's mean (as the sum of
        the voxels' loadings is positive), and has the unit of the voxels, since its sum of squares
        is the first eigenvalue over the number of voxels. All zeros if nothing varies.

    References
    ----------
    ``spm_regions.m`` of SPM12, https://github.com/spm/spm12
    """
    # With n equal weights of 1 / n the factor is 1, and 1 / n comes back below.
    scaled = (voxels - voxels.mean(axis=0)) * np.sqrt(weights * len(weights))
    n_volumes, n_voxels = scaled.shape
    wide = n_voxels > n_volumes
    gram = scaled @ scaled.T if wide else scaled.T @ scaled
    last = len(gram) - 1
    values, vectors = linalg.eigh(gram, subset_by_index=(last, last))
    if values[0] <= 0:
        return np.zeros(n_volumes)
    course = vectors[:, 0] * np.sqrt(values[0]) if wide else scaled @ vectors[:, 0]
    mean = scaled @ np.sqrt(weights)
    oriented: Floats = course * (np.sign(course @ mean) or 1.0) / np.sqrt(n_voxels)
    return oriented
