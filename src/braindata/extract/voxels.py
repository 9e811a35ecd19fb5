"""The voxels of a recording, one by one: for what a mean over a region would throw away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braindata.errors import DataError
from braindata.extract.clean import make_cleaner
from braindata.extract.regressors import PREPROCESSED, choose_regressors, steady
from braindata.extract.strategies import Preset
from braindata.pack.store import Store

Array = NDArray[Any]
# Of a block of neighbours, as many are read as lie in two chunks or so.
BLOCK_VOXELS = 128


@dataclass(frozen=True)
class Voxels:
    """Some voxels of one recording, in standard deviations of their cleaned series.

    Attributes
    ----------
    cleaned : ndarray of float32, shape (n_volumes, n_voxels)
        0, which is the mean, at volumes that cleaning does not keep and in voxels without data.
    uncleaned : ndarray of float64, shape (n_volumes, n_voxels)
        Over the same standard deviations, less the mean over steady volumes: for linear models.
    targets : ndarray of float32, shape (n_volumes, n_targets)
        Cleaned means of blocks of voxels.
    kept : ndarray of bool, shape (n_volumes,)
        Which volumes cleaning keeps.
    steady : ndarray of bool, shape (n_volumes,)
        Which are in a steady state.
    has_data : ndarray of bool, shape (n_voxels,)
        Whether the recording covers the voxel, and it varies.
    """

    cleaned: Array
    uncleaned: Array
    targets: Array
    kept: NDArray[np.bool_]
    steady: NDArray[np.bool_]
    has_data: NDArray[np.bool_]


def read_voxels(
    store: Store, voxels: NDArray[np.int64], preset: Preset, blocks: list[NDArray[np.int64]]
) -> Voxels:
    """Read and clean voxels of a recording.

    Parameters
    ----------
    store : Store
        The open store.
    voxels : ndarray of int64, shape (n_voxels,)
        Flat C-order indices into its grid.
    preset : Preset
        How they are cleaned; its `standardize` and `signal` count for nothing.
    blocks : list of ndarray of int64
        Positions in the store of the voxels of each target.

    Raises
    ------
    DataError
        When the recording does not allow the cleaning, or holds values that are not finite,
        or nothing but constant ones.
    DamageError
        When the store is damaged.
    """
    regressors = choose_regressors(
        store.confounds,
        store.attributes.get("confounds_metadata", {}),
        preset,
        store.attributes.get("desc", PREPROCESSED),
    )
    plain = preset.model_copy(update={"standardize": "none", "signal": "mean"})
    cleaner = make_cleaner(regressors, store.tr, plain)
    positions = store.order.positions(voxels)
    there = positions >= 0
    there[there] = store.has_data[positions[there]]
    raw = np.zeros((store.n_volumes, len(voxels)))
    raw[:, there] = store.read_voxels(positions[there]).T
    if not np.isfinite(raw).all():
        bad = int((~np.isfinite(raw)).any(axis=0).sum())
        raise DataError(
            f"{bad} voxels that should hold data hold NaN or infinity",
            file=store.path,
            hint="look at the preprocessed image of this recording",
        )
    cleaned = _placed(cleaner.clean(raw), cleaner.kept)
    spread = cleaned[cleaner.kept].std(axis=0, ddof=1)
    # What a constant voxel leaves is rounding.
    varies = there & (spread > 1e-6 * np.abs(raw).max(axis=0))
    if there.any() and not varies.any():
        raise DataError(
            "all voxels are constant",
            file=store.path,
            hint="look at the preprocessed image of this recording",
        )
    scale = np.where(varies, spread, np.inf)
    still = steady(store.confounds)
    middle = raw[still].mean(axis=0) if still.any() else raw.mean(axis=0)
    means = [_mean(store, block) for block in blocks]
    targets = np.stack(means, axis=1) if means else np.zeros((store.n_volumes, 0))
    if means:
        targets = _placed(cleaner.clean(targets), cleaner.kept)
    return Voxels(
        cleaned=(cleaned / scale).astype(np.float32),
        uncleaned=(raw - middle) / scale,
        targets=targets.astype(np.float32),
        kept=cleaner.kept,
        steady=still,
        has_data=varies,
    )


def target_blocks(
    store: Store, grey_matter: Array, n_targets: int, without: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Return blocks of neighbouring grey-matter voxels, evenly over the brain.

    They depend on the grid alone, and on no region but the one that is left out. Voxels that lie
    near each other along the order of the store are near each other in the brain.

    Parameters
    ----------
    store : Store
        An open store on the grid.
    grey_matter : ndarray, shape (nx, ny, nz)
        Probability of grey matter on it.
    n_targets : int
        How many.
    without : ndarray of int64
        Flat C-order indices of voxels that are to be in none: those that are aligned.

    Returns
    -------
    list of ndarray of int64
        Positions in the store, ascending.
    """
    if n_targets == 0:
        return []
    grey = np.flatnonzero(grey_matter.ravel()[store.voxels] > 0.3)
    blocks = []
    for part in np.array_split(grey, n_targets):
        middle = max(0, (len(part) - BLOCK_VOXELS) // 2)
        block = part[middle : middle + BLOCK_VOXELS]
        block = block[~np.isin(store.voxels[block], without)]
        if len(block):
            blocks.append(block)
    return blocks


def _mean(store: Store, block: NDArray[np.int64]) -> Array:
    covered = block[store.has_data[block]]
    if not len(covered):
        return np.zeros(store.n_volumes)
    samples = store.read_voxels(covered)
    if not np.isfinite(samples).all():
        raise DataError(
            "voxels that should hold data hold NaN or infinity",
            file=store.path,
            hint="look at the preprocessed image of this recording",
        )
    mean: Array = samples.mean(axis=0, dtype=np.float64)
    return mean


def _placed(values: Array, kept: NDArray[np.bool_]) -> Array:
    middle = values[kept].mean(axis=0)
    placed: Array = np.where(kept[:, None], values - middle, 0.0)
    return placed
