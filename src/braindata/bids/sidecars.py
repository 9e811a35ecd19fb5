"""JSON sidecars, with inheritance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from braindata.bids.entities import entities
from braindata.bids.inheritance import inherited
from braindata.errors import DataError

# Keys that decide how a recording is read: two files of one folder may not differ in them.
DECISIVE = ("RepetitionTime",)


def sidecar(root: Path, recording: str) -> dict[str, Any]:
    """Return the metadata of a recording from all sidecars that apply to it.

    Parameters
    ----------
    root : Path
        The BIDS folder.
    recording : str
        Path of the recording below `root`.

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
    for path in reversed(inherited(root, recording, entities(recording)["suffix"], ".json")):
        values = _read_object(root / path)
        for key in DECISIVE:
            if key not in values:
                continue
            # A nearer folder may overrule; within one BIDS allows one file only.
            other = stated.setdefault(((root / path).parent, key), path)
            if other != path and values[key] != metadata[key]:
                raise DataError(
                    f"two sidecars contradict each other: {key} is {metadata[key]!r} in "
                    f"{Path(other).name}, {values[key]!r} in {Path(path).name}",
                    file=root / path,
                    hint="keep the one that is right: BIDS allows one that applies per folder",
                )
        metadata |= values
    return metadata


def stated_in(root: Path, recording: str, key: str) -> Path | None:
    """Return the sidecar whose value of a key counts for a recording; None where none has it."""
    suffix = entities(recording)["suffix"]
    for path in inherited(root, recording, suffix, ".json"):
        if key in _read_object(root / path):
            return root / path
    return None


def _read_object(path: Path) -> dict[str, Any]:
    if path.is_fifo():
        raise DataError(
            "this is a pipe, where a sidecar is due: reading it would never end",
            file=path,
            hint="put a JSON file in its place, or delete it",
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(
            f"the sidecar cannot be read ({error.strerror})",
            file=path,
            hint="fetch it (git annex get, datalad get), or delete it if it says nothing",
        ) from error
    # ValueError: no JSON, no UTF-8, a number of too many digits. RecursionError: endless nesting.
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"the sidecar is no valid JSON ({error})",
            file=path,
            hint="correct it, or delete it if it says nothing",
        ) from error
    if not isinstance(values, dict):
        raise DataError(
            "the sidecar is no JSON object",
            file=path,
            hint='it must be of the form {"key": value}; delete it if it says nothing',
        )
    return values
