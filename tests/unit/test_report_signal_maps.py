"""Maps of signal and pictures of registration: what they show is what the store and images hold."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from braindata.fmri.susceptibility import area_voxels
from braindata.pack.mask import store_mask, template_brain
from braindata.pack.moments import Moments
from braindata.pack.store import Grid, open_store, write_store
from braindata.regions.template import template_grid
from braindata.report.mosaic import PLANES, before_mosaic, edges_mosaic, left_edges, mosaic
from braindata.report.planes import Plane
from braindata.report.signal_maps import BUDGET, LOW_PLANES, dropout_picture, tsnr_picture
from braindata.report.tissue_border import tissue_border

GRID = template_grid(3)
VOXELS = np.flatnonzero(store_mask(GRID.shape, GRID.affine))
ORANGE, BLUE = np.array([230, 159, 0]), np.array([86, 180, 233])


def pixels(content: bytes | None) -> NDArray[np.float64]:
    assert content is not None
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)


def make_store(
    path: Path, mean: NDArray[np.float32], sd: NDArray[np.float32], floor: float | None = 500.0
) -> Path:
    grid = Grid(GRID.shape, GRID.affine, "MNI152NLin2009aSym")
    moments = Moments(mean.ravel()[VOXELS], sd.ravel()[VOXELS])
    confounds, has_data = pd.DataFrame({"csf": [0.0, 1.0]}), np.zeros(len(VOXELS), bool)
    facts = {"signal_floor": floor}
    write_store(path, None, grid, VOXELS, has_data, 2.0, confounds, facts, moments=moments)
    return path


def flat(value: float) -> NDArray[np.float32]:
    return np.full(GRID.shape, value, np.float32)


def at(planes: tuple[Plane, ...], number: int, mm: tuple[float, float]) -> tuple[int, int]:
    """Return row and column of a point of a slice, given right and up (or forward) in mm."""
    plane, height = planes[number], max(p.shape[0] for p in planes)
    left = sum(p.shape[1] for p in planes[:number])
    points = plane.points()
    across, up = {"x": (1, 2), "y": (0, 2), "z": (0, 1)}[plane.axis]
    column = int(np.abs(points[0, :, across] - mm[0]).argmin())
    row = int(np.abs(points[:, 0, up] - mm[1]).argmin())
    return (height - plane.shape[0]) // 2 + row, left + column


def test_tsnr_has_the_colour_of_its_value(tmp_path: Path) -> None:
    # 30 in the left hemisphere, 90 in the right one, of a scale to 120.
    sd = flat(1000 / 30)
    sd[GRID.shape[0] // 2 :] = 1000 / 90
    with open_store(make_store(tmp_path / "a.h5", flat(1000), sd)) as store:
        content = tsnr_picture(store)
        assert content == tsnr_picture(store)
    assert content is not None and len(content) <= BUDGET + 400
    picture = pixels(content)
    for x, share in ((-40, 0.25), (40, 0.75)):
        row, column = at(PLANES, 1, (x, -10))
        found = picture[row - 4 : row + 5, column - 4 : column + 5].mean(axis=(0, 1))
        expected = np.array(colormaps["viridis"](share)[:3]) * 255
        assert np.abs(found - expected).max() < 25


def test_lost_signal_is_orange_and_what_is_not_there_is_blue(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mean = rng.normal(1000, 30, GRID.shape).astype(np.float32)
    sd = flat(10)
    lost = area_voxels(GRID.affine, GRID.shape)["ofc"]
    mean.ravel()[lost] = 200
    # The run ends behind the temporal poles: low and far back there are no data.
    back = np.zeros(GRID.shape, bool)
    back[:, :20, :20] = True
    mean[back], sd[back] = 0, 0
    with open_store(make_store(tmp_path / "a.h5", mean, sd)) as store:
        content = dropout_picture(store)
    picture = pixels(content)
    assert content is not None and len(content) <= BUDGET + 400

    def share(colour: NDArray[np.int64]) -> NDArray[np.bool_]:
        hue: NDArray[np.bool_] = np.abs(picture - colour).max(axis=2) < 75
        return hue & (np.ptp(picture, axis=2) > 60)

    orange, blue = share(ORANGE), share(BLUE)
    row, column = at(LOW_PLANES, 0, (12.0, 47.0))
    assert orange[row - 2 : row + 3, column - 2 : column + 3].mean() > 0.6
    row, column = at(LOW_PLANES, 0, (25.0, -82.0))
    assert blue[row - 2 : row + 3, column - 2 : column + 3].mean() > 0.6
    # Nothing of it where all is well: above the vmPFC.
    row, column = at(LOW_PLANES, 3, (20.0, 30.0))
    assert not (orange | blue)[row - 8 : row + 9, column - 8 : column + 9].any()


def test_without_moments_or_meaning_there_is_no_map(tmp_path: Path) -> None:
    with open_store(make_store(tmp_path / "a.h5", flat(1), flat(1), None)) as store:
        assert tsnr_picture(store) is dropout_picture(store) is None
    grid = Grid(GRID.shape, GRID.affine, "T")
    confounds, has_data = pd.DataFrame({"csf": [0.0, 1.0]}), np.zeros(len(VOXELS), bool)
    write_store(tmp_path / "b.h5", None, grid, VOXELS, has_data, 2.0, confounds, {})
    with open_store(tmp_path / "b.h5") as store:
        assert tsnr_picture(store) is dropout_picture(store) is None


def test_before_registration_the_first_volume_lies_where_its_header_says(tmp_path: Path) -> None:
    brain = template_brain(GRID.shape, GRID.affine).astype(np.float32)
    series = np.stack([brain, np.zeros_like(brain)], axis=3)
    nib.Nifti1Image(series, GRID.affine).to_filename(tmp_path / "raw.nii.gz")
    nib.Nifti1Image(brain, GRID.affine).to_filename(tmp_path / "first.nii.gz")
    first = pixels(mosaic(tmp_path / "first.nii.gz"))
    assert np.abs(pixels(before_mosaic(tmp_path / "raw.nii.gz")) - first).mean() < 8
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "raw.nii.gz").read_bytes()[:900])
    assert before_mosaic(tmp_path / "cut.nii.gz") is None


def test_edges_are_those_of_the_t1w_image(tmp_path: Path) -> None:
    # White matter: a ball; grey matter around it.
    fine = template_grid(2)
    places = np.moveaxis(np.indices(fine.shape), 0, -1) * 2 + fine.affine[:3, 3]
    distance = np.linalg.norm(places - [0, -20, 14], axis=-1)
    t1w = np.where(distance < 50, 1000, 600).astype(np.float32)
    nib.Nifti1Image(t1w, fine.affine).to_filename(tmp_path / "t.nii.gz")
    nib.Nifti1Image(np.ones(fine.shape, np.float32), fine.affine).to_filename(tmp_path / "e.nii.gz")
    picture = pixels(edges_mosaic(tmp_path / "e.nii.gz", tmp_path / "t.nii.gz"))
    yellow = picture[..., 0] - picture[..., 2] > 25
    for x, y in ((50, -20), (-50, -20), (0, 30)):
        row, column = at(PLANES, 1, (x, y))
        assert yellow[row - 2 : row + 3, column - 2 : column + 3].any()
        row, column = at(PLANES, 1, (x / 2, (y - 20) / 2))
        assert not yellow[row - 2 : row + 3, column - 2 : column + 3].any()
    assert len(left_edges()) == len(PLANES) + 1
    # Where white matter is no brighter, as in an image that is no T1w, there is no border.
    nib.Nifti1Image(2000 - t1w, fine.affine).to_filename(tmp_path / "n.nii.gz")
    assert edges_mosaic(tmp_path / "e.nii.gz", tmp_path / "n.nii.gz") is None


def test_the_border_is_half_way_between_the_tissues() -> None:
    fine = template_grid(1)
    t1w = np.where(fine.grey_matter > 0.5, 600, 1000).astype(np.float32)
    assert tissue_border(t1w, fine.affine) == pytest.approx(800, rel=0.01)
