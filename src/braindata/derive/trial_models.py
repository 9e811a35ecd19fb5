"""Other estimates of single trials than LSS, and what tells how far to trust any of them.

All are linear in the series: standard errors come from the weights and the noise that `lss` takes,
too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.derive.lss import (
    IS_COLLINEAR,
    IS_NUISANCE,
    NO_RESPONSE,
    NUISANCE_TOLERANCE,
    TrialNoise,
    orthonormal_basis,
    require_freedom,
    trial_noise,
)

Floats = NDArray[np.float64]

# Of a matrix whose columns are scaled to length 1: below this singular value they depend on others.
DEPENDENT = 1e-6
# The same of its square, whose rounding is that of the matrix itself.
DEPENDENT_SQUARED = 1e-10
OUTSIDE = "its window is not within the recording"
NOT_KEPT = "no volume of its window is kept"
# A correlation over fewer conditions says nothing.
MIN_CONDITIONS = 4


@dataclass(frozen=True)
class Prepared:
    """A series and its nuisance, from which any linear estimate is made.

    Attributes
    ----------
    series : ndarray of float64, shape (n_volumes,)
        Without its nuisance.
    basis : ndarray of float64, shape (n_volumes, rank)
        Orthonormal basis of the nuisance.
    own : ndarray of float64, shape (n_volumes, n_trials)
        The trials' regressors without their nuisance.
    energy : ndarray of float64, shape (n_trials,)
        Sums of squares of the regressors with it.
    noise : TrialNoise
        Of the series.
    """

    series: Floats
    basis: Floats
    own: Floats
    energy: Floats
    noise: TrialNoise

    def clean(self, columns: Floats) -> Floats:
        """Return columns without their nuisance."""
        result: Floats = columns - self.basis @ (self.basis.T @ columns)
        return result


@dataclass(frozen=True)
class Estimated:
    """Estimates of trials.

    Attributes
    ----------
    estimate, standard_error : ndarray of float64, shape (n_trials,)
        NaN where there is a reason.
    reasons : list of (str or None)
        Why there is none.
    """

    estimate: Floats
    standard_error: Floats
    reasons: list[str | None]


def prepare(series: Floats, regressors: Floats, nuisance: Floats) -> Prepared:
    """Project the nuisance out of a series and of its trials' regressors.

    Parameters
    ----------
    series : ndarray of float64, shape (n_volumes,)
        Uncleaned series.
    regressors : ndarray of float64, shape (n_volumes, n_trials)
        One column per trial.
    nuisance : ndarray of float64, shape (n_volumes, n_columns)
        Confounds and drifts.

    Raises
    ------
    DataError
        When the nuisance leaves too few degrees of freedom.
    """
    basis = orthonormal_basis(nuisance)
    require_freedom(basis)
    y = series.astype(np.float64)[:, None]
    y_clean = y - basis @ (basis.T @ y)
    own = regressors - basis @ (basis.T @ regressors)
    energy = np.einsum("ij,ij->j", regressors, regressors)
    noise = trial_noise(y, y_clean, basis, own.sum(axis=1, keepdims=True), float(energy.sum()))
    return Prepared(y_clean[:, 0], basis, own, energy, noise)


def variance_inflation(own: Floats, energy: Floats) -> Floats:
    """Return by how much other trials inflate the variance of each trial's estimate.

    The trial's regressor is held against all others, each on its own, after the nuisance: 1 where
    it resembles none of them, infinite where they make it up.

    Parameters
    ----------
    own : ndarray of float64, shape (n_volumes, n_trials)
        The regressors without their nuisance.
    energy : ndarray of float64, shape (n_trials,)
        Their sums of squares with it.

    Returns
    -------
    ndarray of float64, shape (n_trials,)
        NaN for trials without a response, or whose response is nuisance.
    """
    size = np.einsum("ij,ij->j", own, own)
    there = (energy > 0) & (size >= NUISANCE_TOLERANCE * energy)
    result = np.full(own.shape[1], np.nan)
    if not there.any():
        return result
    scaled = own[:, there] / np.sqrt(size[there])
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    kept = values > DEPENDENT_SQUARED
    # Whatever lies in the null space is made up by others.
    lost = (vectors[:, ~kept] ** 2).sum(axis=1)
    inflation = (vectors[:, kept] ** 2 / values[kept]).sum(axis=1)
    result[there] = np.where(lost > DEPENDENT, np.inf, np.maximum(inflation, 1.0))
    return result


def lsa(prepared: Prepared, derivatives: Floats | None = None) -> Estimated:
    """Estimate all trials in one model, each by a regressor of its own (least squares all).

    Parameters
    ----------
    prepared : Prepared
        The series.
    derivatives : ndarray of float64, shape (n_volumes, n_trials, n_derivatives), optional
        Further columns of each trial.
    """
    inflation = variance_inflation(prepared.own, prepared.energy)
    reasons: list[str | None] = [None] * len(inflation)
    for i, value in enumerate(inflation):
        if np.isnan(value):
            reasons[i] = NO_RESPONSE if prepared.energy[i] == 0 else IS_NUISANCE
        elif np.isinf(value):
            reasons[i] = IS_COLLINEAR
    n_volumes, n_trials = prepared.own.shape
    design = prepared.own
    if derivatives is not None:
        design = np.hstack([design, prepared.clean(derivatives.reshape(n_volumes, -1))])
    size = np.linalg.norm(design, axis=0)
    scaled = design / np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    lost = (vectors[:n_trials, values <= DEPENDENT_SQUARED] ** 2).sum(axis=1)
    for trial in np.flatnonzero(lost > DEPENDENT):
        reasons[trial] = reasons[trial] or IS_COLLINEAR
    weights: Floats = np.asarray(np.linalg.pinv(design, rcond=DEPENDENT).T, np.float64)
    return _estimated(prepared, weights[:, :n_trials], reasons)


def separate_columns(
    prepared: Prepared, columns: Floats, of_trial: Floats | None = None
) -> list[Estimated]:
    """Estimate several columns of each trial, with their sums over all other trials beside them.

    Least squares separate for responses of more than one column: a finite impulse response, or
    one with its derivatives.

    Parameters
    ----------
    prepared : Prepared
        The series.
    columns : ndarray of float64, shape (n_volumes, n_trials, n_columns)
        Such as those of `braindata.derive.design.delay_regressors`.
    of_trial : ndarray of float64, same shape, optional
        What stands for a trial where it is not among the others; the same columns without it.

    Returns
    -------
    list of Estimated
        One per column.
    """
    n_volumes, n_trials, n_columns = columns.shape
    flat = columns.reshape(n_volumes, -1)
    cleaned = prepared.clean(flat).reshape(columns.shape)
    single = cleaned
    if of_trial is not None:
        single = prepared.clean(of_trial.reshape(n_volumes, -1)).reshape(columns.shape)
    total = cleaned.sum(axis=1)
    weights = np.zeros(columns.shape)
    reasons: list[list[str | None]] = [[None] * n_trials for _ in range(n_columns)]
    for i in range(n_trials):
        own = single[:, i]
        seen = np.einsum("ij,ij->j", columns[:, i], columns[:, i]) > 0
        design = np.hstack([own[:, seen], total - cleaned[:, i]])
        size = np.linalg.norm(design, axis=0)
        size[size <= DEPENDENT * size.max(initial=0.0)] = np.inf
        left, values, right = np.linalg.svd(design / size, full_matrices=False)
        kept = values > DEPENDENT
        lost = (right[~kept][:, : seen.sum()] ** 2).sum(axis=0)
        inverse = (right[kept].T / values[kept]) @ left[:, kept].T / size[:, None]
        weights[:, i, seen] = inverse[: seen.sum()].T
        for number, column in enumerate(np.flatnonzero(seen)):
            if lost[number] > DEPENDENT:
                reasons[column][i] = IS_COLLINEAR
        for column in np.flatnonzero(~seen):
            reasons[column][i] = NO_RESPONSE
    return [_estimated(prepared, weights[:, :, one], own) for one, own in enumerate(reasons)]


def window_mean(
    prepared: Prepared, onsets: Floats, times: Floats, window: tuple[float, float]
) -> Estimated:
    """Return the mean of the series, without its nuisance, in a window after each onset.

    Parameters
    ----------
    prepared : Prepared
        The series.
    onsets, times : ndarray of float64, shape (n_trials,) and (n_volumes,)
        In s.
    window : tuple of float
        Start and end in s from the onset; volumes at its start count, at its end not.
    """
    since = times[:, None] - onsets
    inside = (since >= window[0]) & (since < window[1])
    spacing = times[1] - times[0]
    within = (onsets + window[0] > times[0] - spacing) & (onsets + window[1] <= times[-1] + spacing)
    n_inside = inside.sum(axis=0)
    reasons: list[str | None] = [None if ok else OUTSIDE for ok in (n_inside > 0) & within]
    weights = prepared.clean(inside / np.maximum(n_inside, 1))
    for i in np.flatnonzero(np.linalg.norm(weights, axis=0) <= DEPENDENT):
        reasons[i] = reasons[i] or NOT_KEPT
    return _estimated(prepared, weights, reasons)


def _estimated(prepared: Prepared, weights: Floats, reasons: list[str | None]) -> Estimated:
    estimate = weights.T @ prepared.series
    error = prepared.noise.standard_errors(weights)[:, 0]
    missing = np.array([reason is not None for reason in reasons], np.bool_)
    estimate[missing], error[missing] = np.nan, np.nan
    return Estimated(estimate, error, reasons)


def noise_ceiling(estimate: Floats, conditions: Sequence[str | None]) -> float | None:
    """Return how well a perfect model of the conditions could agree with their mean responses.

    The correlation over conditions of the means of their earlier and of their later trials,
    corrected for the halves' length (Spearman-Brown), is the reliability of the means, and its root
    the ceiling. Halves are apart in time: trials that follow each other share noise.

    Parameters
    ----------
    estimate : ndarray of float64, shape (n_trials,)
        Responses in the order of the recording; NaN where there is none.
    conditions : sequence of (str or None), length n_trials
        What was done in each trial; None counts as none.

    Returns
    -------
    float or None
        From 0 to 1; None with fewer than four conditions that repeat.
    """
    names = sorted({name for name in conditions if name is not None})
    found = np.array(conditions, dtype=object)
    of_condition = [estimate[(found == name) & np.isfinite(estimate)] for name in names]
    repeated = [own for own in of_condition if len(own) >= 2]
    if len(repeated) < MIN_CONDITIONS:
        return None
    halves = np.array([[half.mean() for half in np.array_split(own, 2)] for own in repeated])
    if (np.ptp(halves, axis=0) == 0).any():
        return None
    r = max(float(np.corrcoef(halves.T)[0, 1]), 0.0)
    return float(np.sqrt(2 * r / (1 + r)))
