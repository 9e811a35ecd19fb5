"""greedy's conventions, and that it is deterministic."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from picsl_greedy import Greedy3D
from scipy import ndimage

from braindata.fmri.anatomy import Normalisation
from braindata.fmri.greedy import Pair, register_deformable, register_linear
from braindata.fmri.images import Image
from braindata.fmri.interpolation import sample_linear
from braindata.fmri.motion import rigid_matrix

GRID = np.diag([2.0, 2.0, 2.0, 1.0])
GRID[:3, 3] = [-30, -50, -20]
SHAPE = (34, 36, 32)


def _points() -> np.ndarray:
    return np.argwhere(np.ones(SHAPE, bool)) @ GRID[:3, :3].T + GRID[:3, 3]


@pytest.fixture(scope="module")
def pair() -> tuple[Pair, np.ndarray]:
    """A textured blob, and the same after a known rigid and a smooth displacement."""
    texture = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 2.0)
    centre = _points().mean(axis=0)
    away = np.linalg.norm((_points() - centre) / [24, 26, 22], axis=1).reshape(SHAPE)
    mask = away < 1
    fixed = (mask * (5 + texture / texture.std())).astype(np.float32)
    truth = rigid_matrix(np.array([3.0, -2.0, 1.5, 0.05, -0.04, 0.08]), centre)
    # moving(truth(x)) = fixed(x)
    matrix = np.linalg.inv(GRID) @ np.linalg.inv(truth) @ GRID
    moving = ndimage.affine_transform(fixed, matrix[:3, :3], matrix[:3, 3], order=1)
    wider = ndimage.binary_dilation(mask, iterations=2)
    return Pair(Image(fixed, GRID), Image(moving.astype(np.float32), GRID), wider), truth


def test_a_known_rigid_transform_is_recovered_and_points_from_fixed_to_moving(pair, tmp_path):
    images, truth = pair
    found = register_linear(images, np.eye(4), 6, "60x40", 0, tmp_path)
    points = np.column_stack([_points(), np.ones(np.prod(SHAPE))])[images.mask.ravel()]
    error = np.linalg.norm(points @ (found - truth).T, axis=1)
    assert error.max() < 0.5
    again = register_linear(images, np.eye(4), 6, "60x40", 0, tmp_path)
    np.testing.assert_array_equal(found, again)


def test_nothing_of_greedys_optimiser_goes_to_standard_output(tmp_path, capfd):
    # Nothing is left to find, and the optimiser says so.
    texture = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 2.0)
    image = Image((5 + texture / texture.std()).astype(np.float32), GRID)
    same = Pair(image, image, np.ones(SHAPE, bool))
    register_linear(same, np.eye(4), 12, "100x50", 0, tmp_path)
    print("after")
    assert capfd.readouterr() == ("after\n", "")


def test_our_composition_equals_greedys_own_reslicing(pair, tmp_path):
    images, truth = pair
    # Half of the way is left to the warp.
    affine = truth.copy()
    affine[:3, 3] += [0.8, -0.6, 0.7]
    warp = register_deformable(images, affine, "20x10", 0, tmp_path)
    np.testing.assert_array_equal(warp, register_deformable(images, affine, "20x10", 0, tmp_path))
    assert np.abs(warp).max() > 0.3
    ours = sample_linear(
        images.moving.data,
        np.linalg.inv(GRID),
        Normalisation(affine, warp, GRID).to_t1w(_points()),
        False,
    ).reshape(SHAPE)
    theirs = _resliced(images, affine, warp, tmp_path)
    inner = (slice(3, -3),) * 3
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=1e-3)
    before = sample_linear(
        images.moving.data,
        np.linalg.inv(GRID),
        _points() @ affine[:3, :3].T + affine[:3, 3],
        False,
    ).reshape(SHAPE)
    fixed = images.fixed.data
    assert np.abs(ours - fixed).mean() < 0.85 * np.abs(before - fixed).mean()


def _resliced(images: Pair, affine: np.ndarray, warp: np.ndarray, folder: Path) -> np.ndarray:
    nib.save(nib.Nifti1Image(images.fixed.data, GRID), folder / "fixed.nii")
    nib.save(nib.Nifti1Image(images.moving.data, GRID), folder / "moving.nii")
    np.savetxt(folder / "affine.mat", affine)
    field = nib.Nifti1Image((warp * [-1, -1, 1]).astype(np.float32)[:, :, :, None], GRID)
    field.header.set_intent("vector")
    nib.save(field, folder / "warp.nii")
    said = io.StringIO()
    Greedy3D().execute(
        f"-d 3 -threads 1 -rf {folder}/fixed.nii -rm {folder}/moving.nii {folder}/resliced.nii "
        f"-r {folder}/warp.nii {folder}/affine.mat",
        said,
        said,
    )
    return nib.load(folder / "resliced.nii").get_fdata()


def test_a_warp_and_its_inverse_cancel():
    rng = np.random.default_rng(4)
    warp = np.stack([ndimage.gaussian_filter(rng.normal(size=SHAPE), 4) for _ in range(3)], axis=-1)
    warp = (4 * warp / np.abs(warp).max()).astype(np.float32)
    affine = rigid_matrix(np.array([3.0, -2.0, 1.5, 0.2, -0.1, 0.3]), np.zeros(3))
    affine[:3, :3] *= 1.08
    normalisation = Normalisation(affine, warp, GRID)
    points = _points()[::37]
    back = normalisation.to_template(normalisation.to_t1w(points))
    assert np.abs(back - points).max() < 1e-3
