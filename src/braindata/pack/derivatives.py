"""From preprocessed images to sample stores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from braindata.bids.confound_names import HINT as CONFOUNDS_HINT
from braindata.bids.confound_names import current_confounds, current_metadata
from braindata.errors import DamageError, DataError
from braindata.pack.mask import store_mask, template_brain
from braindata.pack.moments import Moments, MomentSums
from braindata.pack.order import VoxelOrder, voxel_order
from braindata.pack.store import Grid, write_store
from braindata.pack.sums import BLOCK, Extremes, place, stream_means
from braindata.pack.volumes import HINT, Volumes, open_volumes
from braindata.regions.resolve import ResolvedRegion


@dataclass(frozen=True)
class Packed:
    """What was seen of a recording while its image was open.

    Attributes
    ----------
    grid : Grid
        The grid of the image.
    voxels : ndarray of int64, shape (n_voxels,)
        Flat C-order index into the grid of each stored voxel.
    moments : Moments
        Of these voxels.
    signal_floor : float or None
        Mean over time below which a voxel has lost its signal, in image units; None where the
        brain's median is not above 0, so that intensities say nothing.
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Under today's names.
    """

    grid: Grid
    voxels: NDArray[np.int64]
    moments: Moments
    signal_floor: float | None
    confounds: pd.DataFrame


def pack_recording(
    bold: Path,
    confounds: Path,
    target: Path,
    *,
    space: str,
    tr: float,
    attributes: dict[str, Any],
    regions: Callable[[Grid], Mapping[str, ResolvedRegion]] | None = None,
    signal_floor: float = 0.5,
) -> Packed:
    """Write the sample store of one preprocessed recording.

    Parameters
    ----------
    bold, confounds : Path
        ``desc-preproc_bold.nii.gz`` and ``desc-confounds_timeseries.tsv``, with its ``.json`` if
        it has one.
    target : Path
        The store.
    space : str
        Template space of `bold`.
    tr : float
        Repetition time in s.
    attributes : dict
        Further facts to keep in the store.
    regions : callable, optional
        Gives the regions on a grid, by key. With it, the store holds their means only and no
        voxels: the image is passed over once, and little is written.
    signal_floor : float
        Share of the brain's median below which a voxel has lost its signal.

    Returns
    -------
    Packed
        For the figures of quality.

    Raises
    ------
    DamageError
        When an image or table cannot be read, or they differ in length.
    DataError
        When two columns of the confounds mean the same, or one is not numeric; when no voxel holds
        data.
    """
    volumes = open_volumes(bold)
    table, metadata = _read_confounds(confounds, volumes.n_volumes)
    start = _start_time(bold)
    grid = Grid(volumes.shape, volumes.affine, space)
    order = voxel_order(store_mask(grid.shape, grid.affine))
    sums = MomentSums(len(order.voxels), volumes.dtype, steady_volumes(table))
    samples, means = None, None
    if regions is None:
        # The source's own numbers are kept, integers unchanged: lossless and small.
        samples, has_data = read_samples(volumes, order, sums.add)
    else:
        placed = {key: place(one.voxels, one.weights, order) for key, one in regions(grid).items()}
        found = stream_means(
            volumes,
            order,
            list(placed.values()),
            lambda volume: sums.add(volume[order.fortran]),
        )
        means = dict(zip(placed, found, strict=True))
        has_data = np.zeros(len(order.voxels), bool)
    moments = sums.moments(volumes.slope, volumes.intercept)
    if not moments.has_data.any():
        raise DataError(
            "no voxel of the preprocessed image holds data: each is constant, NaN or infinite at "
            "some time",
            file=bold,
            hint="look at the image: a single volume of NaN is enough",
        )
    floor = _floor(moments, order, grid, signal_floor)
    write_store(
        target,
        samples,
        grid,
        order.voxels,
        has_data,
        tr,
        table,
        {
            **attributes,
            **({} if start is None else {"start_time": start}),
            "confounds_metadata": metadata,
            "signal_floor": floor,
        },
        slope=volumes.slope,
        intercept=volumes.intercept,
        means=means,
        moments=moments,
    )
    return Packed(grid, order.voxels, moments, floor, table)


def steady_volumes(confounds: pd.DataFrame) -> list[bool]:
    """Return whether each volume is in a steady state, as columns of fMRIPrep say; or all."""
    names = [name for name in confounds.columns if name.startswith("non_steady_state")]
    steady = (confounds[names] == 0).all(axis=1)
    return [True] * len(confounds) if not steady.any() else [bool(one) for one in steady]


def _floor(moments: Moments, order: VoxelOrder, grid: Grid, share: float) -> float | None:
    brain = template_brain(grid.shape, grid.affine).ravel()[order.voxels] & moments.has_data
    median = float(np.median(moments.mean[brain])) if brain.any() else 0.0
    return share * median if median > 0 else None


def read_samples(
    volumes: Volumes, order: VoxelOrder, watch: Callable[[NDArray[Any]], None] | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read the stored voxels of an image.

    Parameters
    ----------
    volumes : Volumes
        The image.
    order : VoxelOrder
        Which voxels of its grid, in which order.
    watch : callable, optional
        Is shown these voxels of each volume.

    Returns
    -------
    samples : ndarray, shape (n_voxels, n_volumes)
        The image's own numbers, unscaled; 0 where a voxel holds no data.
    has_data : ndarray of bool, shape (n_voxels,)
        Whether each voxel is finite throughout and changes.

    Raises
    ------
    DamageError
        When the file ends early or its checksum is wrong.
    """
    dtype = volumes.dtype.newbyteorder("=")
    samples = np.empty((len(order.voxels), volumes.n_volumes), dtype)
    extremes = Extremes(len(order.voxels), dtype)
    # Turned from volumes to voxels in blocks: one volume at a time would write all over memory.
    block = np.empty((BLOCK, len(order.voxels)), dtype)
    start = 0
    for number, volume in enumerate(volumes):
        row = block[number - start]
        np.take(volume, order.fortran, out=row, mode="clip")
        extremes.add(row)
        if watch is not None:
            watch(row)
        if number - start == BLOCK - 1 or number == volumes.n_volumes - 1:
            samples[:, start : number + 1] = block[: number + 1 - start].T
            start = number + 1
    has_data = extremes.has_data()
    samples[~has_data] = 0
    return samples, has_data


