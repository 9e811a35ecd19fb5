"""Slices of an image in template space in one row, with the template's outline.

All mosaics have the same slices and the same frame: laid over each other, only what differs moves.
"""

from __future__ import annotations

import zlib
from functools import cache
from itertools import accumulate
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from braindata.errors import DamageError
from braindata.report.planes import Axis, Plane, anatomy, grey_levels, letter, line_mask, sample
from braindata.report.raster import webp

# Three axial, two coronal, two sagittal: ventricles, temporal and frontal poles, cerebellum.
_CUTS: tuple[tuple[Axis, float], ...] = (
    ("z", -14.0),
    ("z", 14.0),
    ("z", 44.0),
    ("y", -24.0),
    ("y", 16.0),
    ("x", -4.0),
    ("x", 34.0),
)
PIXEL_MM = 1.25
PLANES = tuple(Plane(axis, at, PIXEL_MM) for axis, at in _CUTS)
BUDGET = 8_600
_LINE = "#ff4b3e"
_HINT = "delete it and its receipt, and run again: it is made anew"


def mosaic(image: Path) -> bytes:
    """Draw an image in template space.

    Parameters
    ----------
    image : Path
        NIfTI on any grid of template space; of a 4D one the mean over time.

    Returns
    -------
    bytes
        WebP. An image that lies elsewhere, or is empty, is black within the outline.

    Raises
    ------
    DamageError
        When it cannot be read, or has an affine that places it nowhere.
    """
    data, affine = _load(image)
    return _encode([sample(data, affine, plane.points()) for plane in PLANES])


@cache
def template_mosaic() -> bytes:
    """Draw the template's T1w as `mosaic` draws an image."""
    return _encode([anatomy(plane).t1w for plane in PLANES])


def left_edges() -> list[int]:
    """Return the column at which each slice of a mosaic begins, and its width at the end."""
    return list(accumulate((plane.shape[1] for plane in PLANES), initial=0))


def _encode(slices: list[NDArray[np.float32]]) -> bytes:
    levels = grey_levels(slices, PLANES)
    edges = left_edges()
    picture = Image.new("RGB", (edges[-1], max(plane.shape[0] for plane in PLANES)))
    for left, top, grey in zip(edges, _tops(), levels, strict=False):
        picture.paste(Image.fromarray(grey).convert("RGB"), (left, top))
    picture.paste(Image.new("RGB", picture.size, _LINE), mask=_outline())
    pen = ImageDraw.Draw(picture)
    for left, right, plane in zip(edges, edges[1:], PLANES, strict=False):
        names = ("P", "A") if plane.axis == "x" else ("L", "R")
        letter(pen, (left + 3, 3), names[0], "lt")
        letter(pen, (right - 4, 3), names[1], "rt")
    return webp(picture, BUDGET)


def _tops() -> list[int]:
    height = max(plane.shape[0] for plane in PLANES)
    return [(height - plane.shape[0]) // 2 for plane in PLANES]


@cache
def _outline() -> Image.Image:
    edges = left_edges()
    result = Image.new("L", (edges[-1], max(plane.shape[0] for plane in PLANES)))
    for left, top, plane in zip(edges, _tops(), PLANES, strict=False):
        place = anatomy(plane)
        result.paste(line_mask([place.brain, place.ventricles], 1.4), (left, top))
    return result


def _load(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    try:
        image = nib.load(path)
        data = np.asarray(image.dataobj, dtype=np.float32)
    except (ImageFileError, EOFError, OSError, zlib.error, ValueError) as error:
        raise DamageError("the image cannot be read", file=path, hint=_HINT) from error
    affine = np.asarray(image.affine, np.float64)
    singular = not np.isfinite(affine).all() or np.linalg.matrix_rank(affine) < 4
    if data.ndim not in (3, 4) or singular:
        raise DamageError("this is no image in template space", file=path, hint=_HINT)
    data = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
    return (data if data.ndim == 3 else data.mean(axis=3)), affine
