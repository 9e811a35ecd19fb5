"""The Delta logs of the tables: one commit turns the active files into the wanted ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from braindata.files import write_text
from braindata.receipts import content_hash
from braindata.tables.releases import ShardFile, TableRelease
from braindata.tables.schemas import TABLES
from braindata.tables.shards import check_shard, statistics

# Without this, delta-rs deletes log entries after 30 days, and old releases cannot be read.
CONFIGURATION = {"delta.enableExpiredLogCleanup": "false"}
# Rows are read shard after shard in the order of these columns.
ORDER = ("dataset", "region", "recording")


def commit_files(folder: Path, name: str, wanted: Mapping[str, Path]) -> TableRelease:
    """Make `wanted` the active files of a table, in one commit or none.

    Parameters
    ----------
    folder : Path
        The table's folder, which holds the files already.
    name : str
        Which table of `TABLES`.
    wanted : mapping of str to Path
        Path relative to `folder`, and the file itself.

    Returns
    -------
    TableRelease
        The table after the commit.

    Raises
    ------
    BraindataError
        When a new file is missing, corrupt or of another schema.
    """
    schema = Schema.from_arrow(TABLES[name])
    if not DeltaTable.is_deltatable(str(folder)):
        _create(folder, name, schema, wanted, "error")
    else:
        table = DeltaTable(str(folder))
        if table.schema() != schema:
            _create(folder, name, schema, wanted, "overwrite")
        else:
            _replace(table, name, schema, wanted)
    return table_state(folder, name)


def forget_before(folder: Path) -> None:
    """Shorten the log of a table to its newest version, which stays as it is.

    What is left of the log names the active files and no earlier one: the bounds of values that it
    holds of each file are of those only. Killed in between, the newest version can be read, and
    the next call goes on.
    """
    table = DeltaTable(str(folder))
    version = table.version()
    table.create_checkpoint()
    log = folder / "_delta_log"
    newest = f"{version:020d}"
    commit = log / f"{newest}.json"
    lines = commit.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if "remove" not in json.loads(line)]
    if len(kept) < len(lines):
        # The checkpoint says the state; which files went then, nobody needs to know any more.
        write_text(commit, "".join(kept))
    for path in log.iterdir():
        if path.is_file() and not path.name.startswith((newest, "_last_checkpoint")):
            path.unlink()


def schema_hash(schema: pa.Schema) -> str:
    """Return a hash of names, types, descriptions and units of the columns."""
    return content_hash(
        [
            {
                "name": field.name,
                "type": str(field.type),
                **{key.decode(): text.decode() for key, text in (field.metadata or {}).items()},
            }
            for field in schema
        ]
    )


def _create(folder: Path, name: str, schema: Schema, wanted: Mapping[str, Path], mode: str) -> None:
    create_table_with_add_actions(
        str(folder),
        schema,
        [_add(path, file, name) for path, file in sorted(wanted.items())],
        mode="overwrite" if mode == "overwrite" else "error",
        name=name,
        configuration=CONFIGURATION,
        post_commithook_properties=_hooks(),
    )


def _replace(table: DeltaTable, name: str, schema: Schema, wanted: Mapping[str, Path]) -> None:
    active = {file.path: file for file, _ in _active(table)}
    new = [_add(path, wanted[path], name) for path in sorted(wanted.keys() - active.keys())]
    gone = [
        RemoveAction(
            path,
            data_change=True,
            deletion_timestamp=0,  # required by the type; nothing here vacuums by age
            size=active[path].bytes,
            partition_values={},
        )
        for path in sorted(active.keys() - wanted.keys())
    ]
    if new or gone:
        table.create_write_transaction(
            [*new, *gone],
            mode="append",
            schema=schema,
            # The lock of `publish` keeps others away: a conflict is a fault, not a race.
            commit_properties=CommitProperties(max_commit_retries=0),
            post_commithook_properties=_hooks(),
        )


def _hooks() -> PostCommitHookProperties:
    return PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


def _add(path: str, file: Path, name: str) -> AddAction:
    footer = check_shard(file, name)
    status = file.stat()
    return AddAction(
        path=path,
        size=status.st_size,
        partition_values={},
        modification_time=int(status.st_mtime * 1000),
        data_change=True,
        stats=json.dumps(statistics(footer), ensure_ascii=False),
    )


def _active(table: DeltaTable) -> list[tuple[ShardFile, tuple[str, ...]]]:
    """Return the active files and by what they are ordered."""
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return [
        (
            ShardFile(action["path"], action["num_records"], action["size_bytes"]),
            (*(action.get(f"min.{column}") or "" for column in ORDER), action["path"]),
        )
        for action in actions
    ]


def table_state(folder: Path, name: str) -> TableRelease:
    """Return what a table holds now."""
    table = DeltaTable(str(folder))
    ordered = sorted(_active(table), key=lambda pair: pair[1])
    return TableRelease(
        delta_version=table.version(),
        schema=schema_hash(TABLES[name]),
        files=tuple(file for file, _ in ordered),
    )
