"""What was released: a line per release, and what two of them differ in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from braindata.tables.provenance import Cause, causes
from braindata.tables.releases import Release, list_releases, read_release, read_tags
from braindata.tables.rows_compared import Counts, compare_rows


@dataclass(frozen=True)
class Entry:
    """One release, without dates.

    Attributes
    ----------
    number : int
        Its number.
    state : str
        `there`, `vacuumed` or `withdrawn`.
    tags : tuple of str
        Its names.
    versions : dict of str to int
        Version of each Delta table.
    rows : dict of str to int
        Rows of each table.
    change : str
        What changed since the release before, in one line.
    """

    number: int
    state: str
    tags: tuple[str, ...]
    versions: dict[str, int]
    rows: dict[str, int]
    change: str


@dataclass(frozen=True)
class Difference:
    """Rows of one table that differ for the same causes.

    Attributes
    ----------
    table : str
        The table.
    counts : Counts
        Rows that came, went, or have other values.
    causes : tuple of Cause
        Why, as far as the releases say; several causes are not told apart.
    """

    table: str
    counts: Counts
    causes: tuple[Cause, ...]


def history(tables_folder: Path) -> list[Entry]:
    """Return all releases, ascending.

    Raises
    ------
    UsageError
        When there is none.
    """
    numbers = list_releases(tables_folder) or [read_release(tables_folder).number]
    tags = read_tags(tables_folder)
    entries = []
    before: Release | None = None
    for number in numbers:
        release = read_release(tables_folder, number, ended=True)
        entries.append(
            Entry(
                number,
                release.state or "there",
                tuple(name for name, of in tags.items() if of == number),
                {name: table.delta_version for name, table in release.tables.items()},
                {name: table.rows for name, table in release.tables.items()},
                _change(before, release),
            )
        )
        before = release
    return entries


def _change(before: Release | None, release: Release) -> str:
    if release.state == "withdrawn":
        return "ended: a person was withdrawn who was in it"
    if before is None or before.state == "withdrawn":
        rows = {name: table.rows for name, table in release.tables.items() if table.rows}
        said = ", ".join(f"{name} {n:,}" for name, n in rows.items()) or "no rows"
        return said if before is None else f"{said}: without whoever was withdrawn"
    changed = []
    for name, table in release.tables.items():
        earlier = before.tables.get(name)
        if earlier is None or not earlier.same_content(table):
            difference = table.rows - (earlier.rows if earlier else 0)
            changed.append(f"{name} {difference:+,}" if difference else f"{name} ±0")
    why = "; ".join(map(str, causes(before, release)))
    return f"{', '.join(changed) or 'no table'}: {why}"


def differences(tables_folder: Path, old: int | str, new: int | str) -> list[Difference]:
    """Return which rows differ between two releases, and why.

    Parameters
    ----------
    tables_folder : Path
        The folder of all tables.
    old, new : int or str
        Numbers or tags of the releases.

    Returns
    -------
    list of Difference
        Tables in their order; rows of the same causes together.

    Raises
    ------
    UsageError
        When one of the releases is not there.
    BraindataError
        When a file of one is missing or corrupt.
    """
    one, other = (read_release(tables_folder, which) for which in (old, new))
    found = []
    for name in {**one.tables, **other.tables}:
        files = [_files(release, name) for release in (one, other)]
        both = set(files[0]) & set(files[1])
        only = [[path for path in mine if path not in both] for mine in files]
        groups = compare_rows(*only)
        total: dict[tuple[Cause, ...], Counts] = {}
        for (dataset, region, definition), counts in groups.items():
            key = f"{region}-{definition}" if region and definition else None
            why = tuple(causes(one, other, name, dataset, key))
            total[why] = total.get(why, Counts()) + counts
        found += [Difference(name, counts, why) for why, counts in total.items()]
    return found


def _files(release: Release, table: str) -> list[Path]:
    if table not in release.tables:
        return []
    return [release.folder / table / file.path for file in release.tables[table].files]


def describe_history(entries: list[Entry]) -> str:
    """Return the releases as text, a line each."""
    lines = [f"{'release':<9}{'tables at':<22}{'tags':<16}what changed"]
    for one in entries:
        tags = ", ".join(one.tags)
        state = "" if one.state == "there" else f"({one.state}) "
        lines.append(f"{one.number:<9}{_versions(one.versions):<22}{tags:<16}{state}{one.change}")
    return "\n".join(lines)


def _versions(versions: Mapping[str, int]) -> str:
    """Return the versions of the tables, in the tables' order."""
    return ".".join(map(str, versions.values())) or "-"


def describe_differences(found: list[Difference]) -> str:
    """Return differences as text: a line per table and cause."""
    if not found:
        return "The releases hold the same rows."
    lines = [f"{'table':<14}{'added':>10}{'removed':>10}{'changed':>10}   because of"]
    for one in found:
        counts = one.counts
        why = "; ".join(map(str, one.causes))
        lines.append(
            f"{one.table:<14}{counts.added:>10,}{counts.removed:>10,}{counts.changed:>10,}   {why}"
        )
    return "\n".join(lines)
