"""A cache of decoded series: what random windows are cut from.

Parquet holds a list per region; a window of several regions is one piece of memory here. The cache
is made once per contents and selection, and may be deleted at any moment: it is made again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from braindata.errors import BraindataError, UsageError
from braindata.files import PART_PREFIX
from braindata.receipts import content_hash

if TYPE_CHECKING:
    from braindata.tables.reading import Tables

# Beside the tables, so that who deletes an output folder, or a person from it, need not look
# elsewhere.
FOLDER = ".cache"
# Raised when the same selection is decoded to other files.
VERSION = 1
# A row of EEG may be some megabytes.
ROWS_AT_ONCE = 50
_WHO = ("dataset", "recording", "subject", "session", "task", "run")
_FACTS = ("start", "sampling_frequency", "unit")
# Of a folder of somebody else, on a read-only disk, or of a name that is a file's.
_NO_FOLDER = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@dataclass(frozen=True)
class Selection:
    """Which series are decoded.

    Attributes
    ----------
    regions : tuple of str
        Names, in the order of the columns.
    strategy : str
        How they were cleaned.
    modality : str
        Of the recordings.
    """

    regions: tuple[str, ...]
    strategy: str
    modality: str

    @property
    def where(self) -> dict[str, object]:
        """What rows of `series` must be."""
        return {"region": list(self.regions), "strategy": self.strategy}


class SeriesCache:
    """Decoded series, mapped from disk.

    Attributes
    ----------
    folder : Path
        Where they lie.
    values : ndarray of float32, shape (n_samples, n_regions)
        All recordings one after the other, in the unit of their series; NaN for what is null.
    kept : ndarray of bool, shape (n_samples,)
        Whether the strategy keeps the sample.
    whole : ndarray of bool, shape (n_samples,)
        Whether it does, and every region has a value.
    recordings : pyarrow.Table
        A row per recording: who it is, `start`, `sampling_frequency`, `unit`, and `n_samples`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._map()

    def _map(self) -> None:
        self.values: NDArray[np.float32] = np.load(self.folder / "values.npy", mmap_mode="r")
        self.kept: NDArray[np.bool_] = np.load(self.folder / "kept.npy")
        self.whole: NDArray[np.bool_] = np.load(self.folder / "whole.npy")
        self.recordings = pq.read_table(self.folder / "recordings.parquet")

    def __getstate__(self) -> Path:
        # A worker maps the files again: pickled, the map would be a copy of all values.
        return self.folder

    def __setstate__(self, folder: Path) -> None:
        self.folder = folder
        self._map()


def open_cache(tables: Tables, selection: Selection, parent: Path | None = None) -> SeriesCache:
    """Return the decoded series of a selection, decoding them if nobody has.

    Parameters
    ----------
    tables : Tables
        The release.
    selection : Selection
        What of it.
    parent : Path, optional
        The folder of all caches; `.cache` in the folder of the tables by default.

    Raises
    ------
    UsageError
        When the folder cannot be written to, or no recording has such series.
    BraindataError
        When the tables cannot be read or contradict each other.
    """
    parent = tables.folder / FOLDER if parent is None else parent
    folder = parent / _key(tables, selection)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent / f"{folder.name}.lock"):
            # A killed process left these: nobody else is at work here.
            for left in parent.glob(f"{PART_PREFIX}{folder.name}*"):
                shutil.rmtree(left)
            cache = _opened(folder)
            if cache is None:
                part = parent / f"{PART_PREFIX}{folder.name}"
                try:
                    part.mkdir()
                    _write(tables, selection, part)
                    part.rename(folder)
                finally:
                    shutil.rmtree(part, ignore_errors=True)
                cache = SeriesCache(folder)
    except OSError as error:
        # A disk that is full is another matter: it is what cannot be written then.
        if error.errno not in _NO_FOLDER:
            raise
        raise UsageError(
            f"the cache of decoded series cannot be written here ({os.strerror(error.errno)})",
            file=parent,
            hint="name a folder of yours: windows(…, cache=FOLDER)",
        ) from error
    return cache


def clear_cache(tables_folder: Path) -> bool:
    """Delete all caches beside the tables; return whether there were any.

    Who has one open keeps what is mapped until the process ends.
    """
    folder = tables_folder / FOLDER
    there = folder.is_dir()
    shutil.rmtree(folder, ignore_errors=not there)
    return there


def _key(tables: Tables, selection: Selection) -> str:
    """Return the name of a cache: a hash of the files it is made from and of what is taken.

    Files are named by their contents. Those of other regions do not count: a new region leaves the
    caches of the others valid.
    """
    return content_hash(
        [
            VERSION,
            [path.name for path in tables["series"].files_with(selection.where)],
            [path.name for path in tables["recordings"].files],
            selection.regions,
            selection.strategy,
            selection.modality,
        ]
    )[:32]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for others who make the same cache; the kernel frees the lock when they die."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _opened(folder: Path) -> SeriesCache | None:
    """Return a cache that is there and whole; remove one that somebody deleted a part of."""
    if not folder.is_dir():
        return None
    try:
        cache = SeriesCache(folder)
        n_samples = sum(cache.recordings["n_samples"].to_pylist())
        if {len(cache.values), len(cache.kept), len(cache.whole)} == {n_samples}:
            return cache
    except (OSError, ValueError, KeyError, EOFError, pa.ArrowInvalid):
        pass
    shutil.rmtree(folder)
    return None


