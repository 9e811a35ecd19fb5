"""Releases: one file that names a state of all tables, which Delta logs cannot do together."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from braindata.errors import BraindataError, UsageError
from braindata.files import write_text

FORMAT = "braindata-release"
FOLDER = "releases"
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
    """

    folder: Path
    number: int
    created: str
    schema_version: int
    tables: dict[str, TableRelease]
    provenance: dict[str, Any]
    new: bool = False

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
        }
        # Not sorted: the tables keep the order in which people think of them.
        text = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
        write_text(self.file, text)


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


def read_release(tables_folder: Path, number: int | None = None) -> Release:
    """Read a release, by default the latest.

    Raises
    ------
    UsageError
        When there is no such release.
    BraindataError
        When its file is no release.
    """
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
        tables = {
            name: TableRelease(
                table["delta_version"],
                table["schema"],
                tuple(ShardFile(**file) for file in table["files"]),
            )
            for name, table in body.pop("tables").items()
        }
        return Release(folder=tables_folder, tables=tables, **body)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BraindataError(
            "this is no release file", file=path, hint="delete it and publish again"
        ) from error
