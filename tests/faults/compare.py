"""Whether an output folder is what an undisturbed run makes, with nothing left over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from braindata.files import PART_PREFIX, sha256_file
from braindata.locking import holder
from braindata.receipts import VOID
from braindata.status.verify import verify
from braindata.tables.releases import list_releases, read_release
from tests.processes import still_working

from .project import Project

FOLDERS = (
    "raw",
    "curated",
    "derivatives",
    "packed",
    "head",
    "series",
    "aligned",
    "derived",
    "tables",
)


def digest(results: Path, folders: Iterable[str] = FOLDERS) -> dict[str, object]:
    """Return what must be equal: sha256 by file, the files of the release, and the releases."""
    found: dict[str, object] = {
        path.relative_to(results).as_posix(): sha256_file(path)
        for folder in folders
        for path in sorted((results / folder).rglob("*"))
        if path.is_file()
        # Delta's logs hold times and random numbers; they name versions, which a killed publish
        # may count up, and with them do the release and its receipt.
        and "_delta_log" not in path.parts
        # git packs as it likes.
        and "repositories" not in path.parts
        and path.parent.name != "releases"
        and path.name != "publish.receipt.json"
    }
    tables = results / "tables"
    numbers = list_releases(tables)
    found["releases"] = numbers
    found["active"] = sorted(read_release(tables).paths()) if numbers else []
    return found


def differences(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """Return the names under which two digests differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def half_released(project: Project, undisturbed: dict[str, object]) -> list[str]:
    """Return what is wrong with the releases that are there after a fault: none may be half."""
    tables = project.results / "tables"
    wrong = []
    for number in list_releases(tables):
        release = read_release(tables, number)
        if sorted(release.paths()) != undisturbed["active"]:
            wrong.append(f"release {number} has other files")
        for name in release.paths():
            path = tables / name
            if not path.is_file() or sha256_file(path) != undisturbed[f"tables/{name}"]:
                wrong.append(f"release {number} lacks {name}")
    return wrong


def leftovers(project: Project) -> list[str]:
    """Return what a fault has left behind: temporary files, marks, locks, processes, damage."""
    results = project.results
    found = [
        path.relative_to(project.folder).as_posix()
        for path in sorted(project.folder.rglob("*"))
        if path.name.startswith(PART_PREFIX) or path.name.endswith(VOID)
    ]
    found += [
        f"scratch/{path.name}"
        for path in sorted(project.scratch.iterdir())
        # Snakemake's own, empty, with nothing in its name that says whether it is still in use.
        if not (path.name.startswith("snakemake") and not any(path.iterdir()))
    ]
    found += [f"incomplete: {path}" for path in _files(project.folder / ".snakemake/incomplete")]
    found += [f"lock: {path}" for path in _files(project.folder / ".snakemake/locks")]
    unfinished = results / "raw/.store/unfinished"
    found += [f"half of a download: {path}" for path in _files(unfinished)]
    if holder(results) is not None:
        found.append("the lock of the output folder is held")
    found += [f"at work: process {one.pid}" for one in still_working(at_work(project), 20)]
    found += [f"verify: {one.file}: {one.problem}" for one in verify(results).findings]
    return found


def at_work(project: Project) -> list[psutil.Process]:
    """Return the processes that work in a project's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == project.folder:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())
