"""EPI to T1w on the template's own tissues, with known transforms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from braindata.errors import DataError
from braindata.fmri.anatomy import Anatomy, Normalisation, mutual_information
from braindata.fmri.coregistration import (
    boundary_cost,
    refine_by_boundary,
    register_to_t1w,
    white_matter_boundary,
)
from braindata.fmri.images import Image
from braindata.fmri.interpolation import resample_linear, sample_linear
from braindata.fmri.motion import rigid_matrix, smooth
from braindata.fmri.run import require_match
from braindata.fmri.template import load_template
from braindata.phantom.anatomy import random_warp
from braindata.phantom.parameters import PhantomParameters

AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("x", -15, degrees=True).as_matrix() @ np.diag([-3.0, 3, 3.5])
SHAPE = (64, 72, 42)
AFFINE[:3, 3] = np.array([0, -18, 8]) - AFFINE[:3, :3] @ ((np.array(SHAPE) - 1) / 2)


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    """The template as if it were a person's T1w image."""
    template, fine = load_template(2), load_template(1)
    return Anatomy(
        t1w=fine.t1w,
        normalisation=Normalisation(
            np.eye(4), np.zeros((*template.shape, 3), np.float32), template.affine
        ),
        working=template.t1w,
        brain=template.brain.astype(np.float32),
        gray_matter=template.gray_matter.data,
        white_matter=template.white_matter.data,
        correlation=1.0,
    )


def _epi(white: float, truth: np.ndarray) -> Image:
    """An EPI of the template with the given white-matter brightness; gray matter is 1."""
    fine = load_template(1)
    gray, wm = fine.gray_matter.data, fine.white_matter.data
    fluid = np.clip(1 - gray - wm, 0, 1) * fine.brain
    sharp = (gray + white * wm + 1.3 * fluid) * 1000
    blurred = smooth(sharp.astype(np.float32), np.ones(3), 3.0)
    # A voxel of the EPI at p shows what the T1w image has at truth⁻¹ p.
    matrix = np.linalg.inv(fine.affine) @ np.linalg.inv(truth) @ AFFINE
    data = resample_linear(blurred, np.ascontiguousarray(matrix), SHAPE, False)
    noise = np.random.default_rng(0).normal(0, 5, SHAPE)
    return Image((data + noise).clip(0).astype(np.float32), AFFINE)


def _error(found: np.ndarray, truth: np.ndarray, points: np.ndarray) -> float:
    homogeneous = np.column_stack([points, np.ones(len(points))])
    away = (homogeneous @ (found - truth).T)[:, :3]
    return float(np.sqrt((away**2).sum(axis=1).mean()))


def test_the_boundary_lies_between_the_tissues_and_normals_point_to_gray(anatomy):
    boundary = white_matter_boundary(anatomy)
    assert len(boundary.points) == 20_000
    np.testing.assert_allclose(np.linalg.norm(boundary.normals, axis=1), 1.0, rtol=1e-6)
    fine = load_template(1)

    def white(points: np.ndarray) -> float:
        index = np.rint(points - fine.affine[:3, 3]).astype(int)
        return float(fine.white_matter.data[tuple(index.T)].mean())

    inside, outside = (boundary.points + s * 2 * boundary.normals for s in (-1, 1))
    assert white(inside) > 0.7
    assert white(outside) < 0.25
    assert 0.3 < white(boundary.points) < 0.7


@pytest.mark.parametrize("white", [0.8, 1.2])
def test_refinement_recovers_a_known_transform_whatever_tissue_is_brighter(anatomy, white):
    truth = rigid_matrix(np.array([3.0, -5.0, 8.0, 0.08, -0.03, 0.05]), np.zeros(3))
    boundary = white_matter_boundary(anatomy)
    off = rigid_matrix(np.array([0.8, -0.9, 0.7, 0.015, 0.01, -0.01]), np.array([0, -18, 8.0]))
    start = truth @ off
    found = refine_by_boundary(_epi(white, truth), boundary, start)
    assert _error(start, truth, boundary.points) > 1.2
    assert _error(found, truth, boundary.points) < 0.6


def test_registration_from_far_away(anatomy, tmp_path):
    # Farther than the header says: another session's coordinates.
    truth = rigid_matrix(np.array([12.0, -25.0, 30.0, 0.2, -0.05, 0.08]), np.zeros(3))
    shifted = np.array(AFFINE)
    epi = _epi(0.8, np.eye(4))
    epi = Image(epi.data, truth @ shifted)
    mask = epi.data > 400
    boundary = white_matter_boundary(anatomy)
    found = register_to_t1w(epi, mask, anatomy, boundary, 0, tmp_path)
    assert _error(found, truth, boundary.points) < 0.6


def test_a_t1w_without_contrast_is_bad_data(anatomy):
    flat = Anatomy(
        **{**vars(anatomy), "t1w": Image(np.full_like(anatomy.t1w.data, 5.0), anatomy.t1w.affine)}
    )
    with pytest.raises(DataError, match="no brighter"):
        white_matter_boundary(flat)


def test_mutual_information_is_2_for_a_bijection_and_1_for_independence():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(2, 200_000)).astype(np.float32)
    assert mutual_information(a, 1 - a) == pytest.approx(2.0, abs=0.01)
    assert mutual_information(a, b) == pytest.approx(1.0, abs=0.01)


def test_the_boundary_cost_tells_another_persons_t1w(anatomy):
    """The brain of a run fits any T1w image after a fashion; the folds fit the own one only."""
    boundary = white_matter_boundary(anatomy)
    own = _epi(0.8, np.eye(4))
    # The same head under a warp of 2.5 mm: as much as people differ once size is allowed for.
    warp = random_warp(np.random.default_rng(3), PhantomParameters(n_subjects=1))
    there = np.argwhere(np.ones(SHAPE, bool)) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    moved = warp(there.T.astype(np.float32)).T.astype(np.float64)
    values = sample_linear(own.data, np.linalg.inv(AFFINE), moved, False)
    other = Image(values.reshape(SHAPE), AFFINE)
    costs = {}
    for name, image in (("own", own), ("other", other)):
        found = refine_by_boundary(image, boundary, np.eye(4))
        costs[name] = boundary_cost(image, boundary, found)(found)
    assert costs["own"] < 0.3
    assert costs["other"] > 0.5
    require_match(costs["own"])


def test_a_cost_near_chance_is_refused():
    with pytest.raises(DataError, match=r"does not match the T1w image \(boundary cost 0.96;"):
        require_match(0.96)
