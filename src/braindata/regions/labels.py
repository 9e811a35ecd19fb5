"""Label tables of atlases: which number in the image is which parcel."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from braindata.errors import UsageError

_NEAREST = 3
# Names of what is no parcel, as atlases have them at index 0.
BACKGROUND = frozenset({"background", "unknown", "???", "clear label"})


def read_labels(path: Path) -> dict[str, int]:
    """Read a label table.

    BIDS ``dseg.tsv`` (columns `index` and `name`), a FreeSurfer look-up table (index, name, and
    colours, in columns of blanks), or the two-line tables of Connectome Workbench, which the
    Melbourne subcortex atlas comes with (name, then index and colours on the next line).

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to int
        Index of each parcel in the image, by name, in the order of the file.

    Raises
    ------
    UsageError
        When it is none of these, or two parcels have one name.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError("there is no such label table", file=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"this label table cannot be read ({error})", file=path) from error
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        pairs = _pairs(lines)
    except (ValueError, IndexError, KeyError) as error:
        raise UsageError(
            "this is no label table that is known",
            file=path,
            hint="a BIDS dseg.tsv with the columns index and name, a FreeSurfer look-up table, or "
            "pairs of lines: the name, then its number and colours",
        ) from error
    found: dict[str, int] = {}
    for name, index in pairs:
        if not name:
            raise UsageError(f"the parcel {index} has no name", file=path)
        if found.setdefault(name, index) != index:
            raise UsageError(
                f"the parcel {name} has two numbers, {found[name]} and {index}", file=path
            )
    return found


def _pairs(lines: list[str]) -> list[tuple[str, int]]:
    header = {cell.strip() for cell in lines[0].split("\t")}
    if "\t" in lines[0] and {"index", "name"} & header:
        if not {"index", "name"} <= header:
            raise KeyError("a column is missing")
        rows = csv.DictReader(lines, delimiter="\t")
        rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
        # A row that ends early has no cell: the name of a parcel is no guess.
        return [((row["name"] or "").strip(), int(row["index"] or "")) for row in rows]
    # A comment may follow the colours, too.
    body = [line.partition(" #")[0].split() for line in lines if not line.lstrip().startswith("#")]
    if body[0][0].lstrip("-").isdigit():
        return [(_name(words), int(words[0])) for words in body]
    names = [line.strip() for line in lines[::2]]
    return [(name, int(line.split()[0])) for name, line in zip(names, lines[1::2], strict=True)]


def _name(words: list[str]) -> str:
    """Return the name of a line of a look-up table: what lies between index and four colours."""
    return " ".join(words[1:-4]) if len(words) > 5 else words[1]


def indices_of(
    parcels: Iterable[str], labels: Mapping[str, int], *, of: Path | str | None = None
) -> tuple[int, ...]:
    """Return the numbers of parcels.

    Parameters
    ----------
    parcels : iterable of str
        Their names.
    labels : mapping of str to int
        Number by name.
    of : path-like, optional
        The table, to say where a name was looked for.

    Raises
    ------
    UsageError
        Naming the unknown ones, each with the nearest names.
    """
    told = []
    for parcel in parcels:
        if parcel in labels:
            continue
        near = nearest(parcel, labels)
        told.append(
            f"there is no parcel {parcel}"
            + (f"; the nearest names: {', '.join(near)}" if near else "")
        )
    if told:
        raise UsageError("; ".join(told), file=of, hint="names must be as in the label table")
    return tuple(labels[parcel] for parcel in parcels)


def first_index(labels: Mapping[str, int]) -> int:
    """Return the smallest number of a parcel, the background being none."""
    parcels = [index for name, index in labels.items() if name.casefold() not in BACKGROUND]
    return min(parcels, default=1)


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Return the names that are nearest to one, whatever their case."""
    by_case: dict[str, str] = {}
    for one in names:
        by_case.setdefault(one.casefold(), one)
    close = difflib.get_close_matches(name.casefold(), by_case, n=_NEAREST)
    return [by_case[one] for one in close]
