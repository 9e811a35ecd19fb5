"""First-order autoregressive noise in the residuals of a linear model.

Sums over a stationary covariance are taken lag by lag: with ``V[i, j] = rho ** |i - j|`` each
quadratic form is a polynomial in rho, whose coefficients are correlations that an FFT gives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float64]

# Beyond these the noise of a region's mean is not AR(1), and the polynomials below turn flat.
RHO_GRID = np.linspace(-0.8, 0.97, 178)


def lag_sums(a: Floats, b: Floats) -> Floats:
    """Return the coefficients of ``a[:, c] @ V(rho) @ b[:, c]`` as a polynomial in rho.

    Parameters
    ----------
    a, b : ndarray of float64, shape (n, n_columns)
        Paired columns.

    Returns
    -------
    ndarray of float64, shape (n, n_columns)
        Row k holds the sum of ``a[i] * b[j]`` over all pairs with ``|i - j| = k``.
    """
    n = len(a)
    size = fft.next_fast_len(2 * n, real=True)
    spectrum = np.conj(fft.rfft(a, size, axis=0)) * fft.rfft(b, size, axis=0)
    both = fft.irfft(spectrum, size, axis=0)
    sums: Floats = both[:n].copy()
    sums[1:] += both[-1:-n:-1]
    return sums


def powers(rho: Floats, n: int) -> Floats:
    """Return ``rho ** k`` for k below `n`, shape (len(rho), n)."""
    result: Floats = np.asarray(rho)[:, None] ** np.arange(n)
    return result


def estimate_ar1(residuals: Floats, basis: Floats) -> tuple[Floats, Floats]:
    """Estimate AR(1) noise from the residuals of ordinary least squares.

    Residuals are less correlated than the noise, the more so the more columns were fitted. The
    estimate is the rho whose *expected* residual autocorrelation,
    ``tr(R D R V) / tr(R V)`` with R the residual-forming matrix and D the lag-1 matrix, equals the
    observed one: the bias correction of Worsley et al. 2002 (doi:10.1006/nimg.2001.0933,
    appendix) with all lags of V instead of the first.

    Parameters
    ----------
    residuals : ndarray of float64, shape (n_volumes, n_regions)
        Residuals of the model.
    basis : ndarray of float64, shape (n_volumes, rank)
        Orthonormal basis of the model's columns.

    Returns
    -------
    rho : ndarray of float64, shape (n_regions,)
        Lag-1 autocorrelation of the noise; NaN where the residuals vanish.
    variance : ndarray of float64, shape (n_regions,)
        Variance of the noise; NaN where the residuals vanish.
    """
    n = len(residuals)
    # tr(RV) and tr(RDRV) with R = 1 - UU', as polynomials in rho.
    of_v = -lag_sums(basis, basis).sum(axis=1)
    of_v[0] += n
    shifted = np.zeros_like(basis)
    shifted[:-1] += basis[1:] / 2
    shifted[1:] += basis[:-1] / 2
    of_dv = lag_sums(basis, basis @ (basis.T @ shifted) - 2 * shifted).sum(axis=1)
    of_dv[1] += n - 1
    grid = powers(RHO_GRID, n)
    expected = np.maximum.accumulate((grid @ of_dv) / (grid @ of_v))

    energy = np.einsum("ij,ij->j", residuals, residuals)
    lagged = np.einsum("ij,ij->j", residuals[1:], residuals[:-1])
    there = energy > 0
    observed = np.divide(lagged, energy, out=np.full(len(energy), np.nan), where=there)
    rho = np.interp(observed, expected, RHO_GRID)
    rho[~there] = np.nan
    return rho, energy / (powers(rho, n) @ of_v)
