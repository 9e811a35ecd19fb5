"""Releases: one file that names a state of all tables, which Delta logs cannot do together."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from braindata.errors import BraindataError, UsageError, nearest
from braindata.files import write_text
from braindata.tables.schemas import SCHEMA_VERSION

FORMAT = "braindata-release"
FOLDER = "releases"
TAGS = "tags.json"
TAGS_FORMAT = "braindata-tags"
# Of a release that can be opened: none. What became of the others.
State = Literal["vacuumed", "withdrawn"]
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_WHY = {
    "vacuumed": "its files were removed to free space",
    "withdrawn": "a person was withdrawn who is in it",
}
_NAME = re.compile(r"([1-9]\d*)\.json")


@dataclass(frozen=True)
class ShardFile:
    """One file of a table.

    Attributes
    ----------
    path : str
        Relative to the table's folder; its stem is the sha256 of its contents.
    rows, bytes : int
        Its size.
    """

    path: str
    rows: int
    bytes: int

    @property
    def sha256(self) -> str:
        """The sha256 of its contents."""
        return Path(self.path).stem


@dataclass(frozen=True)
class TableRelease:
    """One table of a release.

    Attributes
    ----------
    delta_version : int
        Version of the Delta table.
    schema : str
        Hash of the table's schema, descriptions included.
    files : tuple of ShardFile
        The active files, in the order in which they are read.
    """

    delta_version: int
    schema: str
    files: tuple[ShardFile, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)

    def same_content(self, other: TableRelease) -> bool:
        """Whether both hold the same files under the same schema."""
        return self.schema == other.schema and set(self.files) == set(other.files)


@dataclass(frozen=True)
class Release:
    """One release of the tables.

    Attributes
    ----------
    folder : Path
        The folder of all tables.
    number : int
        1, 2, …
    created : str
        When, in UTC (ISO 8601).
    schema_version : int
        Version of `braindata.tables.schemas`.
    tables : dict of str to TableRelease
        Every table.
    provenance : dict
        Where everything came from.
    new : bool
        Whether the call that returned it made it.
    state : {"vacuumed", "withdrawn"} or None
        Why it cannot be opened any more; None where it can.
    """

    folder: Path
    number: int
    created: str
    schema_version: int
    tables: dict[str, TableRelease]
    provenance: dict[str, Any]
    new: bool = False
    state: State | None = None

    @property
    def file(self) -> Path:
        """The release file."""
        return release_path(self.folder, self.number)

    def paths(self) -> list[str]:
        """Return the files of all tables, relative to the folder of all tables, sorted."""
        return sorted(
            f"{name}/{f.path}" for name, table in self.tables.items() for f in table.files
        )

    def same_content(self, tables: Mapping[str, TableRelease], schema_version: int) -> bool:
        """Whether the release already says what `tables` say."""
        return (
            self.schema_version == schema_version
            and self.tables.keys() == tables.keys()
            and all(self.tables[name].same_content(tables[name]) for name in tables)
        )

    def write(self) -> None:
        """Write the release file atomically: the moment at which the release exists."""
        body = {
            "format": FORMAT,
            "number": self.number,
            "created": self.created,
            "schema_version": self.schema_version,
            "tables": {name: dataclasses.asdict(table) for name, table in self.tables.items()},
            "provenance": self.provenance,
        } | ({"state": self.state} if self.state else {})
        # Not sorted: the tables keep the order in which people think of them.
        text = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
        write_text(self.file, text)


class NewerError(BraindataError):
    """Something was written by a newer version, which may mean something else by it."""


def release_path(tables_folder: Path, number: int) -> Path:
    """Return where a release file lies."""
    return tables_folder / FOLDER / f"{number}.json"


def list_releases(tables_folder: Path) -> list[int]:
    """Return the numbers of the releases that are there, ascending."""
    folder = tables_folder / FOLDER
    if not folder.is_dir():
        return []
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in names if match)


def read_release(
    tables_folder: Path, number: int | str | None = None, *, ended: bool = False
) -> Release:
    """Read a release, by default the latest.

    Parameters
    ----------
    tables_folder : Path
        The folder of all tables.
    number : int or str, optional
        Its number, or a tag.
    ended : bool, default=False
        Whether it may be one that cannot be opened any more.

    Raises
    ------
    UsageError
        When there is no such release, or its files are gone because somebody wanted that.
    NewerError
        When a newer version of braindata wrote it.
    BraindataError
        When its file is no release.
    """
    if isinstance(number, str):
        number = _number_of(tables_folder, number)
    there = list_releases(tables_folder)
    if not there:
        raise UsageError(
            "there is no release of tables here",
            file=tables_folder,
            hint="name an output folder, or its `tables` folder, after `publish` ran",
        )
    if number is None:
        number = there[-1]
    if number not in there:
        raise UsageError(
            f"there is no release {number}",
            file=tables_folder,
            hint=f"there are: {', '.join(map(str, there))}",
        )
    path = release_path(tables_folder, number)
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if body.pop("format") != FORMAT:
            raise ValueError(FORMAT)
        if body["schema_version"] > SCHEMA_VERSION:
            raise NewerError(
                f"release {number} was written by a newer braindata (schema version "
                f"{body['schema_version']}; this one knows {SCHEMA_VERSION})",
                file=path,
                hint="pip install --upgrade braindata",
            )
        tables = {
            name: TableRelease(
                table["delta_version"],
                table["schema"],
                tuple(ShardFile(**file) for file in table["files"]),
            )
            for name, table in body.pop("tables").items()
        }
        release = Release(folder=tables_folder, tables=tables, **body)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BraindataError(
            "this is no release file", file=path, hint="delete it and publish again"
        ) from error
    if release.state and not ended:
        left = [n for n in there if not read_release(tables_folder, n, ended=True).state]
        verb = "was vacuumed" if release.state == "vacuumed" else "was ended"
        raise UsageError(
            f"release {number} {verb}: {_WHY[release.state]}",
            file=tables_folder,
            hint=f"open one of: {', '.join(map(str, left))}; "
            "`braindata history` says what is in each"
            if left
            else "run snakemake again: it makes the next release",
        )
    return release


def read_tags(tables_folder: Path) -> dict[str, int]:
    """Return the tags and the releases that they name, sorted by tag.

    Raises
    ------
    BraindataError
        When their file is damaged.
    """
    path = tables_folder / FOLDER / TAGS
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if body["format"] != TAGS_FORMAT:
            raise ValueError(TAGS_FORMAT)
        return {str(name): int(number) for name, number in sorted(body["tags"].items())}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BraindataError(
            "these are no tags of releases", file=path, hint="delete it, and tag releases anew"
        ) from error


def write_tag(tables_folder: Path, number: int, name: str) -> None:
    """Give a release a name, which keeps its files from being vacuumed.

    Raises
    ------
    UsageError
        When it is no name, another release has it, or there is no such release.
    """
    if not _TAG.fullmatch(name):
        raise UsageError(
            f"{name!r} is no tag",
            hint="a letter, then letters, digits, dots, hyphens and underscores, 64 at most",
        )
    release = read_release(tables_folder, number)
    tags = read_tags(tables_folder)
    if tags.get(name, release.number) != release.number:
        raise UsageError(
            f"release {tags[name]} has the tag {name}",
            file=tables_folder,
            hint="choose another one, or take it away first: `braindata tag OUTPUT --remove TAG`",
        )
    _write_tags(tables_folder, tags | {name: release.number})


def remove_tag(tables_folder: Path, name: str) -> None:
    """Take a tag away.

    Raises
    ------
    UsageError
        When there is no such tag.
    """
    tags = read_tags(tables_folder)
    if name not in tags:
        raise UsageError(f"there is no tag {name}; {_near(name, tags)}", file=tables_folder)
    del tags[name]
    _write_tags(tables_folder, tags)


def _write_tags(tables_folder: Path, tags: Mapping[str, int]) -> None:
    body = {"format": TAGS_FORMAT, "tags": dict(sorted(tags.items()))}
    write_text(tables_folder / FOLDER / TAGS, json.dumps(body, indent=1) + "\n")


def _number_of(tables_folder: Path, name: str) -> int:
    if name.isdecimal():
        return int(name)
    tags = read_tags(tables_folder)
    if name not in tags:
        raise UsageError(f"no release has the tag {name}; {_near(name, tags)}", file=tables_folder)
    return tags[name]


def _near(name: str, tags: Mapping[str, int]) -> str:
    return nearest(name, tags, None if tags else "none is tagged")
