"""Average responses: a region's series around the onsets of its trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Seconds before and after the onset, and the step of the common time axis.
WINDOW = (-4.0, 20.0)
STEP = 1.0
ALL = "all events"
MAX_TYPES = 8


@dataclass(frozen=True)
class Average:
    """The average response of one region to one type of trial.

    Attributes
    ----------
    region, trial_type : str
        What was averaged.
    mean, sem : ndarray, shape (n_times,)
        Mean over trials in standard deviations of the series, and its standard error; NaN where
        no trial has data.
    n_trials : int
        Trials with data at the onset.
    """

    region: str
    trial_type: str
    mean: NDArray[np.float64]
    sem: NDArray[np.float64]
    n_trials: int


def times() -> NDArray[np.float64]:
    """Return the common time axis in s from the onset, shape (n_times,)."""
    return np.arange(WINDOW[0], WINDOW[1] + STEP / 2, STEP)


def average_responses(series: pd.DataFrame, trials: pd.DataFrame) -> list[Average]:
    """Average each region's series around trial onsets, by trial type.

    Parameters
    ----------
    series : pandas.DataFrame
        Rows of the `series` table of one strategy.
    trials : pandas.DataFrame
        Rows of the `trials` table.

    Returns
    -------
    list of Average
        Sorted by region, then trial type. The most frequent types only where there are many;
        values are linear interpolations between volumes.
    """
    lags = times()
    kinds = trials["trial_type"].fillna(ALL)
    frequent = kinds.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    shown = set(frequent.index[:MAX_TYPES])
    pieces: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    keys = ["dataset", "recording", "region"]
    by_key = dict(iter(trials.assign(trial_type=kinds).groupby(keys)))
    for row in series.to_dict("records"):
        frame = by_key.get(tuple(row[key] for key in keys))
        if frame is None or row["values"] is None:
            continue
        values = np.asarray(row["values"], float)
        if values.size == 0:
            continue
        at = row["start"] + np.arange(values.size) / row["sampling_frequency"]
        for kind, onsets in frame.groupby("trial_type")["onset"]:
            if kind in shown:
                moments = np.add.outer(onsets.to_numpy(float), lags)
                curves = np.interp(moments, at, values, left=np.nan, right=np.nan)
                pieces.setdefault((row["region"], str(kind)), []).append(curves)
    return [_average(*key, np.concatenate(curves)) for key, curves in sorted(pieces.items())]


def _average(region: str, trial_type: str, curves: NDArray[np.float64]) -> Average:
    there = np.isfinite(curves)
    n = there.sum(axis=0)
    total = np.where(there, curves, 0.0).sum(axis=0)
    mean = np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
    squares = np.where(there, (curves - mean) ** 2, 0.0).sum(axis=0)
    variance = np.divide(squares, n - 1, out=np.full(n.shape, np.nan), where=n > 1)
    sem = np.sqrt(np.divide(variance, n, out=np.full(n.shape, np.nan), where=n > 1))
    onset = int(np.argmin(np.abs(times())))
    return Average(region, trial_type, mean, sem, int(n[onset]))
