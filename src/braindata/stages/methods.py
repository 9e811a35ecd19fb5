"""What the methods text needs to know, from the receipts of the newest release."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from braindata.align.parameters import AlignSettings
from braindata.bids.description import dataset_description
from braindata.curate.parameters import CurateParameters
from braindata.derive.connectivity_parameters import ConnectivityParameters
from braindata.derive.parameters import DeriveParameters
from braindata.errors import BraindataError
from braindata.extract.parameters import ExtractParameters
from braindata.files import write_text
from braindata.fmri.parameters import NativeParameters
from braindata.layout import UNIT_FOLDERS, Layout
from braindata.pack.parameters import QualityParameters
from braindata.receipts import Receipt, content_hash, receipt_beside
from braindata.regions.definition import Region
from braindata.report.measures import loss_words
from braindata.report.methods import (
    DatasetFacts,
    MethodsFacts,
    MethodsText,
    Pipeline,
    methods,
)
from braindata.stages.job import unit_receipts
from braindata.tables.reading import open_tables

Model = TypeVar("Model", bound=BaseModel)

# As `stages.preprocess_native.BACKEND`, whose import compiles for seconds.
NATIVE = "native"
_DOI = re.compile(r"10\.\d{4,9}/\S+")


def collect_facts(layout: Layout) -> MethodsFacts:
    """Collect what ran for the newest release.

    A stage counts as run when it has a receipt with a recording that is done (or, for curation, a
    receipt).

    Raises
    ------
    BraindataError
        When a receipt is missing, or two of one stage were made with different parameters.
    """
    published = Receipt.read(layout.receipt("tables", "publish"))
    datasets, regions = (published.parameters[key] for key in ("datasets", "regions"))
    pulled = [Receipt.read(layout.receipt("raw", name)) for name in datasets]
    curated = [Receipt.read(layout.receipt("curated", name)) for name in datasets]
    units = {
        folder: [r for name in datasets for r in unit_receipts(layout, folder, name).values()]
        for folder in UNIT_FOLDERS
    }
    of_regions = {
        stage: [
            Receipt.read(receipt_beside(path(name, region)))
            for name in datasets
            for region in regions
        ]
        for stage, path in (("extract", layout.series), ("derive", layout.trials))
    }
    preprocessed = [r for r in _with_results(units["derivatives"]) if NATIVE in _fmri(r)]
    aligned = [
        receipt
        for name in datasets
        for group in published.parameters.get("groups", ())
        if (receipt := Receipt.read(receipt_beside(layout.alignment(name, group)))).notes["method"]
    ]
    extracted, derived = (_with_results(of_regions[stage]) for stage in ("extract", "derive"))
    both = zip(of_regions["extract"], of_regions["derive"], strict=True)
    # In EEG there are features of trials, and no model of a response.
    modelled = _with_results(trials for series, trials in both if series.notes.get("size"))
    coupled = [Receipt.read(receipt_beside(layout.connectivity(name))) for name in datasets]
    coupled = _with_results(coupled)
    # Where nothing was extracted from images, how it would have been says nothing.
    settings = [{"extract": r.parameters["extract"]} for r in extracted if r.notes["size"]]
    ran = [
        *pulled,
        *curated,
        *preprocessed,
        *_with_results(units["packed"]),
        *extracted,
        *derived,
        *coupled,
        *aligned,
    ]
    definitions = {_key(receipt): receipt.parameters["region"] for receipt in of_regions["extract"]}
    parameters = _common("extract", settings)
    processes = [
        Receipt.read(receipt_beside(layout.signals(name, process)))
        for name in datasets
        for process in published.parameters.get("processes", ())
    ]
    ran += _with_results(processes)
    return MethodsFacts(
        datasets=_datasets(layout, published.notes["release"]),
        curate=_model(CurateParameters, "curate", [r.parameters["curate"] for r in curated]),
        preprocess=_model(NativeParameters, "preprocess", [_fmri(r)[NATIVE] for r in preprocessed]),
        space=_common("preprocess", [s for r in preprocessed for s in r.notes["space"].values()]),
        extract=parameters and ExtractParameters.model_validate(parameters["extract"]),
        regions=tuple(Region.model_validate(definitions[region]) for region in sorted(definitions)),
        derive=_model(DeriveParameters, "derive", [r.parameters["derive"] for r in modelled]),
        versions=_versions([*ran, published]),
        chosen=_is_chosen(published, curated),
        pipelines=_pipelines(_with_results(units["derivatives"])),
        quality=_model(
            QualityParameters,
            "pack",
            [r.parameters["pack"]["quality"] for r in _with_results(units["packed"])],
        ),
        connectivity=_model(
            ConnectivityParameters,
            "connectivity",
            [r.parameters["connectivity"] for r in coupled if len(regions) > 1],
        ),
        eeg_coupling=bool(published.parameters.get("sensors")),
        align=_model(AlignSettings, "align", [r.parameters["align"] for r in aligned]),
        aligned=Counter(receipt.notes["method"] for receipt in aligned),
        losses=_losses(layout, published.notes["release"]),
        placements={
            receipt.parameters["region"]["name"]: receipt.notes["size"]["placement"]
            for receipt in extracted
            if "placement" in receipt.notes.get("size", {})
        },
        n_processes=len({_key(receipt) for receipt in _with_results(processes)}),
    )


def write_methods(layout: Layout) -> tuple[list[Path], MethodsText]:
    """Write ``methods.md`` and ``references.bib`` beside the report.

    Returns
    -------
    paths : list of Path
        The two files.
    text : MethodsText
        With the HTML fragment for the report.
    """
    text = methods(collect_facts(layout))
    folder = layout.report().parent
    files = {folder / "methods.md": text.markdown, folder / "references.bib": text.bibtex}
    for path, body in files.items():
        write_text(path, body)
    return list(files), text


def _pipelines(preprocessed: Iterable[Receipt]) -> tuple[Pipeline, ...]:
    """Count the recordings that others than we ourselves preprocessed, by what it was."""
    found: Counter[tuple[str, bool, str]] = Counter()
    for receipt in preprocessed:
        notes = receipt.notes
        for name, pipeline in notes.get("pipeline", {}).items():
            told = ", ".join(f"{one} {version}" for one, version in pipeline.items())
            published = notes["backend"][name] == "derivatives"
            found[told, published, notes["space"][name]] += 1
    return tuple(Pipeline(*key, n_recordings=n) for key, n in sorted(found.items()))


def _losses(layout: Layout, release: int) -> str | None:
    columns = ["status", "ofc_signal_loss", "vmpfc_signal_loss"]
    table = open_tables(layout.output, version=release)["recordings"].to_pyarrow(columns=columns)
    return loss_words([row for row in table.to_pylist() if row["status"] == "used"])


def _is_chosen(published: Receipt, curated: Iterable[Receipt]) -> bool:
    """Whether rules or people leave out more than every configuration does."""
    told = [published.parameters.get("publish", {}).get("exclude")]
    told += [published.parameters.get("decisions")]
    for receipt in curated:
        told += [receipt.parameters["curate"].get(key) for key in ("exclude", "require_licence")]
        choice = receipt.parameters["choice"]
        told += [choice["subjects"], choice["tasks"], choice["decisions"]["exclude"]]
    return any(told)


def _with_results(receipts: Iterable[Receipt]) -> list[Receipt]:
    return [receipt for receipt in receipts if receipt.with_state("done")]


def _fmri(receipt: Receipt) -> dict[str, Any]:
    found: dict[str, Any] = receipt.parameters.get("fmri", {})
    return found


def _key(receipt: Receipt) -> str:
    return receipt.job.partition("/")[2]


def _common(stage: str, values: Iterable[Any]) -> Any:
    """Return what all receipts of a stage say; None when there is none."""
    found = {content_hash(value): value for value in values}
    if len(found) > 1:
        raise BraindataError(
            f"jobs of {stage} were run with different parameters",
            hint="run Snakemake again: it brings them in line",
        )
    return next(iter(found.values()), None)


def _model(model: type[Model], stage: str, parameters: Iterable[Any]) -> Model | None:
    found = _common(stage, parameters)
    return None if found is None else model.model_validate(found)


def _versions(receipts: Iterable[Receipt]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for receipt in receipts:
        for name, version in receipt.versions.items():
            found.setdefault(name, set()).add(version)
    return {name: tuple(sorted(versions)) for name, versions in sorted(found.items())}


def _datasets(layout: Layout, release: int) -> tuple[DatasetFacts, ...]:
    columns = ["dataset", "dataset_version", "subject", "task", "licence", "status", "reason"]
    table = open_tables(layout.output, version=release)["recordings"].to_pyarrow(columns=columns)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        rows.setdefault(row["dataset"], []).append(row)
    return tuple(_dataset(layout, name, rows[name]) for name in sorted(rows))


def _dataset(layout: Layout, name: str, rows: list[dict[str, Any]]) -> DatasetFacts:
    description = dataset_description(layout.raw(name))
    used = [row for row in rows if row["status"] == "used"]
    doi = _DOI.search(str(description.get("DatasetDOI") or ""))
    authors = description.get("Authors")
    return DatasetFacts(
        id=name,
        version=rows[0]["dataset_version"],
        name=_text(description.get("Name")),
        licence=rows[0]["licence"],
        doi=doi.group() if doi else None,
        authors=tuple(map(str, authors)) if isinstance(authors, list) else (),
        tasks=tuple(sorted({row["task"] for row in used if row["task"]})),
        n_recordings=len(rows),
        n_used=len(used),
        n_people=len({row["subject"] for row in used}),
        left_out=Counter(row["reason"] or "no reason" for row in rows if row["status"] != "used"),
    )


def _text(value: object) -> str | None:
    return str(value).strip() or None if value is not None else None
