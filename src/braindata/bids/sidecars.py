"""JSON sidecars, with inheritance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from braindata.bids.entities import entities
from braindata.bids.inheritance import inherited
from braindata.errors import DataError


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
        When a sidecar is no valid JSON.
    """
    # bids2table's reader passes over a sidecar that is broken or has a byte-order mark, so that
    # its values would be missing unnoticed.
    metadata: dict[str, Any] = {}
    for path in reversed(inherited(root, recording, entities(recording)["suffix"], ".json")):
        try:
            values = json.loads((root / path).read_text(encoding="utf-8-sig"))
            metadata |= values
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise DataError(
                f"the sidecar {path} is no valid JSON object ({error})",
                file=root / path,
                hint="correct it, or delete it if it says nothing",
            ) from error
    return metadata
