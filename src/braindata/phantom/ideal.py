"""The ideal observer: single-trial responses with the true design, from the true region's mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

# Periods above this are drifts, as in the analysis.
SLOWEST = 128.0


def drift_regressors(n_volumes: int, tr: float) -> Vector:
    """Return a constant and the cosines with periods above 128 s, of shape (n_volumes, n)."""
    n = int(2 * n_volumes * tr / SLOWEST) + 1
    phase = (np.arange(n_volumes)[:, None] + 0.5) * np.arange(n) / n_volumes
    return np.asarray(np.cos(np.pi * phase))


def single_trials(series: Vector, responses: Vector, nuisance: Vector) -> Vector:
    """Estimate each trial by a model of its own: the trial, all others, and nuisance.

    Least squares separate, Mumford et al. (2012), doi:10.1016/j.neuroimage.2011.08.076.

    Parameters
    ----------
    series : ndarray of shape (n_volumes,)
        A region's mean.
    responses : ndarray of shape (n_volumes, n_trials)
        The response to each trial.
    nuisance : ndarray of shape (n_volumes, n_nuisance)
        What else there is.

    Returns
    -------
    ndarray of shape (n_trials,)
        In units of the series.
    """
    basis, _ = np.linalg.qr(nuisance)
    left = responses - basis @ (basis.T @ responses)
    rest = series - basis @ (basis.T @ series)
    others = left.sum(axis=1, keepdims=True) - left
    # The two-by-two normal equations of each model.
    trial_trial = (left * left).sum(axis=0)
    trial_other = (left * others).sum(axis=0)
    other_other = (others * others).sum(axis=0)
    trial_data, other_data = left.T @ rest, others.T @ rest
    determinant = trial_trial * other_other - trial_other**2
    return np.asarray((other_other * trial_data - trial_other * other_data) / determinant)
