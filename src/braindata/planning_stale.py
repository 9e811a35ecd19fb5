"""Which receipts no longer hold, by what a plan would ask of their jobs now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from braindata.layout import PER_UNIT, SENSORS, UNIT_FOLDERS
from braindata.planning import Plan
from braindata.receipts import (
    MADE_FROM,
    SUFFIX,
    cut_off_outputs,
    missing_outputs,
    read_matching,
    read_or_none,
    receipt_beside,
)
from braindata.stages import STEP_VERSION

# Receipts that name files which no rule declares. What lies below `raw/<data set>` is not ours.
WATCHED = ("raw/*", "curated/*", "packed/*/*", "head/*", "tables/*", "report/*")

# A stage, its region (or group, or process) and its data set: what parameters are asked for by.
Asked = tuple[str, str | None, str | None]


def stale_receipts(plan: Plan) -> list[Path]:
    """Return the receipts that no longer hold, sorted.

    Snakemake reruns a job when its params or inputs change, which it knows from metadata in the
    working directory, and watches no file that is known only after curation. So before it plans,
    receipts are held against what is there: one of other parameters or of another `STEP_VERSION`,
    or of a source that has changed since, or one that names a file which is gone or cut off, is
    void. Without it the job runs.

    Parameters
    ----------
    plan : Plan
        What would be asked.
    """
    output = plan.layout.output
    known = read_matching(output, WATCHED)
    stale = {
        path
        for path, receipt in known.items()
        if receipt is None or missing_outputs(receipt, output)
    }
    stale |= {
        raw
        for dataset in plan.datasets
        if (raw := plan.layout.receipt("raw", dataset)) in known and not _is_pulled(plan, dataset)
    }
    asked: dict[Asked, object] = {}
    marks: dict[Path, object] = {}
    for path, job in _planned(plan, stale):
        if path not in known and not path.is_file():
            continue
        receipt = known[path] if path in known else read_or_none(path)
        if job not in asked:
            asked[job] = json.loads(plan.parameters(*job))
        if receipt is None or not (
            receipt.step_version == STEP_VERSION[job[0]]
            and receipt.parameters == asked[job]
            # Files that are gone Snakemake misses by itself. Those of `known` were looked at.
            and (path in known or not cut_off_outputs(receipt, output))
        ):
            stale.add(path)
        elif job[0] in PER_UNIT:
            marks[path] = receipt.notes.get(MADE_FROM)
    # One job of Snakemake makes both, and knows the later one. By the files: before curation
    # nobody knows the units.
    for dataset in plan.datasets:
        made, packed = (output / folder / dataset for folder in UNIT_FOLDERS)
        for path in packed.glob(f"*{SUFFIX}"):
            before = made / path.name
            if before in stale or not before.is_file():
                stale.add(path)
        curated = plan.layout.receipt("curated", dataset)
        if curated.is_file() and curated not in stale:
            stale |= set(_made_from_other(plan, dataset, marks))
    return sorted(stale)


def _made_from_other(plan: Plan, dataset: str, marks: Mapping[Path, object]) -> Iterator[Path]:
    """Yield what was packed of other data than are there, where no date says so.

    A job was killed before it packed, and what it had preprocessed has been taken back since; or it
    ended after its data set was curated anew, without the Snakemake that started it.

    Parameters
    ----------
    plan : Plan
        What would be asked.
    dataset : str
        One that is curated.
    marks : mapping of Path to object
        By receipt of a unit, what it says that it was made from.
    """
    curated = plan.layout.receipt("curated", dataset).stat().st_mtime_ns
    for unit, mark in plan.curated.marks(dataset).items():
        made, packed = (plan.layout.receipt(folder, dataset, unit) for folder in UNIT_FOLDERS)
        if packed not in marks:
            continue
        # Of one that is older than curation, Snakemake is told to run the job.
        late = marks[packed] != mark and packed.stat().st_mtime_ns > curated
        if late or marks.get(made) != marks[packed]:
            yield packed


def _is_pulled(plan: Plan, dataset: str) -> bool:
    state = plan.layout.source_state(dataset)
    # Whatever it holds: of other contents than the hash it says that the source is not known.
    return state.is_file() and state.read_bytes() == plan.source_state(dataset).encode()


def _planned(plan: Plan, stale: set[Path]) -> Iterator[tuple[Path, Asked]]:
    """Yield the receipt of each job that can be planned by now, and what it is asked for by."""
    layout = plan.layout
    yield layout.receipt("tables", "publish"), ("publish", None, None)
    if plan.sensors:
        yield layout.receipt("head", "head"), ("head", None, None)
    for dataset in plan.datasets:
        curated = layout.receipt("curated", dataset)
        # Only its receipt says what the units are.
        if curated.is_file() and curated not in stale:
            for unit in plan.curated.units(dataset):
                made, packed = (layout.receipt(folder, dataset, unit) for folder in UNIT_FOLDERS)
                yield made, ("preprocess", None, dataset)
                yield packed, ("pack", None, dataset)
        yield curated, ("curate", None, dataset)
        yield receipt_beside(layout.latents(dataset)), ("latents", None, dataset)
        yield receipt_beside(layout.connectivity(dataset)), ("connectivity", None, dataset)
        for group in plan.groups:
            yield receipt_beside(layout.alignment(dataset, group)), ("align", group, dataset)
        for region in plan.regions:
            yield receipt_beside(layout.series(dataset, region)), ("extract", region, dataset)
            yield receipt_beside(layout.trials(dataset, region)), ("derive", None, dataset)
        for process in plan.signals.processes:
            yield receipt_beside(layout.signals(dataset, process)), ("signals", process, dataset)
        if dataset in plan.sensors:
            yield receipt_beside(layout.trials(dataset, SENSORS)), ("derive", SENSORS, dataset)
