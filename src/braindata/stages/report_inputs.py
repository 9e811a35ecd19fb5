"""What the report shows, gathered from a release, from receipts and from the stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from braindata.align.archive import read_archive
from braindata.align.template import load_templates
from braindata.bids.entities import stem
from braindata.layout import Layout
from braindata.receipts import Receipt, receipt_beside
from braindata.report.alignment import MAX_PARCELS, template_curves
from braindata.report.eeg_page import EegPage
from braindata.report.pictures import PictureSet, Shelf
from braindata.report.recording_pictures import recording_pictures, template_picture
from braindata.report.responses import Responses, average_responses
from braindata.report.site import Corpus, TrialCounts
from braindata.stages import STEP_VERSION
from braindata.stages.costs import gather_costs
from braindata.stages.job import unit_receipts
from braindata.stages.pseudonymising import pseudonyms_of, with_labels
from braindata.stages.recordings import PUBLISH
from braindata.stages.report_eeg import eeg_series, recording_page
from braindata.stages.report_regions import region_sets
from braindata.tables.reading import Tables, open_tables

# The strategy whose series are averaged: drifts and head motion would drown single responses.
STRATEGY = "simple"
TEMPLATE = "template.webp"
_CONFOUNDS = "_desc-confounds_timeseries.tsv"
_BOLDREF = "_boldref.nii.gz"
_T1W = "_desc-preproc_T1w.nii.gz"
_NO_REASON = "no reason is known"


@dataclass(frozen=True)
class _Unit:
    """What was found out about one subject or session."""

    preprocessed: Receipt
    packed: Receipt


def gather(layout: Layout, published: Receipt, shelf: Shelf, key: str = "") -> Corpus:
    """Return what the pages show; pictures that are not on the shelf are drawn.

    Parameters
    ----------
    layout : Layout
        The output folder.
    published : Receipt
        Of the release to report on.
    shelf : Shelf
        The pictures.
    key : str, optional
        The file of the pseudonyms' key, where people have pseudonyms.
    """
    release = published.notes["release"]
    tables = open_tables(layout.output, version=release)
    keys = {key.rpartition("-")[0]: key for key in published.parameters["regions"]}
    datasets: list[str] = published.parameters["datasets"]
    units = {
        (dataset, unit): _Unit(receipt, packed[unit])
        for dataset in datasets
        for packed in [unit_receipts(layout, "packed", dataset)]
        for unit, receipt in unit_receipts(layout, "derivatives", dataset).items()
    }
    rows = tables["recordings"].to_pyarrow().to_pylist()
    which = published.parameters.get("pseudonyms", "")
    names = {dataset: pseudonyms_of(layout, dataset, which, key) for dataset in datasets}
    labels = {name: with_labels(layout, name, own) for name, own in names.items() if own}
    faults = _faults(layout, units, sorted(keys.values()), datasets)
    recordings = []
    pictures = {}
    eeg: dict[tuple[str, str], EegPage] = {}
    courses = eeg_series(tables) if any(row["modality"] == "eeg" for row in rows) else {}
    for row in rows:
        own = labels.get(row["dataset"])
        labelled = row if own is None else row | own[row["recording"], row["path"]]
        told = _with_facts(labelled, units, faults)
        if own is not None:
            # What is beside the table names files and logs, in which people have their labels.
            stated = {name: value for name, value in row.items() if value is not None}
            told |= stated | {"log": None, "file": None}
        recordings.append(told)
        at = row["dataset"], row["recording"]
        pictures[at] = _recording_set(layout, labelled, units, shelf)
        unit = units.get((row["dataset"], labelled["unit"]))
        if row["modality"] == "eeg" and unit is not None:
            made = recording_page(layout, labelled, unit.preprocessed, courses.get(at, []), shelf)
            eeg |= {} if made is None else {at: made}
    regions = tables["regions"].to_pyarrow().to_pylist()
    return Corpus(
        release=release,
        recordings=recordings,
        regions=regions,
        trials=_trial_counts(tables),
        coverage=_coverage(tables),
        region_quality=_region_quality(tables),
        eeg=eeg,
        signals=_signals(tables),
        costs=gather_costs(layout),
        strategy=STRATEGY,
        responses={
            row["region"]: _responses(
                layout,
                tables,
                datasets,
                keys[row["region"]],
                shelf,
                published.with_state("excluded"),
            )
            for row in regions
        },
        recording_pictures=pictures,
        region_pictures=region_sets(layout, keys, regions, _image_stores(layout, units), shelf),
        alignment=tables["alignment"].to_pyarrow().to_pylist() if "alignment" in tables else (),
        templates={
            (dataset, *group.rsplit("-", 1)): _alignment_template(layout, dataset, group, shelf)
            for dataset in datasets
            for group in published.parameters.get("groups", ())
        },
        template=_template(shelf) if any(one.files for one in pictures.values()) else None,
        facts={
            dataset: _facts(layout, dataset) if own is None else own.value(_facts(layout, dataset))
            for dataset, own in names.items()
        },
    )


def _alignment_template(layout: Layout, dataset: str, group: str, shelf: Shelf) -> dict[str, Any]:
    """Return what is drawn of a group's templates."""
    path = layout.alignment_template(dataset, group)
    outputs = Receipt.read(receipt_beside(layout.alignment(dataset, group))).outputs
    name = path.relative_to(layout.output).as_posix()

    def draw() -> tuple[dict[str, bytes], Any]:
        if not path.is_file():
            return {}, {}
        regions = read_archive(path)[1].get("regions", {})
        templates = load_templates(path)
        parcels = [
            {
                "region": regions[parcel],
                "n_rows": len(one.response),
                "curves": template_curves(one.response @ one.finish),
            }
            for parcel, one in sorted(templates.items(), key=lambda item: int(item[0]))
        ]
        return {}, {"parcels": parcels[:MAX_PARCELS]}

    key = {"template": outputs[name], "version": STEP_VERSION["report"]}
    found: dict[str, Any] = shelf.get(key, draw, [] if path.is_file() else [name]).data
    return found


