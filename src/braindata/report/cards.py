"""The card of a data set: who, how many, what task, what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

# What tells variants apart, with the title of its column.
PARAMETERS = {
    "tr": "TR (s)",
    "echo_time": "echo time (s)",
    "flip_angle": "flip angle (°)",
    "voxel_size": "voxel (mm)",
    "shape": "voxels",
    "n_echoes": "echoes",
    "phase_encoding": "phase encoding",
    "slice_timing": "slice times",
    "manufacturer": "manufacturer",
    "scanner": "scanner",
    "field_strength": "field (T)",
}
MAX_LISTED = 20


def dataset_cards(
    recordings: Sequence[Row], facts: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what the card of each data set says, by its name.

    Parameters
    ----------
    recordings : sequence of mapping
        Rows of `recordings`.
    facts : mapping of str to mapping
        By data set, what curation found out beside them; none of some data sets.
    """
    by_dataset: dict[str, list[Row]] = {}
    for row in recordings:
        by_dataset.setdefault(row["dataset"], []).append(row)
    return [_card(name, rows, facts.get(name, {})) for name, rows in sorted(by_dataset.items())]


def _card(name: str, rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, Any]:
    people = facts.get("participants", {})
    images = facts.get("images", {})
    told = variants(rows)
    # A column of which nobody states anything only makes the table wide.
    stated = [n for n in range(len(PARAMETERS)) if any(v["parameters"][n] != "–" for v in told)]
    return {
        "dataset": name,
        "licence": rows[0]["licence_class"],
        "n_people": len({row["subject"] for row in rows if row["subject"]}),
        "n_listed": people.get("n", 0),
        "columns": [
            {"name": column, "said": describe_column(said), "about": said.get("description")}
            for column, said in people.get("columns", {}).items()
        ],
        "tasks": _tasks(rows),
        "left_out": _reasons(rows),
        "parameters": [list(PARAMETERS.values())[n] for n in stated],
        "variants": [v | {"parameters": [v["parameters"][n] for n in stated]} for v in told],
        "images": sorted(images.items(), key=lambda one: (-one[1], one[0])),
        "n_images": sum(images.values()),
        "misnamed": facts.get("misnamed", [])[:MAX_LISTED],
        "warnings": facts.get("warnings", []),
        "defaced": _defaced(rows),
        "terms": facts.get("terms", {}).get("stated", {}),
        "terms_files": facts.get("terms", {}).get("files", []),
    }


def _defaced(rows: Sequence[Row]) -> dict[str, int]:
    """Return how many T1w images look defaced, do not, and which cannot be told."""
    of_image = {row["t1w"]: row["t1w_defaced"] for row in rows if row["t1w_defaced"] is not None}
    return dict(sorted(Counter(of_image.values()).items()))


def describe_column(said: Mapping[str, Any]) -> str:
    """Return a column of `participants.tsv` in words: no person's value among them."""
    unit = f" {said['unit']}" if said.get("unit") else ""
    match said["kind"]:
        case "number":
            highest = f"{said['max']:g}" + ("+" if said.get("older") else "")
            span = f"{said['min']:g} to {highest}"
            return f"median {said['median']:g}{unit}, {span} (n = {said['n']})"
        case "levels":
            return ", ".join(f"{level}: {n}" for level, n in said["levels"].items()) or "empty"
        case "text":
            return f"{said['n_distinct']} different texts"
        case _:
            return "dates, not shown"


def variants(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the variants of a data set's recordings, each with how many and an exemplar."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["variant"] is not None:
            found.setdefault(row["variant"], []).append(row)
    return [
        {
            "variant": name,
            "n": len(members),
            "exemplar": members[0]["recording"],
            "parameters": [_shown(members[0][column]) for column in PARAMETERS],
        }
        for name, members in sorted(found.items(), key=lambda one: _natural(one[0]))
    ]


def _natural(name: str) -> tuple[str, int]:
    kind, _, number = name.rpartition("-")
    return kind, int(number)


def _tasks(rows: Sequence[Row]) -> list[dict[str, Any]]:
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row["task"] or "–", Counter())[row["status"]] += 1
    return [
        {"task": task, "n": sum(of_task.values()), "used": of_task["used"]}
        for task, of_task in sorted(counts.items())
    ]


def _reasons(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the reasons with how often; those of one recording's own numbers stay apart."""
    left = [row for row in rows if row["status"] != "used"]
    counts = Counter((row["status"], row["stage"], row["reason"]) for row in left)
    ordered = sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))
    return [
        {"status": status, "stage": stage, "reason": reason, "n": n}
        for (status, stage, reason), n in ordered[:MAX_LISTED]
    ]


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " × ".join(_shown(one) for one in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
