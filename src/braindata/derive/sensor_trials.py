"""The `trials` of EEG at sensors: one row per event and feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from braindata.derive.eeg_rows import (
    Feature,
    Scale,
    erp_feature,
    feature_rows,
    of_eeg,
    spectral_features,
)
from braindata.derive.parameters import EventMapping
from braindata.derive.sensor_parameters import SensorParameters
from braindata.derive.simultaneous import Partner
from braindata.derive.trials import timed_events, trial_columns
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.trials import TRIALS

Floats = NDArray[np.float64]

NO_CHANNEL = "the recording has none of the channels"
MICROVOLT = Scale(1e6, "uV", "uV^2/Hz")


@dataclass(frozen=True)
class SensorRecording:
    """What the trials of one recording are made from.

    Attributes
    ----------
    key : RecordingKey
        Which recording.
    events : pandas.DataFrame
        Its BIDS events.
    data : ndarray, shape (n_channels, n_samples)
        Cleaned, in V.
    names : tuple of str
        Names of the channels.
    sfreq : float
        Samples per second.
    rejected : mapping of str to str
        By row of the events, why its epoch is not clean.
    partner : Partner or None
        What was recorded at the same time.
    """

    key: RecordingKey
    events: pd.DataFrame
    data: NDArray[np.floating[Any]]
    names: tuple[str, ...]
    sfreq: float
    rejected: Mapping[str, str]
    partner: Partner | None = None


def derive_sensor_trials(
    recording: SensorRecording, parameters: SensorParameters, mapping: EventMapping
) -> pa.Table:
    """Return the features of each trial of a recording.

    Parameters
    ----------
    recording : SensorRecording
        The recording.
    parameters : SensorParameters
        Which features.
    mapping : EventMapping
        Which columns of the events hold what.

    Returns
    -------
    pyarrow.Table
        Schema `TRIALS`: features in their order, of each all events in the order of the file.
        Without a value there is a reason.

    Raises
    ------
    DataError
        When an onset is no number.
    """
    timed = timed_events(recording.events)
    onsets = timed["onset"].to_numpy()
    mapping = of_eeg(mapping, recording.events)
    shared = trial_columns(recording.key, recording.events, timed, mapping, recording.partner)
    data = recording.data.astype(np.float64)
    spectral = spectral_features(data, recording.sfreq, onsets, parameters, MICROVOLT)
    features = [
        *_erps(recording, onsets, parameters),
        *(replace(one, channels=recording.names) for one in spectral),
    ]
    rows = [feature_rows(one, shared, recording.rejected, {}) for one in features]
    return pa.concat_tables([TRIALS.empty_table(), *rows])


def _erps(
    recording: SensorRecording, onsets: Floats, parameters: SensorParameters
) -> list[Feature]:
    found = []
    for window in parameters.erp:
        wanted = {name.lower() for name in window.channels}
        rows = [i for i, name in enumerate(recording.names) if name.lower() in wanted]
        channels = tuple(recording.names[i] for i in rows)
        nothing = np.full(len(onsets), np.nan)
        feature = Feature(window.name, "erp", MICROVOLT.amplitude, nothing, NO_CHANNEL)
        if rows:
            feature = erp_feature(
                recording.data[rows].astype(np.float64),
                recording.sfreq,
                onsets,
                (window.name, window.tmin, window.tmax),
                parameters,
                MICROVOLT,
            )
        found.append(replace(feature, channels=channels))
    return found
