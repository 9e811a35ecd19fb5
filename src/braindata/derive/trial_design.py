"""The single-trial design of one recording, whatever series and model it is used with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.derive.design import frame_times, nuisance_columns, trial_regressors
from braindata.derive.parameters import DeriveParameters

Floats = NDArray[np.float64]

# A trial of whose response the volumes sample less than this share of the full height is guessed
# from its first rise, or from an undershoot.
MIN_SAMPLED_HEIGHT = 0.05


@dataclass(frozen=True)
class TrialDesign:
    """Regressors of the trials of one recording.

    Attributes
    ----------
    times : ndarray of float64, shape (n_volumes,)
        Of the volumes, in s.
    onsets, durations : ndarray of float64, shape (n_trials,)
        In s; a negative duration is NaN.
    regressors : ndarray of float64, shape (n_volumes, n_trials)
    nuisance : ndarray of float64, shape (n_volumes, n_columns)
    heights : ndarray of float64, shape (n_trials,)
        Height of each trial's full response: an estimate times it is the height of the response.
    impossible : list of (str or None), length n_trials
        Why a trial can have no estimate, whatever the model.
    """

    times: Floats
    onsets: Floats
    durations: Floats
    regressors: Floats
    nuisance: Floats
    heights: Floats
    impossible: list[str | None]

    def reasons(self, found: Sequence[str | None]) -> list[str | None]:
        """Return why trials have no estimate; `found` is what a fit itself says."""
        pairs = zip(self.impossible, found, strict=True)
        return [one if one is not None else other for one, other in pairs]


def trial_design(
    timed: pd.DataFrame,
    confounds: pd.DataFrame,
    tr: float,
    n_volumes: int,
    start: float | None,
    kept: Sequence[bool],
    parameters: DeriveParameters,
) -> TrialDesign:
    """Return the single-trial design of a recording.

    Parameters
    ----------
    timed : pandas.DataFrame
        `onset` and `duration` of its trials in s.
    confounds : pandas.DataFrame, shape (n_volumes, any)
        Under fMRIPrep's names.
    tr : float
        Repetition time in s.
    n_volumes : int
        Of its series.
    start : float or None
        Time of the first volume in s, where it is known.
    kept : sequence of bool
        False for volumes to leave out.
    parameters : DeriveParameters
        The model.

    Raises
    ------
    DataError
        When confounds are missing, or not numbers.
    """
    times = frame_times(n_volumes, tr, parameters.slice_time_ref, start)
    nuisance = nuisance_columns(confounds, parameters.confounds, times, parameters.high_pass, kept)
    onsets, stated = timed["onset"].to_numpy(), timed["duration"].to_numpy()
    durations = np.where(stated < 0, np.nan, stated)
    regressors, heights = trial_regressors(onsets, durations, times, parameters.hrf_model)
    sampled = np.abs(regressors).max(axis=0, initial=0.0)
    # Too little of the response is seen to estimate it, but it stays among the others' regressor.
    unseen = ~np.isnan(heights) & (sampled < MIN_SAMPLED_HEIGHT * heights)
    given = [
        (np.isnan(onsets), "its onset is not known"),
        (np.isnan(stated), "its duration is not known"),
        (stated < 0, "its duration is negative"),
        (onsets >= tr * n_volumes, "it starts after the end of the recording"),
        (np.isnan(heights), "it starts too long before the recording"),
        (unseen, "the recording ends before its response, or starts after it"),
    ]
    impossible: list[str | None] = [None] * len(timed)
    for where, reason in reversed(given):
        for i in np.flatnonzero(where):
            impossible[i] = reason
    return TrialDesign(times, onsets, durations, regressors, nuisance, heights, impossible)
