"""Cleaning series with a strategy: the numbers of `nilearn.signal.clean`.

In this order: interpolate scrubbed volumes (for a Butterworth filter only), remove the linear
trend, filter, leave scrubbed volumes out, remove the confounds, which went the same way before,
by projection (Friston et al. 1994, doi:10.1002/hbm.460020402; Lindquist et al. 2019,
doi:10.1002/hbm.24528), standardise. All but the last is linear, so that the cleaned mean of a
region equals the mean of its cleaned voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg

from braindata.errors import DataError
from braindata.extract.eigenvariate import first_eigenvariate
from braindata.extract.filters import Butterworth, butterworth, cosine_drifts, with_cosines
from braindata.extract.regressors import PREPROCESSED, Regressors, choose_regressors
from braindata.extract.strategies import Preset, Unit

Floats = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)
# nilearn's: what is left of a mean below this share of it counts as removed.
MEAN_REMOVED = 0.1


@dataclass(frozen=True)
class Cleaner:
    """One strategy, ready for any number of series of one recording; made by `make_cleaner`.

    Attributes
    ----------
    preset : Preset
        The strategy.
    kept : ndarray of bool, shape (n_volumes,)
        The volumes that get a value.
    basis : ndarray of float64, shape (n_kept, rank)
        Orthonormal: what is removed.
    filter : Butterworth or None
        The filter, if the strategy has one.
    """

    preset: Preset
    kept: NDArray[np.bool_]
    basis: Floats
    filter: Butterworth | None

    @property
    def unit(self) -> Unit:
        """Unit of what comes out."""
        return self.preset.unit

    def clean(self, series: Floats) -> Floats:
        """Clean series.

        Parameters
        ----------
        series : ndarray of float64, shape (n_volumes,) or (n_volumes, n_series)
            Uncleaned, in any unit, finite.

        Returns
        -------
        ndarray of float64, shape of `series`
            In the unit of the strategy; NaN at volumes that are not kept.

        Raises
        ------
        DataError
            When percentages are asked for of a series whose mean is zero.
        """
        columns = series.reshape(len(series), -1)
        residual, mean = self._residual(columns)
        return self._place(self._standardise(residual, mean)).reshape(series.shape)

    def eigenvariate(self, voxels: Floats, weights: Floats) -> Floats:
        """Clean the voxels of a region and return their first eigenvariate.

        Parameters
        ----------
        voxels : ndarray of float64, shape (n_volumes, n_voxels)
            Uncleaned, finite.
        weights : ndarray of float64, shape (n_voxels,)
            Weight of each voxel in the region's mean; their sum is 1.

        Returns
        -------
        ndarray of float64, shape (n_volumes,)
            In the unit of the strategy, a percentage being one of the region's mean; NaN at
            volumes that are not kept.

        Raises
        ------
        DataError
            When percentages are asked for and the region's mean is zero.
        """
        residual, mean = self._residual(voxels)
        first = first_eigenvariate(residual, weights)[:, None]
        return self._place(self._standardise(first, np.array([mean @ weights])))[:, 0]

    def _residual(self, columns: Floats) -> tuple[Floats, Floats]:
        """Return cleaned columns before they are standardised, and their means at the start."""
        prepared, mean = _prepare(columns, self.kept, self.filter, self.preset.detrend)
        return prepared - self.basis @ (self.basis.T @ prepared), mean

    def _standardise(self, values: Floats, mean: Floats) -> Floats:
        if self.preset.standardize == "none":
            return values
        if self.preset.standardize == "zscore_sample":
            values = values - values.mean(axis=0)
            spread = values.std(axis=0, ddof=1)
            scored: Floats = values / np.where(spread < EPS, 1.0, spread)
            return scored
        if (np.abs(mean) < EPS).any():
            raise DataError(
                "the mean of the series is zero: there is no percentage of it",
                hint="choose another `standardize` for this preset",
            )
        removed = np.abs(values.mean(axis=0)) < MEAN_REMOVED * np.abs(mean)
        values = values + np.where(removed, mean, 0.0)
        now = values.mean(axis=0)
        percent: Floats = 100.0 * (values - now) / np.abs(now)
        return percent

    def _place(self, values: Floats) -> Floats:
        placed = np.full((len(self.kept), values.shape[1]), np.nan)
        placed[self.kept] = values
        return placed


def clean_series(
    series: Floats,
    confounds: pd.DataFrame,
    metadata: Mapping[str, Any],
    tr: float,
    preset: Preset,
    image: str = PREPROCESSED,
) -> tuple[Floats, NDArray[np.bool_], Unit]:
    """Clean series of one recording once; `make_cleaner` is for many.

    Parameters
    ----------
    series : ndarray of float64, shape (n_volumes,) or (n_volumes, n_series)
        Uncleaned, in any unit, finite.
    confounds, metadata, tr, preset, image
        As for `make_cleaner`.

    Returns
    -------
    values : ndarray of float64, shape of `series`
        NaN at volumes that are not kept.
    kept : ndarray of bool, shape (n_volumes,)
        Which volumes are kept.
    unit : {"a.u.", "z", "percent"}
        Unit of the values.

    Raises
    ------
    DataError
        As `make_cleaner` and `Cleaner.clean`.
    """
    regressors = choose_regressors(confounds, metadata, preset, image)
    return make_cleaner(regressors, tr, preset).clean(series), regressors.kept, preset.unit


def make_cleaner(regressors: Regressors, tr: float, preset: Preset) -> Cleaner:
    """Compute what a strategy removes from every series of one recording.

    Parameters
    ----------
    regressors : Regressors
        From `choose_regressors`.
    tr : float
        Repetition time in s.
    preset : Preset
        The strategy.

    Raises
    ------
    DataError
        When the volumes that are kept are too few for what is removed, or for the filter.
    """
    kept, values = regressors.kept, regressors.values
    n_kept = int(kept.sum())
    if preset.filter == "cosine" and preset.high_pass is not None:
        values = with_cosines(values, cosine_drifts(len(kept), tr, preset.high_pass))
    # The mean goes with the trend, or when the series is standardised.
    n_removed = values.shape[1] + (2 if preset.detrend else 1)
    # With no volume left there is nothing to decompose.
    if n_kept < 2:
        raise _too_few(n_kept, n_removed)
    chosen = None
    if preset.filter == "butterworth" and (preset.high_pass or preset.low_pass):
        chosen = butterworth(tr, preset.high_pass, preset.low_pass, kept)
    basis = _basis(_prepare(values, kept, chosen, preset.detrend)[0])
    rank = basis.shape[1]
    if n_kept <= rank + (2 if preset.detrend else 1):
        raise _too_few(n_kept, n_removed)
    if chosen is not None and rank >= chosen.share * n_kept:
        raise DataError(
            f"{n_kept} volumes are too few to remove {n_removed} regressors: the filter leaves "
            f"{chosen.share * n_kept:.0f} degrees of freedom",
            hint="remove fewer regressors, or filter less",
        )
    return Cleaner(preset, kept, basis, chosen)


def _too_few(n_kept: int, n_removed: int) -> DataError:
    return DataError(
        f"{n_kept} volumes are too few to remove {n_removed} regressors",
        hint="exclude short recordings with curate.min_volumes, or choose another strategy",
    )


def _prepare(
    columns: Floats, kept: NDArray[np.bool_], chosen: Butterworth | None, detrend: bool
) -> tuple[Floats, Floats]:
    """Return kept volumes of columns without trend and filtered, and the means before that."""
    span = columns[kept] if chosen is None else chosen.fill(columns)
    mean = span.mean(axis=0)
    if detrend:
        span = _detrend(span)
    return (span if chosen is None else chosen.apply(span)), mean


def _basis(confounds: Floats) -> Floats:
    """Return an orthonormal basis of confounds."""
    if confounds.shape[1] == 0:
        return np.empty((len(confounds), 0))
    centred = confounds - confounds.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = centred / np.where(spread < EPS, 1.0, spread)
    basis, triangle, _ = linalg.qr(scaled, mode="economic", pivoting=True)
    # Confounds that are combinations of others must not turn rounding into a regressor.
    chosen: Floats = basis[:, np.abs(np.diag(triangle)) > 100 * EPS]
    return chosen


def _detrend(values: Floats) -> Floats:
    """Remove mean and linear trend along the first axis.

    As `scipy.signal.detrend` does, whose import alone takes longer than a region's extraction.
    """
    values = values - values.mean(axis=0)
    line = np.arange(len(values)) - (len(values) - 1) / 2
    # A single volume has no trend.
    line /= np.sqrt((line**2).sum()) or 1.0
    return values - np.outer(line, line @ values)
