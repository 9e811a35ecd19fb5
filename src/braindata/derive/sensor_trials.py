"""The `trials` of EEG at sensors: one row per event and feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from braindata.derive.parameters import EventMapping
from braindata.derive.sensor_parameters import SensorParameters
from braindata.derive.trials import timed_events, trial_columns
from braindata.eeg.features import band_powers, erp_amplitudes
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas import TRIALS

Floats = NDArray[np.float64]

OUTSIDE = "its window is not within the recording"
NO_CHANNEL = "the recording has none of the channels"
TOO_SLOW = "the recording was sampled too slowly"
MICROVOLT = 1e6


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
    """

    key: RecordingKey
    events: pd.DataFrame
    data: NDArray[np.floating[Any]]
    names: tuple[str, ...]
    sfreq: float
    rejected: Mapping[str, str]


@dataclass(frozen=True)
class _Feature:
    name: str
    model: str
    unit: str
    channels: tuple[str, ...]
    values: Floats
    reason: str | None


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
    if "trial_type" not in recording.events.columns and mapping.trial_type is None:
        mapping = mapping.model_copy(update={"trial_type": "value"})
    shared = trial_columns(recording.key, recording.events, timed, mapping)
    tables = [TRIALS.empty_table()]
    for feature in [*_erps(recording, onsets, parameters), *_bands(recording, onsets, parameters)]:
        tables.append(_rows(feature, shared, recording.rejected, len(onsets)))
    return pa.concat_tables(tables)


def _erps(
    recording: SensorRecording, onsets: Floats, parameters: SensorParameters
) -> list[_Feature]:
    found = []
    for window in parameters.erp:
        wanted = {name.lower() for name in window.channels}
        rows = [i for i, name in enumerate(recording.names) if name.lower() in wanted]
        values, reason = np.full(len(onsets), np.nan), NO_CHANNEL if not rows else None
        if rows:
            values = MICROVOLT * erp_amplitudes(
                recording.data[rows].astype(np.float64),
                recording.sfreq,
                onsets,
                (window.tmin, window.tmax),
                parameters.baseline,
                parameters.erp_h_freq,
            )
        channels = tuple(recording.names[i] for i in rows)
        found.append(_Feature(window.name, "erp", "uV", channels, values, reason))
    return found


def _bands(
    recording: SensorRecording, onsets: Floats, parameters: SensorParameters
) -> list[_Feature]:
    if not parameters.bands:
        return []
    powers = MICROVOLT**2 * band_powers(
        recording.data.astype(np.float64),
        recording.sfreq,
        onsets,
        parameters.band_window,
        [(band.fmin, band.fmax) for band in parameters.bands],
    )
    return [
        _Feature(
            band.name,
            "multitaper",
            "uV^2/Hz",
            recording.names,
            powers[:, index],
            TOO_SLOW if band.fmax > 0.45 * recording.sfreq else None,
        )
        for index, band in enumerate(parameters.bands)
    ]


def _rows(
    feature: _Feature,
    shared: Mapping[str, Sequence[Any]],
    rejected: Mapping[str, str],
    n_trials: int,
) -> pa.Table:
    reasons = [
        feature.reason or rejected.get(str(trial)) or (None if np.isfinite(value) else OUTSIDE)
        for trial, value in enumerate(feature.values)
    ]
    estimates = [
        None if reason else float(value)
        for value, reason in zip(feature.values, reasons, strict=True)
    ]
    constant = {
        "feature": feature.name,
        "channels": list(feature.channels),
        "unit": feature.unit,
        "model": feature.model,
    }
    values: dict[str, Sequence[Any]] = {name: [None] * n_trials for name in TRIALS.names}
    values |= dict(shared)
    values |= {name: [value] * n_trials for name, value in constant.items()}
    values |= {"estimate": estimates, "reason": reasons}
    return pa.table(
        {name: pa.array(values[name], TRIALS.field(name).type) for name in TRIALS.names}, TRIALS
    )
