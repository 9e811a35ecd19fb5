"""Which files of a data set are recordings, by modality, and which T1w image goes with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import bids2table

from braindata.bids.entities import EEG_EXTENSIONS, entity_columns, stem
from braindata.curate.accounting import IMAGE_EXTENSIONS

EXTENSIONS = {
    "fmri": IMAGE_EXTENSIONS,
    "eeg": EEG_EXTENSIONS,
}
SUFFIXES = {"fmri": "bold", "eeg": "eeg"}


def index_images(root: Path) -> list[str]:
    """Return the paths of all images of a BIDS folder, sorted, from bids2table's index."""
    table = bids2table.index_dataset(root)
    rows = table.select(["path", "ext"]).to_pylist()
    return sorted(row["path"] for row in rows if row["ext"] in IMAGE_EXTENSIONS)


def recordings_of(root: Path, images: Sequence[str], modalities: Sequence[str]) -> dict[str, str]:
    """Return the recordings of some modalities.

    Parameters
    ----------
    root : Path
        The BIDS folder.
    images : sequence of str
        Paths of its images.
    modalities : sequence of {"fmri", "eeg"}
        Those asked for.

    Returns
    -------
    dict of str to str
        Modality by path; of several files of one EEG recording the one that is opened.
    """
    found: dict[str, str] = {}
    if "fmri" in modalities:
        found |= {path: "fmri" for path in images if stem(path).endswith("_bold")}
    if "eeg" in modalities:
        table = bids2table.index_dataset(root).select(["path", "ext", "suffix", "datatype"])
        found |= {
            row["path"]: "eeg"
            for row in sorted(table.to_pylist(), key=lambda row: str(row["path"]))
            if row["datatype"] == row["suffix"] == "eeg" and row["ext"] in EXTENSIONS["eeg"]
        }
    return found


def not_asked_for(paths: Iterable[str], modalities: Sequence[str]) -> list[str]:
    """Say which modalities a data set has and its configuration does not name.

    Parameters
    ----------
    paths : iterable of str
        All files.
    modalities : sequence of {"fmri", "eeg"}
        Those asked for.
    """
    paths = list(paths)
    said = []
    for modality, suffix in SUFFIXES.items():
        files = {
            path
            for path in paths
            if path.startswith("sub-")
            and path.endswith(EXTENSIONS[modality])
            and stem(path).endswith(f"_{suffix}")
        }
        if files and modality not in modalities:
            wanted = ", ".join((*modalities, modality))
            said.append(
                f"files of {modality} that are not used: {len(files)} "
                f"(`modalities: [{wanted}]` of this data set uses them)"
            )
    return said


def t1ws_by_subject(images: Iterable[str]) -> dict[str, list[str]]:
    """Return the T1w images of each subject."""
    found: dict[str, list[str]] = {}
    for path in images:
        if stem(path).endswith("_T1w"):
            found.setdefault(entity_columns(path)["subject"] or "", []).append(path)
    return found


def choose_t1w(own: Sequence[str], session: str | None) -> tuple[str | None, list[str]]:
    """Return a subject's T1w, of the same session where there is one, and what is odd about it."""
    same = [path for path in own if entity_columns(path)["session"] == session]
    candidates = sorted(same or own)
    if not candidates:
        return None, []
    names = [PurePosixPath(path).name for path in candidates]
    odd = [f"of {len(names)} T1w images the first by name is used: {names[0]}"]
    return candidates[0], odd if len(names) > 1 else []
