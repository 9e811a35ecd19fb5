"""`connectivity`: series and trials of a data set → the table of its pairs of regions."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from braindata.derive.connectivity import (
    OF_THE_SET,
    Batch,
    Course,
    Pair,
    beta_series_batches,
    connectivity_rows,
    correlation_batches,
    in_order,
    phase_batches,
)
from braindata.derive.connectivity_parameters import ConnectivityParameters
from braindata.errors import BraindataError
from braindata.files import sha256_file, write_text
from braindata.layout import Layout
from braindata.pack.eeg_store import open_eeg_store
from braindata.receipts import Outcome, Receipt, receipt_beside
from braindata.stages import STEP_VERSION
from braindata.stages.job import Result, log, pairing_hash, read_inventory, run_job, used
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import CONNECTIVITY
from braindata.tables.shards import read_shard, write_shard

STAGE = "connectivity"
UNCLEANED = "none"
_SERIES = ["recording", "strategy", "values", "kept", "sampling_frequency", "reason", "crosstalk"]
_TRIALS = ["recording", "trial", "trial_type", "estimate"]


class Parameters(BaseModel):
    """What decides the connectivity of a data set.

    Attributes
    ----------
    connectivity : ConnectivityParameters
        How it is made.
    regions : tuple of str
        Regions, as ``name-hash``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    connectivity: ConnectivityParameters = ConnectivityParameters()
    regions: tuple[str, ...]


def run(layout: Layout, dataset: str, parameters: Parameters) -> bool:
    """Hold all pairs of regions against each other in all recordings of a data set.

    Of pairs that an earlier run has made from the same series and trials the rows are kept.
    """
    shard, parts = layout.connectivity(dataset), layout.connectivity_parts(dataset)
    receipts = {
        region: tuple(
            Receipt.read(receipt_beside(lies(dataset, region)))
            for lies in (layout.series, layout.trials)
        )
        for region in sorted(parameters.regions)
    }
    inputs = {region: pairing_hash(*both) for region, both in receipts.items()}
    inventory = {row["recording"]: row for row in used(read_inventory(layout, dataset))}

    def work() -> Result:
        names = {names_of(region): region for region in inputs}
        pairs = list(itertools.combinations(sorted(names), 2))
        old, before = _earlier(layout, dataset, parameters)
        unchanged = {name for name, at in names.items() if before.get(at) == inputs[at]}
        known = [pair for pair in pairs if set(pair) <= unchanged]
        new = [pair for pair in pairs if not set(pair) <= unchanged]
        given = parameters.connectivity.given
        of_set = new if _given(before, given) == _given(inputs, given) else pairs
        done = sorted(name for name in inventory if _is_done(name, receipts))
        tables = [_kept_rows(old, known, drop=of_set)]
        if new or of_set:
            job = _Job(layout, dataset, names, inventory, parameters.connectivity)
            tables += job.rows(done, new, of_set)
        outcomes = {name: Outcome("done") for name in done}
        log.info("%s: %d pairs of regions, %d of them new", dataset, len(pairs), len(new))
        write_shard(in_order(pa.concat_tables(tables)), shard, "connectivity")
        body = {
            "step_version": STEP_VERSION[STAGE],
            "parameters": parameters.connectivity.model_dump(mode="json"),
            "inputs": inputs,
            "sha256": sha256_file(shard),
        }
        write_text(parts, json.dumps(body, indent=1, sort_keys=True) + "\n")
        return Result([shard, parts], outcomes)

    return run_job(
        layout,
        STAGE,
        dataset,
        receipt_beside(shard),
        parameters=parameters,
        inputs=inputs,
        libraries=("mne", "mne-connectivity", "numpy", "scikit-learn", "scipy"),
        work=work,
    )


def names_of(region: str) -> str:
    """Return the name of a region of ``name-hash``."""
    return region.rpartition("-")[0]


def _is_done(recording: str, receipts: Mapping[str, Sequence[Receipt]]) -> bool:
    """Whether some region has a series of it."""
    return any(recording in set(series.with_state("done")) for series, _ in receipts.values())


def _given(inputs: Mapping[str, str], given: tuple[str, ...] | None) -> dict[str, str]:
    """Return what the kinds rest on that take account of further regions."""
    return {r: made for r, made in inputs.items() if given is None or names_of(r) in given}


def _earlier(
    layout: Layout, dataset: str, parameters: Parameters
) -> tuple[pa.Table, dict[str, str]]:
    """Return the rows of an earlier run, and what they were made from by region."""
    shard = layout.connectivity(dataset)
    try:
        body = json.loads(layout.connectivity_parts(dataset).read_text(encoding="utf-8"))
        holds = (
            body["step_version"] == STEP_VERSION[STAGE]
            and body["parameters"] == parameters.connectivity.model_dump(mode="json")
            and body["sha256"] == sha256_file(shard)
        )
        if holds:
            return read_shard(shard, "connectivity"), dict(body["inputs"])
    except (OSError, ValueError, KeyError, TypeError, BraindataError):
        # Not there, or damaged: all is made anew.
        pass
    return CONNECTIVITY.empty_table(), {}


