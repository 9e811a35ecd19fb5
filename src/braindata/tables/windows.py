"""Shuffled windows of regions' series, split by people: what a training loop reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from braindata.errors import UsageError, nearest
from braindata.tables.cache import Selection, SeriesCache, open_cache
from braindata.tables.evidence import Recording, with_evidence
from braindata.tables.splits import check_split, split_of

if TYPE_CHECKING:
    from braindata.tables.reading import Tables


@dataclass(frozen=True)
class Batch:
    """Some windows.

    Attributes
    ----------
    values : ndarray of float32, shape (n_windows, length, n_regions)
        In the unit of the recordings' series; NaN for what is null.
    kept : ndarray of bool, shape (n_windows, length)
        Whether the strategy keeps the sample.
    recording : ndarray of int64, shape (n_windows,)
        Row of `Windows.recordings`.
    start : ndarray of int64, shape (n_windows,)
        First sample in that recording, from 0.
    """

    values: NDArray[np.float32]
    kept: NDArray[np.bool_]
    recording: NDArray[np.int64]
    start: NDArray[np.int64]


class Windows:
    """Windows of some regions in some people; see `Tables.windows`.

    Iterating gives the batches of epoch 0; ``batches(epoch)`` those of any.

    Attributes
    ----------
    regions : tuple of str
        Regions, in the order of the last axis of `Batch.values`.
    recordings : pyarrow.Table
        A row per recording: who it is, `start` (s), `sampling_frequency` (Hz), `unit` and
        `n_samples`. Those without a window are there too.
    """

    def __init__(
        self,
        cache: SeriesCache,
        regions: tuple[str, ...],
        windows: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
        length: int,
        seed: int,
        batch_size: int,
    ):
        self.regions = regions
        self.recordings: pa.Table = cache.recordings
        self.length = length
        self._cache = cache
        self._recording, self._start, self._row = windows
        self._seed, self._batch_size = seed, batch_size

    def __repr__(self) -> str:
        return f"<{len(self):,} windows of {self.length} samples of {', '.join(self.regions)}>"

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._row)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, epoch: int = 0, shuffle: bool = True) -> Iterator[Batch]:
        """Yield every window once, in batches; the last may be smaller.

        Parameters
        ----------
        epoch : int
            Each has its own order, which the seed decides.
        shuffle : bool
            If false, windows come by recording and time.
        """
        n_windows = len(self)
        order = np.arange(n_windows)
        if shuffle:
            np.random.default_rng([self._seed, epoch]).shuffle(order)
        for begin in range(0, n_windows, self._batch_size):
            yield self.take(order[begin : begin + self._batch_size])

    def take(self, numbers: NDArray[np.int64] | Sequence[int]) -> Batch:
        """Return windows by their numbers, from 0 to ``len(windows) - 1``."""
        numbers = np.asarray(numbers, np.int64)
        rows = self._row[numbers]
        values, kept = self._views
        return Batch(values[rows], kept[rows], self._recording[numbers], self._start[numbers])

    @cached_property
    def _views(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """All windows that there could be, as views: only what is taken is copied."""
        sliding = np.lib.stride_tricks.sliding_window_view
        values = sliding(self._cache.values, (self.length, len(self.regions)))[:, 0]
        return values, sliding(self._cache.kept, self.length)

    def __getstate__(self) -> dict[str, Any]:
        # Pickled, a view would be a copy of all windows.
        return {name: value for name, value in vars(self).items() if name != "_views"}

    def to_torch(self) -> Any:
        """Return a PyTorch `Dataset` of these windows; needs torch.

        An item is a dictionary of tensors with the names and, but for the first axis, the shapes of
        `Batch`; PyTorch's own sampler shuffles. Workers share one map of the cache.

        Raises
        ------
        UsageError
            When torch is not installed.
        """
        try:
            from braindata.tables.torch_windows import WindowDataset
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise UsageError("PyTorch is not installed", hint="pip install torch") from error
        return WindowDataset(self)


def make_windows(
    tables: Tables,
    length: int,
    stride: int | None,
    *,
    regions: Sequence[str] | None,
    level: str | None,
    modality: str | None,
    strategy: str,
    kept_only: bool,
    evidence: float | Mapping[str, float] | None,
    split: str | None,
    shares: tuple[float, float, float],
    seed: int,
    batch_size: int,
    cache: Path | str | None,
) -> Windows:
    """Return the windows of a release; see `Tables.windows`."""
    stride = length if stride is None else stride
    whole = {"length": length, "stride": stride, "batch_size": batch_size, "seed": seed}
    for name, number in whole.items():
        least = 0 if name == "seed" else 1
        if not isinstance(number, int | np.integer) or number < least:
            raise UsageError(f"{name} is {number!r}: it must be a whole number of at least {least}")
    if split is not None:
        check_split(split)
    names, only = _regions(tables, regions, level), None
    if evidence is not None:
        names, only = with_evidence(tables, names, evidence)
    chosen = Selection(names, strategy, _modality(tables, modality))
    decoded = open_cache(tables, chosen, None if cache is None else Path(cache))
    used = _in_split(tables, decoded.recordings, split, seed, shares)
    if only is not None:
        used &= _among(decoded.recordings, only)
        if not used.any():
            raise UsageError(
                f"no {chosen.modality} recording{'' if split is None else f' of the split {split}'}"
                f" is one in which there is evidence of {', '.join(names)}",
                hint="ask for less evidence, another split or another modality",
            )
    windows = _whole_windows(decoded, used, length, stride, kept_only)
    if not len(windows[0]):
        raise UsageError(
            f"there is no window of {length} samples in which every region has values and every "
            "sample is kept"
            if kept_only
            else f"no recording has {length} samples",
            hint=_why_none(decoded, used, chosen.regions, length),
        )
    return Windows(decoded, chosen.regions, windows, length, seed, batch_size)


def _regions(tables: Tables, regions: Sequence[str] | None, level: str | None) -> tuple[str, ...]:
    rows = tables["regions"].to_pyarrow(["region", "level"])
    levels = dict(zip(rows["region"].to_pylist(), rows["level"].to_pylist(), strict=True))
    if isinstance(regions, str):
        regions = [regions]
    for region in regions or ():
        if region not in levels:
            raise UsageError(f"there is no region {region}; {nearest(region, sorted(levels))}")
    if level is not None and level not in levels.values():
        there = sorted({name for name in levels.values() if name})
        raise UsageError(f"no region is of the level {level}; {nearest(level, there)}")
    found = tuple(
        region
        for region in dict.fromkeys(sorted(levels) if regions is None else regions)
        if level in (None, levels[region])
    )
    if not found:
        raise UsageError(
            f"none of these regions is of the level {level}" if levels else "there is no region"
        )
    return found


def _modality(tables: Tables, modality: str | None) -> str:
    """Return the modality; windows of several would mix what cannot be compared."""
    used = tables["recordings"].to_pyarrow(["modality"], {"status": "used"})
    there = sorted({name for name in used["modality"].to_pylist() if name})
    if modality is None and len(there) > 1:
        raise UsageError(
            "the release has recordings of several modalities",
            hint=f"name one: modality={' or '.join(map(repr, there))}",
        )
    if not there or modality not in (None, *there):
        known = nearest(modality or "", there) if there else "no recording is used"
        raise UsageError(f"there is no recording of the modality {modality}; {known}")
    return modality or there[0]


def _in_split(
    tables: Tables,
    recordings: pa.Table,
    split: str | None,
    seed: int,
    shares: tuple[float, float, float],
) -> NDArray[np.bool_]:
    """Return which recordings are in a split.

    Recordings that maps into a common space may be fitted on are not in `test`: what is tested on
    must not have been seen.
    """
    rows = recordings.select(["dataset", "recording", "subject"]).to_pylist()
    if split is None:
        return np.ones(len(rows), bool)
    seen: set[tuple[str, str]] = set()
    if split == "test" and "fits_alignment" in tables["recordings"].schema.names:
        fits = tables["recordings"].to_pyarrow(["dataset", "recording"], {"fits_alignment": True})
        seen = set(zip(*fits.to_pydict().values(), strict=True))
    people = {(row["dataset"], row["subject"]) for row in rows}
    splits = {person: split_of(*person, seed, shares) for person in people}
    if split not in splits.values():
        raise UsageError(
            f"none of the {len(people)} people is in the split {split}",
            hint="choose another seed or other shares: chance decides who is where",
        )
    found = np.array(
        [
            splits[row["dataset"], row["subject"]] == split
            and (row["dataset"], row["recording"]) not in seen
            for row in rows
        ]
    )
    if not found.any():
        raise UsageError(
            f"all recordings of the split {split} are ones that `alignment` may be fitted on",
            hint="choose another seed, other shares, or fewer recordings to fit alignment on",
        )
    return found


def _among(recordings: pa.Table, only: set[Recording]) -> NDArray[np.bool_]:
    rows = recordings.select(["dataset", "recording"]).to_pylist()
    return np.array([(row["dataset"], row["recording"]) in only for row in rows], bool)


def _whole_windows(
    cache: SeriesCache, used: NDArray[np.bool_], length: int, stride: int, kept_only: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return of each window its recording, its first sample there, and its row in the cache."""
    lengths = cache.recordings["n_samples"].to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    # How many samples before each row are not whole: none within a window, if it is the same at
    # both ends.
    gaps = np.concatenate([[0], np.cumsum(~cache.whole)])
    recording, start = [], []
    for number in np.flatnonzero(used):
        starts = np.arange(0, lengths[number] - length + 1, stride)
        if kept_only:
            rows = offsets[number] + starts
            starts = starts[gaps[rows + length] == gaps[rows]]
        recording.append(np.full(len(starts), number))
        start.append(starts)
    of_recording, first = np.concatenate(recording), np.concatenate(start)
    return of_recording, first, offsets[of_recording] + first


def _why_none(
    cache: SeriesCache, used: NDArray[np.bool_], regions: tuple[str, ...], length: int
) -> str:
    lengths = cache.recordings["n_samples"].to_numpy()
    longest = int(lengths[used].max())
    if longest < length:
        return f"the longest recording has {longest} samples"
    samples = np.repeat(used, lengths)
    empty = [
        region
        for number, region in enumerate(regions)
        if not np.isfinite(cache.values[samples, number]).any()
    ]
    if empty:
        return (
            f"these have no values in any of the recordings: {', '.join(empty)}; name the other "
            "regions, or kept_only=False"
        )
    return "shorter windows, fewer regions, or kept_only=False, which lets NaN in"
