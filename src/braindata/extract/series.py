"""The series of one region in many recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from braindata.errors import DataError
from braindata.extract.clean import clean, simple_regressors, steady
from braindata.extract.parameters import ExtractParameters
from braindata.pack.store import Grid, Store, open_store
from braindata.receipts import Outcome
from braindata.regions.definition import Region
from braindata.regions.files import Placing
from braindata.regions.resolve import PlacedRegion, ResolvedRegion, place, resolve
from braindata.regions.template import grey_matter
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas import SERIES


def extract_region(
    region: Region,
    stores: Sequence[tuple[RecordingKey, Path]],
    parameters: ExtractParameters,
    placing: Placing | None = None,
) -> tuple[pa.Table, dict[str, Outcome]]:
    """Average a region's voxels in each recording, uncleaned and cleaned.

    Parameters
    ----------
    region : Region
        The region.
    stores : sequence of (RecordingKey, Path)
        The recordings and their sample stores, in any order.
    parameters : ExtractParameters
        How the series are made.
    placing : Placing, optional
        Where the region's files lie, and how it gets into the space of the images.

    Returns
    -------
    table : pyarrow.Table
        With the schema `SERIES`: a row for each recording and strategy, sorted by both.
    outcomes : dict of str to Outcome
        By recording: done, or quarantined because its space or its confounds are unfit.

    Raises
    ------
    BraindataError
        When the region has no voxel on the grid of a recording, a store or a region's file is
        damaged, or there is no way from the region's space to that of a recording.
    """
    rows: list[dict[str, Any]] = []
    outcomes: dict[str, Outcome] = {}
    resolved: dict[bytes, ResolvedRegion] = {}
    for key, path in sorted(stores, key=lambda item: item[0].recording):
        if key.recording in outcomes:
            raise ValueError(f"recording {key.recording} is given twice")
        try:
            with open_store(path) as store:
                on_grid = _resolve_once(region, store.grid, path, resolved, placing)
                series = _recording_series(on_grid, store, parameters)
        except DataError as error:
            error.file = error.file or str(path)
            outcomes[key.recording] = Outcome.quarantine(error)
        else:
            outcomes[key.recording] = Outcome("done")
            who = {**vars(key), "region": region.name, "definition_hash": region.definition_hash}
            rows += [{**who, **one} for one in series]
    return pa.Table.from_pylist(rows, schema=SERIES), outcomes


def _resolve_once(
    region: Region,
    grid: Grid,
    path: Path,
    resolved: dict[bytes, ResolvedRegion],
    placing: Placing | None,
) -> ResolvedRegion:
    if not grid.space.startswith("MNI152"):
        raise DataError(
            f"the recording is in the space {grid.space}, not in an MNI152 template space",
            file=path,
            hint="preprocess it in an MNI152 space",
        )
    key = grid.affine.tobytes() + np.array(grid.shape, np.int64).tobytes() + grid.space.encode()
    if key not in resolved:
        probability = grey_matter(grid.affine, grid.shape)
        resolved[key] = resolve(region, grid.affine, grid.shape, probability, grid.space, placing)
    return resolved[key]


def _recording_series(
    region: ResolvedRegion, store: Store, parameters: ExtractParameters
) -> list[Mapping[str, Any]]:
    placed = place(region, store.voxels, store.has_data)
    usable = len(placed.positions) > 0 and placed.coverage >= parameters.min_coverage
    facts = {
        "start": float(store.attributes.get("start_time", 0.0)),
        "sampling_frequency": 1 / store.tr,
        "coverage": placed.coverage,
        "n_voxels": len(placed.positions) if usable else 0,
    }
    units = {"none": "a.u.", "simple": "z"}
    if not usable:
        return [
            {"strategy": strategy, "values": None, "kept": None, "unit": units[strategy], **facts}
            for strategy in sorted(parameters.strategies)
        ]
    mean = _weighted_mean(store, placed)
    kept = steady(store.confounds)
    series: list[Mapping[str, Any]] = []
    for strategy in sorted(parameters.strategies):
        values = mean
        if strategy == "simple":
            values = clean(mean, simple_regressors(store.confounds))
        series.append(
            {
                "strategy": strategy,
                # Cleaning has no value for a volume that is not kept; the uncleaned mean has one.
                "values": [None if math.isnan(value) else value for value in values.tolist()],
                "kept": kept.tolist(),
                "unit": units[strategy],
                **facts,
            }
        )
    return series


def _weighted_mean(store: Store, placed: PlacedRegion) -> NDArray[np.float64]:
    samples = store.read_voxels(placed.positions)
    mean: NDArray[np.float64] = placed.weights @ samples.astype(np.float64)
    if not np.isfinite(mean).all():
        raise DataError(
            "voxels that should hold data hold NaN or infinity",
            hint="look at the preprocessed image of this recording",
        )
    return mean
