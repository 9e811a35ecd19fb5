"""The `trials` of EEG in one region: one row per event and feature of the region's course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from braindata.derive.sensor_parameters import APERIODIC, SensorParameters
from braindata.derive.simultaneous import Partner
from braindata.derive.trials import timed_events, trial_columns
from braindata.errors import DataError
from braindata.receipts import Outcome
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.trials import TRIALS

Floats = NDArray[np.float64]

# By the unit of a course: that of its features. A course is the mean over sources, each of which
# has a small part of a current: responses are some pA·m.
SCALES = {"A·m": Scale(1e12, "pA·m", "(pA·m)^2/Hz"), "1": Scale(1.0, "1", "1/Hz")}
# What `series` says of a region on a montage, and `trials` repeats.
TRUST = ("eeg_class", "localisation_error", "crosstalk_max")


@dataclass(frozen=True)
class CourseEvents:
    """What the trials of one recording are made from, besides the series.

    Attributes
    ----------
    key : RecordingKey
        Which recording.
    events : pandas.DataFrame
        Its BIDS events.
    rejected : mapping of str to str
        By row of the events, why its epoch is not clean.
    partner : Partner or None
        What was recorded at the same time.
    """

    key: RecordingKey
    events: pd.DataFrame
    rejected: Mapping[str, str]
    partner: Partner | None = None


def derive_region_trials(
    series: pa.Table,
    recordings: Sequence[CourseEvents],
    parameters: SensorParameters,
    mapping: EventMapping,
) -> tuple[pa.Table, dict[str, Outcome]]:
    """Return the features of each trial of one region, in all EEG recordings of a data set.

    The features are those at sensors, each of the region's course in place of channels.

    Parameters
    ----------
    series : pyarrow.Table
        Rows of the `series` table, of one region.
    recordings : sequence of CourseEvents
        The recordings with events.
    parameters : SensorParameters
        Which features.
    mapping : EventMapping
        Which columns of the events hold what.

    Returns
    -------
    trials : pyarrow.Table
        Schema `TRIALS`: recordings by name, of each the features in their order, of each all
        events in the order of the file. Without a value there is a reason; of a region that is not
        claimed, that of `series`.
    outcomes : dict of str to Outcome
        For each recording; a quarantined one has no rows.
    """
    names = {one.key.recording for one in recordings}
    rows = {
        row["recording"]: row
        for row in series.to_pylist()
        if row["recording"] in names and row["strategy"] == "none"
    }
    tables, outcomes = [TRIALS.empty_table()], {}
    for recording in sorted(recordings, key=lambda one: one.key.recording):
        name = recording.key.recording
        try:
            row = rows.get(name)
            if row is None:
                raise DataError("it has no series", hint="run `extract` again")
            tables += _tables(row, recording, parameters, mapping)
            outcomes[name] = Outcome("done")
        except DataError as error:
            outcomes[name] = Outcome.quarantine(error)
    return pa.concat_tables(tables), outcomes


def _tables(
    row: Mapping[str, Any],
    recording: CourseEvents,
    parameters: SensorParameters,
    mapping: EventMapping,
) -> list[pa.Table]:
    timed = timed_events(recording.events)
    onsets = timed["onset"].to_numpy()
    shared = trial_columns(
        recording.key,
        recording.events,
        timed,
        of_eeg(mapping, recording.events),
        recording.partner,
    )
    constant = {name: row[name] for name in ("region", "definition_hash", *TRUST)}
    if row["values"] is None:
        features = _without_course(row, len(onsets), parameters)
    else:
        features = _of_course(row, onsets, parameters)
    return [feature_rows(one, shared, recording.rejected, constant) for one in features]


def _of_course(
    row: Mapping[str, Any], onsets: Floats, parameters: SensorParameters
) -> list[Feature]:
    course = np.array(row["values"], np.float64)[np.newaxis]
    sfreq, scale = row["sampling_frequency"], SCALES[row["unit"]]
    components = [
        erp_feature(course, sfreq, onsets, (one.name, one.tmin, one.tmax), parameters, scale)
        for one in parameters.erp
    ]
    # An exponent has no scale, but a spectrum in A²·m² is near the least number there is.
    return [
        *components,
        *spectral_features(
            course * scale.factor,
            sfreq,
            onsets,
            parameters,
            Scale(1.0, scale.amplitude, scale.power),
        ),
    ]


def _without_course(
    row: Mapping[str, Any], n_trials: int, parameters: SensorParameters
) -> list[Feature]:
    scale = SCALES.get(row["unit"], SCALES["A·m"])
    kinds = [(one.name, "erp", scale.amplitude) for one in parameters.erp]
    kinds += [(one.name, "multitaper", scale.power) for one in parameters.bands]
    kinds += [(APERIODIC, "specparam", "1")] if parameters.aperiodic else []
    nothing = np.full(n_trials, np.nan)
    return [Feature(*kind, nothing, row["reason"]) for kind in kinds]
