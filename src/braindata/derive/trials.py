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

from braindata.derive.design import frame_times, nuisance_columns, trial_regressors
from braindata.derive.lss import lss
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.simultaneous import Partner, shared_events
from braindata.errors import DataError
from braindata.receipts import Outcome
from braindata.tables.keys import RecordingKey, stimulus_id
from braindata.tables.schemas import TRIALS

Floats = NDArray[np.float64]
Json = None | bool | int | float | str

# A trial of whose response the volumes sample less than this share of the full height is guessed
# from its first rise, or from an undershoot.
MIN_SAMPLED_HEIGHT = 0.05
# How far the repetition time of the series may be from that of the recording.
TR_TOLERANCE = 1e-3

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


@dataclass(frozen=True)
class _Estimates:
    estimate: list[float | None]
    standard_error: list[float | None]
    reasons: list[str | None]


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
        One row per row of each events file in the order of the file, recordings by name. A trial
        that cannot be estimated has a null estimate and a reason.
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
            found = _estimate(row, recording, events, parameters)
            rows_of = (region, definition_hash, events, found, parameters.hrf_model, mapping)
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
        nothing: list[float | None] = [None] * len(events)
        found = _Estimates(nothing, nothing, [NO_IMAGE] * len(events))
        tables.append(_rows(key, events, None, None, timed_events(events), found, None, mapping))
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


def _estimate(
    row: dict[str, object],
    recording: RecordingEvents,
    timed: pd.DataFrame,
    parameters: DeriveParameters,
) -> _Estimates:
    values = row["values"]
    n_trials = len(timed)
    if not isinstance(values, list) or any(value is None for value in values) or not values:
        nothing: list[float | None] = [None] * n_trials
        reason = "the region's series is null: the recording covers too little of it"
        return _Estimates(nothing, nothing, [reason] * n_trials)
    kept = row["kept"] if isinstance(row["kept"], list) else [True] * len(values)
    percent = _percent(np.array(values, dtype=np.float64), np.array(kept, dtype=bool))
    rate = row["sampling_frequency"]
    if not isinstance(rate, float) or abs(rate * recording.tr - 1) > TR_TOLERANCE:
        raise DataError(
            f"the series has {rate} samples per second, the recording a TR of {recording.tr} s",
            hint="run `extract` again",
        )
    start = row["start"] if isinstance(row["start"], float) else None
    model = trial_model(recording, timed, len(percent), start, kept, parameters)
    result = lss(percent, model.regressors, model.nuisance)
    reasons = model.reasons(result.reasons)
    blank = np.array([reason is not None for reason in reasons], dtype=bool)
    return _Estimates(
        _nullable(np.where(blank, np.nan, result.estimate * model.heights)),
        _nullable(np.where(blank, np.nan, result.standard_error * model.heights)),
        reasons,
    )


@dataclass(frozen=True)
class TrialModel:
    """The single-trial model of one recording, whatever series it is fitted to.

    Attributes
    ----------
    regressors : ndarray of float64, shape (n_volumes, n_trials)
    nuisance : ndarray of float64, shape (n_volumes, n_columns)
    heights : ndarray of float64, shape (n_trials,)
        Height of each trial's full response: an estimate times it is the height of the response.
    """

    regressors: Floats
    nuisance: Floats
    heights: Floats
    _given: list[tuple[NDArray[np.bool_], str]]

    def reasons(self, found: Sequence[str | None]) -> list[str | None]:
        """Return why trials have no estimate; `found` is what the fit itself says."""
        reasons = list(found)
        for where, reason in reversed(self._given):
            for i in np.flatnonzero(where):
                reasons[i] = reason
        return reasons


def trial_model(
    recording: RecordingEvents,
    timed: pd.DataFrame,
    n_volumes: int,
    start: float | None,
    kept: Sequence[bool],
    parameters: DeriveParameters,
) -> TrialModel:
    """Return the single-trial model of a recording.

    Parameters
    ----------
    recording : RecordingEvents
        The recording.
    timed : pandas.DataFrame
        Its trials' times, as `timed_events` returns them.
    n_volumes : int
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
    times = frame_times(n_volumes, recording.tr, parameters.slice_time_ref, start)
    nuisance = nuisance_columns(
        recording.confounds, parameters.confounds, times, parameters.high_pass, kept
    )
    onsets, durations = timed["onset"].to_numpy(), timed["duration"].to_numpy()
    negative = durations < 0
    regressors, heights = trial_regressors(
        onsets, np.where(negative, np.nan, durations), times, parameters.hrf_model
    )
    end = recording.tr * n_volumes
    sampled = np.abs(regressors).max(axis=0, initial=0.0)
    # Too little of the response is seen to estimate it, but it stays among the others' regressor.
    unseen = ~np.isnan(heights) & (sampled < MIN_SAMPLED_HEIGHT * heights)
    given = [
        (np.isnan(onsets), "its onset is not known"),
        (np.isnan(durations), "its duration is not known"),
        (negative, "its duration is negative"),
        (onsets >= end, "it starts after the end of the recording"),
        (np.isnan(heights), "it starts too long before the recording"),
        (unseen, "the recording ends before its response, or starts after it"),
    ]
    return TrialModel(regressors, nuisance, heights, given)


def _percent(values: Floats, kept: NDArray[np.bool_]) -> Floats:
    """Return a series in percent of its mean over the kept volumes.

    Volumes that are not in a steady state are much brighter; the design has a column for each.
    """
    hint = "look at the preprocessed image of this recording"
    if not np.isfinite(values).all():
        raise DataError("the series holds values that are not finite", hint=hint)
    if not kept.any():
        raise DataError("no volume is kept", hint=hint)
    mean, spread = values[kept].mean(), values[kept].std()
    if mean <= spread:
        raise DataError(
            f"the series has a mean of {mean:.3g} and a standard deviation of {spread:.3g}: "
            "it is no image intensity, of which a percentage could be taken",
            hint=hint,
        )
    percent: Floats = 100.0 * (values / mean - 1.0)
    if np.ptp(percent[kept]) < 1e-9:
        raise DataError("the series is constant", hint=hint)
    return percent


def _rows(
    key: RecordingKey,
    events: pd.DataFrame,
    region: str | None,
    definition_hash: str | None,
    timed: pd.DataFrame,
    found: _Estimates,
    hrf_model: str | None,
    mapping: EventMapping,
    partner: Partner | None = None,
) -> pa.Table:
    n_trials = len(timed)
    constant = {
        "region": region,
        "definition_hash": definition_hash,
        # Of behaviour alone there is no estimate.
        "feature": None if hrf_model is None else "bold",
        "unit": None if hrf_model is None else "percent",
        "model": None if hrf_model is None else "lss",
        "hrf_model": hrf_model,
    }
    values: dict[str, list[Json]] = {name: [None] * n_trials for name in TRIALS.names}
    values |= trial_columns(key, events, timed, mapping, partner)
    values |= {name: [value] * n_trials for name, value in constant.items()}
    values |= {
        "estimate": list(found.estimate),
        "estimate_se": list(found.standard_error),
        "reason": list(found.reasons),
    }
    return pa.table(
        {name: pa.array(values[name], TRIALS.field(name).type) for name in TRIALS.names}, TRIALS
    )


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
    if isinstance(value, bool | str) or value is None:
        return None
    return float(value) * scale


def _nullable(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