def _kept_rows(old: pa.Table, known: Sequence[Pair], drop: Sequence[Pair]) -> pa.Table:
    """Return the rows of pairs that are known, without kinds that are made anew for `drop`."""
    pairs = pc.binary_join_element_wise(old["region_a"], old["region_b"], " ")
    kept = pc.is_in(pairs, pa.array([" ".join(pair) for pair in known], pa.string()))
    again = pc.and_(
        pc.is_in(pairs, pa.array([" ".join(pair) for pair in drop], pa.string())),
        pc.is_in(old["kind"], pa.array(OF_THE_SET, pa.string())),
    )
    return old.filter(pc.and_(kept, pc.invert(again)))


class _Job:
    """The rows of one data set."""

    def __init__(
        self,
        layout: Layout,
        dataset: str,
        names: Mapping[str, str],
        inventory: Mapping[str, Mapping[str, Any]],
        parameters: ConnectivityParameters,
    ):
        self._layout, self._dataset, self._parameters = layout, dataset, parameters
        self._names, self._inventory = names, inventory
        self._hashes = {name: region.rpartition("-")[2] for name, region in names.items()}

    def rows(
        self,
        recordings: Sequence[str],
        new: Sequence[Pair],
        of_set: Sequence[Pair],
    ) -> Iterator[pa.Table]:
        """Yield the rows of each recording."""
        of_images = [n for n in recordings if self._inventory[n]["modality"] == "fmri"]
        series = self._read(self._layout.series, _SERIES, of_images)
        betas = self._read(self._layout.trials, _TRIALS, of_images, ("model", "==", "lss"))
        for name in recordings:
            key = RecordingKey.from_row(self._inventory[name])
            modality = self._inventory[name]["modality"]
            batches = (
                self._of_images(name, series, betas, new, of_set)
                if modality == "fmri"
                else self._of_eeg(name, new)
            )
            yield connectivity_rows(key, modality, self._hashes, batches)

    def _of_images(
        self,
        name: str,
        series: Mapping[str, _Rows],
        betas: Mapping[str, _Rows],
        new: Sequence[Pair],
        of_set: Sequence[Pair],
    ) -> list[Batch]:
        own = {region: one.of(name) for region, one in series.items()}
        strategies = sorted({row["strategy"] for one in own.values() for row in one} - {UNCLEANED})
        batches: list[Batch] = []
        for strategy in strategies:
            courses = {
                region: _course([row for row in rows if row["strategy"] == strategy])
                for region, rows in own.items()
            }
            batches += correlation_batches(strategy, courses, new, of_set, self._parameters)
        tables = {
            region: pd.DataFrame(one.of(name), columns=_TRIALS) for region, one in betas.items()
        }
        return batches + beta_series_batches(tables, new, self._parameters)

    def _of_eeg(self, name: str, new: Sequence[Pair]) -> list[Batch]:
        wanted = {region for pair in new for region in pair}
        # Recording by recording: the courses of EEG of a whole data set fill no memory.
        series = self._read(self._layout.series, _SERIES, [name], only=wanted)
        rows = {region: one.of(name) for region, one in series.items()}
        with open_eeg_store(self._layout.store(self._dataset, name)) as store:
            sfreq, kept = store.sfreq, store.kept
        courses = {region: _course(one, kept) for region, one in rows.items()}
        return phase_batches(courses, sfreq, new, self._parameters)

    def _read(
        self,
        lies: Any,
        columns: list[str],
        recordings: Sequence[str],
        *more: tuple[str, str, str],
        only: Collection[str] | None = None,
    ) -> dict[str, _Rows]:
        """Return the rows of each region."""
        found: dict[str, _Rows] = {}
        for name, region in self._names.items():
            if only is not None and name not in only:
                continue
            path: Path = lies(self._dataset, region)
            where = [("recording", "in", list(recordings)), *more]
            table = pq.read_table(path, columns=columns, filters=where) if recordings else None
            found[name] = _Rows(table)
        return found


class _Rows:
    """Rows of one region by recording: Python's objects take many times what Arrow's table does."""

    def __init__(self, table: pa.Table | None):
        self._table = table
        self._where: dict[str, list[int]] = {}
        if table is not None:
            for number, recording in enumerate(table["recording"].to_pylist()):
                self._where.setdefault(recording, []).append(number)

    def of(self, recording: str) -> list[dict[str, Any]]:
        """Return the rows of a recording."""
        numbers = self._where.get(recording)
        if numbers is None or self._table is None:
            return []
        rows: list[dict[str, Any]] = self._table.take(numbers).to_pylist()
        return rows


def _course(rows: Sequence[Mapping[str, Any]], kept: Any = None) -> Course:
    if not rows:
        return Course(None, np.zeros(0, bool), None)
    (row,) = rows
    crosstalk = json.loads(row["crosstalk"]) if row["crosstalk"] else {}
    if row["values"] is None:
        return Course(None, np.zeros(0, bool), row["reason"], crosstalk)
    values = np.array(row["values"], np.float64)
    stated = np.ones(len(values), bool) if row["kept"] is None else np.array(row["kept"], bool)
    good = (stated if kept is None else stated & kept) & np.isfinite(values)
    return Course(values, good, None, crosstalk)
