"""Single-trial responses voxel by voxel, by the model of `trials`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.derive.lss import lss
from braindata.derive.parameters import DeriveParameters
from braindata.derive.trial_design import trial_design
from braindata.derive.trials import RecordingEvents, timed_events

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Patterns:
    """The responses to a recording's trials.

    Attributes
    ----------
    estimates : ndarray of float32, shape (n_trials, n_voxels)
        Height of the modelled response, in the unit of the series; NaN where there is a reason.
    reasons : list of (str or None), length n_trials
        Why a trial has no estimate.
    """

    estimates: NDArray[np.float32]
    reasons: list[str | None]


def voxel_patterns(
    series: Floats,
    recording: RecordingEvents,
    start: float | None,
    kept: NDArray[np.bool_],
    parameters: DeriveParameters,
) -> Patterns:
    """Estimate the response of each voxel to each trial: least squares separate, in closed form.

    Parameters
    ----------
    series : ndarray of float64, shape (n_volumes, n_voxels)
        Uncleaned.
    recording : RecordingEvents
        Its events and confounds.
    start : float or None
        Time of the first volume in s, where it is known.
    kept : ndarray of bool, shape (n_volumes,)
        False for volumes to leave out.
    parameters : DeriveParameters
        The model.

    Raises
    ------
    DataError
        When the events or confounds cannot be used.
    """
    timed = timed_events(recording.events)
    design = trial_design(
        timed, recording.confounds, recording.tr, len(series), start, kept.tolist(), parameters
    )
    result = lss(series, design.regressors, design.nuisance)
    reasons = design.reasons(result.reasons)
    estimates = result.estimate * design.heights[:, None]
    estimates[[reason is not None for reason in reasons]] = np.nan
    return Patterns(estimates.astype(np.float32), reasons)
