"""`derive`: series and events of one region → its trials."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from braindata.bids.events import read_events
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.trials import RecordingEvents, derive_trials
from braindata.errors import DataError, UsageError
from braindata.layout import Layout
from braindata.pack.store import open_store
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, Receipt, merkle, receipt_beside
from braindata.stages.job import Result, read_inventory, run_job, used
from braindata.tables.keys import RecordingKey
from braindata.tables.shards import write_shard


class Parameters(BaseModel):
    """What decides the trials of a data set.

    Attributes
    ----------
    derive : DeriveParameters
        The model.
    events : EventMapping
        Which columns of this data set's events hold what.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    derive: DeriveParameters = DeriveParameters()
    events: EventMapping = EventMapping()


def run(layout: Layout, dataset: str, region: str, parameters: Parameters) -> bool:
    """Estimate the trials of one region (``name-hash``) in all recordings of a data set."""
    series = layout.series(dataset, region)
    extracted = Receipt.read(receipt_beside(series))
    manifest = read_manifest(layout.manifest(dataset))
    done = set(extracted.with_state("done"))
    rows = [
        row
        for row in used(read_inventory(layout, dataset))
        if row["recording"] in done and row["events"] is not None
    ]
    events = {row["recording"]: manifest[row["events"]].sha256 for row in rows}
    shard = layout.trials(dataset, region)

    def work() -> Result:
        recordings, faulty = [], {}
        for row in rows:
            name = row["recording"]
            try:
                with open_store(layout.store(dataset, name)) as store:
                    recordings.append(
                        RecordingEvents(
                            key=RecordingKey.from_row(row),
                            events=read_events(layout.raw(dataset) / row["events"]),
                            confounds=store.confounds,
                            tr=store.tr,
                        )
                    )
            except DataError as error:
                faulty[name] = Outcome.quarantine(error)
        require_columns(parameters.events, recordings, dataset)
        table, outcomes = derive_trials(
            pq.read_table(series), recordings, parameters.derive, parameters.events
        )
        write_shard(table, shard, "trials")
        return Result([shard], outcomes | faulty)

    return run_job(
        layout,
        "derive",
        f"{dataset}/{region}",
        receipt_beside(shard),
        parameters=parameters,
        inputs={
            "series": merkle(extracted.outputs),
            "packed": extracted.inputs["packed"],
            "events": merkle(events),
        },
        libraries=("nilearn", "numpy", "scipy"),
        work=work,
    )


def require_columns(
    mapping: EventMapping, recordings: Sequence[RecordingEvents], dataset: str
) -> None:
    """Check that each column that is named is in some events file, or there is a slip of the pen.

    Raises
    ------
    UsageError
        When one is in none.
    """
    there = sorted({str(name) for one in recordings for name in one.events.columns})
    for name, column in mapping.columns().items():
        if recordings and column not in there:
            near = difflib.get_close_matches(column, there, n=1)
            raise UsageError(
                f"event_mapping.{name}: no events file of {dataset} has a column {column}",
                hint=f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}",
            )
