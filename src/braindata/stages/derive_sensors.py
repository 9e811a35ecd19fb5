"""`derive`, EEG at sensors: stores and events of a data set → the trials of its features."""

from __future__ import annotations

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from braindata.bids.events import read_events
from braindata.derive.parameters import EventMapping
from braindata.derive.sensor_parameters import SensorParameters
from braindata.derive.sensor_trials import SensorRecording, derive_sensor_trials
from braindata.errors import DataError
from braindata.layout import SENSORS, Layout
from braindata.pack.eeg_store import open_eeg_store
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, merkle, receipt_beside
from braindata.stages.job import (
    Result,
    read_inventory,
    receipts_hash,
    run_job,
    unit_receipts,
    used,
)
from braindata.stages.simultaneous import read_partner, simultaneous
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.trials import TRIALS
from braindata.tables.shards import write_shard


class Parameters(BaseModel):
    """What decides the features of a data set's trials.

    Attributes
    ----------
    sensors : SensorParameters
        Which features.
    events : EventMapping
        Which columns of this data set's events hold what.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sensors: SensorParameters = SensorParameters()
    events: EventMapping = EventMapping()


def run(layout: Layout, dataset: str, parameters: Parameters) -> bool:
    """Take the features of the trials of all EEG recordings of a data set."""
    packed = unit_receipts(layout, "packed", dataset)
    done = {name for receipt in packed.values() for name in receipt.with_state("done")}
    manifest = read_manifest(layout.manifest(dataset))
    inventory = used(read_inventory(layout, dataset))
    partners = simultaneous(inventory)
    rows = [
        row
        for row in inventory
        if row["modality"] == "eeg" and row["recording"] in done and row["events"] is not None
    ]
    events = {row["recording"]: manifest[row["events"]].sha256 for row in rows}
    events |= {one["recording"]: manifest[one["events"]].sha256 for one in partners.values()}
    shard = layout.trials(dataset, SENSORS)

    def work() -> Result:
        tables, outcomes = [TRIALS.empty_table()], {}
        for row in rows:
            name = row["recording"]
            try:
                with open_eeg_store(layout.store(dataset, name)) as store:
                    recording = SensorRecording(
                        key=RecordingKey.from_row(row),
                        events=read_events(layout.raw(dataset) / row["events"]),
                        data=store.read(),
                        names=store.names,
                        sfreq=store.sfreq,
                        rejected=store.attributes["rejected"],
                        partner=read_partner(layout, dataset, partners.get(name)),
                    )
                tables.append(
                    derive_sensor_trials(recording, parameters.sensors, parameters.events)
                )
                outcomes[name] = Outcome("done")
            except DataError as error:
                outcomes[name] = Outcome.quarantine(error)
        write_shard(pa.concat_tables(tables), shard, "trials")
        return Result([shard], outcomes)

    return run_job(
        layout,
        "derive",
        f"{dataset}/{SENSORS}",
        receipt_beside(shard),
        parameters=parameters,
        inputs={"packed": receipts_hash(packed), "events": merkle(events)},
        libraries=("h5py", "mne", "numpy", "scipy"),
        work=work,
    )
