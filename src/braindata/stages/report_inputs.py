"""What the report shows, gathered from a release, from receipts and from what is drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from braindata.bids.entities import stem
from braindata.layout import Layout
from braindata.receipts import Receipt, receipt_beside
from braindata.report.eeg_page import EegPage
from braindata.report.pictures import PictureSet, Shelf
from braindata.report.site import Corpus
from braindata.stages.costs import gather_costs
from braindata.stages.job import unit_receipts
from braindata.stages.pseudonymising import pseudonyms_of, with_labels
from braindata.stages.recordings import PUBLISH
from braindata.stages.report_eeg import eeg_series, recording_page
from braindata.stages.report_pictures import (
    STRATEGY,
    alignment_template,
    recording_set,
    responses,
    template,
)
from braindata.stages.report_regions import region_sets
from braindata.stages.report_tables import (
    least_coverage,
    region_quality,
    signal_evidence,
    trial_counts,
)
from braindata.tables.reading import open_tables


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
        pictures[at] = PictureSet()
        unit = units.get((row["dataset"], labelled["unit"]))
        if unit is not None and row["modality"] == "eeg":
            made = recording_page(layout, labelled, unit.preprocessed, courses.get(at, []), shelf)
            eeg |= {} if made is None else {at: made}
        elif unit is not None:
            pictures[at] = recording_set(layout, labelled, unit.preprocessed, unit.packed, shelf)
    regions = tables["regions"].to_pyarrow().to_pylist()
    return Corpus(
        release=release,
        recordings=recordings,
        regions=regions,
        trials=trial_counts(tables),
        coverage=least_coverage(tables),
        region_quality=region_quality(tables),
        eeg=eeg,
        signals=signal_evidence(tables),
        costs=gather_costs(layout),
        strategy=STRATEGY,
        responses={
            row["region"]: responses(
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
            (dataset, *group.rsplit("-", 1)): alignment_template(layout, dataset, group, shelf)
            for dataset in datasets
            for group in published.parameters.get("groups", ())
        },
        template=template(shelf) if any(one.files for one in pictures.values()) else None,
        facts={
            dataset: _facts(layout, dataset) if own is None else own.value(_facts(layout, dataset))
            for dataset, own in names.items()
        },
    )


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
