"""The files of every release, and whether they are there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from braindata.errors import BraindataError
from braindata.layout import Layout
from braindata.status.damage import Finding
from braindata.status.files import Expected
from braindata.tables.releases import (
    NewerError,
    Release,
    list_releases,
    read_release,
    release_path,
)
from braindata.tables.schemas import TABLES

_SHARD = re.compile(rf"tables/({'|'.join(TABLES)})/([0-9a-f]{{2}})/(\2[0-9a-f]{{62}})\.parquet")
_DELTA_LOG = "_delta_log"
MAKE_ANEW = "delete it, if it is there, and run again: it is made anew"


@dataclass(frozen=True)
class ReleasedFiles:
    """What the releases say.

    Attributes
    ----------
    files : dict of str to Expected
        Every shard of every release, and those of none.
    known : frozenset of str
        The release files.
    findings : list of Finding
        Release files that are damaged.
    n_superseded : int
        Shards that are there and that the newest release does not need.
    """

    files: dict[str, Expected]
    known: frozenset[str]
    findings: list[Finding]
    n_superseded: int


def expect_releases(layout: Layout, there: set[str]) -> ReleasedFiles:
    """Return the files that the releases need; the newest release's hint counts.

    Parameters
    ----------
    layout : Layout
        The output folder.
    there : set of str
        The files that are there, relative to it.
    """
    files: dict[str, Expected] = {}
    findings = []
    for name in sorted(there):
        match = _SHARD.fullmatch(name)
        if match:
            hint = "no release needs it: delete it"
            files[name] = Expected(match[3], hint, (name,))
    numbers = list_releases(layout.tables())
    newest: set[str] = set()
    for number in numbers:
        path = _relative(layout, number)
        try:
            release = read_release(layout.tables(), number, ended=True)
        except NewerError:
            # No damage: this version cannot say whether there is some.
            raise
        except BraindataError:
            findings.append(_damaged_release(path, is_newest=number == numbers[-1]))
            continue
        if release.state:
            # Its files are gone because somebody wanted that.
            continue
        is_newest = number == numbers[-1]
        wanted = _files_of(release, path, is_newest=is_newest)
        files |= wanted
        newest = set(wanted) if is_newest else set()
    shards = {name for name in there if _SHARD.fullmatch(name)}
    known = frozenset(_relative(layout, number) for number in numbers)
    return ReleasedFiles(files, known, findings, len(shards - newest))


def check_logs(layout: Layout) -> list[Finding]:
    """Return the tables whose Delta log does not say what the releases say."""
    numbers = list_releases(layout.tables())
    if not numbers:
        return []
    # Only here: it takes longer to import than all else.
    from braindata.tables.reading import open_tables

    wrong: dict[str, Finding] = {}
    for number in numbers:
        try:
            tables = open_tables(layout.output, version=number)
        except BraindataError:
            continue
        for name in tables:
            try:
                tables[name].schema  # noqa: B018
            except BraindataError as error:
                file = f"tables/{name}/{_DELTA_LOG}"
                wrong.setdefault(file, Finding(file, "unreadable", error.problem, _LOG_HINT))
    return list(wrong.values())


_LOG_HINT = (
    "bring the folder back from a backup; without one, delete the folder tables and run again: "
    "the newest contents come back as release 1, older releases are lost"
)


def _damaged_release(path: str, *, is_newest: bool) -> Finding:
    problem = "it is no release file: altered, or cut off"
    if is_newest:
        return Finding(path, "unreadable", problem, MAKE_ANEW, (path,))
    hint = "bring it back from a backup; without one, delete it: that release is lost"
    return Finding(path, "unreadable", problem, hint)


def _files_of(release: Release, path: str, *, is_newest: bool) -> dict[str, Expected]:
    files = {}
    delete: tuple[str, ...]
    for table, content in release.tables.items():
        for file in content.files:
            name = f"tables/{table}/{file.path}"
            hint, delete = MAKE_ANEW, (name,)
            if not is_newest:
                # Whether it can be made again depends on data and configuration of that time.
                delete = ()
                hint = (
                    f"only release {release.number} needs it: bring it back from a backup, or give "
                    f"that release up: delete {path} and this file"
                )
            files[name] = Expected(file.sha256, hint, delete, file.bytes)
    return files


def _relative(layout: Layout, number: int) -> str:
    return release_path(layout.tables(), number).relative_to(layout.output).as_posix()
