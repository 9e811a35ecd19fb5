"""Which rows of a table differ between two releases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from braindata.errors import BraindataError

# What tells one row of a table from another, where the table has it.
IDENTITY = (
    "dataset", "recording", "subject", "session", "task", "run", "trial", "onset", "region",
    "definition_hash", "region_b", "definition_hash_b", "group", "process", "latent", "model",
    "hrf_model", "strategy", "kind", "condition", "feature", "channels", "stimulus", "stim_file",
    "method",
)  # fmt: skip
# Whose rows they are, and of which region: jobs are of these.
GROUP = ("dataset", "region", "definition_hash")
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_PRIME = np.uint64(0xBF58476D1CE4E5B9)

Group = tuple[str | None, ...]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Counts:
    """How many rows came, went and changed."""

    added: int = 0
    removed: int = 0
    changed: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.added + other.added, self.removed + other.removed, self.changed + other.changed
        )


def compare_rows(old: Sequence[Path], new: Sequence[Path]) -> dict[Group, Counts]:
    """Compare the rows of files that only one of two releases has.

    A row that has the same identity in both (data set, recording, trial, region …), but other
    values, has changed. Rows of the same identity are matched by their number.

    Parameters
    ----------
    old, new : sequence of Path
        Parquet files of one table.

    Returns
    -------
    dict of tuple to Counts
        By data set, region and its definition's hash; None where the table has none.
    """
    before, after = _rows(old), _rows(new)
    result: dict[Group, Counts] = {}
    for group in {**before, **after}:
        one, other = before.get(group, Counter()), after.get(group, Counter())
        gone, come = one - other, other - one
        lost, won = _by_identity(gone), _by_identity(come)
        changed = (lost & won).total()
        counts = Counts(come.total() - changed, gone.total() - changed, changed)
        if counts:
            result[group] = counts
    return dict(sorted(result.items(), key=lambda pair: tuple(str(part) for part in pair[0])))


def _by_identity(rows: Counter[tuple[int, int]]) -> Counter[int]:
    found: Counter[int] = Counter()
    for (identity, _), n in rows.items():
        found[identity] += n
    return found


def _rows(files: Sequence[Path]) -> dict[Group, Counter[tuple[int, int]]]:
    """Return by group how often which identity and which values are there."""
    found: dict[Group, Counter[tuple[int, int]]] = {}
    for path in files:
        for batch in _batches(path):
            table = pa.Table.from_batches([batch])
            names = table.column_names
            identity = row_hashes(table.select([n for n in names if n in IDENTITY]))
            values = row_hashes(table)
            keys = [
                table[name].to_pylist() if name in names else [None] * len(table) for name in GROUP
            ]
            rows = zip(*keys, identity.tolist(), values.tolist(), strict=True)
            for *group, one, all_of_it in rows:
                found.setdefault(tuple(group), Counter())[one, all_of_it] += 1
    return found


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield from file.iter_batches()
    except (OSError, pa.ArrowInvalid) as error:
        raise BraindataError(
            f"a file of `{path.parent.parent.name}` cannot be read",
            file=path,
            hint="`braindata verify` says what to do",
        ) from error


def row_hashes(table: pa.Table) -> Hashes:
    """Return a hash of each row (64 bits; not against an adversary): equal rows, equal hashes.

    Columns count by their names, not by their order; a column of nulls counts as none, so that a
    column that a newer version adds changes no row by itself.
    """
    result = np.zeros(len(table), np.uint64)
    for name in sorted(table.column_names):
        column = table[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else column.chunk(0)
        if column.null_count == len(column):
            continue
        seed = np.uint64(int(pd.util.hash_array(np.array([name], object))[0]))
        hashed = _mixed(_hashes(column) ^ seed)
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        result += np.where(valid, hashed, np.uint64(0))
    return result


def _mixed(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint64(30))) * _PRIME
    mixed: Hashes = values ^ (values >> np.uint64(27))
    return mixed


def _hashes(column: pa.Array) -> Hashes:
    kind = column.type
    if pa.types.is_list(kind):
        lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        flat = _hashes(column.flatten())
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        places = (np.arange(len(flat)) - np.repeat(starts, lengths) + 1).astype(np.uint64)
        sums = np.concatenate([[np.uint64(0)], np.cumsum(_mixed(flat ^ (places * _GOLDEN)))])
        of_rows: Hashes = sums[starts + lengths] - sums[starts] + lengths.astype(np.uint64)
        return of_rows
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        coded = column.dictionary_encode()
        words = np.array(coded.dictionary.to_pylist() or [""], object)
        known = pd.util.hash_array(words, categorize=False).astype(np.uint64)
        of_texts: Hashes = known[coded.indices.fill_null(0).to_numpy(zero_copy_only=False)]
        return of_texts
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
        kind = column.type
    numbers = column.fill_null(0).to_numpy(zero_copy_only=False)
    bits = numbers.astype(np.float64).view(np.uint64) if pa.types.is_floating(kind) else numbers
    nulls = np.where(column.is_valid().to_numpy(zero_copy_only=False), 0, 1).astype(np.uint64)
    return _mixed(bits.astype(np.uint64) * _GOLDEN + nulls + np.uint64(1))
