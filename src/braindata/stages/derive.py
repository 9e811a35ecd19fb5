"""`derive`: series and events of one region → its trials."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from braindata.bids.events import read_events
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.region_trials import derive_region_trials
from braindata.derive.sensor_parameters import SensorParameters
from braindata.derive.trials import RecordingEvents, derive_trials
from braindata.errors import DataError
from braindata.layout import Layout
from braindata.pack.store import open_store
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, Receipt, merkle, receipt_beside
from braindata.stages.derive_region_eeg import read_recordings
from braindata.stages.events import require_columns
from braindata.stages.job import Result, read_inventory, run_job, used
from braindata.stages.simultaneous import read_partner, simultaneous
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
    sensors : SensorParameters or None
        Which features of EEG; None where none of the data set is used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    derive: DeriveParameters = DeriveParameters()
    events: EventMapping = EventMapping()
    sensors: SensorParameters | None = None

    @model_serializer(mode="wrap")
    def _without_eeg(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Say nothing of EEG where there is none: no option of it reruns a job of images."""
        body: dict[str, Any] = handler(self)
        if self.sensors is None:
            del body["sensors"]
        return body


def run(layout: Layout, dataset: str, region: str, parameters: Parameters) -> bool:
    """Estimate the trials of one region (``name-hash``) in all recordings of a data set."""
    series = layout.series(dataset, region)
    extracted = Receipt.read(receipt_beside(series))
    manifest = read_manifest(layout.manifest(dataset))
    done = set(extracted.with_state("done"))
    inventory = used(read_inventory(layout, dataset))
    modalities = ("fmri",) if parameters.sensors is None else ("fmri", "eeg")
    rows = [
        row
        for row in inventory
        if row["modality"] in modalities and row["recording"] in done and row["events"] is not None
    ]
    partners = simultaneous(inventory)
    events = {row["recording"]: manifest[row["events"]].sha256 for row in rows}
    events |= {one["recording"]: manifest[one["events"]].sha256 for one in partners.values()}
    shard = layout.trials(dataset, region)

    def work() -> Result:
        recordings, faulty = [], {}
        for row in (one for one in rows if one["modality"] == "fmri"):
            name = row["recording"]
            try:
                with open_store(layout.store(dataset, name)) as store:
                    recordings.append(
                        RecordingEvents(
                            key=RecordingKey.from_row(row),
                            events=read_events(layout.raw(dataset) / row["events"]),
                            confounds=store.confounds,
                            tr=store.tr,
                            partner=read_partner(layout, dataset, partners.get(name)),
                        )
                    )
            except DataError as error:
                faulty[name] = Outcome.quarantine(error)
        eeg = [one for one in rows if one["modality"] == "eeg"]
        of_eeg, faulty_eeg = read_recordings(layout, dataset, eeg, partners)
        tables = [one.events for one in recordings] + [one.events for one in of_eeg]
        require_columns(parameters.events.columns(), tables, dataset)
        courses = pq.read_table(series)
        table, outcomes = derive_trials(courses, recordings, parameters.derive, parameters.events)
        if parameters.sensors is not None:
            features, more = derive_region_trials(
                courses, of_eeg, parameters.sensors, parameters.events
            )
            table, outcomes = pa.concat_tables([table, features]), outcomes | more
        write_shard(table, shard, "trials")
        return Result([shard], outcomes | faulty | faulty_eeg)

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
        libraries=("mne", "nilearn", "numpy", "scipy"),
        work=work,
    )
