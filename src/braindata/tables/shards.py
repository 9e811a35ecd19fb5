"""Shards: the immutable Parquet files that jobs write and `publish` enters into the tables."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from braindata.errors import BraindataError
from braindata.files import atomic_path
from braindata.tables.schemas import SCHEMA_VERSION, TABLES

COMPRESSION_LEVEL = 3
ROWS_PER_GROUP = 1000

TABLE_KEY = b"braindata.table"
VERSION_KEY = b"braindata.schema_version"

# Statistics are for leaving files out; a long text never decides that, and would bloat the log.
MAX_STATISTIC_LENGTH = 100


def conform(table: pa.Table, name: str) -> pa.Table:
    """Return a table with exactly the columns of a schema, in its order.

    Parameters
    ----------
    table : pyarrow.Table
        Columns in any order; missing ones are completed with nulls.
    name : str
        Which table of `TABLES`.

    Returns
    -------
    pyarrow.Table
        With the schema's types and descriptions, table name and schema version in its metadata.

    Raises
    ------
    ValueError
        When there is no such table, a column is not in its schema, or a value does not fit.
    """
    schema = _schema(name)
    unknown = [column for column in table.column_names if column not in schema.names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], schema.names, n=1)
        advice = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{name} has no column {', '.join(unknown)}{advice}")
    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError(f"a column of {name} is there twice")
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            columns.append(table[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"{name}.{field.name} does not fit {field.type}: {error}") from error
    return pa.table(columns, schema=schema)


def write_shard(table: pa.Table, path: Path, name: str) -> None:
    """Write a shard atomically; the same rows give the same bytes.

    Parameters
    ----------
    table : pyarrow.Table
        The rows; see `conform`.
    path : Path
        Where to.
    name : str
        Which table of `TABLES` they belong to.

    Raises
    ------
    ValueError
        When the rows do not conform to the table's schema.
    """
    # One chunk per column: how the rows were put together must not show in the bytes.
    rows = conform(table, name).combine_chunks()
    with atomic_path(path) as part:
        pq.write_table(
            rows,
            part,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=False,
            column_encoding=dict.fromkeys(_float_leaves(rows.schema), "BYTE_STREAM_SPLIT"),
            row_group_size=ROWS_PER_GROUP,
            write_statistics=True,
            # Without it a byte that has changed reads as another value.
            write_page_checksum=True,
            version="2.6",
        )


def read_shard(path: Path, name: str) -> pa.Table:
    """Read a shard.

    Raises
    ------
    BraindataError
        When it is missing, corrupt, or of another table or schema version.
    """
    check_shard(path, name)
    try:
        return pq.read_table(path, partitioning=None, page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise _broken(path) from error


def check_shard(path: Path, name: str) -> pq.FileMetaData:
    """Return the footer of a shard after comparing its schema with that of table `name`.

    Raises
    ------
    BraindataError
        When it is missing, corrupt, or of another table or schema version.
    """
    try:
        footer = pq.read_metadata(path)
        found = footer.schema.to_arrow_schema()
    except FileNotFoundError as error:
        raise BraindataError(
            "the shard is missing", file=path, hint="run again: it is made anew"
        ) from error
    except (OSError, pa.ArrowInvalid) as error:
        raise _broken(path) from error
    version = (found.metadata or {}).get(VERSION_KEY, b"0").decode()
    if version.isdecimal() and int(version) > SCHEMA_VERSION:
        raise BraindataError(
            f"the shard was written by a newer braindata (schema version {version}; this one "
            f"knows {SCHEMA_VERSION})",
            file=path,
            hint="upgrade braindata; or delete it and run again, which makes it anew as of this",
        )
    if not found.equals(_schema(name), check_metadata=False):
        raise BraindataError(
            f"the shard does not have the columns of `{name}` (schema version {SCHEMA_VERSION})",
            file=path,
            hint="it was written by another version: delete it and run again",
        )
    return footer


def statistics(footer: pq.FileMetaData) -> dict[str, Any]:
    """Return a shard's statistics as a Delta log holds them.

    Parameters
    ----------
    footer : pyarrow.parquet.FileMetaData
        Of a shard.

    Returns
    -------
    dict
        `numRecords`, and per column `minValues`, `maxValues`, `nullCount`. Columns with lists or
        long texts have none, which readers take as unknown.
    """
    lowest: dict[str, Any] = {}
    highest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    names = [footer.schema.column(i).path for i in range(footer.num_columns)]
    for i, name in enumerate(names):
        if "." in name:
            continue
        groups = [footer.row_group(g).column(i).statistics for g in range(footer.num_row_groups)]
        if not groups or any(s is None or not s.has_null_count for s in groups):
            continue
        nulls[name] = sum(s.null_count for s in groups)
        filled = [s for s in groups if s.num_values > 0]
        if filled and all(s.has_min_max for s in filled):
            least, most = min(s.min for s in filled), max(s.max for s in filled)
            if _short(least) and _short(most):
                lowest[name], highest[name] = least, most
    return {
        "numRecords": footer.num_rows,
        "minValues": lowest,
        "maxValues": highest,
        "nullCount": nulls,
    }


def _short(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_STATISTIC_LENGTH
    # JSON has no infinity, and Delta keeps no bounds of booleans.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _schema(name: str) -> pa.Schema:
    if name not in TABLES:
        raise ValueError(f"there is no table {name}; known: {', '.join(TABLES)}")
    return TABLES[name].with_metadata(
        {TABLE_KEY: name.encode(), VERSION_KEY: str(SCHEMA_VERSION).encode()}
    )


def _float_leaves(schema: pa.Schema) -> list[str]:
    leaves = []
    for field in schema:
        if pa.types.is_floating(field.type):
            leaves.append(field.name)
        elif pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type):
            leaves.append(f"{field.name}.list.element")
    return leaves


def _broken(path: Path) -> BraindataError:
    return BraindataError(
        "the shard cannot be read", file=path, hint="delete it and run again: it is made anew"
    )