def _facts(layout: Layout, dataset: str) -> dict[str, Any]:
    path = layout.facts(dataset)
    if not path.is_file():
        # Somebody may have tidied up: the card says less then.
        return {}
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def _faults(
    layout: Layout, units: Mapping[tuple[str, str], _Unit], regions: list[str], datasets: list[str]
) -> dict[tuple[str, str, str], tuple[str, str | None]]:
    """Return the first job that could not use a recording, and the file at fault.

    By data set, stage and recording: the stage and the reason are in the release, the job is not.
    """
    jobs = [
        (dataset, stage, f"{dataset}/{unit}", receipt)
        for (dataset, unit), both in sorted(units.items())
        for stage, receipt in (("preprocess", both.preprocessed), ("pack", both.packed))
    ]
    jobs += [
        (dataset, stage, f"{dataset}/{key}", Receipt.read(receipt_beside(path(dataset, key))))
        for dataset in datasets
        for stage, path in (("extract", layout.series), ("derive", layout.trials))
        for key in regions
    ]
    found: dict[tuple[str, str, str], tuple[str, str | None]] = {}
    for dataset, stage, job, receipt in jobs:
        for name, outcome in receipt.recordings.items():
            if outcome.state != "done" or outcome.reason is not None:
                found.setdefault((dataset, stage, name), (job, outcome.file))
    return found


def _with_facts(
    row: dict[str, Any],
    units: Mapping[tuple[str, str], _Unit],
    faults: Mapping[tuple[str, str, str], tuple[str, str | None]],
) -> dict[str, Any]:
    """Add what the table does not hold: quality of those left out later, log, file at fault."""
    facts: dict[str, Any] = {"log": None, "file": None}
    unit = units.get((row["dataset"], row["unit"]))
    if unit is not None:
        quality: dict[str, Any] = {}
        for receipt in (unit.preprocessed, unit.packed):
            quality |= receipt.notes["quality"].get(row["recording"], {})
        facts |= {name: value for name, value in quality.items() if row.get(name) is None}
    if row["reason"] is not None and row["stage"] is not None:
        of_curation = (row["dataset"], None)
        fault = faults.get((row["dataset"], row["stage"], row["recording"]), of_curation)
        if row["stage"] == PUBLISH:
            return row | facts | {"log": f"logs/{PUBLISH}.log"}
        log = Layout(Path()).log(row["stage"], *fault[0].split("/"))
        facts |= {"log": log.as_posix(), "file": fault[1]}
    return row | facts


def _recording_set(
    layout: Layout, row: Mapping[str, Any], units: Mapping[tuple[str, str], _Unit], shelf: Shelf
) -> PictureSet:
    unit = units.get((row["dataset"], row["unit"]))
    store = layout.store(row["dataset"], row["recording"])
    packed = store.relative_to(layout.output).as_posix()
    if unit is None or packed not in unit.packed.outputs or row["modality"] == "eeg":
        return PictureSet()
    own = unit.preprocessed.notes["files"].get(row["recording"], [])
    others = unit.preprocessed.outputs
    of_person = f"{stem(row['t1w']).removesuffix('_T1w')}_space-" if row["t1w"] else None
    named = {
        "confounds": next((path for path in own if path.endswith(_CONFOUNDS)), None),
        "boldref": next((p for p in own if p.endswith(_BOLDREF) and "_space-" in p), None),
        "t1w": next(
            (
                path
                for path in sorted(others)
                if of_person and path.endswith(_T1W) and Path(path).name.startswith(of_person)
            ),
            None,
        ),
    }
    raw = layout.raw(row["dataset"]) / row["path"] if row["path"] else None
    paths = {name: layout.output / path if path else None for name, path in named.items()}
    threshold: float = unit.packed.parameters["pack"]["quality"]["fd_threshold"]
    there = {name: path if path and path.is_file() else None for name, path in paths.items()}
    key = {
        "pictures": "recording",
        "version": STEP_VERSION["report"],
        "store": unit.packed.outputs[packed],
        "fd_threshold": threshold,
        **{name: others.get(path) if path else None for name, path in named.items()},
        "raw": row["sha256"],
    }
    # Somebody may remove what is large and not needed any more.
    missing = [name for name, path in there.items() if path is None]
    missing += [] if store.is_file() else ["store"]
    missing += [] if raw is not None and raw.is_file() else ["raw"]

    def draw() -> tuple[dict[str, bytes], None]:
        made = recording_pictures(
            store,
            there["confounds"],
            there["boldref"],
            there["t1w"],
            raw=raw,
            fd_threshold=threshold,
        )
        return made, None

    return shelf.get(key, draw, missing)


