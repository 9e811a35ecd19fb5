"""From `trials` and `latents` to the tables `signals` and `signal_fits` of one process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from braindata.derive.signals import MIN_OTHERS, Activity, Evidence, Signals, estimate_signals
from braindata.tables.schemas.signals import SIGNAL_FITS, SIGNALS

Floats = NDArray[np.float64]

WHO = ["dataset", "recording", "subject", "session", "task", "run"]
# Of several estimates of a trial, the one that is taken: it holds where trials overlap.
MODEL = "lss"
CONSTANT = "its responses do not vary over the recording"
TOO_FEW = "the recording has fewer than two trials with responses in all regions"
NO_TARGET = "nothing is named that it could be held against"
# Columns of `trials` that may be numbers, beside those of the events.
MAPPED = ("outcome", "response", "choice", "response_time", "duration")


@dataclass(frozen=True)
class Process:
    """What is estimated.

    Attributes
    ----------
    name : str
        Name of the process.
    targets : tuple of str
        ``latent:NAME`` or ``column:NAME``; the first that a task has counts.
    """

    name: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Target:
    """What is compared with: its name, the model of a latent, and values by recording."""

    name: str | None
    model: str | None
    values: Mapping[str, Floats]
    reason: str | None = None


def derive_signals(
    process: Process, trials: Sequence[pa.Table], latents: pa.Table, seed: int = 0
) -> tuple[pa.Table, pa.Table]:
    """Estimate one process in all trials of a data set.

    Parameters
    ----------
    process : Process
        The process.
    trials : sequence of pyarrow.Table
        Rows of `trials`, one table per region.
    latents : pyarrow.Table
        Rows of `latents` of the data set.
    seed : int
        Of the permutations.

    Returns
    -------
    signals : pyarrow.Table
        A row per trial: schema `SIGNALS`.
    fits : pyarrow.Table
        A row per task, person and region: schema `SIGNAL_FITS`.
    """
    found = [_of_region(table) for table in trials]
    regions = sorted((one for one in found if one is not None), key=lambda one: one[0])
    signals, fits = [SIGNALS.empty_table()], [SIGNAL_FITS.empty_table()]
    behaviour = latents.to_pandas()
    tasks = {
        None if pd.isna(task) else str(task)
        for _, _, rows in regions
        for task in rows["task"].unique()
    }
    for task in sorted(tasks, key=lambda one: one or ""):
        of_task = [(name, key, _where_task(rows, task)) for name, key, rows in regions]
        made = _task(process, of_task, _where_task(behaviour, task), seed)
        signals.append(made[0])
        fits.append(made[1])
    return pa.concat_tables(signals), pa.concat_tables(fits)


def _of_region(table: pa.Table) -> tuple[str, str, pd.DataFrame] | None:
    """Return name, hash and rows of a region; None where it has none."""
    rows = table.filter(pc.equal(table["model"], MODEL))
    if rows.num_rows == 0:
        return None
    frame = rows.to_pandas().sort_values(["recording", "trial"], kind="stable")
    return rows["region"][0].as_py(), rows["definition_hash"][0].as_py(), frame


def _where_task(rows: pd.DataFrame, task: str | None) -> pd.DataFrame:
    return rows[rows["task"].isna()] if task is None else rows[rows["task"] == task]


def _task(
    process: Process,
    regions: Sequence[tuple[str, str, pd.DataFrame]],
    latents: pd.DataFrame,
    seed: int,
) -> tuple[pa.Table, pa.Table]:
    # A region that no recording of the task covers takes no part.
    seen = [one for one in regions if one[2]["estimate"].notna().any()]
    used = seen or list(regions)
    by_recording = [_by_recording(one[2]) for one in used]
    names = sorted({name for own in by_recording for name in own})
    target = _target(process, {name: _first(by_recording, name) for name in names}, latents)
    recordings, missing = [], []
    for name in names:
        n_trials = len(_first(by_recording, name))
        columns = [
            own[name][["estimate", "estimate_se"]].to_numpy(np.float64)
            if name in own
            else np.full((n_trials, 2), np.nan)
            for own in by_recording
        ]
        both = np.stack(columns, axis=1)
        subject = str(_first(by_recording, name)["subject"].iloc[0])
        recordings.append(
            Activity(name, subject, both[:, :, 0], both[:, :, 1], target.values[name])
        )
        missing.append(_missing(name, used, by_recording, n_trials))
    found = estimate_signals(recordings, seed)
    shared = _shared(process, used, target, found)
    signals = [
        _signal_rows(_first(by_recording, one.recording), one, shared, found, number, reasons)
        for number, (one, reasons) in enumerate(zip(recordings, missing, strict=True))
    ]
    first = _first(by_recording, names[0])
    fits = _fit_rows(process, used, target, found, recordings, first)
    return pa.concat_tables(signals), fits


def _by_recording(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(name): own for name, own in rows.groupby("recording")}


def _first(by_recording: Sequence[Mapping[str, pd.DataFrame]], name: str) -> pd.DataFrame:
    return next(own[name] for own in by_recording if name in own)


def _missing(
    name: str,
    regions: Sequence[tuple[str, str, pd.DataFrame]],
    by_recording: Sequence[Mapping[str, pd.DataFrame]],
    n_trials: int,
) -> list[str | None]:
    """Return for each trial which region has no response, and why."""
    reasons: list[str | None] = [None] * n_trials
    for (region, _, _), own in zip(regions, by_recording, strict=True):
        if name not in own:
            reasons = [one or f"{region}: the recording has no trials of it" for one in reasons]
            continue
        rows = own[name]
        pairs = zip(rows["estimate"], rows["reason"], strict=True)
        for i, (estimate, reason) in enumerate(pairs):
            if pd.isna(estimate):
                reasons[i] = reasons[i] or f"{region}: {reason}"
    return reasons


def _target(process: Process, trials: Mapping[str, pd.DataFrame], latents: pd.DataFrame) -> _Target:
    nothing = {name: np.full(len(rows), np.nan) for name, rows in trials.items()}
    for stated in process.targets:
        kind, _, name = stated.partition(":")
        model = None
        if kind == "latent":
            own = latents[(latents["latent"] == name) & latents["value"].notna()]
            model = _best_model(own)
            values = _latent_values(own[own["model"] == model], trials)
        else:
            values = {recording: _column(rows, name) for recording, rows in trials.items()}
        if any(np.isfinite(one).any() for one in values.values()):
            return _Target(stated, model, values)
    if not process.targets:
        return _Target(None, None, nothing, NO_TARGET)
    listed = " and no ".join(one.replace(":", " ") for one in process.targets)
    return _Target(None, None, nothing, f"there is no {listed} with numbers in this task")


def _best_model(rows: pd.DataFrame) -> str | None:
    """Return the model that is above chance in most people, then by most: by behaviour alone."""
    if rows.empty:
        return None
    people = rows.drop_duplicates(["model", "subject"])
    gain = people["held_out_log_likelihood"] - people["chance_log_likelihood"]
    table = people.assign(gain=gain).groupby("model")["gain"].agg(["size", "mean"]).reset_index()
    ordered = table.sort_values(["size", "mean", "model"], ascending=[False, False, True])
    return str(ordered["model"].iloc[0])


def _latent_values(rows: pd.DataFrame, trials: Mapping[str, pd.DataFrame]) -> dict[str, Floats]:
    by_recording = {
        name: dict(zip(own["trial"], own["value"], strict=True))
        for name, own in _by_recording(rows).items()
    }
    return {
        name: np.array([by_recording.get(name, {}).get(t, np.nan) for t in own["trial"]], float)
        for name, own in trials.items()
    }


def _column(rows: pd.DataFrame, name: str) -> Floats:
    if name in MAPPED and rows[name].notna().any():
        values: Any = rows[name]
    else:
        values = pd.Series([json.loads(text).get(name) for text in rows["columns"]], dtype=object)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    # Nobody responds before anything is there.
    possible = np.isfinite(numbers) & ((name != "response_time") | (numbers > 0))
    return np.where(possible, numbers, np.nan)


def _shared(
    process: Process,
    regions: Sequence[tuple[str, str, pd.DataFrame]],
    target: _Target,
    found: Signals,
) -> dict[str, Any]:
    evidence: Evidence = found.evidence
    return {
        "process": process.name,
        "regions": [name for name, _, _ in regions],
        "definition_hashes": [key for _, key, _ in regions],
        "target": target.name,
        "target_model": target.model,
        "evidence_r": evidence.r,
        "evidence_lower": evidence.lower,
        "evidence_upper": evidence.upper,
        "evidence_p": evidence.p,
        "evidence_people": evidence.n_people,
        "evidence_reason": target.reason or evidence.reason,
    }


def _signal_rows(
    rows: pd.DataFrame,
    one: Activity,
    shared: Mapping[str, Any],
    found: Signals,
    number: int,
    missing: Sequence[str | None],
) -> pa.Table:
    n_trials = len(rows)
    estimate, error = found.estimates[number], found.errors[number]
    n_there = int(np.isfinite(one.estimate).all(axis=1).sum())
    otherwise = TOO_FEW if n_there < 2 else CONSTANT
    reasons = [
        None if np.isfinite(value) else why or otherwise
        for value, why in zip(estimate, missing, strict=True)
    ]
    fitted = bool(found.weights[one.subject].fitted_on)
    columns: dict[str, Any] = {name: [value] * n_trials for name, value in shared.items()}
    columns |= {name: pa.array(rows[name], pa.string(), from_pandas=True) for name in WHO}
    columns |= {
        "trial": rows["trial"].to_numpy(),
        "estimate": _nullable(estimate),
        "estimate_se": _nullable(error),
        "weighting": ["fitted" if fitted else "equal"] * n_trials,
        "reason": reasons,
    }
    return _table(columns, SIGNALS)


def _fit_rows(
    process: Process,
    regions: Sequence[tuple[str, str, pd.DataFrame]],
    target: _Target,
    found: Signals,
    recordings: Sequence[Activity],
    first: pd.DataFrame,
) -> pa.Table:
    rows = []
    for person, weights in found.weights.items():
        equal = None
        if not weights.fitted_on:
            equal = target.reason or (
                f"fewer than {MIN_OTHERS} other people have responses and target: equal weights"
            )
        for (region, key, _), value in zip(regions, weights.values, strict=True):
            task = first["task"].iloc[0]
            rows.append(
                {
                    "dataset": first["dataset"].iloc[0],
                    "subject": person,
                    "task": None if pd.isna(task) else task,
                    "process": process.name,
                    "region": region,
                    "definition_hash": key,
                    "weight": float(value),
                    "target": target.name,
                    "target_model": target.model,
                    "n_trials": weights.n_trials,
                    "r": weights.r if target.name else None,
                    "fitted_on": [f"sub-{name}" for name in weights.fitted_on] or None,
                    "recordings": [one.recording for one in recordings if one.subject == person],
                    "reason": equal,
                }
            )
    return pa.Table.from_pylist(rows, schema=SIGNAL_FITS)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def _table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(columns[name], schema.field(name).type) for name in schema.names]
    return pa.table(arrays, schema=schema)
