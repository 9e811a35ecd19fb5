"""The carpet plot: many voxels over time, by tissue, so that motion and artefacts are seen at once.

Power (2017), doi:10.1016/j.neuroimage.2016.08.009.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from braindata.extract.regressors import steady
from braindata.fmri.images import Image as Volume
from braindata.fmri.template import Template, load_template, ventricles, white_matter_core
from braindata.pack.store import CHUNK_VOXELS, Store
from braindata.report.raster import webp

TISSUES = ("grey matter", "white matter", "cerebrospinal fluid")
# Okabe and Ito's blue, vermilion and green.
COLOURS = ("#0072b2", "#d55e00", "#009e73")
# Pixel rows of each tissue, and black ones between two.
HEIGHTS = (116, 70, 36)
GAP = 3
# Share of the width that the tissues' colours take; the motion's panels leave it free too.
MARGIN = 0.05
MAXIMUM_COLUMNS = 480
CLIP = 2.5
BUDGET = 13_300
_VOXELS_PER_ROW = 6
# Chunks read for each tissue, and about how many samples altogether: a tenth of a second.
_CHUNKS = (20, 12, 12)
_MAXIMUM_SAMPLES = 6_000_000


@dataclass(frozen=True)
class Carpet:
    """The rows of a carpet plot.

    Attributes
    ----------
    z : ndarray of float64, shape (n_rows, n_volumes)
        Each row is the mean of up to six neighbouring voxels in z-units, standardised again.
    tissue : ndarray of int64, shape (n_rows,)
        Index into `TISSUES`, ascending.
    """

    z: NDArray[np.float64]
    tissue: NDArray[np.int64]


def carpet_picture(store: Store) -> bytes | None:
    """Draw the carpet plot of a recording.

    Parameters
    ----------
    store : Store
        An open sample store.

    Returns
    -------
    bytes or None
        WebP without margins: the tissues' colours over the first `MARGIN` of the width, then time;
        heights as in `HEIGHTS` and `GAP`. None when no voxel of a tissue holds data, or the store
        holds no voxels.
    """
    if not store.has_samples:
        return None
    carpet = carpet_rows(store)
    if not len(carpet.z):
        return None
    columns = _in_columns(carpet.z)
    strip = round(columns.shape[1] * MARGIN / (1 - MARGIN))
    bands = []
    for tissue, height in enumerate(HEIGHTS):
        rows = columns[carpet.tissue == tissue]
        if len(rows):
            rows = rows[np.arange(height) * len(rows) // height]
        else:
            rows = np.zeros((height, columns.shape[1]))
        grey = np.rint((np.clip(rows, -CLIP, CLIP) / CLIP + 1) * 127.5).astype(np.uint8)
        band = Image.new("RGB", (strip + columns.shape[1], height), COLOURS[tissue])
        band.paste(Image.fromarray(grey).convert("RGB"), (strip, 0))
        bands.append(band)
    height = sum(HEIGHTS) + GAP * (len(HEIGHTS) - 1)
    picture = Image.new("RGB", (bands[0].width, height))
    top = 0
    for band in bands:
        picture.paste(band, (0, top))
        top += band.height + GAP
    return webp(picture, BUDGET)


def carpet_rows(store: Store) -> Carpet:
    """Choose voxels of each tissue and standardise them.

    Linear and quadratic trend are removed; trend, mean and standard deviation come from the
    volumes in a steady state only.

    Parameters
    ----------
    store : Store
        An open sample store.

    Returns
    -------
    Carpet
        In the order of the store within a tissue; without rows when no tissue has voxels with data.
    """
    rows, tissues = _choose(store)
    if not rows:
        return Carpet(np.empty((0, store.n_volumes)), np.empty(0, np.int64))
    samples = store.read_voxels(np.concatenate(rows)).astype(np.float64)
    kept = steady(store.confounds)
    if not kept.any():
        kept[:] = True
    time = np.linspace(-1, 1, store.n_volumes)
    trend = np.column_stack([np.ones_like(time), time, time**2])
    fit, *_ = np.linalg.lstsq(trend[kept], samples[:, kept].T, rcond=None)
    z = _standardised(samples - (trend @ fit).T, kept)
    starts = np.cumsum([0, *(len(row) for row in rows[:-1])])
    means = np.add.reduceat(z, starts, axis=0) / [[len(row)] for row in rows]
    return Carpet(_standardised(means, kept), np.array(tissues, np.int64))


def tissue_labels(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.int8]:
    """Return the tissue of each voxel of a grid of template space.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.
    shape : tuple of int
        Number of voxels along x, y and z.

    Returns
    -------
    ndarray of int8, shape (n_voxels,)
        Index into `TISSUES` in C order, -1 for none; not writable. White matter is eroded and
        fluid is the ventricles', as for their mean signals.
    """
    return _tissue_labels(np.asarray(affine, np.float64).tobytes(), tuple(int(n) for n in shape))


@lru_cache(maxsize=4)
def _tissue_labels(affine: bytes, shape: tuple[int, ...]) -> NDArray[np.int8]:
    template, at_2mm = _template_at_2mm()
    to_template = np.linalg.inv(template.affine) @ np.frombuffer(affine).reshape(4, 4)
    indices = np.indices(shape).reshape(3, -1)
    nearest = np.rint(to_template[:3, :3] @ indices + to_template[:3, 3:]).astype(np.int64)
    inside = ((nearest >= 0) & (nearest < np.array(template.shape)[:, None])).all(axis=0)
    labels = np.full(nearest.shape[1], -1, np.int8)
    labels[inside] = at_2mm[tuple(nearest[:, inside])]
    labels.setflags(write=False)
    return labels


@cache
def _template_at_2mm() -> tuple[Template, NDArray[np.int8]]:
    # Every second voxel of the 1 mm template, which the other pictures need: loading the one at
    # 2 mm would cost a second more.
    fine = load_template(1)
    affine = fine.affine @ np.diag([2.0, 2.0, 2.0, 1.0])

    def halved(volume: Volume) -> Volume:
        return Volume(np.ascontiguousarray(volume.data[::2, ::2, ::2]), affine)

    template = Template(
        halved(fine.t1w),
        halved(fine.gray_matter),
        halved(fine.white_matter),
        np.ascontiguousarray(fine.brain[::2, ::2, ::2]),
    )
    labels = np.full(template.shape, -1, np.int8)
    labels[template.brain & (template.gray_matter.data > 0.5)] = 0
    labels[white_matter_core(template)] = 1
    labels[ventricles(template)] = 2
    return template, labels


def _choose(store: Store) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Return the positions of each row's voxels, and each row's tissue."""
    labels = tissue_labels(store.grid.affine, store.grid.shape)[store.voxels]
    labels = np.where(store.has_data, labels, -1)
    # A long recording's chunks are longer: fewer of them are read.
    share = min(1.0, _MAXIMUM_SAMPLES / (sum(_CHUNKS) * CHUNK_VOXELS * store.n_volumes))
    rows: list[NDArray[np.int64]] = []
    tissues: list[int] = []
    for tissue, (height, n_chunks) in enumerate(zip(HEIGHTS, _CHUNKS, strict=True)):
        positions = np.flatnonzero(labels == tissue)
        if not len(positions):
            continue
        chunks = positions // CHUNK_VOXELS
        counts = np.bincount(chunks)
        # Evenly over the brain, among the chunks that are worth reading for this tissue.
        rich = np.flatnonzero(counts >= counts.max() / 2)
        chosen = rich[_spread(len(rich), max(4, int(n_chunks * share)))]
        pool = positions[np.isin(chunks, chosen)]
        pool = pool[_spread(len(pool), height * _VOXELS_PER_ROW)]
        parts = np.array_split(pool, min(height, len(pool)))
        rows += parts
        tissues += [tissue] * len(parts)
    return rows, tissues


