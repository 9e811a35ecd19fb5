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
from braindata.report.tissue_border import tissue_border

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
# Before registration only the place matters; a fine line needs more.
_BEFORE_BUDGET, _EDGES_BUDGET = 4_600, 7_000
_LINE = "#ff4b3e"
_EDGE = "#ffd23e"
_HINT = "delete it and its receipt, and run again: it is made anew"


def before_mosaic(image: Path) -> bytes | None:
    """Draw the first volume of a raw image where its header places it.

    Parameters
    ----------
    image : Path
        NIfTI, of any space.

    Returns
    -------
    bytes or None
        As `mosaic`; None when it cannot be read, as nothing is amiss with what we made of it.
    """
    try:
        data, affine = _load(image, first=True)
    except DamageError:
        return None
    slices = [sample(data, affine, plane.points()) for plane in PLANES]
    return _encode(slices, budget=_BEFORE_BUDGET)


def edges_mosaic(boldref: Path, t1w: Path) -> bytes | None:
    """Draw a BOLD reference with the border of white matter of the person's own T1w image on it.

    Parameters
    ----------
    boldref, t1w : Path
        Images in template space, on any grids.

    Returns
    -------
    bytes or None
        As `mosaic`; None where the T1w image shows no such border.

    Raises
    ------
    DamageError
        When one of them cannot be read.
    """
    anatomical, t1w_affine = _load(t1w)
    level = tissue_border(anatomical, t1w_affine)
    if level is None:
        return None
    data, affine = _load(boldref)
    lines = []
    for plane in PLANES:
        values = sample(anatomical, t1w_affine, plane.points())
        # From 0 to 1 as a probability has it, and nothing of skull and scalp.
        lines.append(np.where(anatomy(plane).brain > 0.5, values / (2 * level), 0))
    slices = [sample(data, affine, plane.points()) for plane in PLANES]
    return _encode(slices, _lines(lines, 1.1), _EDGE, _EDGES_BUDGET)


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


def _encode(
    slices: list[NDArray[np.float32]],
    lines: Image.Image | None = None,
    colour: str = _LINE,
    budget: int = BUDGET,
) -> bytes:
    levels = grey_levels(slices, PLANES)
    edges = left_edges()
    picture = Image.new("RGB", (edges[-1], max(plane.shape[0] for plane in PLANES)))
    for left, top, grey in zip(edges, _tops(), levels, strict=False):
        picture.paste(Image.fromarray(grey).convert("RGB"), (left, top))
    mask = _outline() if lines is None else lines
    picture.paste(Image.new("RGB", picture.size, colour), mask=mask)
    pen = ImageDraw.Draw(picture)
    for left, right, plane in zip(edges, edges[1:], PLANES, strict=False):
        names = ("P", "A") if plane.axis == "x" else ("L", "R")
        letter(pen, (left + 3, 3), names[0], "lt")
        letter(pen, (right - 4, 3), names[1], "rt")
    return webp(picture, budget)


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


def _lines(fields: list[NDArray[np.float32]], width: float) -> Image.Image:
    edges = left_edges()
    result = Image.new("L", (edges[-1], max(plane.shape[0] for plane in PLANES)))
    for left, top, field in zip(edges, _tops(), fields, strict=False):
        result.paste(line_mask([field], width), (left, top))
    return result


def _load(path: Path, first: bool = False) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return a volume and its affine: of a 4D image the mean over time, or the first one."""
    try:
        image = nib.load(path)
        of_first = first and len(image.shape) == 4
        data = np.asarray(image.dataobj[..., 0] if of_first else image.dataobj, dtype=np.float32)
    except (ImageFileError, EOFError, OSError, zlib.error, ValueError) as error:
        raise DamageError("the image cannot be read", file=path, hint=_HINT) from error
    affine = np.asarray(image.affine, np.float64)
    singular = not np.isfinite(affine).all() or np.linalg.matrix_rank(affine) < 4
    if data.ndim not in (3, 4) or singular:
        raise DamageError("this is no image in template space", file=path, hint=_HINT)
    data = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
    return (data if data.ndim == 3 else data.mean(axis=3)), affine
