"""Publishing: from the shards of jobs to one release of the tables."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from braindata.errors import BraindataError
from braindata.files import atomic_path, sha256_file
from braindata.tables.delta import commit_files
from braindata.tables.releases import Release, list_releases, read_release
from braindata.tables.schemas import SCHEMA_VERSION, TABLES
from braindata.tables.shards import check_shard

LOCK = ".lock"


def publish(
    tables_folder: Path, shards: Mapping[str, Sequence[Path]], provenance: dict[str, Any]
) -> Release:
    """Make the given shards the contents of the tables, and release them.

    Each shard is entered under a name that is the hash of its contents; no file that is there is
    written again. Each table whose files changed gets one commit; the release file, which names
    the versions of all, is renamed into place last. Killed before that, the earlier release is
    what readers see, and the next call goes on from what is there.

    Parameters
    ----------
    tables_folder : Path
        The folder of all tables; made if it is not there.
    shards : mapping of str to sequence of Path
        Table name and the shards of its jobs, in any order: all of them, not the new ones only.
        A table without shards is there with no rows.
    provenance : dict
        Where everything came from, as JSON; it is part of the release, not of what decides
        whether one is needed.

    Returns
    -------
    Release
        The new release, or the latest if it holds the same files under the same schema.

    Raises
    ------
    BraindataError
        When a shard is missing, corrupt, of another schema, or there twice.
    ValueError
        When there is no such table.
    """
    unknown = sorted(shards.keys() - TABLES.keys())
    if unknown:
        raise ValueError(f"there is no table {', '.join(unknown)}; known: {', '.join(TABLES)}")
    tables_folder.mkdir(parents=True, exist_ok=True)
    with locked(tables_folder):
        wanted = {name: _enter(tables_folder / name, name, shards.get(name, ())) for name in TABLES}
        tables = {name: commit_files(tables_folder / name, name, wanted[name]) for name in TABLES}
        there = list_releases(tables_folder)
        if there:
            latest = read_release(tables_folder, ended=True)
            if not latest.state and latest.same_content(tables, SCHEMA_VERSION):
                return latest
        release = Release(
            folder=tables_folder,
            number=there[-1] + 1 if there else 1,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            schema_version=SCHEMA_VERSION,
            tables=tables,
            provenance=provenance,
        )
        release.write()
        return dataclasses.replace(release, new=True)


@contextmanager
def locked(tables_folder: Path) -> Iterator[None]:
    """Wait for other publishers; the kernel frees the lock when its process dies."""
    with (tables_folder / LOCK).open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _enter(folder: Path, name: str, shards: Sequence[Path]) -> dict[str, Path]:
    """Enter shards under the hash of their contents; return relative path and file of each."""
    folder.mkdir(exist_ok=True)
    # A shard that is a hard link of an entered file need not be hashed again.
    entered = {_identity(path): path.stem for path in folder.glob("??/*.parquet")}
    result: dict[str, Path] = {}
    sources: dict[str, Path] = {}
    for shard in sorted(shards):
        if check_shard(shard, name).num_rows == 0:
            continue
        source = shard.resolve()
        digest = entered.get(_identity(source)) or sha256_file(source)
        path = f"{digest[:2]}/{digest}.parquet"
        if path in result:
            raise BraindataError(
                f"two shards of `{name}` hold the same rows",
                file=shard,
                hint=f"the other one is {sources[path]}",
            )
        target = folder / path
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            _link(source, target)
        result[path], sources[path] = target, shard
    return result


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _link(source: Path, target: Path) -> None:
    with atomic_path(target) as part:
        part.unlink(missing_ok=True)
        try:
            os.link(source, part)
        except OSError:
            # Another file system, or one without hard links.
            shutil.copyfile(source, part)
