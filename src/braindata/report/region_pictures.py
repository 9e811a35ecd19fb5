"""The pictures of one region: on a glass brain, and on slices of the template."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from braindata.fmri.template import load_template
from braindata.regions.definition import Region
from braindata.regions.files import Placing
from braindata.regions.resolve import ResolvedRegion, resolve
from braindata.regions.template import grey_matter
from braindata.report.outlines import Line, area, contours, path_data, simplified
from braindata.report.planes import (
    ACROSS,
    FRAME,
    UP,
    Axis,
    Plane,
    anatomy,
    grey_levels,
    letter,
    line_mask,
    sample,
)
from braindata.report.raster import webp

BUDGET = 8_000
# Sagittal, coronal, axial, from left to right.
AXES: tuple[Axis, ...] = ("x", "y", "z")
NAMES: dict[Axis, str] = {"x": "sagittal", "y": "coronal", "z": "axial"}
# mm between two projections, and below them for the words.
_SPACING = 14
_CAPTION = 18
# Units of the SVG's coordinates per mm: whole numbers then are exact enough.
_UNITS = 2
REGION_COLOUR = "#e8590c"
# Where the white matter is cut that is drawn faintly for orientation, in mm.
_LANDMARKS: dict[Axis, float] = {"x": -2.0, "y": -20.0, "z": 12.0}
_STYLE = (
    "svg:root{color:#222}"
    "@media(prefers-color-scheme:dark){svg:root{color:#ddd}}"
    ".bd-glass text{font:11px system-ui,sans-serif;fill:currentColor}"
    ".bd-glass path{stroke-linejoin:round;vector-effect:non-scaling-stroke}"
    ".bd-glass .s{fill:currentColor;fill-opacity:.07;stroke:currentColor;stroke-opacity:.75;"
    "stroke-width:1.2}"
    ".bd-glass .w{fill:currentColor;fill-opacity:.09;fill-rule:evenodd}"
    f".bd-glass .r{{fill:{REGION_COLOUR};fill-opacity:.75;fill-rule:evenodd;stroke:{REGION_COLOUR};"
    "stroke-width:1.2}"
)


def region_pictures(
    region: Region,
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    space: str | None = None,
    placing: Placing | None = None,
) -> dict[str, bytes]:
    """Draw a region as it is resolved on a grid.

    Parameters
    ----------
    region : Region
        The region.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm in an MNI152 space.
    shape : tuple of int
        Number of voxels along x, y and z.
    space : str, optional
        Space of the grid; without it, the region's own.
    placing : Placing, optional
        Where the region's files lie, and how it gets into that space.

    Returns
    -------
    dict of str to bytes
        ``glass.svg``: projections along x, y and z. ``slices.webp``: slices of the template
        through the middle of the region's largest connected part.

    Raises
    ------
    BraindataError
        When the region has no voxel on the grid, or one of its files is not there.
    """
    resolved = resolve(region, affine, shape, grey_matter(affine, shape), space, placing)
    mask = mask_of(resolved, shape)
    center = cut(mask, affine)
    description = (
        f"{resolved.n_voxels} voxels, {resolved.volume / 1000:.1f} cm³. The slices cut it at "
        + ", ".join(f"{axis} = {_mm(value)}" for axis, value in zip("xyz", center, strict=True))
        + " mm."
    )
    return {
        "glass.svg": _glass(region.name, description, mask, affine).encode(),
        "slices.webp": webp(slices(mask, affine, center), BUDGET),
    }


def mask_of(resolved: ResolvedRegion, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return a resolved region as a map: its weights, the largest being 1."""
    mask = np.zeros(shape, np.float32)
    mask.ravel()[resolved.voxels] = resolved.weights / resolved.weights.max()
    return mask


