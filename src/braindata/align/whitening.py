"""Shrunken whitening: every direction of a person's voxels counts, not the loudest alone.

In a region, most of the variance is one slow wave that all voxels share. A rotation keeps it so,
and what is compared between people is that wave. Whitening evens the directions out before the
rotation; shrunken towards none, so that noise is not blown up (regularised hyperalignment: Xu et
al. 2012, doi:10.1109/SSP.2012.6319668).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from braindata.align.procrustes import Array


@dataclass(frozen=True)
class Whitening:
    """One person's symmetric whitening and its inverse.

    Parameters
    ----------
    forward, backward : array, shape (n_voxels, n_voxels)
    """

    forward: Array
    backward: Array


def fit_whitening(series: Array, shrinkage: float) -> Whitening:
    """Return the whitening of (1 - shrinkage) of covariance and shrinkage of its mean variance.

    Parameters
    ----------
    series : array, shape (n_volumes, n_voxels)
        Centred.
    shrinkage : float
        From above 0 (all directions alike) to below 1 (no whitening).

    Returns
    -------
    Whitening
        Symmetric: a voxel stays the voxel that it is.
    """
    values, vectors = linalg.eigh(series.T @ series, check_finite=False)
    values = np.maximum(values, 0)
    mean = values.mean()
    # Relative to the mean variance, so that series keep their scale.
    root = np.sqrt((1 - shrinkage) * values / mean + shrinkage)
    return Whitening((vectors / root) @ vectors.T, (vectors * root) @ vectors.T)
