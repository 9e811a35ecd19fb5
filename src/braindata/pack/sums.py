"""Weighted sums over voxels, per time point: the whole cost of a region.

Two engines give one result, to the last bit: `store_sums` reads a region's voxels from a sample
store, `stream_sums` passes once over the image for many regions. Both add the weighted numbers of
the file, before they are scaled, in 64-bit floats and in the order of the store; voxels without
data count as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from braindata.pack.volumes import Volumes

if TYPE_CHECKING:
    from braindata.pack.order import VoxelOrder
    from braindata.pack.store import Store

# Volumes that are held at once.
BLOCK = 32


@dataclass(frozen=True)
class Weights:
    """A region's voxels in the order of a store.

    Attributes
    ----------
    positions : ndarray of int64, shape (n_voxels,)
        Positions in the store, ascending; only voxels that the store holds.
    weights : ndarray of float64, shape (n_voxels,)
        Weight of each of them, above 0.
    n_voxels : int
        Number of the region's voxels, those outside the store included.
    total : float
        Sum of the region's weights, those outside the store included.
    """

    positions: NDArray[np.int64]
    weights: NDArray[np.float64]
    n_voxels: int
    total: float


@dataclass(frozen=True)
class RegionMean:
    """A region's weighted mean in one recording.

    Attributes
    ----------
    values : ndarray of float64, shape (n_volumes,)
        In image units; NaN throughout where no voxel holds data.
    coverage : float
        Share of the region's weight that lies in voxels that hold data.
    n_voxels : int
        Number of its voxels that hold data.
    """

    values: NDArray[np.float64]
    coverage: float
    n_voxels: int


def place(voxels: NDArray[np.int64], weights: NDArray[np.float64], order: VoxelOrder) -> Weights:
    """Bring a region into the order of a store.

    Parameters
    ----------
    voxels : ndarray of int64, shape (n_voxels,)
        Flat C-order indices into the grid, each once.
    weights : ndarray of float64, shape (n_voxels,)
        Weight of each voxel, above 0.
    order : VoxelOrder
        The order of the store.
    """
    positions = order.positions(voxels)
    stored = np.flatnonzero(positions >= 0)
    stored = stored[np.argsort(positions[stored])]
    return Weights(positions[stored], weights[stored], len(voxels), math.fsum(weights))


def store_mean(store: Store, region: Weights) -> RegionMean:
    """Average a region's voxels in a packed recording.

    Parameters
    ----------
    store : Store
        The open store.
    region : Weights
        The region in the store's order.

    Returns
    -------
    RegionMean
        Equal, to the last bit, to what `stream_means` gives for the image that was packed.

    Raises
    ------
    DamageError
        When the store is damaged.
    """
    samples = store.read_raw(region.positions).astype(np.float64)
    sums = _matrix([region.weights], [np.arange(len(samples))], len(samples)) @ samples
    return _mean(sums[0], region, store.has_data[region.positions], store.slope, store.intercept)


def stream_means(
    volumes: Volumes,
    order: VoxelOrder,
    regions: Sequence[Weights],
    watch: Callable[[NDArray[Any]], None] | None = None,
) -> list[RegionMean]:
    """Average many regions in one pass over an image.

    Memory is bounded: `BLOCK` volumes of those voxels that belong to a region.

    Parameters
    ----------
    volumes : Volumes
        The image.
    order : VoxelOrder
        The order of the stored voxels on its grid.
    regions : sequence of Weights
        The regions in that order.
    watch : callable, optional
        Is shown each volume, as `Volumes` yields it.

    Returns
    -------
    list of RegionMean
        One per region; equal, to the last bit, to what `store_mean` gives.

    Raises
    ------
    DamageError
        When the file ends early or its checksum is wrong.
    """
    used = np.unique(np.concatenate([r.positions for r in regions] or [np.zeros(0, np.int64)]))
    columns = [np.searchsorted(used, region.positions) for region in regions]
    weights = [region.weights for region in regions]
    places = order.fortran[used]
    sums, extremes = _stream_sums(volumes, places, _matrix(weights, columns, len(used)), watch)
    has_data = extremes.has_data()
    # A constant that is not 0 has been added in by then: once more without it. Rare.
    spoilt = ~has_data & ~((extremes.low == 0) & (extremes.high == 0))
    if spoilt.any():
        weights = [np.where(spoilt[c], 0, w) for w, c in zip(weights, columns, strict=True)]
        sums, _ = _stream_sums(volumes, places, _matrix(weights, columns, len(used)))
    return [
        _mean(one, region, has_data[of], volumes.slope, volumes.intercept)
        for one, region, of in zip(sums, regions, columns, strict=True)
    ]


class Extremes:
    """The lowest and highest number of each voxel: one that never changes holds no data.

    Parameters
    ----------
    n_voxels : int
        Number of voxels.
    dtype : dtype
        Of their numbers.

    Attributes
    ----------
    low, high : ndarray, shape (n_voxels,)
        NaN where a voxel is NaN at any time.
    """

    def __init__(self, n_voxels: int, dtype: np.dtype[Any]):
        limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        self.low = np.full(n_voxels, limits.max, dtype)
        self.high = np.full(n_voxels, limits.min, dtype)

    def add(self, volume: NDArray[Any]) -> None:
        """Take in one volume, shape (n_voxels,)."""
        np.minimum(self.low, volume, out=self.low)
        np.maximum(self.high, volume, out=self.high)

    def has_data(self) -> NDArray[np.bool_]:
        """Return whether each voxel was finite throughout and changed."""
        changed: NDArray[np.bool_] = self.high > self.low
        return changed & np.isfinite(self.low) & np.isfinite(self.high)


def _stream_sums(
    volumes: Volumes,
    places: NDArray[np.int64],
    matrix: csr_array,
    watch: Callable[[NDArray[Any]], None] | None = None,
) -> tuple[NDArray[np.float64], Extremes]:
    """Return the weighted sums, shape (n_regions, n_volumes), and the extremes of each voxel."""
    sums = np.zeros((matrix.shape[0], volumes.n_volumes))
    extremes = Extremes(len(places), volumes.dtype.newbyteorder("="))
    block = np.zeros((len(places), BLOCK))
    start = 0
    for number, volume in enumerate(volumes):
        if watch is not None:
            watch(volume)
        values = volume[places]
        extremes.add(values)
        block[:, number - start] = values
        if number - start == BLOCK - 1 or number == volumes.n_volumes - 1:
            n_held = number - start + 1
            if volumes.dtype.kind == "f":
                # Not a number times 0 is no number: such a voxel holds no data at any time.
                block[~np.isfinite(block)] = 0
            sums[:, start : start + n_held] = (matrix @ block)[:, :n_held]
            start = number + 1
    return sums, extremes


def _matrix(
    weights: Sequence[NDArray[np.float64]], columns: Sequence[NDArray[np.intp]], n_columns: int
) -> csr_array:
    """Return the regions × voxels matrix. Its product adds along each row from left to right."""
    ends = np.cumsum([0, *(len(one) for one in weights)])
    nothing = np.zeros(0)
    return csr_array(
        (
            np.concatenate([*weights, nothing]),
            np.concatenate([*columns, nothing]).astype(np.int64),
            ends,
        ),
        shape=(len(weights), n_columns),
    )


def _mean(
    sums: NDArray[np.float64],
    region: Weights,
    has_data: NDArray[np.bool_],
    slope: float,
    intercept: float,
) -> RegionMean:
    # Exact, whatever the order: all of a region is a coverage of 1.
    covered = math.fsum(region.weights[has_data])
    values = sums / covered * slope + intercept if covered else np.full(len(sums), np.nan)
    return RegionMean(values, covered / region.total, int(has_data.sum()))