def _responses(
    layout: Layout,
    tables: Tables,
    datasets: list[str],
    key: str,
    shelf: Shelf,
    left_out: list[str],
) -> Responses:
    region = key.rpartition("-")[0]
    # From the jobs' receipts: what they hash is in the release, and nothing need be read for it.
    shards = [
        Receipt.read(receipt_beside(path(dataset, key))).outputs
        for dataset in datasets
        for path in (layout.series, layout.trials)
    ]
    columns = ["dataset", "recording", "subject"]

    def draw() -> tuple[dict[str, bytes], Any]:
        series = tables["series"].to_pandas(
            [*columns, "values", "start", "sampling_frequency"],
            where={"region": region, "strategy": STRATEGY},
        )
        trials = tables["trials"].to_pandas(
            [*columns, "trial", "onset", "trial_type"], where={"region": region}
        )
        # Several models estimate the same trial.
        trials = trials.drop_duplicates(["dataset", "recording", "trial"])
        return {}, asdict(average_responses(series, trials))

    content = {"responses": shards, "strategy": STRATEGY, "version": STEP_VERSION["report"]}
    if left_out:
        content["left out"] = left_out
    return Responses.from_json(shelf.get(content, draw).data)


def _template(shelf: Shelf) -> str:
    key = {"pictures": "template", "version": STEP_VERSION["report"]}
    return shelf.get(key, lambda: ({TEMPLATE: template_picture()}, None)).files[TEMPLATE]


def _image_stores(
    layout: Layout, units: Mapping[tuple[str, str], _Unit]
) -> dict[str, dict[str, Path]]:
    """Return the stores of images by data set and recording; EEG has no voxels."""
    found: dict[str, dict[str, Path]] = {}
    for (dataset, _), unit in sorted(units.items()):
        images = {stem(path): layout.output / path for path in unit.packed.outputs}
        own = {name: path for name, path in images.items() if name.endswith("_bold")}
        found.setdefault(dataset, {}).update(own)
    return found


def _trial_counts(tables: Tables) -> TrialCounts:
    columns = ["dataset", "recording", "trial", "estimate", "reason"]
    table = tables["trials"].to_pyarrow(columns)
    n_trials = table.group_by(columns[:3]).aggregate([]).num_rows
    missing = table.filter(pc.is_null(table["estimate"]))
    reasons = pc.fill_null(missing["reason"], _NO_REASON).value_counts().to_pylist()
    counts = {one["values"]: one["counts"] for one in reasons}
    ordered = dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
    return TrialCounts(n_trials, table.num_rows - missing.num_rows, ordered)


def _signals(tables: Tables) -> list[dict[str, Any]]:
    """Return what is known of each process, per data set and task: the same in all of its rows."""
    key = ["dataset", "task", "process"]
    evidence = [f"evidence_{name}" for name in ("r", "lower", "upper", "p", "people", "reason")]
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    columns = [*key, "regions", "target", "target_model", *evidence]
    for batch in tables["signals"].to_pyarrow(columns).to_batches(max_chunksize=10_000):
        keys = batch.select(key).to_pandas().drop_duplicates()
        for row in batch.take(pa.array(keys.index)).to_pylist():
            found.setdefault((row["dataset"], row["task"] or "", row["process"]), row)
    return [found[name] for name in sorted(found)]


def _coverage(tables: Tables) -> dict[str, float]:
    table: pa.Table = tables["series"].to_pyarrow(["region", "coverage"])
    least = table.group_by("region").aggregate([("coverage", "min")]).to_pylist()
    return {row["region"]: row["coverage_min"] for row in least if row["coverage_min"] is not None}


def _region_quality(tables: Tables) -> dict[str, dict[str, float | None]]:
    """Return the median over recordings of each region's tSNR and signal loss."""
    names = ["tsnr", "signal_loss"]
    table = tables["series"].to_pandas(["region", *names], where={"strategy": "none"})
    medians = table.groupby("region")[names].median().reset_index().to_dict("records")
    return {
        row["region"]: {name: None if pd.isna(row[name]) else row[name] for name in names}
        for row in medians
    }
