"""Figures of quality against brute force, and against simulations whose truth is known."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray
from scipy import ndimage

from braindata.errors import DataError
from braindata.fmri.boundary_cost import boundary_cost, template_boundary
from braindata.fmri.quality import VoxelMoments, image_figures, motion_figures, read_brain
from braindata.fmri.susceptibility import AREAS, GREY_MATTER, RADIUS_MM, area_voxels
from braindata.regions.template import TemplateGrid, brain_mask, grey_matter, template_grid

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def grid() -> TemplateGrid:
    return template_grid(3)


def simulated_epi(grid: TemplateGrid, shift: tuple[float, float, float]) -> NDArray[np.float32]:
    """Return an EPI of the template's own tissues, displaced by so many mm."""
    affine = grid.affine.copy()
    affine[:3, 3] -= shift
    grey, brain = grey_matter(affine, grid.shape), brain_mask(affine, grid.shape)
    # White matter is darker by a fifth; fluid is brighter; the rest of the head is dark.
    white = np.clip(1 - grey, 0, 1) * brain
    epi = 1000 * grey + 800 * white + 60
    # A receive field that changes by a third from one side to the other.
    field = np.linspace(0.85, 1.15, grid.shape[0])[:, None, None]
    blurred = ndimage.gaussian_filter(epi * field, 0.4)
    noise = np.random.default_rng(1).normal(0, 10, grid.shape)
    return (blurred + noise).astype(np.float32)


def moments_of(
    grid: TemplateGrid, mean: NDArray[np.float32], sd: NDArray[np.float32], floor: float | None
) -> VoxelMoments:
    voxels = np.arange(mean.size)
    return VoxelMoments(grid.shape, grid.affine, voxels, mean.ravel(), sd.ravel(), floor)


# --- registration


def test_the_boundary_lies_between_white_and_grey_matter() -> None:
    fine = template_grid(1)
    boundary = template_boundary()
    assert np.allclose(np.linalg.norm(boundary.normals, axis=1), 1)

    def grey_at(points: NDArray[np.float64]) -> NDArray[np.float64]:
        indices = (points - fine.affine[:3, 3]).T
        sampled: NDArray[np.float64] = ndimage.map_coordinates(fine.grey_matter, indices, order=1)
        return sampled

    outside = grey_at(boundary.points + 2 * boundary.normals)
    inside = grey_at(boundary.points - 2 * boundary.normals)
    assert (outside > inside).mean() > 0.9
    assert np.median(outside - inside) > 0.4


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, -1, 0), (0, 0, 1), (0.6, 0.6, 0.53)])
def test_the_boundary_cost_grows_with_every_mm_of_displacement(
    grid: TemplateGrid, direction: tuple[float, float, float]
) -> None:
    costs = [
        boundary_cost(simulated_epi(grid, tuple(mm * d for d in direction)), grid.affine)
        for mm in (0, 1, 2, 3, 4, 6)
    ]
    assert all(cost is not None for cost in costs)
    assert (np.diff(np.array(costs, float)) > 0.005).all(), costs
    assert costs[0] is not None and costs[0] < 0.35


def test_the_boundary_cost_of_noise_is_one_and_of_a_reversed_contrast_above(
    grid: TemplateGrid,
) -> None:
    noise = RNG.normal(1000, 30, grid.shape).astype(np.float32)
    assert boundary_cost(noise, grid.affine) == pytest.approx(1, abs=0.02)
    epi = simulated_epi(grid, (0, 0, 0))
    cost, scaled = (boundary_cost(one, grid.affine) for one in (epi, 7 * epi))
    # A gain changes nothing; the reverse of a contrast (that of a T1w image) is worse than chance.
    assert cost is not None and scaled == pytest.approx(cost, abs=1e-6)
    reversed_cost = boundary_cost(2000 - epi, grid.affine)
    assert reversed_cost is not None and reversed_cost > 1.5


def test_of_a_quarter_of_a_brain_there_is_no_boundary_cost(grid: TemplateGrid) -> None:
    epi = simulated_epi(grid, (0, 0, 0))
    epi[:, : round(0.75 * grid.shape[1])] = 0
    assert boundary_cost(epi, grid.affine) is None


