"""The state of every recording, from inventories and receipts: what the next release will say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from braindata.errors import DamageError
from braindata.layout import SENSORS, Layout
from braindata.receipts import Receipt
from braindata.stages.recordings import PUBLISH, Fault, find_fault
from braindata.status.jobs import Job

RecordingState = Literal["used", "used_in_part", "quarantined", "excluded", "waiting"]
RECORDING_STATES: tuple[RecordingState, ...] = (
    "used",
    "used_in_part",
    "quarantined",
    "excluded",
    "waiting",
)
COLUMNS = ["recording", "unit", "path", "events", "status", "stage", "reason", "hint"]


@dataclass(frozen=True)
class RecordingStatus:
    """A recording and its state.

    Attributes
    ----------
    dataset, recording : str
        Which recording.
    state : {"used", "used_in_part", "quarantined", "excluded", "waiting"}
        `used` and `used_in_part` have the status `used` in the table `recordings`: those in part
        have a reason there. `waiting`: a job of it is not done.
    stage, reason, hint : str or None
        Where and why it is left out, wholly or in part, and what to do.
    file : str or None
        The file at fault, relative to the output folder.
    log : str or None
        The log of the job that found out, relative to the output folder.
    """

    dataset: str
    recording: str
    state: RecordingState
    stage: str | None = None
    reason: str | None = None
    hint: str | None = None
    file: str | None = None
    log: str | None = None


def recording_statuses(
    layout: Layout, dataset: str, regions: tuple[str, ...], receipts: Mapping[Job, Receipt]
) -> list[RecordingStatus]:
    """Return the state of every recording of a curated data set, as the inventory lists them.

    Parameters
    ----------
    layout : Layout
        The output folder.
    dataset : str
        Its identifier.
    regions : tuple of str
        The regions that are asked for.
    receipts : mapping of Job to Receipt
        The receipts that are there.

    Raises
    ------
    DamageError
        When the inventory is gone or damaged.
    """
    inventory = layout.inventory(dataset)
    try:
        # Opened here: the inventory that is read is whole, even if a new one replaces it meanwhile.
        # By Arrow: its threads may let go of the file while Python ends already, and one of
        # Python's they would free without it, which aborts the process.
        with pa.OSFile(str(inventory)) as handle:
            rows = pq.read_table(handle, columns=COLUMNS).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DamageError(
            "the inventory is gone or damaged",
            file=inventory,
            hint=f"delete {layout.receipt('curated', dataset)} and run again",
        ) from error
    of_regions = {
        stage: [
            receipts[job]
            for job in (Job(stage, (dataset, region)) for region in regions)
            if job in receipts
        ]
        for stage in ("extract", "derive")
    }
    complete = all(len(of_stage) == len(regions) for of_stage in of_regions.values())
    at_sensors = receipts.get(Job("derive", (dataset, SENSORS)))
    if at_sensors is not None:
        of_regions["derive"].append(at_sensors)
    return [_status(layout, dataset, row, receipts, of_regions, complete) for row in rows]


def _status(
    layout: Layout,
    dataset: str,
    row: dict[str, Any],
    receipts: Mapping[Job, Receipt],
    of_regions: Mapping[str, list[Receipt]],
    complete: bool,
) -> RecordingStatus:
    name = row["recording"]
    if row["status"] != "used":
        log = layout.log("curate", dataset).relative_to(layout.output).as_posix()
        curated = receipts.get(Job("curate", (dataset,)))
        outcome = curated.recordings.get(name) if curated else None
        image = (
            (layout.raw(dataset) / (row["path"] or row["events"]))
            .relative_to(layout.output)
            .as_posix()
        )
        # The receipt names the file at fault; the inventory knows the recording's own only.
        file = outcome.file if outcome and outcome.file else image
        why = (row["stage"], row["reason"], row["hint"], file, log)
        return RecordingStatus(dataset, name, row["status"], *why)
    of_unit = {}
    for stage in ("preprocess", "pack"):
        receipt = receipts.get(Job(stage, (dataset, row["unit"])))
        if receipt is None or (stage == "preprocess" and name not in receipt.recordings):
            return RecordingStatus(dataset, name, "waiting")
        of_unit[stage] = [receipt]
        fault = find_fault(name, of_unit)
        if fault is not None:
            return _faulty(layout, dataset, row, fault)
    if not complete:
        # Whether a fault concerns the whole recording is known when all regions are done.
        return RecordingStatus(dataset, name, "waiting")
    fault = find_fault(name, of_regions)
    published = receipts.get(Job(PUBLISH))
    outcome = published.recordings.get(f"{dataset}/{name}") if published else None
    if outcome is not None and (fault is None or fault.in_part):
        log = layout.log(PUBLISH).relative_to(layout.output).as_posix()
        why = (PUBLISH, outcome.reason, outcome.hint, None, log)
        return RecordingStatus(dataset, name, "excluded", *why)
    if fault is None:
        return RecordingStatus(dataset, name, "used")
    return _faulty(layout, dataset, row, fault)


def _faulty(layout: Layout, dataset: str, row: dict[str, Any], fault: Fault) -> RecordingStatus:
    state: RecordingState
    if fault.in_part:
        state = "used_in_part"
    else:
        state = "excluded" if fault.outcome.state == "excluded" else "quarantined"
    log = layout.log(fault.stage, *fault.job.split("/")).relative_to(layout.output).as_posix()
    why = (fault.stage, fault.reason_in(row["path"]), fault.outcome.hint, fault.outcome.file, log)
    return RecordingStatus(dataset, row["recording"], state, *why)
