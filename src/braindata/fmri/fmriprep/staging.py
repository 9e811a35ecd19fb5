"""What fMRIPrep is given of a data set: one person's recordings that are used, and no other.

Filters of pybids select products of entities: that run 1 of one task and run 2 of another are used
cannot be said. So each job has a BIDS folder of its own that holds just its files, as real files
(a container follows no link that leads out of what is mounted); and a filter file beside it, which
says the same as far as it can be said, for whoever reads the log.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from braindata.bids.derived import run_of
from braindata.bids.entities import entities
from braindata.files import atomic_path

# Anatomical images that fMRIPrep uses.
_ANATOMICAL = frozenset({"T1w", "T2w", "FLAIR"})
_IMAGES = (".nii", ".nii.gz")
# pybids' names of the entities that tell runs apart.
_ENTITIES = ("session", "task", "acquisition", "ceagent", "reconstruction", "direction", "run")


def select_files(paths: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the files of a data set that fMRIPrep needs for some recordings of one person.

    Parameters
    ----------
    paths : iterable of str
        All files of the data set.
    rows : sequence of mapping
        Their rows of the inventory.
    """
    subject = f"sub-{rows[0]['subject']}"
    runs = {run_of(row["path"]) for row in rows}
    sessions = {_session(row["path"]) for row in rows}
    # The anatomical image may be of another session than the recordings.
    of_anatomy = sessions | {_session(row["t1w"]) for row in rows if row["t1w"]}
    found = []
    for path in paths:
        parts = path.split("/")
        if len(parts) == 1:
            wanted = parts[0].endswith((".json", ".tsv")) or parts[0] == ".bidsignore"
        elif parts[0] != subject:
            wanted = False
        else:
            wanted = _is_needed(path, parts, runs, sessions, of_anatomy)
        if wanted:
            found.append(path)
    return sorted(found)


def _is_needed(
    path: str,
    parts: list[str],
    runs: set[tuple[tuple[str, str], ...]],
    sessions: set[str | None],
    of_anatomy: set[str | None],
) -> bool:
    session = _session(path)
    folder = parts[-2]
    suffix = entities(path).get("suffix")
    if folder == "anat":
        return suffix in _ANATOMICAL and session in of_anatomy
    if session is not None and session not in sessions:
        return False
    if folder == "func" and path.endswith(_IMAGES):
        return suffix in ("bold", "sbref") and run_of(path) in runs
    # Tables and sidecars lie above, too.
    return folder in ("func", "fmap") or folder.startswith(("sub-", "ses-"))


def _session(path: str) -> str | None:
    second = [*path.split("/"), ""][1]
    return second if second.startswith("ses-") else None


def stage_files(root: Path, paths: Iterable[str], target: Path) -> None:
    """Bring files to a folder of their own, as real files: one more name each, or a copy."""
    for path in paths:
        origin = Path(os.path.realpath(root / path))
        with atomic_path(target / path) as part:
            try:
                part.hardlink_to(origin)
            except OSError:
                # Another disk, or a file that is somebody else's.
                shutil.copyfile(origin, part)


def bids_filter(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[str | int | None]]]:
    """Return the filter of pybids that the recordings pass: for each entity the values there are.

    None stands for recordings without the entity.
    """
    chosen: dict[str, list[str | int | None]] = {}
    for name in _ENTITIES:
        values = {_value(name, row[name]) for row in rows}
        if values != {None}:
            chosen[name] = sorted(values, key=lambda value: (value is None, str(value)))
    return {"bold": chosen}


def _value(name: str, value: str | None) -> str | int | None:
    # pybids knows runs by their number.
    return int(value) if name == "run" and value is not None and value.isdecimal() else value