# --- areas


def test_areas_are_those_of_the_default_set(repository: Path, grid: TemplateGrid) -> None:
    body = yaml.safe_load((repository / "config/regions/spheres/valuation.yaml").read_text())
    regions = {region["name"]: region["definition"] for region in body["regions"]}
    for name, centers in AREAS.items():
        spheres = regions[name]["spheres"]
        assert [tuple(one["center"]) for one in spheres] == list(centers)
        assert {one["radius"] for one in spheres} == {RADIUS_MM}
        assert regions[name]["grey_matter"] is True
        assert regions[name].get("grey_matter_threshold", 0.2) == GREY_MATTER
    # By brute force: each voxel's centre, one by one.
    grey = grid.grey_matter
    for name, voxels in area_voxels(grid.affine, grid.shape).items():
        places = np.moveaxis(np.indices(grid.shape), 0, -1) * 3 + grid.affine[:3, 3]
        near = [np.linalg.norm(places - center, axis=-1) <= RADIUS_MM for center in AREAS[name]]
        expected = np.any(near, axis=0) & (grey > GREY_MATTER)
        assert voxels.tolist() == np.flatnonzero(expected).tolist()


# --- figures of the image


def test_figures_equal_brute_force(grid: TemplateGrid) -> None:
    mean = RNG.uniform(200, 1000, grid.shape).astype(np.float32)
    sd = RNG.uniform(5, 20, grid.shape).astype(np.float32)
    mean[:, :12], sd[:, :12] = 0, 0
    own = np.roll(grid.brain, 2, axis=0)
    found = image_figures(moments_of(grid, mean, sd, 500.0), own)
    there, template = sd > 0, grid.brain
    ratio = mean[own & there].astype(float) / sd[own & there]
    assert found.values["tsnr_median"] == pytest.approx(np.median(ratio), rel=1e-6)
    assert found.values["brain_coverage"] == pytest.approx(there[template].mean())
    dice = 2 * (own & template).sum() / (own.sum() + template.sum())
    assert found.values["registration_dice"] == pytest.approx(dice)
    for name, voxels in area_voxels(grid.affine, grid.shape).items():
        known = voxels[there.ravel()[voxels]]
        expected = (mean.ravel()[known] < 500).mean()
        assert found.values[f"{name}_signal_loss"] == pytest.approx(expected)
    assert found.notes == []
    # Without a mask of its own: over the template's brain, which the note says; no Dice.
    found = image_figures(moments_of(grid, mean, sd, 500.0), None)
    ratio = mean[template & there].astype(float) / sd[template & there]
    assert found.values["tsnr_median"] == pytest.approx(np.median(ratio), rel=1e-6)
    assert found.values["registration_dice"] is None
    assert found.notes == ["tSNR is over the template's brain"]


def test_what_lost_its_signal_is_counted(grid: TemplateGrid) -> None:
    mean = np.full(grid.shape, 1000, np.float32)
    sd = np.full(grid.shape, 10, np.float32)
    lost = area_voxels(grid.affine, grid.shape)["ofc"][:50]
    mean.ravel()[lost] = 300
    n = len(area_voxels(grid.affine, grid.shape)["ofc"])
    found = image_figures(moments_of(grid, mean, sd, 500.0), grid.brain).values
    assert found["ofc_signal_loss"] == pytest.approx(50 / n)
    assert found["vmpfc_signal_loss"] == 0


