"""A release without somebody, and the end of all earlier ones."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from braindata.errors import BraindataError
from braindata.files import sha256_file
from braindata.layout import Layout
from braindata.tables.delta import forget_before, schema_hash, table_state
from braindata.tables.publish import locked, publish
from braindata.tables.releases import (
    Release,
    list_releases,
    read_release,
    read_tags,
    remove_tag,
)
from braindata.tables.schemas import SCHEMA_VERSION, TABLES
from braindata.tables.shards import write_shard
from braindata.tables.vacuum import needed_files, shard_files
from braindata.withdrawal.person import newest_release
from braindata.withdrawal.rows import fewer_stimuli, without_rows
from braindata.withdrawn import Gone


def release_without(layout: Layout, dataset: str, gone: Gone) -> int | None:
    """Make a release without people who were withdrawn, and end the earlier ones.

    First the new release is there; then the earlier ones say that they ended, then the logs are
    shortened to what the new one needs, and last the files go that it does not need. Killed in
    between, the new release can be read, and the next call goes on from there.

    Parameters
    ----------
    layout : Layout
        The output folder, whose lock this process holds.
    dataset : str
        Identifier of the data set.
    gone : Gone
        Who was withdrawn from it.

    Returns
    -------
    int or None
        The number of the release; None where there is none that this version of braindata could
        write anew: then all ended, and the next run makes one.
    """
    folder = layout.tables()
    if not list_releases(folder):
        _forget_all(folder)
        return None
    latest = newest_release(layout)
    staging = folder / ".staging"
    release = None
    if latest is not None and _is_current(latest):
        try:
            shards = _shards(latest, dataset, gone, staging / "withdrawn")
            provenance = scrubbed(latest.provenance, dataset, gone)
            release = publish(folder, shards, provenance)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    shutil.rmtree(staging, ignore_errors=True)
    with locked(folder):
        for number in list_releases(folder):
            if release is None or number != release.number:
                _end(folder, number)
        for tag in read_tags(folder):
            if gone.named_in(tag):
                remove_tag(folder, tag)
        if release is None:
            _forget_all(folder)
            return None
        states = {name: table_state(folder / name, name) for name in release.tables}
        dataclasses.replace(
            release, tables=states, provenance=scrubbed(release.provenance, dataset, gone)
        ).write()
        for name in release.tables:
            forget_before(folder / name)
        needed = needed_files([release])
        for path in shard_files(folder):
            if path not in needed:
                path.unlink()
    return release.number


def scrubbed(provenance: Mapping[str, Any], dataset: str, gone: Gone) -> dict[str, Any]:
    """Return the provenance of a release without people of a data set who were withdrawn."""
    result = dict(provenance)
    for key in ("receipts", "made"):
        if key in result:
            result[key] = {
                name: value
                for name, value in result[key].items()
                if not (name.split("/")[1:2] == [dataset] and gone.named_in(name))
            }
    chosen = dict(result.get("parameters", {}))
    decisions = dict(chosen.get("decisions", {}))
    if dataset in decisions:
        decisions[dataset] = gone.value(decisions[dataset])
        result["parameters"] = chosen | {"decisions": decisions}
    result["withdrawn"] = {**result.get("withdrawn", {}), dataset: len(gone)}
    return result


def _is_current(release: Release) -> bool:
    """Whether this version of braindata writes the same columns."""
    return release.tables.keys() == TABLES.keys() and all(
        table.schema == schema_hash(TABLES[name]) for name, table in release.tables.items()
    )


def _shards(release: Release, dataset: str, gone: Gone, staging: Path) -> dict[str, list[Path]]:
    """Return the files of each table, written anew where somebody is in them."""
    shards: dict[str, list[Path]] = {}
    gone_trials: list[pa.Table] = []
    shown: set[str] = set()
    # Stimuli last: what is left of them depends on the trials.
    for name in sorted(release.tables, key=lambda name: name == "stimuli"):
        shards[name] = []
        for n, file in enumerate(release.tables[name].files):
            path = release.folder / name / file.path
            rows = _sound_rows(path, name, file.sha256)
            left, removed = without_rows(rows, dataset, gone)
            if name == "trials":
                gone_trials.append(removed)
                shown |= set(pc.unique(left["stimulus"]).to_pylist())
            if name == "stimuli" and gone_trials:
                left = fewer_stimuli(left, pa.concat_tables(gone_trials), shown)
            if left.equals(rows):
                shards[name].append(path)
            else:
                target = staging / name / f"{n}.parquet"
                write_shard(left, target, name)
                shards[name].append(target)
    return shards


def _sound_rows(path: Path, name: str, sha256: str) -> pa.Table:
    """Return the rows of a file of a table, as it was published."""
    damaged = BraindataError(
        f"a file of `{name}` is damaged: nobody can say who is in it",
        file=path,
        hint="`braindata verify --repair`, run snakemake, then withdraw again",
    )
    try:
        # Written anew, damage would get a name that says it is sound.
        if sha256_file(path) != sha256:
            raise damaged
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged from error


def _end(folder: Path, number: int) -> None:
    """Leave of a release that it was: whoever asks for it is told why it is gone."""
    try:
        created = read_release(folder, number, ended=True).created
    except BraindataError:
        created = ""
    Release(folder, number, created, SCHEMA_VERSION, {}, {}, state="withdrawn").write()


def _forget_all(folder: Path) -> None:
    """Remove all tables: there is no release that needs them."""
    for name in TABLES:
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.rmtree(folder / ".staging", ignore_errors=True)
