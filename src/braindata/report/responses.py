"""Average responses: a region's series around the onsets of its trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Seconds before and after the onset, and the step of the common time axis.
WINDOW = (-4.0, 20.0)
STEP = 1.0
ALL = "all events"
MAX_TYPES = 8
# More digits than a screen shows; what is kept between reports is as small as what is drawn.
_DIGITS = 4

Values = tuple[float | None, ...]


@dataclass(frozen=True)
class Average:
    """The average response of one region to one type of trial.

    Attributes
    ----------
    trial_type : str
        What was averaged.
    mean, sem : tuple of float or None, length n_times
        In standard deviations of the series, with its standard error; None where there are no
        data, or too few for an error.
    n_trials, n_people : int
        Trials with data at the onset, and people who had them.
    error_over : {"people", "trials"}
        What the error is taken over: the averages of people where there are two or more, and the
        mean is theirs too; else one person's trials.
    """

    trial_type: str
    mean: Values
    sem: Values
    n_trials: int
    n_people: int
    error_over: Literal["people", "trials"]


@dataclass(frozen=True)
class Responses:
    """The average responses of one region.

    Attributes
    ----------
    averages : tuple of Average
        Sorted by trial type: the most frequent ones.
    n_types : int
        How many types of trial there are, shown or not.
    """

    averages: tuple[Average, ...]
    n_types: int

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Responses:
        """Return what `dataclasses.asdict` and JSON made a dictionary."""
        averages = [
            Average(**{**one, "mean": tuple(one["mean"]), "sem": tuple(one["sem"])})
            for one in body["averages"]
        ]
        return cls(tuple(averages), body["n_types"])


def times() -> NDArray[np.float64]:
    """Return the common time axis in s from the onset, shape (n_times,)."""
    return np.arange(WINDOW[0], WINDOW[1] + STEP / 2, STEP)


def average_responses(series: pd.DataFrame, trials: pd.DataFrame) -> Responses:
    """Average a region's series around trial onsets, by trial type.

    Parameters
    ----------
    series : pandas.DataFrame
        Rows of the `series` table of one region and one strategy.
    trials : pandas.DataFrame
        Rows of the `trials` table of that region.

    Returns
    -------
    Responses
        The most frequent types only where there are many; values are linear interpolations
        between volumes. People of different data sets are different people.
    """
    lags = times()
    kinds = trials["trial_type"].fillna(ALL)
    frequent = kinds.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    shown = set(frequent.index[:MAX_TYPES])
    curves: dict[str, dict[tuple[str, str], list[NDArray[np.float64]]]] = {}
    keys = ["dataset", "recording"]
    of_recording = dict(iter(trials.assign(trial_type=kinds).groupby(keys)))
    for row in series.to_dict("records"):
        frame = of_recording.get(tuple(row[key] for key in keys))
        if frame is None or row["values"] is None:
            continue
        values = np.asarray(row["values"], float)
        if values.size == 0:
            continue
        # Without corrected slice times, a volume shows the middle of its time at best.
        first = 0.5 / row["sampling_frequency"] if pd.isna(row["start"]) else row["start"]
        at = first + np.arange(values.size) / row["sampling_frequency"]
        person = (row["dataset"], row["subject"])
        for kind, onsets in frame.groupby("trial_type")["onset"]:
            if kind in shown:
                moments = np.add.outer(onsets.to_numpy(float), lags)
                found = np.interp(moments, at, values, left=np.nan, right=np.nan)
                curves.setdefault(str(kind), {}).setdefault(person, []).append(found)
    averages = [
        _average(kind, [np.concatenate(own) for _, own in sorted(people.items())])
        for kind, people in sorted(curves.items())
    ]
    return Responses(tuple(averages), len(frequent))


def _average(trial_type: str, people: list[NDArray[np.float64]]) -> Average:
    at_onset = np.flatnonzero(times() == 0)[0]
    n_trials = [int(np.isfinite(own[:, at_onset]).sum()) for own in people]
    several = len(people) > 1
    # Trials of one person are more alike than trials of two: where there are people to compare,
    # the error tells how far the average would move with other people.
    curves = np.array([_mean(own) for own in people]) if several else people[0]
    mean = _mean(curves)
    n = np.isfinite(curves).sum(axis=0)
    squares = np.nansum((curves - mean) ** 2, axis=0)
    variance = np.divide(squares, n - 1, out=np.full(n.shape, np.nan), where=n > 1)
    sem = np.sqrt(np.divide(variance, n, out=np.full(n.shape, np.nan), where=n > 1))
    return Average(
        trial_type,
        _plain(mean),
        _plain(sem),
        sum(n_trials),
        sum(count > 0 for count in n_trials),
        "people" if several else "trials",
    )


def _mean(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the first axis of what is there; NaN where nothing is."""
    n = np.isfinite(curves).sum(axis=0)
    total = np.nansum(curves, axis=0)
    mean: NDArray[np.float64] = np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
    return mean


def _plain(values: NDArray[np.float64]) -> Values:
    return tuple(None if np.isnan(value) else round(float(value), _DIGITS) for value in values)