def test_images_without_meaning_or_areas_have_no_figures(grid: TemplateGrid) -> None:
    mean, sd = RNG.normal(0, 1, (2, *grid.shape)).astype(np.float32)
    found = image_figures(moments_of(grid, mean, np.abs(sd), None), grid.brain)
    unknown = {name for name, value in found.values.items() if value is None}
    assert unknown == {"tsnr_median", "boundary_cost", "ofc_signal_loss", "vmpfc_signal_loss"}
    assert "not above 0" in found.notes[0]
    # A field of view that ends above the orbits.
    mean, sd = np.full((2, *grid.shape), 100, np.float32)
    mean[:, :, :22], sd[:, :, :22] = 0, 0
    found = image_figures(moments_of(grid, mean, sd, 50.0), grid.brain)
    assert found.values["ofc_signal_loss"] is None
    assert "no voxel of the area ofc holds data" in found.notes


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("shape", "another grid"),
        ("place", "another grid"),
        ("empty", "constant"),
        ("faint", "empty"),
        ("cut", "cannot be read"),
        ("gone", "no readable"),
    ],
)
def test_a_brain_mask_that_is_of_no_use_says_why(
    tmp_path: Path, grid: TemplateGrid, fault: str, said: str
) -> None:
    path, affine = tmp_path / "mask.nii.gz", grid.affine.copy()
    data = grid.brain.astype(np.float32)
    if fault == "shape":
        data = data[:-1]
    if fault == "place":
        affine[0, 3] += 3
    data = data * {"empty": 0.0, "faint": 0.1}.get(fault, 1.0)
    image = nib.Nifti1Image(data, affine)
    if fault != "gone":
        image.to_filename(path)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=said):
        read_brain(path, grid.shape, grid.affine)


def test_a_brain_mask_is_read(tmp_path: Path, grid: TemplateGrid) -> None:
    nib.Nifti1Image(grid.brain.astype(np.uint8), grid.affine).to_filename(tmp_path / "a.nii.gz")
    assert (read_brain(tmp_path / "a.nii.gz", grid.shape, grid.affine) == grid.brain).all()


# --- figures of the confounds


def motion(confounds: pd.DataFrame, n_non_steady: int = 0) -> dict[str, float | int | None]:
    steady = np.arange(len(confounds)) >= n_non_steady
    found = motion_figures(confounds, steady, fd_threshold=0.5, std_dvars_threshold=1.5)
    return found.values


def test_motion_figures_by_hand() -> None:
    nan = np.nan
    table = pd.DataFrame(
        {
            "framewise_displacement": [nan, 0.1, 0.7, 0.3, 0.1, 0.9],
            "dvars": [nan, 90.0, 20.0, 30.0, 22.0, 40.0],
            "std_dvars": [nan, 9.0, 1.0, 1.6, 1.1, 1.9],
        }
    )
    expected = {
        "fd_mean": 0.42,
        "fd_max": 0.9,
        "dvars_mean": 28.0,
        "dvars_max": 40.0,
        "std_dvars_mean": 1.4,
        "std_dvars_max": 1.9,
        "n_outliers": 3,
        "outlier_share": 0.75,
        "n_non_steady": 1,
    }
    # The first volume was brighter: the step to the second is none of the head's.
    assert motion(table, 1) == pytest.approx(expected)
    assert motion(table)["std_dvars_max"] == 9.0
    assert motion(table)["n_outliers"] == 4


def test_displacement_comes_from_the_parameters_where_it_is_missing() -> None:
    parameters = RNG.normal(0, [0.1] * 3 + [0.002] * 3, (50, 6))
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    table = pd.DataFrame(parameters, columns=names)
    found = motion_figures(table, np.ones(50, bool), fd_threshold=0.5, std_dvars_threshold=1.5)
    steps = np.abs(np.diff(parameters, axis=0)) * [1, 1, 1, 50, 50, 50]
    assert found.values["fd_mean"] == pytest.approx(steps.sum(axis=1).mean())
    assert found.values["n_outliers"] == (steps.sum(axis=1) > 0.5).sum()
    assert found.notes == [
        "framewise displacement was made from the motion parameters",
        "the confounds hold no dvars, std_dvars",
    ]
    assert found.values["dvars_mean"] is None


def test_confounds_without_motion_have_no_figures_of_it() -> None:
    table = pd.DataFrame({"csf": np.ones(20), "framewise_displacement": np.full(20, np.nan)})
    found = motion_figures(table, np.ones(20, bool), fd_threshold=0.5, std_dvars_threshold=1.5)
    assert {name for name, value in found.values.items() if value is not None} == {"n_non_steady"}
    assert found.notes == ["the confounds hold no framewise_displacement, dvars, std_dvars"]
