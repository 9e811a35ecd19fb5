"""Cleaning a region's mean with fMRIPrep's confounds.

Cleaning is linear, so the cleaned mean equals the mean of cleaned voxels as long as standardising
comes last. The strategy is nilearn's `load_confounds_strategy("simple")` (Wang et al. 2024,
doi:10.1371/journal.pcbi.1011942) followed by `nilearn.signal.clean`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg

from braindata.bids.confounds import MOTION_24, TISSUES, confound_values
from braindata.errors import DataError

HINT = (
    "look at the confounds of this recording, preprocess it again, or set extract.strategies to "
    "[none]"
)


@dataclass(frozen=True)
class Regressors:
    """What is removed from a series.

    Attributes
    ----------
    values : ndarray of float64, shape (n_volumes, n_regressors)
        The confounds; a missing first value (of a derivative) is replaced by the second.
    kept : ndarray of bool, shape (n_volumes,)
        False where fMRIPrep marks a volume as not yet in a steady state.
    """

    values: NDArray[np.float64]
    kept: NDArray[np.bool_]


def simple_regressors(confounds: pd.DataFrame) -> Regressors:
    """Select the confounds of nilearn's strategy `simple`.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Confounds under fMRIPrep's names.

    Returns
    -------
    Regressors
        Cosines, 24 motion parameters (Friston et al. 1996, doi:10.1002/mrm.1910350312), mean CSF
        and mean white matter.

    Raises
    ------
    DataError
        Naming the confounds that are missing or hold missing values.
    """
    # fMRIPrep leaves the cosines out for very short recordings; so does nilearn then.
    cosines = [name for name in confounds.columns if "cosine" in name]
    values = confound_values(confounds, [*MOTION_24, *TISSUES, *cosines], hint=HINT)
    return Regressors(values, steady(confounds))


def steady(confounds: pd.DataFrame) -> NDArray[np.bool_]:
    """Return whether each volume is in a steady state, as fMRIPrep's outlier columns say.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Confounds under fMRIPrep's names.

    Returns
    -------
    ndarray of bool, shape (n_volumes,)
        All true where there is no such column.
    """
    unsteady = [name for name in confounds.columns if "non_steady_state" in name]
    return (confounds[unsteady] == 0).all(axis=1).to_numpy(bool)


def clean(series: NDArray[np.float64], regressors: Regressors) -> NDArray[np.float64]:
    """Remove linear trend and regressors from a series and standardise it.

    Parameters
    ----------
    series : ndarray of float64, shape (n_volumes,)
        A region's uncleaned mean, in any unit.
    regressors : Regressors
        What to remove.

    Returns
    -------
    ndarray of float64, shape (n_volumes,)
        In standard deviations (divisor n - 1); NaN at volumes that are not kept.

    Raises
    ------
    DataError
        When there are not more volumes than regressors: nothing would be left but rounding.
    """
    kept = regressors.kept
    n_removed = regressors.values.shape[1] + 2
    if int(kept.sum()) <= n_removed:
        raise DataError(
            f"{int(kept.sum())} volumes are too few to remove {n_removed} regressors",
            hint="exclude short recordings with curate.min_volumes, or set extract.strategies to "
            "[none]",
        )
    residual = _detrend(series[kept])
    confounds = _detrend(regressors.values[kept])
    spread = confounds.std(axis=0)
    confounds /= np.where(spread < np.finfo(np.float64).eps, 1, spread)
    basis, triangle, _ = linalg.qr(confounds, mode="economic", pivoting=True)
    # Confounds that are combinations of others must not turn rounding into a regressor.
    basis = basis[:, np.abs(np.diag(triangle)) > np.finfo(np.float64).eps * 100]
    residual -= basis @ (basis.T @ residual)
    deviation = residual.std(ddof=1)
    cleaned = np.full(len(series), np.nan)
    cleaned[kept] = residual / (deviation if deviation >= np.finfo(np.float64).eps else 1)
    return cleaned


def _detrend(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Remove mean and linear trend along the first axis.

    As `scipy.signal.detrend` does, whose import alone takes longer than a region's extraction.
    """
    line = np.column_stack([np.ones(len(values)), np.linspace(-1, 1, len(values))])
    basis, _ = np.linalg.qr(line)
    detrended: NDArray[np.float64] = values - basis @ (basis.T @ values)
    return detrended
