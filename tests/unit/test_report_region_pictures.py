"""Regions in pictures: where they are drawn, and how large."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.interpolate import RegularGridInterpolator

from braindata.errors import BraindataError
from braindata.regions.definition import Region
from braindata.report.planes import ACROSS, FRAME, UP, Axis
from braindata.report.region_pictures import AXES, cut, projection, region_pictures

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
AFFINE[:3, 3] = [-98, -134, -72]
SHAPE = (99, 117, 95)


def region(*spheres: tuple[tuple[float, float, float], float], **more: object) -> Region:
    sides = [
        {
            "center": center,
            "radius": radius,
            "hemisphere": "left" if center[0] < 0 else "right" if center[0] > 0 else "midline",
            "source": "made up for this test",
        }
        for center, radius in spheres
    ]
    return Region.model_validate(
        {
            "name": "made_up",
            "level": "perception",
            "processes": ["p"],
            "references": ["r"],
            "space": "MNI152NLin2009cAsym",
            "definition": {"kind": "spheres", "spheres": sides, "grey_matter": False, **more},
        }
    )


def outlines(svg: bytes, kind: str) -> list[NDArray[np.float64]]:
    """Return the vertices of the paths of a class in mm of the frame, one array per projection."""
    root = ET.fromstring(svg)
    found = []
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        scale = float(re.search(r"scale\(([\d.]+)\)", group.attrib["transform"])[1])  # type: ignore[index]
        for path in group:
            if path.attrib["class"] == kind:
                found.append(vertices(path.attrib["d"]) * scale)
    return found


def vertices(data: str) -> NDArray[np.float64]:
    parts = []
    for start, steps in re.findall(r"M([-\d ]+)l([-\d ]+)z?", data):
        origin = np.array([int(n) for n in re.findall(r"-?\d+", start)])
        moves = np.array([int(n) for n in re.findall(r"-?\d+", steps)]).reshape(-1, 2)
        parts.append(np.vstack([origin, origin + moves.cumsum(axis=0)]))
    return np.vstack(parts).astype(float) if parts else np.empty((0, 2))


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_a_projected_sphere_has_the_extent_of_the_sphere(flip: float) -> None:
    affine = AFFINE.copy()
    affine[0] = [2 * flip, 0, 0, -98 * flip]
    center, radius = (-30.0, -40.0, 20.0), 12.0
    svg = region_pictures(region((center, radius)), affine, SHAPE)["glass.svg"]
    for (across, up), line in zip(("yz", "xz", "xy"), outlines(svg, "r"), strict=True):
        right = line[:, 0] + FRAME[across][0]
        height = FRAME[up][1] - line[:, 1]
        middle = center["xyz".index(across)], center["xyz".index(up)]
        # Voxels of 2 mm and half of one at each end.
        assert right.min() == pytest.approx(middle[0] - radius, abs=1.6)
        assert right.max() == pytest.approx(middle[0] + radius, abs=1.6)
        assert height.min() == pytest.approx(middle[1] - radius, abs=1.6)
        assert height.max() == pytest.approx(middle[1] + radius, abs=1.6)


def test_the_silhouette_is_that_of_the_templates_brain() -> None:
    from nilearn.datasets import load_mni152_brain_mask

    image = load_mni152_brain_mask(resolution=1)
    places = np.argwhere(image.get_fdata() > 0) @ image.affine[:3, :3].T + image.affine[:3, 3]
    low, high = places.min(axis=0), places.max(axis=0)
    svg = region_pictures(region(((0.0, 0.0, 0.0), 10.0)), AFFINE, SHAPE)["glass.svg"]
    for (across, up), line in zip(("yz", "xz", "xy"), outlines(svg, "s"), strict=True):
        a, u = "xyz".index(across), "xyz".index(up)
        assert line[:, 0].min() + FRAME[across][0] == pytest.approx(low[a], abs=2)
        assert line[:, 0].max() + FRAME[across][0] == pytest.approx(high[a], abs=2)
        assert FRAME[up][1] - line[:, 1].max() == pytest.approx(low[u], abs=2)
        assert FRAME[up][1] - line[:, 1].min() == pytest.approx(high[u], abs=2)


@pytest.mark.parametrize("axis", AXES)
def test_a_projection_equals_brute_force(axis: Axis) -> None:
    rng = np.random.default_rng(3)
    mask = np.zeros((20, 18, 16), np.float32)
    mask[6:12, 5:11, 4:10] = rng.random((6, 6, 6)) > 0.6
    affine = np.diag([-3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = [40.5, -20.5, -10.5]
    # The image ends within 50 mm of the origin: beyond that there is nothing to look at.
    grid = [np.arange(*np.clip(FRAME[name], -50, 50)) + 0.5 for name in "xyz"]
    points = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1)
    interpolate = RegularGridInterpolator(
        [np.arange(n) for n in mask.shape], mask, bounds_error=False, fill_value=0.0
    )
    inverse = np.linalg.inv(affine)
    volume = interpolate(points @ inverse[:3, :3].T + inverse[:3, 3])
    # What is left runs right along the columns and up along the rows.
    inside = volume.max(axis="xyz".index(axis))
    (left, right), (low, high) = FRAME[ACROSS[axis]], FRAME[UP[axis]]
    around = [(-50 - left, right - 50), (-50 - low, high - 50)]
    expected = np.pad(inside, around).T[::-1]
    np.testing.assert_allclose(projection(mask, affine, axis), expected, atol=1e-5)


def test_two_sides_are_cut_through_the_larger_one() -> None:
    pictures = region_pictures(
        region(((-40.0, -20.0, 10.0), 6.0), ((44.0, -30.0, 20.0), 10.0)), AFFINE, SHAPE
    )
    assert "x = 44, y = −30, z = 20 mm" in pictures["glass.svg"].decode()


def test_a_hollow_part_is_cut_where_it_has_a_voxel() -> None:
    mask = np.zeros((21, 21, 21), np.float32)
    mask[5:16, 5:16, 10] = 1
    mask[7:14, 7:14, 10] = 0
    x, y, z = cut(mask, np.eye(4))
    assert mask[int(x), int(y), int(z)] == 1


def test_slices_show_the_region_on_its_side() -> None:
    center = (-30.0, -40.0, 20.0)
    content = region_pictures(region((center, 9.0)), AFFINE, SHAPE)["slices.webp"]
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)
    # Orange: much more red than blue, which nothing grey is.
    coloured = pixels[..., 0] - pixels[..., 2] > 60
    widths = [FRAME[a][1] - FRAME[a][0] for a in "yxx"]
    heights = [FRAME[u][1] - FRAME[u][0] for u in "zzy"]
    left = 0
    for (across, up), width, height in zip(("yz", "xz", "xy"), widths, heights, strict=True):
        rows, columns = np.nonzero(coloured[:, left : left + width])
        top = (max(heights) - height) // 2
        middle = center["xyz".index(across)], center["xyz".index(up)]
        assert columns.mean() + FRAME[across][0] == pytest.approx(middle[0], abs=1.5)
        assert FRAME[up][1] - (rows.mean() - top) == pytest.approx(middle[1], abs=1.5)
        # A disc of 9 mm, with its line, and colour is stored at half the resolution.
        assert np.sqrt(len(rows) / np.pi) == pytest.approx(9.75, abs=0.75)
        left += width


def test_pictures_are_small_and_the_same_each_time() -> None:
    bilateral = region(((-30.0, 20.0, 0.0), 10.0), ((30.0, 20.0, 0.0), 10.0))
    first = region_pictures(bilateral, AFFINE, SHAPE)
    assert len(first["glass.svg"]) < 6_000
    assert len(first["slices.webp"]) <= 8_000
    assert first == region_pictures(bilateral, AFFINE, SHAPE)
    svg = first["glass.svg"].decode()
    assert "<title>made_up" in svg and "currentColor" in svg
    assert re.findall(r">([LRAP])</text>", svg) == list("PALRLR")


def test_a_region_outside_the_grid_is_named() -> None:
    with pytest.raises(BraindataError, match="made_up"):
        region_pictures(region(((60.0, 60.0, 60.0), 4.0)), AFFINE, (20, 20, 20))
