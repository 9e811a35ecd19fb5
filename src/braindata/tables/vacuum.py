"""Freeing the space of releases that nobody keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from braindata.tables.cache import clear_cache
from braindata.tables.publish import locked
from braindata.tables.releases import Release, list_releases, read_release, read_tags
from braindata.tables.schemas import TABLES


@dataclass(frozen=True)
class Vacuumed:
    """What was removed, or would be.

    Attributes
    ----------
    releases : tuple of int
        Those that cannot be opened any more.
    n_files, n_bytes : int
        Files of tables, and their size. A file that a job's shard is a second name of frees no
        space, and counts.
    """

    releases: tuple[int, ...]
    n_files: int
    n_bytes: int


def vacuum(tables_folder: Path, keep: Collection[int] = (), *, dry_run: bool = False) -> Vacuumed:
    """Remove the files of releases that are neither the latest, nor kept, nor tagged.

    The releases say first that they are gone, and their files go then: killed in between, the next
    call removes the rest. What a killed publisher left goes too.

    Parameters
    ----------
    tables_folder : Path
        The folder of all tables.
    keep : collection of int
        Releases to keep beside the latest and the tagged ones.
    dry_run : bool, default=False
        Whether nothing is to be changed.

    Raises
    ------
    UsageError
        When there is no release, or one to be kept is not there.
    """
    latest = read_release(tables_folder, ended=True).number
    kept = {read_release(tables_folder, number).number for number in keep}
    kept |= {latest, *read_tags(tables_folder).values()}
    if dry_run:
        return _vacuum(tables_folder, kept, dry_run=True)
    with locked(tables_folder):
        # Somebody may have published meanwhile.
        kept |= {number for number in list_releases(tables_folder) if number > latest}
        return _vacuum(tables_folder, kept, dry_run=False)


def _vacuum(tables_folder: Path, kept: Collection[int], *, dry_run: bool) -> Vacuumed:
    numbers = list_releases(tables_folder)
    there = [read_release(tables_folder, number, ended=True) for number in numbers]
    gone = [one for one in there if one.state is None and one.number not in kept]
    needed = needed_files(one for one in there if one.state is None and one.number in kept)
    files = [path for path in shard_files(tables_folder) if path not in needed]
    n_bytes = sum(path.stat().st_size for path in files)
    if not dry_run:
        for release in gone:
            dataclasses.replace(release, state="vacuumed").write()
        for path in files:
            path.unlink(missing_ok=True)
        clear_cache(tables_folder)
    return Vacuumed(tuple(one.number for one in gone), len(files), n_bytes)


def needed_files(releases: Iterable[Release]) -> set[Path]:
    """Return the files of some releases."""
    return {release.folder / path for release in releases for path in release.paths()}


def shard_files(tables_folder: Path) -> list[Path]:
    """Return the files of all tables, those of no release too."""
    return sorted(path for name in TABLES for path in (tables_folder / name).glob("??/*.parquet"))
