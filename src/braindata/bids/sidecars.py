"""JSON sidecars, with inheritance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from braindata.bids.entities import entities
from braindata.bids.inheritance import Tree
from braindata.errors import DataError

# Keys that decide how a recording is read: two files of one folder may not differ in them.
DECISIVE = ("RepetitionTime",)


def sidecar(tree: Tree, recording: str) -> dict[str, Any]:
    """Return the metadata of a recording from all sidecars that apply to it.

    Parameters
    ----------
    tree : Tree
        The BIDS folder.
    recording : str
        Path of the recording below its root.

    Raises
    ------
    DataError
        When a sidecar is no valid JSON object or cannot be read, or two in one folder state
        different values of a key of `DECISIVE`.
    """
    # bids2table's reader passes over a sidecar that is broken or has a byte-order mark, so that
    # its values would be missing unnoticed.
    metadata: dict[str, Any] = {}
    stated: dict[tuple[Path, str], str] = {}
    for path in reversed(tree.inherited(recording, entities(recording)["suffix"], ".json")):
        values = tree.read_object(path)
        for key in DECISIVE:
            if key not in values:
                continue
            # A nearer folder may overrule; within one BIDS allows one file only.
            other = stated.setdefault(((tree.root / path).parent, key), path)
            if other != path and values[key] != metadata[key]:
                raise DataError(
                    f"two sidecars contradict each other: {key} is {metadata[key]!r} in "
                    f"{Path(other).name}, {values[key]!r} in {Path(path).name}",
                    file=tree.root / path,
                    hint="keep the one that is right: BIDS allows one that applies per folder",
                )
        metadata |= values
    return metadata


def stated_in(tree: Tree, recording: str, key: str) -> Path | None:
    """Return the sidecar whose value of a key counts for a recording; None where none has it."""
    suffix = entities(recording)["suffix"]
    for path in tree.inherited(recording, suffix, ".json"):
        if key in tree.read_object(path):
            return tree.root / path
    return None
