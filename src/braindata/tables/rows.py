"""Rows of the small tables, from what earlier stages left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braindata.regions.definition import Region
from braindata.tables.keys import stimulus_id

# BIDS: paths in `stim_file` start in this folder of the data set.
STIMULI_FOLDER = "stimuli"
TEXT_EXTENSIONS = (".txt", ".tsv", ".csv", ".json", ".md")


def region_row(definition: Mapping[str, Any], size: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of one region.

    Parameters
    ----------
    definition : mapping
        The region, as JSON.
    size : mapping
        `template`, `placement`, `x`, `y`, `z`, `n_voxels` and `volume` on the grid of the
        recordings; empty where there was no recording.
    """
    region = Region.model_validate(definition)
    body = region.definition.model_dump(mode="json")
    return {
        "region": region.name,
        "definition_hash": region.definition_hash,
        "level": region.level,
        "processes": list(region.processes),
        "kind": region.definition.kind,
        "space": region.space,
        "definition": json.dumps(body, sort_keys=True),
        "references": list(region.references),
        "sources": region.definition.sources(),
        **size,
    }


def stimuli_rows(
    dataset: str, shown: Mapping[str, int], sha256: Mapping[str, str], root: Path
) -> list[dict[str, Any]]:
    """Return a row for each stimulus of a data set, sorted by file.

    Parameters
    ----------
    dataset : str
        Identifier of the data set.
    shown : mapping of str to int
        `stim_file` as the events name it, and how many events show it.
    sha256 : mapping of str to str
        Hash of each file of the data set by path; a stimulus that is not there has none.
    root : Path
        The data set, to read text from.
    """
    rows = []
    for name in sorted(shown):
        # Some data sets write the folder into the column, which BIDS forbids.
        below = name.removeprefix(f"{STIMULI_FOLDER}/")
        path = f"{STIMULI_FOLDER}/{below}"
        there = path in sha256
        rows.append(
            {
                "dataset": dataset,
                "stimulus": stimulus_id(dataset, name),
                "stim_file": name,
                "sha256": sha256.get(path),
                "n_trials": shown[name],
                "text": _text(root / path) if there and name.endswith(TEXT_EXTENSIONS) else None,
            }
        )
    return rows


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return None
