"""Removing somebody from an output folder, so that nothing of them is left or comes back."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from braindata.files import atomic_path
from braindata.layout import PUBLISHED, Layout
from braindata.locking import lock
from braindata.tables.cache import clear_cache
from braindata.withdrawal.person import Person
from braindata.withdrawal.release import release_without
from braindata.withdrawal.rows import mend_shard
from braindata.withdrawal.traces import find_traces, remaining
from braindata.withdrawn import Gone, without_people


@dataclass(frozen=True)
class Purged:
    """What was done.

    Attributes
    ----------
    release : int or None
        The release without the person; None where there is none yet.
    n_files, n_rows : int
        Files that were removed, and rows that went from jobs' shards.
    refit : tuple of str
        What was fitted with the person and is fitted anew by the next run.
    remaining : tuple of str
        Files that still name the person, for somebody to look at.
    """

    release: int | None
    n_files: int
    n_rows: int
    refit: tuple[str, ...]
    remaining: tuple[str, ...]


def purge(layout: Layout, person: Person, projects: Sequence[Path]) -> Purged:
    """Remove somebody from an output folder; called again after a kill, it goes on.

    That the person is withdrawn is noted first: whatever happens then, no run brings them back.

    Parameters
    ----------
    layout : Layout
        The output folder.
    person : Person
        Who.
    projects : sequence of Path
        Folders in which Snakemake was called, whose notes are looked through.

    Raises
    ------
    BraindataError
        When a run is going on, or a file of the tables is damaged.
    """
    held = lock(layout.output)
    try:
        return _purge(layout, person, projects)
    finally:
        os.close(held)


def _purge(layout: Layout, person: Person, projects: Sequence[Path]) -> Purged:
    dataset, gone = person.dataset, person.gone
    person.withdrawn.write(layout.output)
    # The release first: readers of the tables see it before anything else goes.
    release = release_without(layout, dataset, gone)
    traces = find_traces(layout, dataset, gone, projects)
    n_rows = sum(mend_shard(layout.output / name, dataset, gone) for name in traces.mend)
    for name in traces.texts:
        _mend_text(layout.output / name, name.split("/", 2)[2], gone)
    for name in traces.remove:
        (layout.output / name).unlink(missing_ok=True)
    for path in traces.notes:
        path.unlink(missing_ok=True)
    # It holds everybody's series, and is made again by whoever reads.
    clear_cache(layout.tables())
    n_contents = _clear_store(layout, dataset)
    _remove_empty(layout.output)
    return Purged(
        release,
        len(traces.remove) + len(traces.notes) + n_contents,
        n_rows,
        tuple(traces.refit),
        tuple(remaining(layout, dataset, gone)),
    )


def _mend_text(path: Path, name: str, gone: Gone) -> None:
    rest = without_people(name, path.read_bytes(), gone)
    if rest is not None:
        # A new file: the contents store may have the old one under another name.
        with atomic_path(path) as part:
            part.write_bytes(rest)


def _clear_store(layout: Layout, dataset: str) -> int:
    """Remove from the store of contents what no pulled file is, and the data set's repositories.

    A repository names everybody in its trees. Contents that a pull has brought, but not placed yet,
    go too, and so do those of earlier versions: whose they are, nothing says any more.

    Returns
    -------
    int
        How many contents went.
    """
    store = layout.mirror()
    if not store.is_dir():
        return 0
    of_it = re.compile(
        rf"(fetching-)?{re.escape(dataset)}({re.escape(PUBLISHED)})?-[0-9a-f]{{40,64}}\.git"
    )
    for path in (store / "repositories").glob("*.git"):
        if of_it.fullmatch(path.name):
            shutil.rmtree(path)
    shutil.rmtree(store / "unfinished", ignore_errors=True)
    used = set()
    for folder, folders, files in os.walk(layout.output / "raw"):
        folders[:] = [one for one in folders if Path(folder, one) != store]
        for one in files:
            path = Path(folder, one)
            if path.exists():
                status = path.stat()
                used.add((status.st_dev, status.st_ino))
    n_removed = 0
    for path in (store / "contents").glob("*/*"):
        status = path.stat()
        if (status.st_dev, status.st_ino) not in used:
            path.unlink()
            n_removed += 1
    return n_removed


def _remove_empty(output: Path) -> None:
    """Remove folders that are empty: their names may be a person's."""
    for folder, _, files in os.walk(output, topdown=False):
        path = Path(folder)
        if path != output and not files and not any(path.iterdir()):
            path.rmdir()