def _spread(n: int, wanted: int) -> NDArray[np.int64]:
    """Return up to `wanted` of the numbers 0 to n - 1, evenly spaced."""
    wanted = min(n, wanted)
    return (2 * np.arange(wanted) + 1) * n // (2 * max(wanted, 1))


def _standardised(values: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    mean = values[:, kept].mean(axis=1, keepdims=True)
    deviation = values[:, kept].std(axis=1, keepdims=True)
    # What is left of a straight line is rounding error, not signal.
    flat = deviation <= 1e-9 * np.abs(values).max(axis=1, keepdims=True)
    z: NDArray[np.float64] = np.where(flat, 0.0, (values - mean) / np.where(flat, 1.0, deviation))
    return z


def _in_columns(z: NDArray[np.float64]) -> NDArray[np.float64]:
    n_volumes = z.shape[1]
    if n_volumes > MAXIMUM_COLUMNS:
        edges = np.arange(MAXIMUM_COLUMNS) * n_volumes // MAXIMUM_COLUMNS
        widths = np.diff([*edges, n_volumes])
        averaged: NDArray[np.float64] = np.add.reduceat(z, edges, axis=1) / widths
        return averaged
    # Wide columns keep a short recording's edges sharp, and the margin's share exact.
    return z.repeat(max(1, MAXIMUM_COLUMNS // 2 // n_volumes), axis=1)
