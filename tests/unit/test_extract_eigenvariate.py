"""The first eigenvariate: against singular values, and SPM's sign and scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindata.extract.clean import make_cleaner
from braindata.extract.eigenvariate import first_eigenvariate
from braindata.extract.regressors import choose_regressors
from braindata.extract.strategies import Preset
from tests.unit.fmriprep_derivatives import Floats, make_confounds


def spm_regions(y: Floats) -> Floats:
    """The lines of spm_regions.m (SPM12), by the other of its two ways."""
    m, n = y.shape
    if m > n:
        u, s, _ = np.linalg.svd(y @ y.T)
        first = u[:, 0]
        loadings = y.T @ first / np.sqrt(s[0])
    else:
        v, s, _ = np.linalg.svd(y.T @ y)
        loadings = v[:, 0]
        first = y @ loadings / np.sqrt(s[0])
    result: Floats = first * np.sign(loadings.sum()) * np.sqrt(s[0] / n)
    return result


@given(st.integers(3, 40), st.integers(1, 60), st.integers(0, 10_000), st.floats(-1000.0, 1000.0))
def test_it_is_that_of_spm(n_volumes: int, n_voxels: int, seed: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    # A common course sets the first component apart, so that its direction is well defined.
    common = rng.normal(size=(n_volumes, 1)) * rng.uniform(1, 2, n_voxels) * rng.choice([-1, 1])
    voxels = offset + 10 * common + rng.normal(size=(n_volumes, n_voxels))
    got = first_eigenvariate(voxels, np.full(n_voxels, 1 / n_voxels))
    np.testing.assert_allclose(got, spm_regions(voxels - voxels.mean(axis=0)), atol=1e-6)
    assert got @ (voxels.mean(axis=1) - voxels.mean()) > 0


def test_a_weight_counts_as_often_as_the_voxel() -> None:
    rng = np.random.default_rng(0)
    voxels = rng.normal(size=(50, 3)) + rng.normal(size=(50, 1))
    repeated = np.repeat(voxels, [1, 2, 5], axis=1)
    np.testing.assert_allclose(
        # The scale is that of so many voxels as were given.
        first_eigenvariate(voxels, np.array([1, 2, 5]) / 8),
        first_eigenvariate(repeated, np.full(8, 1 / 8)),
        atol=1e-12,
    )


def test_identical_voxels_give_their_own_course() -> None:
    course = np.random.default_rng(1).normal(size=30)
    voxels = np.repeat(course[:, None], 7, axis=1)
    np.testing.assert_allclose(
        first_eigenvariate(voxels, np.full(7, 1 / 7)), course - course.mean(), atol=1e-12
    )


def test_nothing_gives_zeros() -> None:
    assert not first_eigenvariate(np.full((9, 4), 3.0), np.full(4, 0.25)).any()


@pytest.mark.parametrize("standardize", ["none", "zscore_sample", "psc"])
def test_it_is_taken_after_cleaning_and_standardised_last(standardize: str) -> None:
    confounds, metadata = make_confounds(120, spoilt=(30, 31), non_steady=1)
    preset = Preset.model_validate(
        {"strategy": ("motion", "scrub"), "low_pass": 0.1, "standardize": standardize}
        | {"signal": "eigenvariate"}
    )
    cleaner = make_cleaner(choose_regressors(confounds, metadata, preset), 2.0, preset)
    rng = np.random.default_rng(2)
    voxels = 700 + rng.normal(size=(120, 25)) + 3 * rng.normal(size=(120, 1)).cumsum(axis=0)
    got = cleaner.eigenvariate(voxels, np.full(25, 1 / 25))
    plain = make_cleaner(
        choose_regressors(confounds, metadata, preset),
        2.0,
        preset.model_copy(update={"standardize": "none"}),
    )
    kept = cleaner.kept
    cleaned = plain.clean(voxels)[kept]
    expected = spm_regions(cleaned - cleaned.mean(axis=0))
    if standardize == "zscore_sample":
        expected = expected / expected.std(ddof=1)
    if standardize == "psc":
        # Interpolated volumes count in nilearn's mean; here they change it by little.
        expected = 100 * expected / voxels[kept].mean()
    np.testing.assert_allclose(got[kept], expected, rtol=2e-3 if standardize == "psc" else 1e-6)
    assert np.isnan(got[~kept]).all()
