"""`publish`: shards and receipts → one release of the tables."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from braindata.bids.events import read_events
from braindata.errors import DataError
from braindata.layout import SENSORS, UNIT_FOLDERS, Layout
from braindata.pull.local import read_manifest
from braindata.receipts import MADE_FROM, Outcome, Receipt, content_hash, merkle, receipt_beside
from braindata.stages import STEP_VERSION
from braindata.stages.job import (
    Result,
    log,
    read_inventory,
    run_job,
    unit_receipts,
    used,
)
from braindata.stages.leaving_out import leave_out, without, without_people
from braindata.stages.pseudonymising import (
    pseudonymised,
    pseudonyms_of,
    require_no_labels_before,
)
from braindata.stages.recordings import PUBLISH, find_fault, of_recording
from braindata.tables.exclusions import Decisions
from braindata.tables.parameters import PublishParameters
from braindata.tables.provenance import how_made
from braindata.tables.pseudonyms import Pseudonyms
from braindata.tables.publish import publish
from braindata.tables.rows import region_row, stimuli_rows
from braindata.tables.schemas import TABLES
from braindata.tables.shards import write_shard
from braindata.withdrawn import Withdrawn

# What a backend may say of a recording; unknown where it does not.
_HOW = ("distortion_corrected", "normalisation")


class Parameters(BaseModel):
    """What a release holds.

    Attributes
    ----------
    datasets : tuple of str
        Data sets.
    sensors : tuple of str
        Those of which EEG is used.
    regions : tuple of str
        Regions, as ``name-hash``.
    groups : tuple of str
        Groups of regions that people are aligned in, as ``name-hash``.
    processes : tuple of str
        Cognitive processes that regions are tied to.
    publish : PublishParameters
        Which recordings are left out by rules.
    decisions : mapping of str to Decisions
        By data set, what people decided about single recordings, as far as it counts here; of
        pseudonyms, not of labels, where people have them.
    pseudonyms : str
        Fingerprint of the key that people's pseudonyms are made with; empty where they keep their
        labels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: tuple[str, ...]
    sensors: tuple[str, ...] = ()
    regions: tuple[str, ...]
    groups: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    publish: PublishParameters = PublishParameters()
    decisions: dict[str, Decisions] = {}
    pseudonyms: str = ""


def run(layout: Layout, parameters: Parameters, key: str = "") -> bool:
    """Publish all shards of the data sets and regions in use.

    `key` is the file of the pseudonyms' key, where people have pseudonyms.
    """
    receipts = find_receipts(layout, parameters)
    names = {
        dataset: pseudonyms_of(layout, dataset, parameters.pseudonyms, key)
        for dataset in parameters.datasets
    }
    if parameters.pseudonyms:
        require_no_labels_before(layout)

    def work() -> Result:
        staging = layout.tables() / ".staging"
        try:
            shards, left_out = _shards(layout, parameters, receipts, names, staging)
            named = {_named(name, names): receipt for name, receipt in receipts.items()}
            withdrawn = Withdrawn.read(layout.output)
            gone = {name: len(withdrawn.of(name)) for name in parameters.datasets}
            provenance = {
                "parameters": parameters.model_dump(mode="json"),
                "step_version": STEP_VERSION["publish"],
                "receipts": {name: merkle(receipt.outputs) for name, receipt in named.items()},
                **how_made(named),
                "withdrawn": {name: number for name, number in gone.items() if number},
            }
            release = publish(layout.tables(), shards, provenance)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        log.info("release %d", release.number)
        files = [layout.tables() / path for path in release.paths()]
        return Result([*files, release.file], left_out, {"release": release.number})

    return run_job(
        layout,
        "publish",
        "all",
        layout.receipt("tables", "publish"),
        parameters=parameters,
        inputs=inputs(receipts),
        libraries=("deltalake", "pyarrow"),
        work=work,
    )


def _named(receipt: str, names: Mapping[str, Pseudonyms | None]) -> str:
    """Return the name of a receipt, ``<folder>/<data set>/…``, as it is passed on."""
    own = names.get(receipt.split("/")[1])
    return receipt if own is None else own.text(receipt)


def inputs(receipts: Mapping[str, Receipt]) -> dict[str, str]:
    """Return what the receipt of a release says that it rests on."""
    return {"receipts": merkle({name: merkle(_facts(r)) for name, r in receipts.items()})}


