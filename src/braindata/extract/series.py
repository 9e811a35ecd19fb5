"""The series of one region in many recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from braindata.errors import DamageError, DataError, EmptyRegionError
from braindata.extract.parameters import ExtractParameters
from braindata.extract.recording import MIN_COVERAGE, RecordingCleaning
from braindata.extract.regressors import PREPROCESSED
from braindata.pack.store import Grid, Store, open_store
from braindata.pack.sums import RegionMean, Weights, place, store_mean
from braindata.receipts import Outcome
from braindata.regions.definition import Region
from braindata.regions.files import Placing
from braindata.regions.resolve import ResolvedRegion, resolve
from braindata.regions.template import grey_matter
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import SERIES


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
        By recording: done, or quarantined because its space or its voxels are unfit, or because
        the region has no voxel on its grid. A strategy that the recording does not allow is a row
        without values and with its reason.

    Raises
    ------
    BraindataError
        When a store or a region's file is damaged, or there is no way from the region's space to
        that of a recording.
    """
    rows: list[dict[str, Any]] = []
    outcomes: dict[str, Outcome] = {}
    resolved: dict[bytes, ResolvedRegion | EmptyRegionError] = {}
    for key, path in sorted(stores, key=lambda item: item[0].recording):
        if key.recording in outcomes:
            raise ValueError(f"recording {key.recording} is given twice")
        try:
            with open_store(path) as store:
                on_grid = _resolve_once(region, store.grid, path, resolved, placing)
                weights = place(on_grid.voxels, on_grid.weights, store.order)
                mean = _mean(region, weights, store)
                cleaning = RecordingCleaning(
                    store.confounds,
                    store.attributes.get("confounds_metadata", {}),
                    store.tr,
                    parameters,
                    store.attributes.get("desc", PREPROCESSED),
                )
                series = _recording_series(mean, weights, store, cleaning, parameters.min_coverage)
                quality = region_quality(store, weights)
        except EmptyRegionError as error:
            # No file is at fault: the region is too small for the grid, or lies outside it.
            outcomes[key.recording] = Outcome.quarantine(error)
        except DataError as error:
            error.file = error.file or str(path)
            outcomes[key.recording] = Outcome.quarantine(error)
        else:
            outcomes[key.recording] = done_outcome(cleaning)
            who = {**vars(key), "region": region.name, "definition_hash": region.definition_hash}
            rows += [{**who, **one, **quality} for one in series]
    return pa.Table.from_pylist(rows, schema=SERIES), outcomes


def _resolve_once(
    region: Region,
    grid: Grid,
    path: Path,
    resolved: dict[bytes, ResolvedRegion | EmptyRegionError],
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
        try:
            resolved[key] = resolve(
                region, grid.affine, grid.shape, probability, grid.space, placing
            )
        except EmptyRegionError as error:
            resolved[key] = error
    found = resolved[key]
    if isinstance(found, EmptyRegionError):
        raise found
    return found


def _mean(region: Region, weights: Weights, store: Store) -> RegionMean:
    """Return a region's mean: from its voxels, or as it was made when the image was open."""
    if store.has_samples:
        mean = store_mean(store, weights)
    else:
        made = store.means()
        if region.key not in made:
            raise DamageError(
                f"the region {region.name} was not known when this recording was packed",
                file=store.path,
                hint="delete it and run again: it is packed anew",
            )
        mean = made[region.key]
    if mean.n_voxels and not np.isfinite(mean.values).all():
        raise DataError(
            "voxels that should hold data hold NaN or infinity",
            hint="look at the preprocessed image of this recording",
        )
    return mean


def region_quality(store: Store, region: Weights) -> dict[str, float | None]:
    """Return how good the signal of a region is in one recording.

    Parameters
    ----------
    store : Store
        The open store.
    region : Weights
        The region in its order.

    Returns
    -------
    dict
        ``tsnr``: median over voxels with data of mean over standard deviation. ``signal_loss``:
        share of the region's weight, of what holds data, in voxels whose mean is below the
        recording's floor. None where no voxel holds data, where intensities have no meaning (the
        floor is missing), or where the store was written without its moments.
    """
    floor = store.attributes.get("signal_floor")
    moments = store.read_moments(region.positions)
    if floor is None or moments is None or not (there := moments.has_data).any():
        return {"tsnr": None, "signal_loss": None}
    mean, sd, weights = moments.mean[there], moments.sd[there], region.weights[there]
    lost = math.fsum(weights[mean < floor]) / math.fsum(weights)
    return {"tsnr": float(np.median(mean / sd)), "signal_loss": lost}


def done_outcome(cleaning: RecordingCleaning) -> Outcome:
    """Return that a recording is done, but for the strategies that it does not allow.

    Parameters
    ----------
    cleaning : RecordingCleaning
        The strategies of the recording.
    """
    if not cleaning.unfit:
        return Outcome("done")
    return Outcome(
        "done",
        "; ".join(f"strategy {name}: {reason}" for name, reason in cleaning.unfit.items()),
        "the other strategies are there; see `reason` in the table `series`",
    )


def _recording_series(
    mean: RegionMean,
    weights: Weights,
    store: Store,
    cleaning: RecordingCleaning,
    min_coverage: float,
) -> list[Mapping[str, Any]]:
    usable = mean.n_voxels > 0 and mean.coverage >= min_coverage
    if usable and cleaning.needs_voxels:
        covered = store.has_data[weights.positions]
        voxels = store.read_voxels(weights.positions[covered]).astype(np.float64)
        shares = weights.weights[covered]
        cleaned = cleaning.clean(mean.values, voxels.T, shares / shares.sum())
    elif usable:
        cleaned = cleaning.clean(mean.values)
    else:
        cleaned = cleaning.missing(
            f"{MIN_COVERAGE}: {100 * mean.coverage:.0f} % of the region's voxels hold data, "
            f"fewer than {100 * min_coverage:g} %"
        )
    return [
        {
            "strategy": strategy,
            "values": _nullable(one.values),
            "kept": None if one.kept is None else one.kept.tolist(),
            "start": _start(store),
            "sampling_frequency": 1 / store.tr,
            "unit": one.unit,
            "coverage": mean.coverage,
            "n_voxels": mean.n_voxels if usable else 0,
            "reason": one.reason,
        }
        for strategy, one in cleaned.items()
    ]


def _start(store: Store) -> float | None:
    stated = store.attributes.get("start_time")
    return None if stated is None else float(stated)


def _nullable(values: NDArray[np.float64] | None) -> list[float | None] | None:
    """Return values as a table has them: null for a volume that a strategy does not keep."""
    if values is None:
        return None
    return [None if math.isnan(value) else value for value in values.tolist()]
