"""What an exported release says of itself to people: the dataset card, and BIDS' description."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from braindata.tables.reading import Tables
from braindata.tables.releases import Release
from braindata.tables.view import TableView

# Those that Hugging Face has a name for without knowing which version it is.
_HUB_LICENCES = {"CC0": "cc0-1.0", "PDDL": "pddl", "ODC-By": "odc-by", "ODbL": "odbl"}
BIDS_VERSION = "1.10.0"
_STATED = ("dataset_version", "licence", "licence_class", "modality")


@dataclass(frozen=True)
class Source:
    """A data set in a release.

    Attributes
    ----------
    dataset : str
        Its identifier.
    versions, licences, licence_classes, modalities : tuple of str
        As all of its recordings have them; a licence that is not stated is not among them.
    n_people, n_recordings : int
        Of what is used.
    """

    dataset: str
    versions: tuple[str, ...]
    licences: tuple[str, ...]
    licence_classes: tuple[str, ...]
    modalities: tuple[str, ...]
    n_people: int
    n_recordings: int


def source_datasets(recordings: TableView) -> list[Source]:
    """Return the data sets of a release, by identifier."""
    wanted = ("dataset", "subject", "status", *_STATED)
    # An early release lacks some.
    columns = [name for name in wanted if name in recordings.schema.names]
    rows = recordings.to_pyarrow(columns).to_pylist()
    found = []
    for dataset in sorted({row["dataset"] for row in rows if row["dataset"]}):
        own = [row for row in rows if row["dataset"] == dataset]
        used = [row for row in own if row["status"] == "used"]
        found.append(
            Source(
                dataset,
                versions=_stated(own, "dataset_version"),
                licences=_stated(own, "licence"),
                licence_classes=_stated(own, "licence_class"),
                modalities=_stated(own, "modality"),
                n_people=len({row["subject"] for row in used}),
                n_recordings=len(used),
            )
        )
    return found


def _stated(rows: Sequence[Mapping[str, Any]], column: str) -> tuple[str, ...]:
    return tuple(sorted({row[column] for row in rows if row.get(column)}))


def licence_text(sources: Sequence[Source]) -> str:
    """Return under which licences the data are, in words."""
    stated = {source.dataset: ", ".join(source.licences) or "not stated" for source in sources}
    if len(set(stated.values())) == 1:
        return next(iter(stated.values()))
    return "; ".join(f"{dataset}: {licence}" for dataset, licence in stated.items())


def dataset_description(name: str, sources: Sequence[Source]) -> dict[str, Any]:
    """Return `dataset_description.json` of BIDS derivatives."""
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": licence_text(sources),
        "GeneratedBy": [{"Name": "braindata", "Version": version("braindata")}],
        "SourceDatasets": [
            {"Name": source.dataset, "Version": one}
            for source in sources
            for one in source.versions or ("unknown",)
        ],
    }


def dataset_card(name: str, tables: Tables, release: Release, sources: Sequence[Source]) -> str:
    """Return README.md with the header that Hugging Face reads."""
    rows = [
        f"| `{view.name}` | {len(view):,} | {_megabytes(release, view.name)} |"
        for view in map(tables.__getitem__, tables)
    ]
    of_sources = [
        f"| `{s.dataset}` | {_listed(s.versions)} | {_listed(s.licences)} | "
        f"{_listed(s.modalities)} | {s.n_people} | {s.n_recordings} |"
        for s in sources
    ]
    columns = [line for name_ in tables for line in _columns(name_, tables[name_].schema)]
    body = [
        f"# {name}",
        "",
        f"Release {release.number} ({release.created}) of tables of what each brain region did in "
        f"many people, made with braindata {version('braindata')} (schema version "
        f"{release.schema_version}).",
        "",
        "```python",
        "import datasets, pandas",
        "",
        'trials = datasets.load_dataset("FOLDER OR REPOSITORY", "trials", split="train")',
        'trials = pandas.read_parquet("FOLDER/trials")',
        "```",
        "",
        "A table without rows is there as a file, and unknown to `datasets`. `train` is only "
        "Hugging Face's name for all rows. Split by people (`dataset` and `subject`), never by "
        "rows: trials of one person resemble each other.",
        "",
        "| table | rows | size |",
        "|---|---|---|",
        *rows,
        "",
        "## Where the data are from",
        "",
        "| data set | version | licence | modality | people | recordings used |",
        "|---|---|---|---|---|---|",
        *of_sources,
        "",
        "Every row names its data set; cite these, and keep to their licences. They are "
        "recordings of people, who are not to be identified. `provenance.json` names the "
        "parameters and a hash of every input.",
        "",
        "## What to know before training on it",
        "",
        "A region's activity is not a process: that `vmpfc` responds to value in the literature "
        "does not make its signal a reward. Use the standard errors and held-out evidence that "
        "the tables hold. What is missing is null, with its `reason`; `recordings` says what was "
        "left out, and why.",
        "",
        "## Columns",
        "",
        *columns,
    ]
    return "\n".join([*_header(name, tables, sources), *body]) + "\n"


def _header(name: str, tables: Tables, sources: Sequence[Source]) -> list[str]:
    # JSON texts are YAML: nothing in a name can end the header.
    classes = sorted({one for source in sources for one in source.licence_classes or ("unknown",)})
    lines = ["---", f"pretty_name: {_quoted(name)}"]
    if classes and set(classes) <= set(_HUB_LICENCES):
        lines += ["license:", *(f"- {_HUB_LICENCES[one]}" for one in classes)]
    else:
        lines += [
            "license: other",
            "license_name: several-or-other",
            f"license_details: {_quoted(licence_text(sources) or 'no recordings')}",
        ]
    modalities = sorted({one for source in sources for one in source.modalities})
    lines += ["tags:", *(f"- {tag}" for tag in ("brain", "neuroscience", *modalities)), "configs:"]
    for table in tables:
        # Hugging Face's `datasets` refuses to load what has no rows.
        if len(tables[table]):
            lines += [f"- config_name: {table}", f"  data_files: {table}/*.parquet"]
    return [*lines, "---", ""]


def _columns(table: str, schema: pa.Schema) -> list[str]:
    rows = [
        f"| `{field.name}` | {field.type} | {_unit(field)} | {_description(field)} |"
        for field in schema
    ]
    return [
        f"### {table}",
        "",
        "| column | type | unit | |",
        "|---|---|---|---|",
        *(row.replace("list<element: ", "list<") for row in rows),
        "",
    ]


def _description(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"description", b"").decode()).replace("|", "\\|")


def _unit(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"unit", b"").decode()).replace("|", "\\|")


def _listed(texts: Sequence[str]) -> str:
    # A licence may be of any length and hold line breaks.
    return ", ".join(" ".join(text.split()).replace("|", "\\|") for text in texts) or "not stated"


def _megabytes(release: Release, table: str) -> str:
    return f"{release.tables[table].bytes / 1e6:,.1f} MB"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