def _start_time(bold: Path) -> float | None:
    """Return the ``StartTime`` in s of an image's JSON: there is one with corrected slices."""
    path = bold.with_name(bold.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    try:
        body = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise DamageError(f"the JSON cannot be read ({error})", file=path, hint=HINT) from error
    stated = body.get("StartTime") if isinstance(body, dict) else None
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not np.isfinite(stated):
        return None
    return float(stated)


def _read_confounds(path: Path, n_volumes: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    try:
        table = pd.read_csv(path, sep="\t", na_values="n/a")
        sidecar = path.with_suffix(".json")
        metadata = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.is_file() else {}
        if not isinstance(metadata, dict | None):
            raise ValueError("the JSON beside them holds no keys")
    except (OSError, ValueError) as error:
        raise DamageError(
            f"the confounds cannot be read ({error})", file=path, hint=HINT
        ) from error
    if len(table) != n_volumes:
        raise DamageError(
            f"{len(table)} rows of confounds for {n_volumes} volumes", file=path, hint=HINT
        )
    # What names mean today; the JSON says which mask a component is from, and whether it was kept.
    texts = [name for name in table.columns if not is_numeric_dtype(table[name])]
    if texts:
        raise DataError(
            f"confounds are not numeric: {', '.join(map(str, texts))}",
            file=path,
            hint=CONFOUNDS_HINT,
        )
    described = current_metadata(table, metadata or {})
    current = current_confounds(table)
    return current, {name: described[name] for name in current.columns if name in described}