def cut(mask: NDArray[np.float32], affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return where to cut a region, in mm.

    Parameters
    ----------
    mask : ndarray of float32, shape (nx, ny, nz)
        0 outside the region; not empty.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.

    Returns
    -------
    tuple of float
        Centre of the voxel nearest to the centre of mass of the largest connected part; of parts
        of one size, the first in the order of the grid.
    """
    parts, _ = ndimage.label(mask > 0, ndimage.generate_binary_structure(3, 3))
    largest = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    places = np.argwhere(parts == largest) @ affine[:3, :3].T + affine[:3, 3]
    distance = ((places - places.mean(axis=0)) ** 2).sum(axis=1)
    x, y, z = places[distance.argmin()].tolist()
    return x, y, z


def projection(
    mask: NDArray[np.float32], affine: NDArray[np.float64], axis: Axis
) -> NDArray[np.float32]:
    """Return the largest value of a map along an axis of template space, on the frame at 1 mm.

    Parameters
    ----------
    mask : ndarray of float32, shape (nx, ny, nz)
        The map.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.
    axis : {"x", "y", "z"}
        Along which axis to look.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        As `Plane` places them.
    """
    plane = Plane(axis, 0.0)
    result = np.zeros(plane.shape, np.float32)
    filled = np.argwhere(mask > 0)
    if not len(filled):
        return result
    # Only the box around the region, with the voxel that fades to 0 around it.
    low, high = filled.min(axis=0) - 1, filled.max(axis=0) + 1
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1)
    box = affine[:3, :3] @ corners + affine[:3, 3:]
    depth = "xyz".index(axis)
    across, up = "xyz".index(ACROSS[axis]), "xyz".index(UP[axis])
    points = plane.points()
    columns = np.flatnonzero(
        (points[0, :, across] >= box[across].min()) & (points[0, :, across] <= box[across].max())
    )
    rows = np.flatnonzero((points[:, 0, up] >= box[up].min()) & (points[:, 0, up] <= box[up].max()))
    if not len(columns) or not len(rows):
        return result
    levels = np.arange(np.floor(box[depth].min()) + 0.5, box[depth].max() + 1)
    window = points[np.ix_(rows, columns)]
    stack = np.repeat(window[None], len(levels), axis=0)
    stack[..., depth] = levels[:, None, None]
    result[np.ix_(rows, columns)] = sample(mask, affine, stack).max(axis=0)
    return result


def _glass(
    name: str, description: str, mask: NDArray[np.float32], affine: NDArray[np.float64]
) -> str:
    lefts = _lefts()
    height = max(Plane(axis, 0.0).shape[0] for axis in AXES)
    width = lefts[-1] - _SPACING
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="bd-glass" role="img" width="100%" '
        f'viewBox="0 0 {width} {height + _CAPTION}">',
        f"<title>{name} on a glass brain</title><desc>{description}</desc><style>{_STYLE}</style>",
    ]
    for left, axis in zip(lefts, AXES, strict=False):
        rows, columns = Plane(axis, 0.0).shape
        top = height - rows
        lines = contours(projection(mask, affine, axis), 0.5)
        parts += [
            f'<g transform="translate({left} {top})scale({1 / _UNITS})">',
            f'<path class="s" d="{_silhouette(axis)}"/>',
            f'<path class="w" d="{_white_matter(axis)}"/>',
            f'<path class="r" d="{_path(lines, 0.25)}"/></g>',
        ]
        ends = ("P", "A") if axis == "x" else ("L", "R")
        places = ((left, "start"), (left + columns / 2, "middle"), (left + columns, "end"))
        parts += [
            f'<text x="{x:g}" y="{height + _CAPTION - 4}" text-anchor="{anchor}">{text}</text>'
            for (x, anchor), text in zip(places, (ends[0], NAMES[axis], ends[1]), strict=True)
        ]
    return "".join(parts) + "</svg>"


def _lefts() -> list[int]:
    result = [0]
    for axis in AXES:
        result.append(result[-1] + Plane(axis, 0.0).shape[1] + _SPACING)
    return result


def _path(lines: list[Line], tolerance_mm: float) -> str:
    # A contour counts from the centre of the first pixel, the frame from its corner.
    scaled = [simplified((line + 0.5) * _UNITS, tolerance_mm * _UNITS) for line in lines]
    return path_data(scaled, closed=True)


@cache
def _silhouette(axis: Axis) -> str:
    return _path(silhouette(axis), 0.5)


@cache
def silhouette(axis: Axis) -> list[Line]:
    """Return the outlines of the template's brain along an axis, in pixels of the frame."""
    # As `projection` does, but along the axes of the template's own grid: a hundred times as fast.
    template = load_template(1)
    brain = template.brain.max(axis="xyz".index(axis)).astype(np.float32)
    across, up = ACROSS[axis], UP[axis]
    lines = []
    # Smoothed by 1 mm: the steps of its voxels would make a ragged line, and a long one.
    for line in contours(ndimage.gaussian_filter(brain.T, 1.0), 0.5):
        right = line[:, 0] + template.affine["xyz".index(across), 3] - FRAME[across][0]
        down = FRAME[up][1] - line[:, 1] - template.affine["xyz".index(up), 3]
        lines.append(np.column_stack([right, down]) - 0.5)
    return lines


@cache
def _white_matter(axis: Axis) -> str:
    # Inside a bare silhouette nobody knows where they are: corpus callosum and brain stem tell.
    template = load_template(1)
    plane = Plane(axis, _LANDMARKS[axis])
    field = sample(template.white_matter.data, template.affine, plane.points())
    lines = [line for line in contours(field, 0.5) if area(line) > 100]
    return _path(lines, 1.2)


def slices(
    mask: NDArray[np.float32],
    affine: NDArray[np.float64],
    center: tuple[float, float, float],
) -> Image.Image:
    """Draw a region on three slices of the template, side by side.

    Parameters
    ----------
    mask : ndarray of float32, shape (nx, ny, nz)
        As `mask_of` returns it.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.
    center : tuple of float
        Where to cut, in mm.
    """
    planes = [Plane(axis, at) for axis, at in zip(AXES, center, strict=True)]
    levels = grey_levels([anatomy(plane).t1w for plane in planes], planes)
    height = max(plane.shape[0] for plane in planes)
    picture = Image.new("RGB", (sum(plane.shape[1] for plane in planes), height))
    pen = ImageDraw.Draw(picture)
    left = 0
    for plane, grey in zip(planes, levels, strict=True):
        rows, columns = plane.shape
        place = (left, (height - rows) // 2)
        picture.paste(Image.fromarray(grey).convert("RGB"), place)
        inside = sample(mask, affine, plane.points())
        fill = Image.fromarray(np.where(inside > 0.5, 140, 0).astype(np.uint8))
        picture.paste(Image.new("RGB", (columns, rows), REGION_COLOUR), place, mask=fill)
        edge = line_mask([inside], 1.0)
        picture.paste(Image.new("RGB", (columns, rows), REGION_COLOUR), place, mask=edge)
        ends = ("P", "A") if plane.axis == "x" else ("L", "R")
        letter(pen, (left + 3, 3), ends[0], "lt")
        letter(pen, (left + columns - 4, 3), ends[1], "rt")
        letter(pen, (left + 3, height - 4), f"{plane.axis} = {plane.at:.4g}", "lb")
        left += columns
    return picture


def _mm(value: float) -> str:
    return f"{round(value, 1):g}".replace("-", "−")
