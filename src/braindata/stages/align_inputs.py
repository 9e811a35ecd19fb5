"""What alignment reads: recordings' voxels, cleaned, and their single-trial responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.align.parameters import Group
from braindata.align.parcels import balanced_parcels, parcel_hash
from braindata.align.sharing import SHOWN, Shown
from braindata.align.split import Run
from braindata.bids.events import read_events
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.patterns import Patterns, voxel_patterns
from braindata.derive.trials import RecordingEvents, timed_events, trial_columns
from braindata.errors import DataError, EmptyRegionError
from braindata.extract.strategies import Preset
from braindata.extract.voxels import Voxels, read_voxels, target_blocks
from braindata.layout import Layout
from braindata.pack.store import Grid, open_store
from braindata.receipts import content_hash
from braindata.regions.files import Placing
from braindata.regions.resolve import resolve
from braindata.regions.template import grey_matter
from braindata.tables.keys import RecordingKey

Array = NDArray[Any]
# What a voxel is cannot be told from how it goes with fewer.
MINIMUM_TARGETS = 20


@dataclass(frozen=True)
class Recording:
    """One recording, as far as it is known without its voxels.

    Attributes
    ----------
    key : RecordingKey
    run : Run
        As the split between fitting and scoring sees it.
    store : Path
    tr : float
        Repetition time in s.
    events : pandas.DataFrame or None
        Its BIDS events; None without any, or where they cannot be read.
    trials : dict of str to list
        `trial`, `onset`, `duration` and `trial_type` of each event; empty lists without any.
    reason : str or None
        Why it cannot be used.
    """

    key: RecordingKey
    run: Run
    store: Path
    tr: float
    events: pd.DataFrame | None
    trials: dict[str, list[Any]]
    reason: str | None = None

    def shown(self, name: str) -> Shown:
        """Return what was shown in it, under the name that the run has in everybody."""
        events = None
        if self.events is not None:
            shown = {name: self.events[name].tolist() for name in SHOWN if name in self.events}
            shown["trial_type"] = self.trials["trial_type"]
            there = {n: v for n, v in shown.items() if not pd.isna(np.array(v, object)).all()}
            events = pd.DataFrame({"onset": self.trials["onset"], **there})
        return Shown(self.run.subject, name, self.tr, events)


@dataclass(frozen=True)
class GroupVoxels:
    """Where a group's voxels lie.

    Attributes
    ----------
    grid : Grid
        That of the recordings.
    voxels : ndarray of int64, shape (n_voxels,)
        Flat C-order indices into it, region by region.
    labels : ndarray of int64, shape (n_voxels,)
        The parcel of each, from 1: parcels lie within regions.
    regions : dict of int to str
        The region of each parcel.
    left_out : dict of str to str
        By name, why a region has no voxel on the grid.
    """

    grid: Grid
    voxels: Array
    labels: Array
    regions: dict[int, str]
    left_out: dict[str, str] = field(default_factory=dict)

    def hashes(self) -> dict[int, str]:
        """Return the hash of each parcel: which voxels of which grid."""
        where = [self.grid.affine.tolist(), list(self.grid.shape), self.grid.space]
        return {
            label: content_hash([where, parcel_hash(self.voxels[self.labels == label])])
            for label in self.regions
        }


@dataclass(frozen=True)
class Material:
    """What is made of one recording.

    Attributes
    ----------
    voxels : Voxels or None
        Without its `uncleaned`, which is not needed any more; None where it cannot be used.
    patterns : Patterns or None
        The responses to its trials.
    reason : str or None
        Why the voxels are not there.
    pattern_reason : str or None
        Why the responses are not.
    """

    voxels: Voxels | None = None
    patterns: Patterns | None = None
    reason: str | None = None
    pattern_reason: str | None = None


def look(
    layout: Layout,
    rows: Sequence[Mapping[str, Any]],
    mapping: EventMapping,
) -> tuple[list[Recording], Grid | None]:
    """Look at recordings, without their voxels, and find the grid that most of them have.

    Parameters
    ----------
    layout : Layout
        The output folder.
    rows : sequence of mapping
        Rows of the inventory: packed fMRI of one data set.
    mapping : EventMapping
        Which columns of the events hold what.
    """
    found, grids = [], []
    for row in sorted(rows, key=lambda row: str(row["recording"])):
        key = RecordingKey.from_row(row)
        path = layout.store(key.dataset, key.recording)
        with open_store(path) as store:
            grid, n_volumes, tr = store.grid, store.n_volumes, store.tr
        events, trials = _events(layout, row, key, mapping)
        run = Run(f"sub-{key.subject}", key.recording, n_volumes, bool(row["fits_alignment"]))
        found.append(Recording(key, run, path, tr, events, trials))
        grids.append(grid)
    counts = Counter(_same(grid) for grid in grids)
    if not counts:
        return [], None
    most = max(counts.values())
    grid = next(grid for grid in grids if counts[_same(grid)] == most)
    if not grid.space.startswith("MNI152"):
        why = f"it is in the space {grid.space}, not in an MNI152 template space"
        return [replace(one, reason=why) for one in found], None
    other = "its grid is another than that of most recordings"
    return [
        one if _same(own) == _same(grid) else replace(one, reason=other)
        for one, own in zip(found, grids, strict=True)
    ], grid


def place_group(group: Group, grid: Grid, placing: Placing, parcel_size: int) -> GroupVoxels:
    """Find a group's voxels and cut its regions into parcels.

    A voxel of two regions belongs to the first by name. A region without a voxel on the grid is
    left out of the group.

    Raises
    ------
    EmptyRegionError
        When none of its regions has a voxel on the grid.
    BraindataError
        When the file of a region is damaged.
    """
    probability = grey_matter(grid.affine, grid.shape)
    voxels: list[Array] = []
    labels: list[Array] = []
    regions: dict[int, str] = {}
    taken = np.zeros(0, np.int64)
    left_out: dict[str, EmptyRegionError] = {}
    for part in sorted(group.parts, key=lambda part: part.name):
        try:
            own = resolve(part, grid.affine, grid.shape, probability, grid.space, placing).voxels
        except EmptyRegionError as error:
            left_out[part.name] = error
            continue
        own = own[~np.isin(own, taken)]
        if not len(own):
            continue
        taken = np.concatenate([taken, own])
        indices = np.column_stack(np.unravel_index(own, grid.shape))
        positions = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        parcels = balanced_parcels(positions, parcel_size) + len(regions)
        regions |= dict.fromkeys(np.unique(parcels).tolist(), part.name)
        voxels.append(own)
        labels.append(parcels)
    if not voxels:
        raise EmptyRegionError(
            "; ".join(error.problem for error in left_out.values()),
            hint=next(error.hint for error in left_out.values()),
        )
    return GroupVoxels(
        grid,
        np.concatenate(voxels),
        np.concatenate(labels),
        regions,
        {name: error.problem for name, error in left_out.items()},
    )


def read(
    recordings: Sequence[Recording],
    where: GroupVoxels,
    preset: Preset,
    parameters: DeriveParameters,
    n_targets: int,
) -> dict[str, Material]:
    """Read the voxels of recordings and estimate the responses to their trials.

    Parameters
    ----------
    recordings : sequence of Recording
    where : GroupVoxels
        Which voxels.
    preset : Preset
        How they are cleaned.
    parameters : DeriveParameters
        The single-trial model.
    n_targets : int
        How many targets of connectivity are read; 0 where none are needed.

    Returns
    -------
    dict of str to Material
        By recording.
    """
    made: dict[str, Material] = {}
    blocks: list[Array] | None = None
    for one in recordings:
        name = one.key.recording
        if one.reason is not None:
            made[name] = Material(reason=one.reason, pattern_reason=one.reason)
            continue
        try:
            with open_store(one.store) as store:
                if blocks is None:
                    grey = grey_matter(store.grid.affine, store.grid.shape)
                    blocks = target_blocks(store, grey, n_targets, where.voxels)
                if n_targets and len(blocks) < MINIMUM_TARGETS:
                    raise DataError(
                        f"there are {len(blocks)} blocks of grey matter beside the group, and"
                        f" {MINIMUM_TARGETS} are needed"
                    )
                voxels = read_voxels(store, where.voxels, preset, blocks)
                confounds, stated = store.confounds, store.attributes.get("start_time")
        except DataError as error:
            made[name] = Material(reason=error.problem, pattern_reason=error.problem)
            continue
        patterns, reason = None, None
        if one.events is not None:
            events = RecordingEvents(one.key, one.events, confounds, one.tr)
            start = None if stated is None else float(stated)
            try:
                patterns = voxel_patterns(
                    voxels.uncleaned, events, start, voxels.steady, parameters
                )
            except DataError as error:
                reason = error.problem
        nothing = np.zeros((0, len(where.voxels)))
        made[name] = Material(replace(voxels, uncleaned=nothing), patterns, None, reason)
    return made


def _events(
    layout: Layout, row: Mapping[str, Any], key: RecordingKey, mapping: EventMapping
) -> tuple[pd.DataFrame | None, dict[str, list[Any]]]:
    names = ("trial", "onset", "duration", "trial_type")
    if row["events"] is not None:
        try:
            events = read_events(layout.raw(key.dataset) / row["events"])
            columns = trial_columns(key, events, timed_events(events), mapping)
            return events, {name: list(columns[name]) for name in names}
        except DataError:
            # What is wrong is told where its trials are estimated.
            pass
    return None, {name: [] for name in names}


def _same(grid: Grid) -> tuple[bytes, tuple[int, int, int], str]:
    return np.asarray(grid.affine, np.float64).tobytes(), grid.shape, grid.space
