"""Pictures of a recording: what they show is what the files hold."""

from __future__ import annotations

import gzip
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn import datasets
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from braindata.errors import DamageError
from braindata.pack.order import voxel_order
from braindata.pack.store import Grid, open_store, write_store
from braindata.report.carpet import (
    BUDGET,
    GAP,
    HEIGHTS,
    MARGIN,
    TISSUES,
    carpet_picture,
    carpet_rows,
    tissue_labels,
)
from braindata.report.mosaic import PIXEL_MM, PLANES, left_edges, mosaic
from braindata.report.motion import WIDTH, motion_svg
from braindata.report.planes import ACROSS, FRAME, UP
from braindata.report.recording_pictures import (
    CAPTIONS,
    recording_pictures,
    template_picture,
)

SHAPE = (50, 59, 48)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
AFFINE[:3, 3] = [-98, -134, -72]
LEFT = WIDTH * MARGIN


def make_store(
    path: Path,
    n_volumes: int = 60,
    spike: int | None = None,
    non_steady: int = 0,
    n_voxels: tuple[int, int, int] | None = None,
) -> NDArray[np.float64]:
    """Write a store of noise with a trend and return its samples; of a tissue all or so many."""
    rng = np.random.default_rng(5)
    labels = tissue_labels(AFFINE, SHAPE)
    voxels = np.flatnonzero(labels >= 0)
    if n_voxels is not None:
        own = [np.flatnonzero(labels == tissue) for tissue in range(3)]
        picked = [rng.choice(v, n, replace=False) for v, n in zip(own, n_voxels, strict=True)]
        voxels = np.concatenate(picked)
    mask = np.zeros(SHAPE, bool)
    mask.ravel()[voxels] = True
    voxels = voxel_order(mask).voxels
    time = np.linspace(0, 1, n_volumes)
    samples = rng.normal(size=(len(voxels), n_volumes)) + 1000
    samples += np.outer(rng.normal(size=len(voxels)) * 50, time)
    samples += np.outer(rng.normal(size=len(voxels)) * 50, time**2)
    if spike is not None:
        samples[:, spike] += 30
    confounds = pd.DataFrame({"csf": rng.normal(size=n_volumes)})
    for number in range(non_steady):
        samples[:, number] += 400
        confounds[f"non_steady_state_outlier{number:02d}"] = np.eye(n_volumes)[number]
    stored = samples.astype(np.float32)
    has_data = rng.random(len(voxels)) < 0.9
    write_store(path, stored, Grid(SHAPE, AFFINE, "MNI"), voxels, has_data, 2.0, confounds, {})
    return stored.astype(np.float64)


def motion_table(n_volumes: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {f"trans_{a}": rng.normal(size=n_volumes).cumsum() / 30 for a in "xyz"}
        | {f"rot_{a}": rng.normal(size=n_volumes).cumsum() / 2000 for a in "xyz"}
    )
    table["framewise_displacement"] = [np.nan, *rng.gamma(2, 0.05, n_volumes - 1)]
    table["std_dvars"] = [np.nan, *rng.normal(1, 0.05, n_volumes - 1)]
    return table


def pixels(content: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)


# --- carpet


