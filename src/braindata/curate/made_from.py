"""What a unit's derivatives are made from, in one hash for each unit of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from braindata.receipts import content_hash

# At the top of a data set: about all of its people, and nothing by which an image is processed.
ABOUT_ALL = ("participants.", "samples.", "README", "CHANGES", "LICENSE", "CITATION")
# Columns that may change when another person's data do, or words about the data set.
OF_OTHERS = frozenset(
    {
        "dataset_version",
        "variant",
        "participant",
        "licence",
        "licence_class",
        "validator_errors",
        "warnings",
    }
)


def made_from(rows: Iterable[Mapping[str, Any]], *contents: Mapping[str, str]) -> dict[str, str]:
    """Return a hash of all that a unit's derivatives may depend on, by unit, sorted.

    It says when a unit has to be preprocessed again after its data set was curated anew: of a
    thousand people of whom one is new, one. It covers at least what the backends read: every file
    of the person, those at the top that may hold metadata of a recording, and what the inventory
    says. So a change may start a job that finds nothing to do, but none goes unnoticed.

    Parameters
    ----------
    rows : iterable of mapping
        The inventory; only recordings in use count.
    *contents : mapping of str to str
        The hash of each file by path, of the raw data and of published derivatives.
    """
    by_unit: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["status"] == "used":
            by_unit.setdefault(row["unit"], []).append(row)
    of_people = [_by_person(one) for one in contents]
    return {
        unit: content_hash(
            [
                [_own(row) for row in sorted(own, key=lambda row: str(row["recording"]))],
                [
                    [files.get(person, []) for person in (f"sub-{own[0]['subject']}", "")]
                    for files in of_people
                ],
            ]
        )[:16]
        for unit, own in sorted(by_unit.items())
    }


def _own(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OF_OTHERS}


def _by_person(contents: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Return path and hash of the files of each person; of all of them under no name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, digest in sorted(contents.items()):
        parts = PurePosixPath(path).parts
        # Published derivatives may lie in any folder.
        named = (part.partition("_")[0] for part in parts if part.startswith("sub-"))
        person = next(named, "")
        if person or (len(parts) == 1 and not path.startswith(ABOUT_ALL)):
            found.setdefault(person, []).append((path, digest))
    return found
