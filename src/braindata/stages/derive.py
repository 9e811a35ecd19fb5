"""`derive`: series and events of one region → its trials."""

from __future__ import annotations

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from braindata.bids.events import read_events
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.trials import RecordingEvents, derive_trials
from braindata.errors import DataError
from braindata.layout import Layout
from braindata.pack.store import open_store
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, Receipt, merkle, receipt_beside
from braindata.stages.events import require_columns
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
        # Of EEG, trials have the features at sensors: `derive_sensors`.
        if row["modality"] == "fmri" and row["recording"] in done and row["events"] is not None
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
        tables = [one.events for one in recordings]
        require_columns(parameters.events.columns(), tables, dataset)
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