def test_tissues_are_those_of_the_template() -> None:
    labels = tissue_labels(AFFINE, SHAPE).reshape(SHAPE)
    gm, wm = (
        getattr(datasets, f"load_mni152_{name}_template")(resolution=1) for name in ("gm", "wm")
    )
    places = np.argwhere(labels >= 0) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    # The grid's voxels lie on voxels of 1 mm.
    at = tuple(np.rint(places - gm.affine[:3, 3]).astype(int).T)
    found = labels[labels >= 0]
    grey, white = gm.get_fdata()[at], wm.get_fdata()[at]
    assert (grey[found == 0] > 0.5).all()
    assert (white[found == 1] > 0.95).all()
    assert (grey[found == 2] + white[found == 2] < 0.05).all()
    assert min(np.bincount(found)) > 50
    # Deep inside, not in sulci: nowhere near the rim of the brain.
    brain = datasets.load_mni152_brain_mask(resolution=1).get_fdata() > 0
    depth = distance_transform_edt(brain[::2, ::2, ::2], sampling=2.0)
    assert depth[tuple(i[found == 2] // 2 for i in at)].min() > 12


def test_labels_follow_the_affine() -> None:
    flipped = AFFINE @ np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = AFFINE[0, 3] + 4 * (SHAPE[0] - 1)
    straight = tissue_labels(AFFINE, SHAPE).reshape(SHAPE)
    np.testing.assert_array_equal(tissue_labels(flipped, SHAPE).reshape(SHAPE)[::-1], straight)


def test_rows_are_standardised_means_of_their_tissues_voxels(tmp_path: Path) -> None:
    # So few that all of them, one chunk, are drawn: up to two a row, and one a row.
    samples = make_store(tmp_path / "a.h5", n_voxels=(150, 60, 40))
    with open_store(tmp_path / "a.h5") as store:
        carpet = carpet_rows(store)
        labels = tissue_labels(AFFINE, SHAPE)[store.voxels]
        has_data = store.has_data
    time = np.arange(60.0)
    z = np.array([row - np.polyval(np.polyfit(time, row, 2), time) for row in samples])
    z /= z.std(axis=1, keepdims=True)
    expected, tissues = [], []
    for tissue in range(len(TISSUES)):
        own = np.flatnonzero((labels == tissue) & has_data)
        assert len(own) > 20
        for voxels in np.array_split(own, min(len(own), HEIGHTS[tissue])):
            mean = z[voxels].mean(axis=0)
            expected.append(mean / mean.std())
            tissues.append(tissue)
    np.testing.assert_array_equal(carpet.tissue, tissues)
    np.testing.assert_allclose(carpet.z, expected, atol=1e-6)


def test_rows_of_a_whole_brain_are_standardised(tmp_path: Path) -> None:
    make_store(tmp_path / "a.h5")
    with open_store(tmp_path / "a.h5") as store:
        carpet = carpet_rows(store)
    np.testing.assert_array_equal(np.bincount(carpet.tissue), HEIGHTS)
    np.testing.assert_allclose(carpet.z.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(carpet.z.std(axis=1), 1, atol=1e-9)


def test_a_spike_is_seen_at_its_time(tmp_path: Path) -> None:
    make_store(tmp_path / "a.h5", spike=41)
    content = recording_pictures(tmp_path / "a.h5", None, None, None)["carpet.webp"]
    grey = pixels(content).mean(axis=2)
    assert grey.shape[0] == sum(HEIGHTS) + 2 * GAP
    strip = round(grey.shape[1] * MARGIN)
    brightness = grey[: HEIGHTS[0], strip:].mean(axis=0)
    width = grey.shape[1] - strip
    assert abs((brightness.argmax() + 0.5) / width * 60 - 41.5) <= 0.5
    assert len(content) <= BUDGET
    # The strip is blue, then orange, then green.
    middles = np.cumsum([0, HEIGHTS[0] + GAP, HEIGHTS[1] + GAP]) + np.array(HEIGHTS) // 2
    assert [int(p.argmax()) for p in pixels(content)[middles, strip // 2]] == [2, 0, 1]


def test_volumes_before_the_steady_state_do_not_flatten_the_rest(tmp_path: Path) -> None:
    make_store(tmp_path / "a.h5", non_steady=3)
    with open_store(tmp_path / "a.h5") as store:
        z = carpet_rows(store).z
    assert z[:, :3].min() > 20
    np.testing.assert_allclose(z[:, 3:].std(axis=1), 1, atol=1e-9)


def test_a_long_recording_is_no_larger(tmp_path: Path) -> None:
    make_store(tmp_path / "a.h5", n_volumes=1100, spike=900, n_voxels=(900, 200, 60))
    content = recording_pictures(tmp_path / "a.h5", None, None, None)["carpet.webp"]
    grey = pixels(content).mean(axis=2)
    assert grey.shape[1] <= 520
    assert len(content) <= BUDGET
    strip = round(grey.shape[1] * MARGIN)
    brightness = grey[: HEIGHTS[0], strip:].mean(axis=0)
    assert abs((brightness.argmax() + 0.5) / (grey.shape[1] - strip) * 1100 - 900.5) <= 3


def test_a_store_without_data_has_no_carpet(tmp_path: Path) -> None:
    voxels = np.arange(100)
    samples = np.zeros((100, 12), np.int16)
    nothing = np.zeros(100, bool)
    confounds = pd.DataFrame({"csf": np.zeros(12)})
    grid = Grid(SHAPE, AFFINE, "MNI")
    write_store(tmp_path / "a.h5", samples, grid, voxels, nothing, 2.0, confounds, {})
    with open_store(tmp_path / "a.h5") as store:
        assert carpet_picture(store) is None
    assert recording_pictures(tmp_path / "a.h5", None, None, None) == {}


# --- motion


def curves(svg: str) -> list[dict[str, NDArray[np.float64]]]:
    """Return each panel's curves as x and y in pixels of the picture, by class."""
    panels = []
    for group in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}g"):
        numbers = re.findall(r"[-\d.]+", group.attrib["transform"])
        left, top, dx, dy = (float(n) for n in numbers)
        panel = {}
        for path in group:
            vertices = []
            for start, steps in re.findall(r"M([-\d ]+)l?([-\d ]*)", path.attrib["d"]):
                origin = np.array([int(n) for n in re.findall(r"-?\d+", start)])
                moves = np.array([int(n) for n in re.findall(r"-?\d+", steps)]).reshape(-1, 2)
                vertices.append(np.vstack([origin, origin + moves.cumsum(axis=0)]))
            panel[path.attrib["class"]] = np.vstack(vertices) * [dx, dy] + [left, top]
        panels.append(panel)
    return panels


def scale(svg: str) -> list[tuple[float, float]]:
    """Return, per panel, slope and intercept from pixels to values: from its tick labels."""
    ticks = re.findall(r'<text x="[\d.]+" y="([\d.]+)" text-anchor="end">([−\d.]+)</text>', svg)
    found = [(float(y) - 4, float(value.replace("−", "-"))) for y, value in ticks]
    panels: dict[int, list[tuple[float, float]]] = {}
    for y, value in found:
        panels.setdefault(int((y - 10) // 88), []).append((y, value))
    result = []
    for number in sorted(panels):
        (y1, v1), (y2, v2) = panels[number][0], panels[number][-1]
        slope = (v2 - v1) / (y2 - y1)
        result.append((slope, v1 - slope * y1))
    return result


def test_curves_are_the_table() -> None:
    table = motion_table(n_volumes=90)
    svg = motion_svg(table, 2.0)
    assert svg is not None
    names = [
        [f"trans_{a}" for a in "xyz"],
        [f"rot_{a}" for a in "xyz"],
        ["framewise_displacement"],
        ["std_dvars"],
    ]
    drawn, scales = curves(svg), scale(svg)
    assert len(drawn) == len(scales) == 4
    dx = (WIDTH - LEFT) / 90
    for panel, columns, (slope, intercept) in zip(drawn, names, scales, strict=True):
        assert list(panel) == list("abc")[: len(columns)]
        for line, column in zip(panel.values(), columns, strict=True):
            values = table[column].to_numpy() * (180 / np.pi if "rot" in column else 1)
            known = np.flatnonzero(np.isfinite(values))
            centres = LEFT + (known + 0.5) * dx
            assert line[0, 0] == pytest.approx(centres[0], abs=0.01)
            assert line[-1, 0] == pytest.approx(centres[-1], abs=0.01)
            expected = (values[known] - intercept) / slope
            # Every volume is near the line: by its rounding, its tolerance and the ticks'.
            for x, y in zip(centres, expected, strict=True):
                assert distance_to_line(line, np.array([x, y])) < 2.0


def distance_to_line(line: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    start, step = line[:-1], np.diff(line, axis=0)
    share = np.clip(((point - start) * step).sum(axis=1) / (step**2).sum(axis=1), 0, 1)
    return float(np.hypot(*(start + share[:, None] * step - point).T).min())


def test_outliers_and_threshold_are_marked() -> None:
    table = motion_table(n_volumes=100)
    plain = motion_svg(table, 2.0)
    assert plain is not None and 'class="t"' not in plain and 'class="o"' not in plain
    for number, volume in enumerate((30, 31, 77)):
        table[f"motion_outlier{number:02d}"] = np.eye(100)[volume]
    table["non_steady_state_outlier00"] = np.eye(100)[0]
    svg = motion_svg(table, 2.0, fd_threshold=0.3)
    assert svg is not None
    bands = re.search(r'class="o" d="([^"]+)"', svg)
    assert bands is not None
    lefts = [float(x) for x in re.findall(r"M([\d.]+)", bands[1])]
    widths = [float(x) for x in re.findall(r"h(\d[\d.]*)V", bands[1])]
    dx = (WIDTH - LEFT) / 100
    assert lefts == pytest.approx([LEFT + 30 * dx, LEFT + 77 * dx], abs=0.06)
    assert widths == pytest.approx([2 * dx, dx], abs=0.06)
    assert re.search(rf'class="n" d="M{LEFT:.1f}', svg)
    line = re.search(r'class="t" d="M\d+ ([\d.]+)H', svg)
    slope, intercept = scale(svg)[2]
    assert line is not None
    assert float(line[1]) * slope + intercept == pytest.approx(0.3, abs=0.01)
    displacement = table["framewise_displacement"]
    assert (
        f"<desc>100 volumes. Framewise displacement: mean {displacement.mean():.2f} mm, largest "
        f"{displacement.max():.2f} mm at volume {displacement.idxmax()}. 3 motion outliers.</desc>"
    ) in svg


@pytest.mark.parametrize("n_volumes", [300, 2000])
def test_motion_is_small_and_keeps_its_peaks(n_volumes: int) -> None:
    rng = np.random.default_rng(1)
    table = motion_table(n_volumes)
    # The worst case: nothing but noise.
    for name in table.columns[:6]:
        table[name] = rng.normal(size=n_volumes)
    peak = n_volumes - 17
    table.loc[peak, "framewise_displacement"] = 6.0
    svg = motion_svg(table, 1.5)
    assert svg is not None
    assert sum(len(d) for d in re.findall(r'class="[abc]" d="([^"]+)"', svg)) < 6_000
    assert len(svg) < 9_000
    line = curves(svg)[2]["a"]
    highest = line[line[:, 1].argmin()]
    assert highest[0] == pytest.approx(LEFT + (peak + 0.5) * (WIDTH - LEFT) / n_volumes, abs=0.1)
    slope, intercept = scale(svg)[2]
    assert highest[1] * slope + intercept == pytest.approx(6.0, abs=0.1)


def test_gaps_and_missing_columns() -> None:
    table = motion_table(50)[["trans_x", "trans_y", "framewise_displacement"]]
    table.loc[20:24, "framewise_displacement"] = np.nan
    table["trans_y"] = np.nan
    svg = motion_svg(table)
    assert svg is not None
    translation, displacement = re.findall(r'class="a" d="([^"]+)"', svg)
    assert translation.count("M") == 1
    assert [int(n) for n in re.findall(r"M(\d+)", displacement)] == [1, 25]
    assert 'class="b"' not in svg and "DVARS" not in svg and "rotation" not in svg
    assert "volume 0" in svg
    assert "NaN" not in svg and "nan" not in svg
    assert motion_svg(table[["trans_y"]]) is None


def test_a_still_head_and_one_volume_are_drawn() -> None:
    table = motion_table(12) * 0
    svg = motion_svg(table, 2.0)
    assert svg is not None and "nan" not in svg
    ET.fromstring(svg)
    assert motion_svg(table[1:2], 2.0) is not None


# --- mosaics


def blob(affine: NDArray[np.float64], shape: tuple[int, ...], center: list[float]) -> object:
    indices = np.indices(shape).reshape(3, -1)
    places = (affine[:3, :3] @ indices + affine[:3, 3:]).T
    data = 1000 * np.exp(-((places - center) ** 2).sum(axis=1) / (2 * 7.0**2))
    return nib.Nifti1Image(data.reshape(shape).astype(np.float32), affine)


def grids() -> dict[str, tuple[NDArray[np.float64], tuple[int, int, int]]]:
    flipped = np.diag([-3.0, 3.0, 3.0, 1.0])
    flipped[:3, 3] = [96, -132, -78]
    # Axes in another order, another size of voxel and an offset.
    turned = np.array([[0, 0, 2.5, -91.3], [-2.2, 0, 0, 90.7], [0, 4, 0, -75], [0, 0, 0, 1]])
    return {"flipped": (flipped, (65, 78, 62)), "turned": (turned, (100, 42, 76))}


@pytest.mark.parametrize("name", ["flipped", "turned"])
def test_a_blob_appears_at_its_place_and_side(tmp_path: Path, name: str) -> None:
    affine, shape = grids()[name]
    # Left, in front, above: on an axial, a coronal and no sagittal slice.
    center = [-38.0, 16.0, 14.0]
    nib.save(blob(affine, shape, center), tmp_path / "b.nii.gz")
    picture = pixels(mosaic(tmp_path / "b.nii.gz"))
    # Grey only: the outline is red, and the letters are at the rim.
    grey = picture.min(axis=2)
    edges = left_edges()
    shown = []
    for number, (left, right, plane) in enumerate(zip(edges, edges[1:], PLANES, strict=False)):
        part = grey[14:-2, left:right].copy()
        if part.max() < 200:
            continue
        shown.append(number)
        rows, columns = np.nonzero(part > 150)
        top = (grey.shape[0] - plane.shape[0]) // 2
        across, up = ACROSS[plane.axis], UP[plane.axis]
        x = FRAME[across][0] + (columns.mean() + 0.5) * PIXEL_MM
        y = FRAME[up][1] - (rows.mean() + 14 + 0.5 - top) * PIXEL_MM
        assert x == pytest.approx(center["xyz".index(across)], abs=1.5)
        assert y == pytest.approx(center["xyz".index(up)], abs=1.5)
    assert shown == [1, 4]


def test_an_image_elsewhere_or_empty_is_black_within_the_outline(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = 500
    nib.save(blob(affine, (30, 30, 30), [530, 530, 530]), tmp_path / "away.nii.gz")
    empty = np.full((30, 30, 30), np.nan, np.float32)
    nib.save(nib.Nifti1Image(empty, np.eye(4)), tmp_path / "nan.nii.gz")
    away, nan = mosaic(tmp_path / "away.nii.gz"), mosaic(tmp_path / "nan.nii.gz")
    assert away == nan
    # Letters and the outline's light rim only: a brain takes a third of it.
    assert (pixels(away).min(axis=2) > 90).mean() < 0.03
    assert (pixels(away)[..., 0] > 90).mean() > 0.01


def test_the_template_and_its_own_image_are_one_picture(tmp_path: Path) -> None:
    image = datasets.load_mni152_template(resolution=1)
    nib.save(image, tmp_path / "t.nii.gz")
    first, second = pixels(template_picture()), pixels(mosaic(tmp_path / "t.nii.gz"))
    assert np.abs(first - second).mean() < 0.5
    assert template_picture() == template_picture()
    assert len(template_picture()) <= 9_000


def test_of_a_series_the_mean_is_drawn(tmp_path: Path) -> None:
    affine, shape = grids()["flipped"]
    one = blob(affine, shape, [0.0, 0.0, 14.0])
    data = np.asarray(one.dataobj)  # type: ignore[attr-defined]
    nib.save(
        nib.Nifti1Image(np.stack([data * 0.5, data * 1.5], axis=3), affine), tmp_path / "4.nii"
    )
    nib.save(one, tmp_path / "3.nii")
    assert mosaic(tmp_path / "4.nii") == mosaic(tmp_path / "3.nii")


# --- all of them


def test_all_pictures_of_a_recording(tmp_path: Path) -> None:
    make_store(tmp_path / "a.h5")
    motion_table(60).to_csv(tmp_path / "c.tsv", sep="\t", na_rep="n/a", index=False)
    nib.save(datasets.load_mni152_template(resolution=2), tmp_path / "t.nii.gz")
    inputs = (tmp_path / "a.h5", tmp_path / "c.tsv", tmp_path / "t.nii.gz", tmp_path / "t.nii.gz")
    # A store without moments has neither map of signal; see below.
    pictures = recording_pictures(*inputs, raw=inputs[3])
    assert set(pictures) == set(CAPTIONS) - {"tsnr.webp", "dropout.webp"}
    assert pictures == recording_pictures(*inputs, raw=inputs[3])
    assert sum(len(content) for content in pictures.values()) < 50_000
    # Without what is not there the others are as they were; the axis of time needs the store.
    alone = recording_pictures(tmp_path / "no.h5", None, tmp_path / "no.nii.gz", inputs[3])
    assert alone == {"t1w.webp": pictures["t1w.webp"]}
    assert " s</text>" in pictures["motion.svg"].decode()


def test_damaged_inputs_are_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"\0" * 1000)
    (tmp_path / "bad.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bad.tsv").write_bytes(b"")
    (tmp_path / "bad.h5").write_bytes(b"no store")
    bad = (tmp_path / "bad.h5", tmp_path / "bad.tsv", tmp_path / "bad.nii.gz")
    for arguments in (
        (bad[0], None, None, None),
        (tmp_path / "no", bad[1], None, None),
        (tmp_path / "no", None, bad[2], None),
        (tmp_path / "no", None, None, bad[2]),
    ):
        with pytest.raises(DamageError) as caught:
            recording_pictures(*arguments)
        assert caught.value.file is not None and "bad." in caught.value.file
