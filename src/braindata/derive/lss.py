"""Single-trial responses by least squares separate (LSS), in closed form.

Mumford et al. 2012 (doi:10.1016/j.neuroimage.2011.08.076): each trial has its own linear model
with that trial, all other trials as one regressor, and the nuisance columns. The nuisance is the
same in all of them, so it is projected out once (Frisch-Waugh-Lovell), which leaves two normal
equations per trial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.derive.noise import estimate_ar1, lag_sums, powers
from braindata.errors import DataError

Floats = NDArray[np.float64]

MIN_RESIDUAL_DOF = 10
# Singular values below this share of the largest are rounding of a rank-deficient nuisance.
RANK_TOLERANCE = 1e-7
# Below these shares of its own energy a regressor is nuisance, or cannot be told from the others:
# its variance is inflated more than a millionfold.
NUISANCE_TOLERANCE = 1e-6
COLLINEAR_TOLERANCE = 1e-6

NO_RESPONSE = "no volume samples its response"
IS_NUISANCE = "its response cannot be told from confounds and drifts"
IS_COLLINEAR = "its response cannot be told from that of the other trials"


@dataclass(frozen=True)
class LssResult:
    """What `lss` returns.

    Attributes
    ----------
    estimate : ndarray of float64, shape (n_trials,) or (n_trials, n_regions)
        Response per unit of the trial's regressor; NaN where there is a reason.
    standard_error : ndarray of float64, same shape
        Its standard error under AR(1) noise; NaN also where the model fits without residuals.
    reasons : list of (str or None), length n_trials
        Why a trial has no estimate.
    rho : ndarray of float64, shape () or (n_regions,)
        Lag-1 autocorrelation of the noise.
    residual_dof : int
        Degrees of freedom of the noise estimate.
    """

    estimate: Floats
    standard_error: Floats
    reasons: list[str | None]
    rho: Floats
    residual_dof: int


def orthonormal_basis(columns: Floats) -> Floats:
    """Return an orthonormal basis of the span of some columns and the constant.

    Columns are centred and scaled first: confounds differ by many orders of magnitude, and the
    rank must not depend on their units.

    Parameters
    ----------
    columns : ndarray of float64, shape (n_volumes, n_columns)
        Any columns; constant ones are allowed.

    Returns
    -------
    ndarray of float64, shape (n_volumes, rank)
        The constant is the first one.
    """
    n = len(columns)
    centred = columns - columns.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    varies = norms > 1e-10 * np.linalg.norm(columns, axis=0)
    constant = np.full((n, 1), n**-0.5)
    if not varies.any():
        return constant
    u, s, _ = np.linalg.svd(centred[:, varies] / norms[varies], full_matrices=False)
    return np.hstack([constant, u[:, s > RANK_TOLERANCE * s[0]]])


def require_freedom(basis: Floats) -> None:
    """Check that the nuisance leaves enough degrees of freedom.

    Raises
    ------
    DataError
        When it does not.
    """
    n_volumes, rank = basis.shape
    residual_dof = n_volumes - rank - 1
    if residual_dof < MIN_RESIDUAL_DOF:
        raise DataError(
            f"{rank} confounds and drifts for {n_volumes} volumes leave "
            f"{max(residual_dof, 0)} degrees of freedom (at least {MIN_RESIDUAL_DOF} are needed)",
            hint="set derive.confounds to `motion` or `none`, or exclude the recording",
        )


@dataclass(frozen=True)
class TrialNoise:
    """AR(1) noise of a series, by the residuals of nuisance and all trials as one regressor.

    Attributes
    ----------
    rho, variance : ndarray of float64, shape (n_regions,)
        Of the noise.
    dof : int
        Degrees of freedom of these.
    """

    rho: Floats
    variance: Floats
    dof: int

    def standard_errors(self, weights: Floats) -> Floats:
        """Return those of ``weights.T @ series``, of shape (n_weights, n_regions)."""
        forms = powers(self.rho, len(weights)) @ lag_sums(weights, weights)
        return np.sqrt(np.maximum(forms * self.variance[:, None], 0.0)).T


def trial_noise(
    y: Floats, y_clean: Floats, basis: Floats, total: Floats, raw_energy: float
) -> TrialNoise:
    """Estimate the noise of series.

    Parameters
    ----------
    y, y_clean : ndarray of float64, shape (n_volumes, n_regions)
        The series, and without their nuisance.
    basis : ndarray of float64, shape (n_volumes, rank)
        Orthonormal basis of the nuisance.
    total : ndarray of float64, shape (n_volumes, 1)
        Sum of all trials' regressors without their nuisance.
    raw_energy : float
        Sum of squares of all regressors.
    """
    norm = np.linalg.norm(total)
    if norm > 1e-10 * np.sqrt(raw_energy):
        basis = np.hstack([basis, total / norm])
    residuals = y_clean - basis @ (basis.T @ y_clean)
    # A series that the model fits to rounding error says nothing about its noise.
    spread = np.linalg.norm(y - y.mean(axis=0), axis=0)
    residuals[:, np.linalg.norm(residuals, axis=0) <= 1e-10 * spread] = 0.0
    rho, variance = estimate_ar1(residuals, basis)
    return TrialNoise(rho, variance, len(y) - basis.shape[1])


def lss(series: Floats, regressors: Floats, nuisance: Floats) -> LssResult:
    """Estimate the response to each trial.

    Ordinary least squares; standard errors allow for AR(1) noise: with the weights w of a trial,
    ``estimate = w @ y``, the variance is ``w @ V(rho) @ w * variance``. Rho and variance come from
    the residuals of the nuisance and all trials as one regressor, so that they exist however many
    trials there are; differences between trials count as noise there.

    Parameters
    ----------
    series : ndarray, shape (n_volumes,) or (n_volumes, n_regions)
        Uncleaned series.
    regressors : ndarray, shape (n_volumes, n_trials)
        One column per trial; a column of zeros is a trial without an estimate.
    nuisance : ndarray, shape (n_volumes, n_columns)
        Confounds and drifts. The constant is added if it is not among them.

    Returns
    -------
    LssResult
        Estimates in the units of `series`.

    Raises
    ------
    DataError
        When the nuisance leaves too few degrees of freedom, or a value is not finite.
    """
    if not all(np.isfinite(values).all() for values in (series, regressors, nuisance)):
        raise DataError(
            "the series or its design holds values that are not finite",
            hint="look at the preprocessed image of this recording and at its confounds",
        )
    y = series.astype(np.float64).reshape(len(series), -1)
    n_trials = regressors.shape[1]
    basis = orthonormal_basis(nuisance)
    require_freedom(basis)
    own = regressors - basis @ (basis.T @ regressors)
    total = own.sum(axis=1, keepdims=True)
    others = total - own

    raw_energy = np.einsum("ij,ij->j", regressors, regressors)
    own_own = np.einsum("ij,ij->j", own, own)
    own_others = np.einsum("ij,ij->j", own, others)
    others_others = np.einsum("ij,ij->j", others, others)
    # A single trial has no others: what rounding leaves of them must not count as a regressor.
    alone = others_others <= 1e-20 * np.maximum(own_own, raw_energy.max(initial=0.0))
    determinant = np.where(alone, own_own, own_own * others_others - own_others**2)
    no_response = raw_energy == 0
    is_nuisance = ~no_response & (own_own < NUISANCE_TOLERANCE * raw_energy)
    collinear = (
        ~no_response
        & ~is_nuisance
        & ~alone
        & (determinant < COLLINEAR_TOLERANCE * own_own * others_others)
    )
    estimable = ~(no_response | is_nuisance | collinear)
    scale = np.divide(1.0, determinant, out=np.zeros(n_trials), where=estimable)
    weights = np.where(alone, own, own * others_others - others * own_others) * scale

    y_clean = y - basis @ (basis.T @ y)
    estimate = weights.T @ y_clean
    noise = trial_noise(y, y_clean, basis, total, float(raw_energy.sum()))
    standard_error = noise.standard_errors(weights)

    estimate[~estimable] = np.nan
    standard_error[~estimable] = np.nan
    names = np.select([no_response, is_nuisance, collinear], [1, 2, 3], 0)
    texts = [None, NO_RESPONSE, IS_NUISANCE, IS_COLLINEAR]
    shape = (n_trials, *series.shape[1:])
    return LssResult(
        estimate=estimate.reshape(shape),
        standard_error=standard_error.reshape(shape),
        reasons=[texts[i] for i in names],
        rho=noise.rho.reshape(series.shape[1:]),
        residual_dof=noise.dof,
    )
