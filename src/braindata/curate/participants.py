"""The people of a data set: `participants.tsv`, typed, and held against the folders."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from braindata.bids.events import MISSING, require_table_size
from braindata.bids.inheritance import read_object
from braindata.errors import DataError

FILE = "participants.tsv"
# Above this age few people are left, so that it tells who somebody is (HIPAA, 45 CFR 164.514).
OLDEST = 89
# What every age above counts as.
OLDER = 90
# A column of more different texts is free text, of which only their number is kept.
MAX_LEVELS = 12
# A level is a label; what has more words was written by somebody about somebody.
MAX_WORDS = 3
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}([-/.])\d{2}\1\d{2}([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")


@dataclass(frozen=True)
class Participants:
    """What a data set says of its people.

    Attributes
    ----------
    labels : frozenset of str
        Labels of the people who have a row; empty where there is no such file.
    columns : dict of str to dict
        By name of the column: `kind` (number, levels, text or date), `n`, and as far as there is
        one `unit`, `description`, `median`, `min` and `max`, or the `levels` with their counts;
        `older` where ages above 89 count as 90.
    people : dict of str to str
        By label, the person's values as JSON, types kept: numbers and levels only. Beside an age
        above 89, which is 90, stands ``age_over_89``.
    warnings : list of str
        What is odd in the file.
    """

    labels: frozenset[str] = frozenset()
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_participants(root: Path) -> Participants:
    """Read `participants.tsv` of a BIDS folder; one that cannot be read is a warning."""
    path = root / FILE
    if not path.is_file():
        return Participants()
    try:
        require_table_size(path)
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
        # A cell that opens with a quotation mark and does not close it is taken as it stands.
        lines = io.StringIO(text, newline=None)
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    except DataError as error:
        return Participants(warnings=[f"{FILE}: {error.problem}"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return Participants(warnings=[f"{FILE} cannot be read ({error})"])
    odd = []
    if "participant_id" not in (rows[0] if rows else {}):
        return Participants(warnings=[f"{FILE} has no column participant_id, or no rows"])
    given = [(row["participant_id"] or "").strip() for row in rows]
    labels = [name.removeprefix("sub-") for name in given]
    twice = sorted(name for name, n in Counter(labels).items() if n > 1)
    if twice:
        odd.append(f"{FILE} has several rows of {_listed(twice)}")
    if any(not name.startswith("sub-") for name in given):
        odd.append(f"{FILE} has labels without sub-")
    if raw.startswith(b"\xef\xbb\xbf"):
        odd.append(f"{FILE} begins with a byte-order mark")
    if b"\r" in raw:
        odd.append(f"{FILE} has line ends of Windows or of an old Mac")
    described = _described(root / "participants.json")
    names = [name for name in rows[0] if name and name != "participant_id"]
    columns = {
        name: _summary(name, [row[name] for row in rows], described.get(name)) for name in names
    }
    # Of who has several rows nobody knows which is right.
    people = {
        label: json.dumps(_typed(row, columns), ensure_ascii=False)
        for label, row in zip(labels, rows, strict=True)
        if label not in twice
    }
    return Participants(frozenset(labels), columns, people, odd)


def _typed(row: dict[str, str | None], columns: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what may be passed on of a person: no dates, no free text, no age above 90."""
    typed: dict[str, Any] = {}
    for name, summary in columns.items():
        text = (row[name] or "").strip()
        if summary["kind"] not in ("number", "levels"):
            continue
        if text in MISSING:
            typed[name] = None
        elif summary["kind"] == "levels":
            typed[name] = _binned(text) if _is_age(name, summary.get("unit")) else text
        else:
            number = float(text)
            typed[name] = int(number) if number.is_integer() else number
            if _is_age(name, summary.get("unit")) and number > OLDEST:
                typed |= {name: OLDER, f"{name}_over_{OLDEST}": True}
    return typed


def _is_age(name: str, unit: str | None) -> bool:
    """Whether a column holds ages in years."""
    # ageAtScan is age, at and scan.
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold())
    other = unit is not None and re.match(r"month|week|day", unit.strip().casefold())
    return "age" in words and not other and not {"months", "weeks", "days"} & set(words)


def _binned(text: str) -> str:
    """Return a cell of a column of ages in which not all are numbers."""
    old = _NUMBER.fullmatch(text) is not None and float(text) > OLDEST
    return str(OLDER) if old else text


def against_folders(participants: Participants, subjects: set[str]) -> list[str]:
    """Return who has a row and no folder; nobody where there is no such file."""
    gone = sorted(participants.labels - subjects)
    return [f"{FILE} has people without a folder: {_listed(gone)}"] if gone else []


def _described(path: Path) -> dict[str, Any]:
    try:
        return read_object(path) if path.is_file() else {}
    except DataError:
        return {}


def _summary(name: str, values: list[str | None], described: object) -> dict[str, Any]:
    given = [v.strip() for v in values if v is not None and v.strip() not in MISSING]
    summary: dict[str, Any] = {"n": len(given)}
    if isinstance(described, dict):
        for key, ours in (("Units", "unit"), ("Description", "description")):
            if isinstance(described.get(key), str):
                summary[ours] = described[key]
    # Codes such as 1 and 2 for sexes are numbers to look at, but levels where the file says so.
    levels = described.get("Levels") if isinstance(described, dict) else None
    if given and not isinstance(levels, dict) and all(map(_NUMBER.fullmatch, given)):
        numbers = sorted(float(value) for value in given)
        if all(map(math.isfinite, numbers)):
            if _is_age(name, summary.get("unit")) and numbers[-1] > OLDEST:
                numbers = [float(OLDER) if n > OLDEST else n for n in numbers]
                summary["older"] = True
            middle = (numbers[(len(numbers) - 1) // 2] + numbers[len(numbers) // 2]) / 2
            return summary | {
                "kind": "number",
                "median": middle,
                "min": numbers[0],
                "max": numbers[-1],
            }
    if any(map(_DATE.fullmatch, given)):
        # A date of birth or of a visit tells who somebody is, and of one person suffices.
        return summary | {"kind": "date"}
    if _is_age(name, summary.get("unit")):
        given = [_binned(value) for value in given]
    counts = Counter(given)
    written = not isinstance(levels, dict) and any(len(v.split()) > MAX_WORDS for v in counts)
    if written or len(counts) > MAX_LEVELS or (len(counts) > 2 and len(counts) == len(given)):
        return summary | {"kind": "text", "n_distinct": len(counts)}
    return summary | {"kind": "levels", "levels": dict(sorted(counts.items()))}


def _listed(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(f'sub-{name}' for name in names[:most])}{more}"