def _facts(receipt: Receipt) -> dict[str, str]:
    """What a release takes from a receipt: outputs, what became of recordings, definitions."""
    states = {
        name: f"{o.state} {o.reason} {o.hint} {o.file}" for name, o in receipt.recordings.items()
    }
    # What planning goes by is nothing of a release.
    notes = {name: note for name, note in receipt.notes.items() if name != MADE_FROM}
    other = content_hash([receipt.parameters, notes])
    return receipt.outputs | states | {"parameters and notes": other}


def find_receipts(layout: Layout, parameters: Parameters) -> dict[str, Receipt]:
    """Return every receipt that a release rests on.

    Raises
    ------
    BraindataError
        When one is missing.
    """
    found = {}
    shards = [layout.trials(dataset, SENSORS) for dataset in parameters.sensors]
    for dataset in parameters.datasets:
        found[f"curate/{dataset}"] = Receipt.read(layout.receipt("curated", dataset))
        for folder in UNIT_FOLDERS:
            for unit, receipt in unit_receipts(layout, folder, dataset).items():
                found[f"{folder}/{dataset}/{unit}"] = receipt
        for name, lies in (("latents", layout.latents), ("connectivity", layout.connectivity)):
            found[f"{name}/{dataset}"] = Receipt.read(receipt_beside(lies(dataset)))
        shards += [layout.alignment(dataset, group) for group in parameters.groups]
        shards += [layout.signals(dataset, process) for process in parameters.processes]
        for region in parameters.regions:
            shards += [layout.series(dataset, region), layout.trials(dataset, region)]
    for path in shards:
        name = path.relative_to(layout.output).as_posix()
        found[name] = Receipt.read(receipt_beside(path))
    return found


def _shards(
    layout: Layout,
    parameters: Parameters,
    receipts: dict[str, Receipt],
    names: Mapping[str, Pseudonyms | None],
    staging: Path,
) -> tuple[dict[str, list[Path]], dict[str, Outcome]]:
    """Return the shards of each table, and what is left out by ``<data set>/<recording>``.

    The small tables are made here. Of a data set of which something is left out, or whose people
    have pseudonyms, so are the shards of the large ones: those that jobs made stay as they are, for
    the next release.
    """
    shards: dict[str, list[Path]] = {name: [] for name in TABLES}
    left_out: dict[str, Outcome] = {}
    for dataset in parameters.datasets:
        labelled = recording_rows(layout, dataset, parameters.regions, receipts)
        own = names[dataset]
        rows = labelled if own is None else [own.value(row) for row in labelled]
        decisions = parameters.decisions.get(dataset, Decisions())
        for problem in decisions.about_nothing(rows):
            log.warning("exclusions of %s: %s", dataset, problem)
        gone = _leave_out(rows, parameters.publish, decisions)
        left_out |= {f"{dataset}/{name}": outcome for name, outcome in gone.items()}
        both = zip(labelled, rows, strict=True)
        in_use = [one for one, row in both if row["status"] == "used"]
        stimuli = _stimuli(layout, dataset, in_use)
        made = {"recordings": rows, "stimuli": stimuli if own is None else own.value(stimuli)}
        for table, content in made.items():
            path = staging / table / f"{dataset}.parquet"
            write_shard(pa.Table.from_pylist(content, schema=TABLES[table]), path, table)
            shards[table].append(path)
        shown = partial(_shown, staging, dataset, own, gone)
        for table, path in (
            ("trials", layout.behaviour(dataset)),
            ("latents", layout.latents(dataset)),
            ("connectivity", layout.connectivity(dataset)),
        ):
            shards[table].append(shown(path, table, path.stem))
        of_people = [("latent_fits", layout.latent_fits(dataset))]
        for group in parameters.groups:
            shards["patterns"].append(shown(layout.patterns(dataset, group), "patterns", group))
            of_people.append(("alignment", layout.alignment(dataset, group)))
        for process in parameters.processes:
            shards["signals"].append(shown(layout.signals(dataset, process), "signals", process))
            of_people.append(("signal_fits", layout.signal_fits(dataset, process)))
        for table, path in of_people:
            folder = staging / table / dataset
            named = pseudonymised(path, table, own, folder / "named" / path.name)
            shards[table].append(without_people(named, table, gone, folder / path.name))
        for table, lies in (("series", layout.series), ("trials", layout.trials)):
            for region in parameters.regions:
                shards[table].append(shown(lies(dataset, region), table, region))
        if dataset in parameters.sensors:
            shards["trials"].append(shown(layout.trials(dataset, SENSORS), "trials", SENSORS))
    for region in parameters.regions:
        # One shard per region: a new region leaves the others' shards as they are.
        row = _region_row(layout, region, parameters.datasets)
        path = staging / "regions" / f"{region}.parquet"
        write_shard(pa.Table.from_pylist([row], schema=TABLES["regions"]), path, "regions")
        shards["regions"].append(path)
    return shards, left_out


