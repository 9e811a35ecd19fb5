"""A recording's signal as slices: its temporal signal-to-noise ratio, and where signal is lost.

Both are drawn from the mean and standard deviation that the sample store holds of each voxel, so
that no sample is read again. Their scales are the same for all recordings.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from braindata.fmri.susceptibility import AREAS, area_voxels
from braindata.pack.store import Store
from braindata.report.mosaic import PLANES
from braindata.report.planes import Axis, Plane, anatomy, grey_levels, letter, line_mask, sample
from braindata.report.raster import webp

BUDGET = 5_400
# tSNR at the bright end; 100 and more is good at 2 mm.
TSNR_MAXIMUM = 120.0
_COLOURS = "viridis"
# In pixels: single voxels would take most of the file and tell nothing.
_BLUR = 1.2
_BAR_WIDTH = 46

# Low ones above all: orbits, gyrus rectus, temporal poles, vmPFC and the ear canals.
_LOW_CUTS: tuple[tuple[Axis, float], ...] = (
    ("z", -24.0),
    ("z", -16.0),
    ("z", -8.0),
    ("y", 46.0),
    ("y", 22.0),
    ("x", 2.0),
    ("x", 26.0),
)
LOW_PLANES = tuple(Plane(axis, at, 1.25) for axis, at in _LOW_CUTS)
# Okabe and Ito's orange and sky blue, told apart by every eye, and white.
LOST, ABSENT, AREA = "#e69f00", "#56b4e9", "#ffffff"
_OPACITY = 0.75


def tsnr_picture(store: Store) -> bytes | None:
    """Draw the temporal signal-to-noise ratio on the slices of `mosaic`.

    Parameters
    ----------
    store : Store
        An open sample store.

    Returns
    -------
    bytes or None
        WebP with a bar of its colours. None where the store holds no moments, or intensities that
        have no meaning.
    """
    moments = store.read_moments()
    if moments is None or store.attributes.get("signal_floor") is None:
        return None
    ratio = np.zeros(len(moments.mean), np.float32)
    np.divide(moments.mean, moments.sd, out=ratio, where=moments.has_data)
    volume = _on_grid(store, ratio)
    there = _on_grid(store, moments.has_data.astype(np.float32))
    slices = []
    for plane in PLANES:
        points = plane.points()
        values = ndimage.gaussian_filter(sample(volume, store.grid.affine, points), _BLUR)
        shown = (sample(there, store.grid.affine, points) > 0.5) & (anatomy(plane).brain > 0.5)
        slices.append(np.where(shown[..., None], _coloured(values / TSNR_MAXIMUM), np.uint8(0)))
    picture = _in_a_row(slices, PLANES, _BAR_WIDTH)
    _draw_bar(picture)
    return webp(picture, BUDGET)


def dropout_picture(store: Store) -> bytes | None:
    """Draw the mean volume, and on it which of the brain's voxels have lost their signal.

    Parameters
    ----------
    store : Store
        An open sample store.

    Returns
    -------
    bytes or None
        WebP of low slices: in `LOST` voxels below the recording's floor, in `ABSENT` those of the
        template's brain without data, in `AREA` the outlines of the areas whose signal loss is in
        the table `recordings`. None as for `tsnr_picture`.
    """
    moments = store.read_moments()
    floor = store.attributes.get("signal_floor")
    if moments is None or floor is None:
        return None
    mean = _on_grid(store, moments.mean)
    there = _on_grid(store, moments.has_data.astype(np.float32))
    areas = _areas(store.grid.affine.tobytes(), store.grid.shape)
    greys = grey_levels(
        [sample(mean, store.grid.affine, p.points()) for p in LOW_PLANES], LOW_PLANES
    )
    slices = []
    for plane, grey in zip(LOW_PLANES, greys, strict=True):
        points = plane.points()
        nearest = _nearest(mean, store.grid.affine, points)
        brain = anatomy(plane).brain > 0.5
        present = _nearest(there, store.grid.affine, points) > 0.5
        tinted = Image.fromarray(grey).convert("RGB")
        for colour, where in ((LOST, present & (nearest < floor)), (ABSENT, ~present)):
            opacity = np.where(where & brain, round(255 * _OPACITY), 0).astype(np.uint8)
            tinted.paste(Image.new("RGB", tinted.size, colour), mask=Image.fromarray(opacity))
        outlines = [sample(area, store.grid.affine, points) for area in areas]
        tinted.paste(Image.new("RGB", tinted.size, AREA), mask=line_mask(outlines, 1.2))
        slices.append(np.asarray(tinted))
    return webp(_in_a_row(slices, LOW_PLANES), BUDGET)


def _on_grid(store: Store, values: NDArray[np.float32]) -> NDArray[np.float32]:
    grid = np.zeros(store.grid.shape, np.float32)
    grid.ravel()[store.voxels] = values
    return grid


def _nearest(
    data: NDArray[np.float32], affine: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the value of the voxel that each point lies in; 0 outside."""
    inverse = np.linalg.inv(affine)
    indices = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
    inside = ((indices >= 0) & (indices < data.shape)).all(axis=-1)
    found = np.zeros(points.shape[:-1], np.float32)
    found[inside] = data[tuple(indices[inside].T)]
    return found


@cache
def _areas(affine: bytes, shape: tuple[int, int, int]) -> list[NDArray[np.float32]]:
    voxels = area_voxels(np.frombuffer(affine, np.float64).reshape(4, 4), shape)
    areas = []
    for name in AREAS:
        area = np.zeros(shape, np.float32)
        area.ravel()[voxels[name]] = 1
        areas.append(area)
    return areas


def _coloured(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = colormaps[_COLOURS](np.clip(share, 0, 1), bytes=True)[..., :3]
    return rgb


def _in_a_row(
    slices: list[NDArray[np.uint8]], planes: tuple[Plane, ...], more: int = 0
) -> Image.Image:
    edges = list(accumulate((plane.shape[1] for plane in planes), initial=0))
    height = max(plane.shape[0] for plane in planes)
    picture = Image.new("RGB", (edges[-1] + more, height))
    pen = ImageDraw.Draw(picture)
    for left, right, plane, rgb in zip(edges, edges[1:], planes, slices, strict=False):
        picture.paste(Image.fromarray(rgb), (left, (height - plane.shape[0]) // 2))
        names = ("P", "A") if plane.axis == "x" else ("L", "R")
        letter(pen, (left + 3, 3), names[0], "lt")
        letter(pen, (right - 4, 3), names[1], "rt")
        # With a plain hyphen: the font of Pillow has no minus sign.
        letter(pen, (left + 3, height - 3), f"{plane.axis} {plane.at:.0f}", "lb")
    return picture


def _draw_bar(picture: Image.Image) -> None:
    height, top = picture.height - 24, 12
    levels = _coloured(np.linspace(1, 0, height, dtype=np.float32))
    bar = Image.fromarray(np.repeat(levels[:, None], 12, axis=1))
    left = picture.width - _BAR_WIDTH + 4
    picture.paste(bar, (left, top))
    pen = ImageDraw.Draw(picture)
    for tick in np.linspace(0, TSNR_MAXIMUM, 4):
        at = top + round((height - 1) * (1 - tick / TSNR_MAXIMUM))
        letter(pen, (left + 15, at), f"{tick:.0f}", "lm")
