"""Correlations of series: Pearson's, partial, regularised, and how many values they rest on."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

Floats = NDArray[np.float64]

# Above it the inverse of a correlation matrix is rounding.
MAX_CONDITION = 1e10
# How far the correlation of a series with itself may be from 1.
ROUNDING = 1e-12


def fisher_z(correlation: Floats) -> Floats:
    """Return Fisher's z of correlations; infinite where they are 1 or -1 but for rounding."""
    whole = np.abs(correlation) > 1 - ROUNDING
    z: Floats = np.where(
        whole, np.copysign(np.inf, correlation), np.arctanh(np.where(whole, 0.0, correlation))
    )
    return z


def standardised(series: Floats) -> Floats:
    """Return series (n_times, n_regions) with mean 0 and standard deviation 1 each."""
    # Each by itself: what is said of a pair must not depend on how many others there are, not even
    # in the last digit.
    columns = [np.ascontiguousarray(column) for column in series.T]
    scaled = [(column - column.mean()) / column.std() for column in columns]
    return np.array(scaled).reshape(series.shape[::-1]).T


def correlation(series: Floats) -> Floats:
    """Return Pearson's correlations (n_regions, n_regions) of series (n_times, n_regions)."""
    rows = np.ascontiguousarray(standardised(series).T)
    matrix = np.eye(len(rows))
    for i, j in itertools.combinations(range(len(rows)), 2):
        matrix[i, j] = matrix[j, i] = (rows[i] * rows[j]).sum() / rows.shape[1]
    return matrix


def partial_correlation(matrix: Floats) -> Floats | None:
    """Return the partial correlations that a correlation or covariance matrix states.

    Parameters
    ----------
    matrix : ndarray, shape (n_regions, n_regions)
        Symmetric.

    Returns
    -------
    ndarray, shape (n_regions, n_regions), or None
        Of each pair given all others; None when the matrix has no inverse.
    """
    if np.linalg.cond(matrix) > MAX_CONDITION:
        return None
    precision = np.linalg.inv(matrix)
    scale = 1.0 / np.sqrt(np.diag(precision))
    partial: Floats = -precision * np.outer(scale, scale)
    np.fill_diagonal(partial, 1.0)
    return partial


def regularised(series: Floats) -> Floats:
    """Return the correlations of series (n_times, n_regions) as Ledoit & Wolf shrink them.

    Of standardised series, whose covariance is shrunk towards none (Ledoit & Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4).
    """
    covariance, _ = ledoit_wolf(standardised(series), assume_centered=True)
    scale = 1.0 / np.sqrt(np.diag(covariance))
    matrix: Floats = covariance * np.outer(scale, scale)
    return matrix


def effective_sizes(series: Floats, kept: NDArray[np.bool_]) -> Floats:
    """Return how many independent values the correlation of each pair of series rests on.

    Two series that are autocorrelated by rho and sigma correlate by chance as n / sum(rho * sigma)
    independent values would, the sum over all lags (Bartlett's, see Afyouni et al. 2019,
    doi:10.1016/j.neuroimage.2019.05.011). Autocorrelations are tapered (Tukey's window of
    2 sqrt(n) lags), and taken over pairs of volumes that are both kept. What cleaning took away
    otherwise is not counted.

    Parameters
    ----------
    series : ndarray, shape (n_times, n_regions)
        What is not kept may be NaN.
    kept : ndarray of bool, shape (n_times,)
        Which are correlated.

    Returns
    -------
    ndarray, shape (n_regions, n_regions)
        Never more than the values kept.
    """
    n = int(kept.sum())
    filled = np.zeros(series.shape)
    filled[kept] = standardised(series[kept])
    n_lags = min(int(2 * np.sqrt(n)), len(series) - 1)
    lags = np.arange(n_lags + 1)
    taper = 0.5 * (1 + np.cos(np.pi * lags / max(n_lags, 1)))
    n_both = np.array([n, *((kept[lag:] & kept[:-lag]).sum() for lag in lags[1:])])
    own = [_autocorrelation(column, n_both) * taper for column in filled.T]
    weights = np.where(lags == 0, 1.0, 2.0 * (1 - lags / n))
    sizes = np.full((len(own), len(own)), float(n))
    for i, j in itertools.combinations_with_replacement(range(len(own)), 2):
        sizes[i, j] = sizes[j, i] = n / max((weights * own[i] * own[j]).sum(), 1.0)
    return sizes


def _autocorrelation(column: Floats, n_both: NDArray[np.int_]) -> Floats:
    values = np.ascontiguousarray(column)
    sums = [(values[lag:] * values[: len(values) - lag]).sum() for lag in range(len(n_both))]
    found: Floats = np.array(sums) / np.maximum(n_both, 1)
    return found