def _shown(
    staging: Path,
    dataset: str,
    own: Pseudonyms | None,
    gone: Mapping[str, Outcome],
    shard: Path,
    table: str,
    name: str,
) -> Path:
    """Return a shard as it is passed on: under pseudonyms, without what is left out."""
    folder = staging / table / dataset
    named = pseudonymised(shard, table, own, folder / "named" / f"{name}.parquet")
    return without(named, table, gone, folder / f"{name}.parquet")


def _leave_out(
    rows: list[dict[str, Any]], parameters: PublishParameters, decisions: Decisions
) -> dict[str, Outcome]:
    """Mark in the rows what is left out, and return it by recording."""
    found = {}
    for row in used(rows):
        outcome = leave_out(row, parameters.exclude, decisions)
        if outcome is not None:
            found[row["recording"]] = outcome
            row |= {
                "status": "excluded",
                "stage": PUBLISH,
                "reason": outcome.reason,
                "hint": outcome.hint,
            }
    return found


def _region_row(layout: Layout, region: str, datasets: tuple[str, ...]) -> dict[str, Any]:
    """Return a region's row; its size is known from any data set that has recordings."""
    found = [Receipt.read(receipt_beside(layout.series(name, region))) for name in datasets]
    sizes = [receipt.notes["size"] for receipt in found if receipt.notes["size"]]
    return region_row(found[0].parameters["region"], sizes[0] if sizes else {})


def recording_rows(
    layout: Layout, dataset: str, regions: tuple[str, ...], receipts: dict[str, Receipt]
) -> list[dict[str, Any]]:
    """Return the inventory with what later stages found out about each recording.

    A recording that a later stage quarantined is `quarantined`, with that stage's reason. One
    whose series are there but whose trials could not be estimated stays `used`, with the reason.
    """
    rows = read_inventory(layout, dataset)
    of_regions = {
        "extract": _receipts_of(layout.series, dataset, regions, layout, receipts),
        "derive": _receipts_of(layout.trials, dataset, regions, layout, receipts),
    }
    at_sensors = layout.trials(dataset, SENSORS).relative_to(layout.output).as_posix()
    if at_sensors in receipts:
        of_regions["derive"].append(receipts[at_sensors])
    for row in rows:
        if row["status"] != "used":
            continue
        unit = f"{dataset}/{row['unit']}"
        preprocessed, packed = receipts[f"derivatives/{unit}"], receipts[f"packed/{unit}"]
        stages = {"preprocess": [preprocessed], "pack": [packed], **of_regions}
        fault = find_fault(row["recording"], stages)
        if fault is not None:
            row |= {
                "status": fault.status,
                "stage": fault.stage,
                "reason": fault.reason_in(row["path"]),
                "hint": fault.outcome.hint,
            }
        if row["status"] == "used":
            name, notes = row["recording"], preprocessed.notes
            quality = notes["quality"].get(name, {}) | packed.notes["quality"].get(name, {})
            warnings = [*(row["warnings"] or ()), *quality.pop("warnings", ())]
            row |= quality | {"warnings": list(dict.fromkeys(warnings))}
            for column in ("space", "backend", *_HOW):
                row[column] = of_recording(notes, column, name)
    return rows


def _receipts_of(
    path: Callable[[str, str], Path],
    dataset: str,
    regions: tuple[str, ...],
    layout: Layout,
    receipts: dict[str, Receipt],
) -> list[Receipt]:
    names = [path(dataset, region).relative_to(layout.output).as_posix() for region in regions]
    return [receipts[name] for name in names]


def _stimuli(layout: Layout, dataset: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    root = layout.raw(dataset)
    sha256 = {path: file.sha256 for path, file in read_manifest(layout.manifest(dataset)).items()}
    shown: dict[str, int] = {}
    for row in rows:
        if row["events"] is None:
            continue
        try:
            events = read_events(root / row["events"])
        except DataError:
            # It was readable for the inventory, or the recording would not be in use; the stage
            # that estimates its trials has it quarantined by now.
            continue
        if "stim_file" in events.columns:
            for name in events["stim_file"].dropna():
                shown[str(name)] = shown.get(str(name), 0) + 1
    return stimuli_rows(dataset, shown, sha256, root)
