"""Slices through template space: where each pixel lies in mm, and what an image has there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from braindata.fmri.template import load_template
from braindata.report.outlines import area, contours

Axis = Literal["x", "y", "z"]

# mm that every picture shows along x (right), y (anterior), z (superior): the template's brain
# with a rim, wide enough for one that lies beside it.
FRAME: dict[str, tuple[int, int]] = {"x": (-78, 78), "y": (-112, 78), "z": (-74, 86)}
# What runs to the right and what runs up, by the axis that the slice cuts.
ACROSS: dict[Axis, str] = {"x": "y", "y": "x", "z": "x"}
UP: dict[Axis, str] = {"x": "z", "y": "z", "z": "y"}
# Shares of the brain's pixels that set the window of grey levels; black is half of the lower one.
_WINDOW = (0.01, 0.995)
# An image is shown up to so many mm outside the template's brain, and fades over some more: the
# rest of the head would take most of the file.
_RIM_MM, _FADE_MM = 7.0, 3.0
# Outlines that enclose fewer pixels would be mere dots.
_SMALLEST_AREA = 16.0
# From this far inside the brain fluid belongs to the ventricles; sulci are nearer.
_VENTRICLE_DEPTH_MM = 17.0


@dataclass(frozen=True)
class Plane:
    """One slice: left is left, anterior is right, superior is up.

    Attributes
    ----------
    axis : {"x", "y", "z"}
        The axis it cuts: sagittal, coronal, axial.
    at : float
        Where it cuts it, in mm.
    pixel : float
        Size of a pixel in mm.
    """

    axis: Axis
    at: float
    pixel: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        (left, right), (low, high) = FRAME[ACROSS[self.axis]], FRAME[UP[self.axis]]
        return round((high - low) / self.pixel), round((right - left) / self.pixel)

    def points(self) -> NDArray[np.float64]:
        """Return the place of each pixel's centre in mm (RAS+), shape (rows, columns, 3)."""
        rows, columns = self.shape
        result = np.empty((rows, columns, 3))
        result[..., "xyz".index(self.axis)] = self.at
        across, up = ACROSS[self.axis], UP[self.axis]
        result[..., "xyz".index(across)] = (
            FRAME[across][0] + (np.arange(columns) + 0.5) * self.pixel
        )
        result[..., "xyz".index(up)] = FRAME[up][1] - (np.arange(rows) + 0.5)[:, None] * self.pixel
        return result


def sample(
    data: NDArray[np.float32], affine: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return an image's values at points, by linear interpolation.

    Parameters
    ----------
    data : ndarray of float32, shape (nx, ny, nz)
        The image.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.
    points : ndarray, shape (..., 3)
        Where, in mm.

    Returns
    -------
    ndarray of float32, shape (...)
        0 outside the image.
    """
    inverse = np.linalg.inv(affine)
    indices = points @ inverse[:3, :3].T + inverse[:3, 3]
    values: NDArray[np.float32] = ndimage.map_coordinates(
        data, np.moveaxis(indices, -1, 0), order=1, mode="constant", cval=0.0, prefilter=False
    )
    return values


def grey_levels(
    slices: list[NDArray[np.float32]], planes: Sequence[Plane]
) -> list[NDArray[np.uint8]]:
    """Turn values into grey levels with one window for all slices.

    Parameters
    ----------
    slices : list of ndarray of float32, shape (rows, columns)
        The values.
    planes : sequence of Plane
        Where they lie: what is in the template's brain sets the window.

    Returns
    -------
    list of ndarray of uint8, shape (rows, columns)
        Black throughout where the brain holds one value only.
    """
    places = [anatomy(plane) for plane in planes]
    brain = np.concatenate([s[a.brain > 0.5] for s, a in zip(slices, places, strict=True)])
    low, high = np.quantile(brain, _WINDOW) if len(brain) else (0.0, 0.0)
    low = max(float(low), 0.0) / 2
    if not high > low:
        return [np.zeros(s.shape, np.uint8) for s in slices]
    return [
        np.rint(255 * a.opacity * np.clip((s - low) / (high - low), 0, 1)).astype(np.uint8)
        for s, a in zip(slices, places, strict=True)
    ]


@dataclass(frozen=True)
class Anatomy:
    """What the template has on a slice; none is writable.

    Attributes
    ----------
    t1w : ndarray of float32, shape `plane.shape`
        T1w.
    brain, ventricles : ndarray of float32, shape `plane.shape`
        Share of brain and of the fluid deep inside it: their outlines are at 0.5.
    opacity : ndarray of float32, shape `plane.shape`
        1 in the brain and near it, 0 far from it.
    """

    t1w: NDArray[np.float32]
    brain: NDArray[np.float32]
    ventricles: NDArray[np.float32]
    opacity: NDArray[np.float32]


@lru_cache(maxsize=256)
def anatomy(plane: Plane) -> Anatomy:
    """Return what the template has on a slice."""
    maps, affine, coarse = _maps()
    points = plane.points()
    t1w, brain, fluid = (sample(data, affine, points) for data in maps[:3])
    opacity = sample(maps[3], coarse, points)
    for values in (t1w, brain, fluid, opacity):
        values.setflags(write=False)
    return Anatomy(t1w, brain, fluid, opacity)


@cache
def _maps() -> tuple[list[NDArray[np.float32]], NDArray[np.float64], NDArray[np.float64]]:
    template = load_template(1)
    # Distances vary slowly: every second voxel is enough, and eight times as fast.
    coarse = template.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    brain = template.brain[::2, ::2, ::2]
    outside = ndimage.distance_transform_edt(~brain, sampling=2.0)
    inside = ndimage.distance_transform_edt(brain, sampling=2.0)
    deep = (inside > _VENTRICLE_DEPTH_MM).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    nx, ny, nz = template.shape
    fluid = 1 - template.gray_matter.data - template.white_matter.data
    fluid *= deep[:nx, :ny, :nz]
    opacity = np.clip(1 - (outside - _RIM_MM) / _FADE_MM, 0, 1).astype(np.float32)
    maps = [template.t1w.data, template.brain.astype(np.float32), fluid, opacity]
    return maps, template.affine, coarse


def line_mask(fields: list[NDArray[np.float32]], width: float) -> Image.Image:
    """Draw the contours at 0.5 of maps on one slice, smooth at its edges.

    Parameters
    ----------
    fields : list of ndarray of float32, shape (rows, columns)
        Such as a tissue's probability on the slice.
    width : float
        Width of the line in pixels.

    Returns
    -------
    PIL.Image.Image
        Opacity of the line, 8 bit.
    """
    rows, columns = fields[0].shape
    fine = 4
    canvas = Image.new("L", (columns * fine, rows * fine), 0)
    pen = ImageDraw.Draw(canvas)
    for field in fields:
        for line in contours(field, 0.5):
            if area(line) < _SMALLEST_AREA:
                continue
            # A contour's coordinates count from the first pixel's centre.
            vertices = [(float(x), float(y)) for x, y in (line + 0.5) * fine]
            pen.line(vertices, fill=255, width=round(width * fine), joint="curve")
    return canvas.resize((columns, rows), Image.Resampling.BOX)


def letter(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, anchor: str) -> None:
    """Write a short text in light grey on a picture."""
    pen.text(at, text, fill="#d0d0d0", font=ImageFont.load_default(size=13), anchor=anchor)
