"""Variants: recordings of one kind that were acquired alike (after CuBIDS).

Covitz et al. 2022, doi:10.1016/j.neuroimage.2022.119609.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Recordings are of one kind when they agree in these.
KIND = {"task": "task", "acq": "acquisition", "rec": "reconstruction", "dir": "direction"}
# The number of decimals to which numbers count as equal: scanners round as they like.
PARAMETERS: dict[str, int | None] = {
    "tr": 3,
    "echo_time": 4,
    "flip_angle": 1,
    "voxel_size": 2,
    "shape": None,
    "phase_encoding": None,
    "slice_timing": None,
    "n_echoes": None,
    "manufacturer": None,
    "scanner": None,
    "field_strength": 1,
}


def name_variants(rows: Sequence[dict[str, Any]]) -> None:
    """Set `variant` in rows of `recordings`; null where the image was not opened.

    Within a kind the variant of most recordings is the first; of as many, the one whose recording
    comes first by name. The first recording of each by name is its exemplar.
    """
    kinds: dict[str, dict[tuple[Any, ...], list[dict[str, Any]]]] = {}
    for row in sorted(rows, key=lambda row: (str(row["recording"]), str(row["path"]))):
        if row["voxel_size"] is None and row["n_samples"] is None:
            continue
        named = [f"{key}-{row[column]}" for key, column in KIND.items() if row[column] is not None]
        of_kind = kinds.setdefault("_".join(named) or "untitled", {})
        of_kind.setdefault(_key(row), []).append(row)
    for kind, variants in kinds.items():
        # The sort is stable: recordings are sorted by name.
        ordered = sorted(variants.values(), key=lambda members: -len(members))
        for number, members in enumerate(ordered, start=1):
            for row in members:
                row["variant"] = f"{kind}_variant-{number}"


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(_rounded(row[name], digits) for name, digits in PARAMETERS.items())


def _rounded(value: Any, digits: int | None) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_rounded(one, digits) for one in value)
    return value if digits is None or value is None else round(value, digits)
