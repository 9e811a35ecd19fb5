"""What the report shows that has to be drawn or averaged: from its shelf, or made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from braindata.align.archive import read_archive
from braindata.align.template import load_templates
from braindata.bids.entities import stem
from braindata.layout import Layout
from braindata.receipts import Receipt, receipt_beside
from braindata.report.alignment import MAX_PARCELS, template_curves
from braindata.report.pictures import PictureSet, Shelf
from braindata.report.recording_pictures import recording_pictures, template_picture
from braindata.report.responses import Responses, average_responses
from braindata.stages import STEP_VERSION
from braindata.tables.reading import Tables

# The strategy whose series are averaged: drifts and head motion would drown single responses.
STRATEGY = "simple"
TEMPLATE = "template.webp"
_CONFOUNDS = "_desc-confounds_timeseries.tsv"
_BOLDREF = "_boldref.nii.gz"
_T1W = "_desc-preproc_T1w.nii.gz"


def recording_set(
    layout: Layout, row: Mapping[str, Any], preprocessed: Receipt, packed: Receipt, shelf: Shelf
) -> PictureSet:
    """Return the pictures of an fMRI recording; none where it is not packed.

    Parameters
    ----------
    layout : Layout
        The output folder.
    row : mapping
        Of the inventory, people with their labels.
    preprocessed, packed : Receipt
        Of its unit.
    shelf : Shelf
        The pictures.
    """
    store = layout.store(row["dataset"], row["recording"])
    stored = store.relative_to(layout.output).as_posix()
    if stored not in packed.outputs:
        return PictureSet()
    own = preprocessed.notes["files"].get(row["recording"], [])
    others = preprocessed.outputs
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
    threshold: float = packed.parameters["pack"]["quality"]["fd_threshold"]
    there = {name: path if path and path.is_file() else None for name, path in paths.items()}
    key = {
        "pictures": "recording",
        "version": STEP_VERSION["report"],
        "store": packed.outputs[stored],
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


def responses(
    layout: Layout,
    tables: Tables,
    datasets: list[str],
    key: str,
    shelf: Shelf,
    left_out: list[str],
) -> Responses:
    """Return the mean responses of a region to each type of trial.

    Parameters
    ----------
    layout : Layout
        The output folder.
    tables : Tables
        The release.
    datasets : list of str
        Its data sets.
    key : str
        The region's name and the hash of its definition.
    shelf : Shelf
        Where they are kept.
    left_out : list of str
        Recordings that the release leaves out.
    """
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


def template(shelf: Shelf) -> str:
    """Return the name of the file with the template's picture."""
    key = {"pictures": "template", "version": STEP_VERSION["report"]}
    return shelf.get(key, lambda: ({TEMPLATE: template_picture()}, None)).files[TEMPLATE]


def alignment_template(layout: Layout, dataset: str, group: str, shelf: Shelf) -> dict[str, Any]:
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
