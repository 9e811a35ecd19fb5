"""The `trials` table of one region in one data set."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from braindata.derive.estimation import Estimates, estimate_trials
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.simultaneous import Partner, shared_events
from braindata.errors import DataError
from braindata.receipts import Outcome
from braindata.tables.keys import RecordingKey, stimulus_id
from braindata.tables.schemas.trials import TRIALS

Floats = NDArray[np.float64]
Json = None | bool | int | float | str

NO_IMAGE = "there is no image of this recording: only its behaviour is known"

BIDS_NAMES = EventMapping()
TEXT_COLUMNS = ("response", "choice", "outcome")

# A number as JSON writes it: `01` is not one, so that labels keep their leading zeros.
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True)
class RecordingEvents:
    """What the trials of one recording are estimated from, besides the series.

    Attributes
    ----------
    key : RecordingKey
        Which recording.
    events : pandas.DataFrame
        Its BIDS events: `onset` and `duration` in s, any further columns.
    confounds : pandas.DataFrame, shape (n_volumes, any)
        Confounds under fMRIPrep's names.
    tr : float
        Repetition time in s.
    partner : Partner or None
        EEG that was recorded at the same time.
    """

    key: RecordingKey
    events: pd.DataFrame
    confounds: pd.DataFrame
    tr: float
    partner: Partner | None = None


def derive_trials(
    series: pa.Table,
    recordings: Sequence[RecordingEvents],
    parameters: DeriveParameters,
    mapping: EventMapping = BIDS_NAMES,
) -> tuple[pa.Table, dict[str, Outcome]]:
    """Estimate the response to each trial of one region, in all recordings of a data set.

    The estimate is the height of the modelled response to the trial, in percent of the region's
    mean signal: the coefficient of nilearn's regressor times the height of that regressor, so that
    it depends neither on the sampling of the model nor on its scale (Pernet 2014,
    doi:10.3389/fnins.2014.00001). The model sees strategy `none` only; volumes that this row does
    not keep are left out.

    Parameters
    ----------
    series : pyarrow.Table
        Rows of the `series` table, of one region.
    recordings : sequence of RecordingEvents
        The recordings with events.
    parameters : DeriveParameters
        The model.
    mapping : EventMapping
        Which columns of the events hold what.

    Returns
    -------
    trials : pyarrow.Table
        Per model (of `fir` per delay) one row per row of each events file in the order of the
        file, recordings by name. A trial that cannot be estimated has a null and a reason.
    outcomes : dict of str to Outcome
        For each recording; a quarantined one has no rows.
    """
    region, definition_hash = _region(series)
    rows = {row["recording"]: row for row in series.to_pylist() if row["strategy"] == "none"}
    tables, outcomes = [], {}
    for recording in sorted(recordings, key=lambda r: r.key.recording):
        name = recording.key.recording
        try:
            row = rows.get(name)
            if row is None:
                raise DataError("it has no uncleaned series (`none`)", hint="run `extract` again")
            events = timed_events(recording.events)
            types = _types(recording.events, mapping)
            found = estimate_trials(
                row, events, types, recording.confounds, recording.tr, parameters
            )
            for one in found:
                rows_of = (region, definition_hash, events, one, mapping)
                tables.append(_rows(recording.key, recording.events, *rows_of, recording.partner))
            outcomes[name] = Outcome("done")
        except DataError as error:
            outcomes[name] = Outcome.quarantine(error)
    return pa.concat_tables([TRIALS.empty_table(), *tables]), outcomes


def behaviour_trials(
    runs: Sequence[tuple[RecordingKey, pd.DataFrame]], mapping: EventMapping = BIDS_NAMES
) -> pa.Table:
    """Return the trials of recordings of which there is no image: what was done, and no estimate.

    Parameters
    ----------
    runs : sequence of (RecordingKey, pandas.DataFrame)
        The recordings and their events.
    mapping : EventMapping
        Which columns of the events hold what.

    Returns
    -------
    pyarrow.Table
        As of `derive_trials`, with a null region and a reason.
    """
    tables = []
    for key, events in sorted(runs, key=lambda one: one[0].recording):
        found = Estimates.none(len(events), NO_IMAGE)
        tables.append(_rows(key, events, None, None, timed_events(events), found, mapping))
    return pa.concat_tables([TRIALS.empty_table(), *tables])


def _region(series: pa.Table) -> tuple[str | None, str | None]:
    names = set(zip(*(series[c].to_pylist() for c in ("region", "definition_hash")), strict=True))
    if len(names) > 1:
        raise ValueError(f"series of several regions: {sorted(names)}")
    return names.pop() if names else (None, None)


def timed_events(events: pd.DataFrame) -> pd.DataFrame:
    """Return `onset` and `duration` as numbers in s, NaN where the file has none."""
    hint = "mend the events file"
    missing = [name for name in ("onset", "duration") if name not in events.columns]
    if missing:
        raise DataError(f"the events have no column {' or '.join(missing)}", hint=hint)
    timed = {}
    for name in ("onset", "duration"):
        values = [_plain(value) for value in events[name]]
        try:
            timed[name] = [np.nan if value is None else float(value) for value in values]
        except ValueError as error:
            raise DataError(
                f"an {name} of the events is not a number ({error})", hint=hint
            ) from error
    return pd.DataFrame(timed)


def _rows(
    key: RecordingKey,
    events: pd.DataFrame,
    region: str | None,
    definition_hash: str | None,
    timed: pd.DataFrame,
    found: Estimates,
    mapping: EventMapping,
    partner: Partner | None = None,
) -> pa.Table:
    n_trials = len(timed)
    constant = {
        "region": region,
        "definition_hash": definition_hash,
        # Of behaviour alone there is no estimate.
        "feature": None if found.model is None else "bold",
        "unit": None if found.model is None else "percent",
        "model": found.model,
        "hrf_model": found.hrf_model,
        "delay": found.delay,
        "noise_ceiling": found.noise_ceiling,
    }
    values: dict[str, Sequence[Json]] = {name: [None] * n_trials for name in TRIALS.names}
    values |= trial_columns(key, events, timed, mapping, partner)
    values |= {name: [value] * n_trials for name, value in constant.items()}
    of_trials: dict[str, Sequence[Json]] = {
        "estimate": found.estimate,
        "estimate_se": found.standard_error,
        "variance_inflation": found.variance_inflation,
        "collinear": found.collinear,
        "reason": found.reasons,
    }
    values |= of_trials
    return pa.table(
        {name: pa.array(values[name], TRIALS.field(name).type) for name in TRIALS.names}, TRIALS
    )


def _types(events: pd.DataFrame, mapping: EventMapping) -> list[str | None]:
    source = mapping.source("trial_type", [str(name) for name in events.columns])
    if source is None:
        return [None] * len(events)
    return [_text(value) for value in _typed(events[source])]


def trial_columns(
    key: RecordingKey,
    events: pd.DataFrame,
    timed: pd.DataFrame,
    mapping: EventMapping,
    partner: Partner | None = None,
) -> dict[str, list[Json]]:
    """Return the columns of `trials` that say which event it is, one value per event.

    Parameters
    ----------
    key : RecordingKey
        The recording.
    events : pandas.DataFrame
        Its BIDS events.
    timed : pandas.DataFrame
        Their times, as `timed_events` returns them.
    mapping : EventMapping
        Which columns of the events hold what.
    partner : Partner, optional
        The recording of the other modality that was made at the same time.
    """
    n_trials = len(timed)
    columns = {str(name): _typed(events[name]) for name in events.columns}
    nothing: list[Json] = [None] * n_trials
    stim_files = [_text(value) for value in columns.get("stim_file", nothing)]

    def held(name: str) -> list[Json]:
        return columns.get(mapping.source(name, columns) or "", nothing)

    # Only the column that is named is in that unit: the one of BIDS is in seconds.
    named = mapping.source("response_time", columns) == mapping.response_time
    scale = 1e-3 if named and mapping.response_time_unit == "ms" else 1.0
    who = ("dataset", "recording", "subject", "session", "task", "run")
    values: dict[str, list[Json]] = {name: [getattr(key, name)] * n_trials for name in who}
    known_by = shared_events(key.recording, timed["onset"].to_numpy(), partner)
    values |= {
        "trial": list(range(n_trials)),
        "event_recording": list(known_by[0]),
        "event": list(known_by[1]),
        "onset": list(_nullable(timed["onset"].to_numpy())),
        "duration": list(_nullable(timed["duration"].to_numpy())),
        **{name: [_text(value) for value in held(name)] for name in TEXT_COLUMNS},
        "trial_type": list(trial_types(events, mapping)),
        "response_time": [_float(value, scale) for value in held("response_time")],
        "stimulus": [None if f is None else stimulus_id(key.dataset, f) for f in stim_files],
        "columns": [
            json.dumps(
                {name: column[i] for name, column in columns.items()},
                ensure_ascii=False,
                allow_nan=False,
            )
            for i in range(n_trials)
        ],
    }
    return values


def trial_types(events: pd.DataFrame, mapping: EventMapping) -> list[str | None]:
    """Return the kind of each event, codes with a label by their label."""
    source = mapping.source("trial_type", [str(name) for name in events.columns])
    if source is None:
        return [None] * len(events)
    codes = [_text(value) for value in _typed(events[source])]
    return [None if code is None else mapping.labels.get(code, code) for code in codes]


def _typed(column: pd.Series) -> list[Json]:
    """Return the values with their types; a column of texts that are all numbers as numbers."""
    values = [_plain(value) for value in column]
    texts = [value for value in values if isinstance(value, str)]
    present = sum(value is not None for value in values)
    if texts and len(texts) == present and all(_NUMBER.fullmatch(text) for text in texts):
        return [json.loads(value) if isinstance(value, str) else value for value in values]
    return values


def _plain(value: object) -> Json:
    """Return a cell as JSON knows it; `n/a` and NaN are None."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, str):
        text = value.strip()
        return None if text in ("", "n/a") else text
    if isinstance(value, float):
        if np.isnan(value):
            return None
        return value if np.isfinite(value) else str(value)
    if isinstance(value, bool | int):
        return value
    return str(value)


def _text(value: Json) -> str | None:
    # pandas reads a column of whole numbers with an `n/a` as floats: 1.0 was `1` in the file.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)


def _float(value: Json, scale: float) -> float | None:
    # One cell with a word makes texts of a whole column: the others are numbers all the same.
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool | str) or value is None or not np.isfinite(value):
        return None
    return float(value) * scale


def _nullable(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