def _write(tables: Tables, selection: Selection, folder: Path) -> None:
    recordings = _recordings(tables, selection)
    lengths = [row["n_samples"] for row in recordings.values()]
    offsets = dict(zip(recordings, np.cumsum([0, *lengths]).tolist(), strict=False))
    shape = (sum(lengths), len(selection.regions))
    values = _new_map(folder / "values.npy", shape)
    kept = np.ones(shape[0], bool)
    columns = {region: number for number, region in enumerate(selection.regions)}

    def fill(row: dict[str, Any], numbers: _Lists, keeps: _Lists) -> None:
        begin = offsets[row["dataset"], row["recording"]]
        if (found := numbers(row["i"])) is not None:
            values[begin : begin + len(found), columns[row["region"]]] = found
        if (flags := keeps(row["i"])) is not None:
            kept[begin : begin + len(flags)] &= flags

    _each_row(tables, selection, ("dataset", "recording", "region"), recordings, fill)
    values.flush()
    whole = kept.copy()
    for begin in range(0, len(values), 100_000):
        piece = slice(begin, begin + 100_000)
        whole[piece] &= np.isfinite(values[piece]).all(axis=1)
    np.save(folder / "kept.npy", kept)
    np.save(folder / "whole.npy", whole)
    known = tables["series"].schema
    facts = [*map(known.field, (*_WHO, *_FACTS)), pa.field("n_samples", pa.int64())]
    rows = pa.Table.from_pylist(list(recordings.values()), pa.schema(facts))
    pq.write_table(rows, folder / "recordings.parquet")
    for path in folder.iterdir():
        with path.open("rb") as handle:
            os.fsync(handle.fileno())


def _new_map(path: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    """Return a mapped array of NaN on disk."""
    values = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    try:
        with path.open("r+b") as handle:
            # A disk that is full while a map is written to kills the process; this is an error.
            os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)
    except OSError as error:
        error.filename = str(path)
        raise
    values[:] = np.nan
    return values


def _recordings(tables: Tables, selection: Selection) -> dict[tuple[str, str], dict[str, Any]]:
    """Return who each recording is, how long and how sampled, sorted by data set and name."""
    of_modality = tables["recordings"].to_pyarrow(
        ["dataset", "recording"], {"modality": selection.modality}
    )
    wanted = set(zip(*of_modality.to_pydict().values(), strict=True))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    seen: set[tuple[str, str, str]] = set()

    def note(row: dict[str, Any], numbers: _Lists, keeps: _Lists) -> None:
        key = (row["dataset"], row["recording"])
        name = f"{key[0]}/{key[1]}"
        if (*key, row["region"]) in seen:
            raise BraindataError(
                f"{name} has two series of {row['region']}",
                file=tables["series"].folder,
                hint="publish again with one definition per name of a region",
            )
        seen.add((*key, row["region"]))
        lengths = {len(one) for one in (numbers(row["i"]), keeps(row["i"])) if one is not None}
        if not lengths:
            return
        facts = {column: row[column] for column in (*_WHO, *_FACTS)}
        one = found.setdefault(key, facts | {"n_samples": max(lengths)})
        lengths.add(one["n_samples"])
        # `start` is not compared: it is a fact of the recording, not of the region.
        if len(lengths) > 1 or one["sampling_frequency"] != row["sampling_frequency"]:
            raise BraindataError(
                f"the series of {name} differ in length or sampling frequency",
                file=tables["series"].folder,
                hint="delete the series of this data set and run again",
            )

    _each_row(tables, selection, (*_WHO, "region", *_FACTS), wanted, note)
    if not found:
        strategies = sorted(set(tables["series"].to_pyarrow(["strategy"])["strategy"].to_pylist()))
        raise UsageError(
            f"no {selection.modality} recording has series cleaned by `{selection.strategy}` of "
            f"{', '.join(selection.regions)}",
            file=tables["series"].folder,
            hint=f"strategies in this release: {', '.join(strategies) or 'none'}",
        )
    return {key: found[key] for key in sorted(found)}


# Gives the list of a row of a batch; None for null.
_Lists = Callable[[int], NDArray[Any] | None]


def _each_row(
    tables: Tables,
    selection: Selection,
    columns: Sequence[str],
    recordings: Any,
    use: Callable[[dict[str, Any], _Lists, _Lists], None],
) -> None:
    """Call `use` with each row of recordings, its position `i`, and what gives its lists."""
    batches = tables["series"].to_batches(
        [*columns, "values", "kept"], selection.where, max_rows=ROWS_AT_ONCE
    )
    for batch in batches:
        numbers, keeps = _lists(batch["values"]), _lists(batch["kept"])
        rows = batch.select(columns).to_pylist()
        for i, row in enumerate(rows):
            if (row["dataset"], row["recording"]) in recordings:
                use(row | {"i": i}, numbers, keeps)


def _lists(column: pa.ListArray) -> _Lists:
    # Nulls in a list of floats become NaN here; the offsets are those of the whole buffer.
    flat = column.values.to_numpy(zero_copy_only=False)
    offsets = column.offsets.to_numpy()
    there = column.is_valid().to_numpy(zero_copy_only=False)
    return lambda i: flat[offsets[i] : offsets[i + 1]] if there[i] else None
