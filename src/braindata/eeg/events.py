"""Whether the onsets of events are what they say: seconds, within the recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.errors import DataError

# More events than this share behind the end: the recording is cut off, or they are another one's.
MAX_SHARE_BEYOND = 0.05
# How far an onset may be from its sample, in samples: files count from 0 or from 1, and round.
TOLERANCE = 2.0
# Relative, for the ratio of samples to onsets.
RATIO_TOLERANCE = 0.01


def event_labels(events: pd.DataFrame, column: str | None = None) -> list[str]:
    """Return the kind of each event.

    Parameters
    ----------
    events : pandas.DataFrame
        BIDS events.
    column : str, optional
        Which column has it; `trial_type`, or else `value`, if it is not given.

    Returns
    -------
    list of str
        `n/a` where the file has none.
    """
    names = [column] if column else ["trial_type", "value"]
    for name in names:
        if name in events.columns and events[name].notna().any():
            return [_label(value) for value in events[name]]
    return ["n/a"] * len(events)


def check_onsets(events: pd.DataFrame, sfreq: float, n_samples: int, path: Path) -> list[str]:
    """Check onsets against the column `sample` and the length of the recording.

    Values count, not what a sidecar claims of their unit.

    Parameters
    ----------
    events : pandas.DataFrame
        With `onset` in s, as `read_events` returns them.
    sfreq : float
        Samples per second of the recording.
    n_samples : int
        Its length.
    path : Path
        The events file.

    Returns
    -------
    list of str
        What is odd.

    Raises
    ------
    DataError
        When onsets are no seconds, contradict the samples, or lie behind the end.
    """
    onsets = events["onset"].to_numpy(np.float64)
    warnings = _against_samples(events, onsets, sfreq, path)
    end = n_samples / sfreq
    beyond = int((onsets >= end).sum())
    if beyond > max(1.0, MAX_SHARE_BEYOND * len(onsets)):
        within = (onsets / 1000 < end).all() and np.median(onsets) > 10 * end
        raise DataError(
            f"{beyond} of {len(onsets)} events start after the end of the recording at {end:g} s",
            file=path,
            hint="the onsets are in milliseconds: BIDS has seconds"
            if within
            else "is the recording truncated, or are they another recording's events?",
        )
    return warnings


def _against_samples(
    events: pd.DataFrame, onsets: NDArray[np.float64], sfreq: float, path: Path
) -> list[str]:
    if "sample" not in events.columns or not pd.api.types.is_numeric_dtype(events["sample"]):
        return []
    samples = events["sample"].to_numpy(np.float64)
    # Early events tell little of a ratio.
    usable = np.isfinite(samples) & (onsets * sfreq > 10) & (samples > 0)
    expected = onsets[usable] * sfreq
    samples = samples[usable]
    if not len(samples) or np.median(np.abs(samples - expected)) <= TOLERANCE:
        return []
    ratios = samples / expected
    ratio = float(np.median(ratios))
    if np.abs(ratios - ratio).max() > RATIO_TOLERANCE * ratio:
        offsets = samples - expected
        if np.ptp(offsets) <= 2 * TOLERANCE:
            return [
                f"{path.name}: `sample` is {np.median(offsets):g} samples away from the onsets, "
                "which count"
            ]
        raise DataError(
            "onsets and the column `sample` contradict each other",
            file=path,
            hint="is it another recording's events file? correct one, or leave out `sample`",
        )
    if abs(ratio * 1000 - 1) <= RATIO_TOLERANCE:
        raise DataError(
            "the onsets are in milliseconds, as the column `sample` shows",
            file=path,
            hint="BIDS has seconds: divide onset and duration by 1000",
        )
    return [
        f"{path.name}: `sample` counts {ratio * sfreq:g} samples per second, the recording has "
        f"{sfreq:g}; the onsets count"
    ]


def _label(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "n/a"
    # pandas reads a column of whole numbers with an `n/a` as floats.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
