"""What a BIDS folder says of itself. Read whenever a run is planned, so it imports little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from braindata.errors import UsageError


def dataset_description(root: Path) -> dict[str, Any]:
    """Return `dataset_description.json` of a BIDS folder.

    Raises
    ------
    UsageError
        When it is no JSON object.
    """
    path = root / "dataset_description.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"this is not valid JSON ({error})", file=path, hint="correct it: BIDS asks for it"
        ) from error
    if not isinstance(description, dict):
        raise UsageError(
            "this must be a JSON object",
            file=path,
            hint='the least is {"Name": "…", "BIDSVersion": "1.9.0"}',
        )
    return description
