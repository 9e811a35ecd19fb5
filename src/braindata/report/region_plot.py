"""A region as one PNG: on a glass brain above, on slices of the template below."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from braindata.regions.resolve import ResolvedRegion
from braindata.report.outlines import Line, contours
from braindata.report.planes import Plane
from braindata.report.region_pictures import (
    AXES,
    NAMES,
    REGION_COLOUR,
    cut,
    mask_of,
    projection,
    silhouette,
    slices,
)

# Pixels per mm.
_SCALE = 3
# Two lines above: what it is, and the names of the planes.
_CAPTION = 24
_OUTLINE = "#555555"
_INSIDE = "#eeeeee"


def region_png(
    resolved: ResolvedRegion, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> bytes:
    """Draw a resolved region.

    Parameters
    ----------
    resolved : ResolvedRegion
        The region.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.
    shape : tuple of int
        Number of voxels along x, y and z.

    Returns
    -------
    bytes
        A PNG.
    """
    mask = mask_of(resolved, shape)
    center = cut(mask, affine)
    below = slices(mask, affine, center)
    below = below.resize((below.width * _SCALE, below.height * _SCALE), Image.Resampling.BICUBIC)
    planes = [Plane(axis, 0.0) for axis in AXES]
    height = max(plane.shape[0] for plane in planes) * _SCALE
    picture = Image.new("RGB", (below.width, 2 * _CAPTION + height + below.height), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(16)
    x, y, z = (round(value) for value in resolved.center_of_mass)
    pen.text(
        (6, 4),
        f"{resolved.name}: {resolved.n_voxels} voxels, {resolved.volume / 1000:.1f} ml, "
        f"centre of mass at {x}, {y}, {z} mm",
        fill="black",
        font=font,
    )
    left = 0
    for plane in planes:
        rows, columns = plane.shape
        at = (left, 2 * _CAPTION + height - rows * _SCALE)
        for line in silhouette(plane.axis):
            pen.polygon(_placed(line, at), fill=_INSIDE, outline=_OUTLINE, width=2)
        for line in contours(projection(mask, affine, plane.axis), 0.5):
            pen.polygon(_placed(line, at), fill=REGION_COLOUR)
        ends = ("P", "A") if plane.axis == "x" else ("L", "R")
        right = left + columns * _SCALE
        words = (
            (left + 6, "la", ends[0]),
            ((left + right) // 2, "ma", NAMES[plane.axis]),
            (right - 6, "ra", ends[1]),
        )
        for across, anchor, word in words:
            pen.text((across, _CAPTION + 4), word, fill=_OUTLINE, anchor=anchor, font=font)
        left = right
    picture.paste(below, (0, 2 * _CAPTION + height))
    handle = io.BytesIO()
    picture.save(handle, "PNG", optimize=True)
    return handle.getvalue()


def _placed(line: Line, at: tuple[int, int]) -> list[tuple[float, float]]:
    # A contour counts from the centre of the first pixel, the frame from its corner.
    return [(x, y) for x, y in ((line + 0.5) * _SCALE + at).tolist()]
