"""One page per person: all of their recordings side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from braindata.receipts import content_hash

FOLDER = "subjects"
_PLAIN = re.compile(r"[A-Za-z0-9]{1,100}")


@dataclass(frozen=True)
class Subject:
    """A person of a data set, and the rows of their recordings that have a page."""

    dataset: str
    label: str
    page: str
    recordings: Sequence[Mapping[str, Any]]


def subjects(rows: Sequence[Mapping[str, Any]]) -> list[Subject]:
    """Return the people of some recordings, sorted by data set and label.

    Parameters
    ----------
    rows : sequence of mapping
        Of recordings; one without a subject belongs to nobody.
    """
    people: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["subject"]:
            people.setdefault((row["dataset"], row["subject"]), []).append(row)
    return [
        Subject(dataset, label, str(subject_name(dataset, label)), found)
        for (dataset, label), found in sorted(people.items())
    ]


def subject_name(dataset: str, label: str | None) -> str | None:
    """Return the path of a person's page below the report's folder; None for nobody."""
    if not label:
        return None
    plain = label if _PLAIN.fullmatch(label) else content_hash(label)[:12]
    return f"{FOLDER}/{dataset}/sub-{plain}.html"
