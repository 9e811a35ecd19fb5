"""Tables without the rows of people who were withdrawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from braindata.tables.schemas import TABLES
from braindata.tables.shards import TABLE_KEY, check_shard, write_shard
from braindata.withdrawn import Gone


def without_rows(rows: pa.Table, dataset: str, gone: Gone) -> tuple[pa.Table, pa.Table]:
    """Return what is left of a table, and the rows that go.

    A row goes that is about somebody withdrawn, by its `subject` or its `recording`. In the texts
    of other rows of the data set a word stands in their place; elements of lists that name them go.
    The same labels in other data sets are other people.

    Parameters
    ----------
    rows : pyarrow.Table
        With a column `dataset`, or about no person.
    dataset : str
        Identifier of the data set.
    gone : Gone
        Who was withdrawn from it.
    """
    if "dataset" not in rows.column_names:
        return rows, rows.slice(0, 0)
    of_it = pc.fill_null(pc.equal(rows["dataset"], dataset), False)
    theirs = pa.chunked_array([pa.array([False] * len(rows), pa.bool_())])
    for name, is_gone in (("subject", gone.has), ("recording", gone.named_in)):
        if name in rows.column_names:
            theirs = pc.or_(theirs, _where(rows[name], is_gone))
    theirs = pc.and_(of_it, theirs)
    left, removed = rows.filter(pc.invert(theirs)), rows.filter(theirs)
    ours = pc.fill_null(pc.equal(left["dataset"], dataset), False)
    for at, name in enumerate(left.column_names):
        if name == "dataset":
            continue
        text = _without_names(left[name], gone)
        if text is not None:
            left = left.set_column(at, left.schema.field(at), pc.if_else(ours, text, left[name]))
    return left, removed


def _where(column: pa.ChunkedArray, is_true: Any) -> pa.Array:
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    said = pa.array([one is not None and is_true(one) for one in coded.dictionary.to_pylist()])
    if len(said) == 0:
        return pa.array([False] * len(column), pa.bool_())
    return pc.fill_null(said.take(coded.indices), False)


def _without_names(column: pa.ChunkedArray, gone: Gone) -> pa.Array | None:
    """Return a column of texts without names; None where none is in it."""
    kind = column.type
    if pa.types.is_string(kind):
        if not pc.any(_where(column, gone.named_in)).as_py():
            return None
        return pa.array([t and gone.without(t) for t in column.to_pylist()], kind)
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        values = column.to_pylist()
        kept = [
            None if one is None else [t for t in one if t is None or not gone.named_in(t)]
            for one in values
        ]
        return None if kept == values else pa.array(kept, kind)
    return None


def mend_shard(path: Path, dataset: str, gone: Gone) -> int:
    """Write a job's shard anew without people who were withdrawn.

    A shard of another version of braindata, or one that is damaged, is removed: the next run makes
    it anew.

    Returns
    -------
    int
        How many rows went; 0 leaves the file as it is, unless a text in it changed.
    """
    try:
        rows = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowInvalid):
        path.unlink(missing_ok=True)
        return 0
    left, removed = without_rows(rows, dataset, gone)
    if not len(removed) and left.equals(rows):
        return 0
    name = (rows.schema.metadata or {}).get(TABLE_KEY, b"").decode()
    if name not in TABLES or not rows.schema.equals(TABLES[name], check_metadata=False):
        path.unlink()
    else:
        check_shard(path, name)
        write_shard(left, path, name)
    return len(removed)


def fewer_stimuli(stimuli: pa.Table, gone_trials: pa.Table, shown: set[str]) -> pa.Table:
    """Return `stimuli` without what only people who were withdrawn saw.

    Parameters
    ----------
    stimuli : pyarrow.Table
        Rows of one or more data sets.
    gone_trials : pyarrow.Table
        The trials that went: `recording`, `trial`, `stimulus`, a row per region.
    shown : set of str
        Stimuli of the trials that are left.
    """
    seen = {
        (row["recording"], row["trial"], row["stimulus"])
        for row in gone_trials.select(["recording", "trial", "stimulus"]).to_pylist()
        if row["stimulus"] is not None
    }
    fewer: dict[str, int] = {}
    for _, _, stimulus in seen:
        fewer[stimulus] = fewer.get(stimulus, 0) + 1
    rows = []
    for row in stimuli.to_pylist():
        n = fewer.get(row["stimulus"], 0)
        if n and row["stimulus"] not in shown:
            continue
        if n and row["n_trials"] is not None:
            row["n_trials"] = max(row["n_trials"] - n, 1)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=stimuli.schema)
