"""Procrustes against scipy, brute force, and the full form against the thin one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from braindata.align.procrustes import Person, fit_rotation, generalised, polar


def product(rotation) -> np.ndarray:
    matrix = rotation.factors[0]
    for factor in rotation.factors[1:]:
        matrix = matrix @ factor
    return matrix


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 15), st.integers(16, 40))
def test_equals_scipy(seed, n_voxels, n_times):
    rng = np.random.default_rng(seed)
    series, target = rng.standard_normal((2, n_times, n_voxels))
    theirs, total = orthogonal_procrustes(series, target)
    ours = fit_rotation(series, target, scaling=True)
    assert np.allclose(product(ours), theirs, atol=1e-9)
    assert ours.scale == pytest.approx(total / (series**2).sum())


def test_thin_form_equals_the_whole_matrix():
    # 12 volumes of 30 voxels: as far as the data go, the map is that of the whole decomposition.
    rng = np.random.default_rng(1)
    series, target = rng.standard_normal((2, 12, 30))
    ours = fit_rotation(series, target)
    left, values, right = np.linalg.svd(series.T @ target)
    assert np.allclose(product(ours), left[:, :12] @ right[:12], atol=1e-9)
    assert len(ours.factors) == 2
    assert values[11] > 1e-6 > values[12]


def test_single_precision_is_exact_to_a_thousandth():
    rng = np.random.default_rng(2)
    series, target = rng.standard_normal((2, 300, 40))
    double = product(fit_rotation(series, target))
    single = product(fit_rotation(series.astype("f4"), target.astype("f4")))
    assert single.dtype == np.float32
    assert np.abs(single - double).max() < 1e-4


def test_without_reflection_the_determinant_is_one():
    rng = np.random.default_rng(3)
    series = rng.standard_normal((50, 4))
    mirrored = series * [-1, 1, 1, 1]
    assert np.linalg.det(product(fit_rotation(series, mirrored))) == pytest.approx(-1)
    turned = product(fit_rotation(series, mirrored, reflection=False))
    assert np.linalg.det(turned) == pytest.approx(1)
    # No other rotation does better: perturb it in every plane.
    best = ((series @ turned - mirrored) ** 2).sum()
    for i in range(4):
        for j in range(i):
            for angle in (-0.05, 0.05):
                tilt = np.eye(4)
                tilt[[i, i, j, j], [i, j, i, j]] = [
                    np.cos(angle),
                    -np.sin(angle),
                    np.sin(angle),
                    np.cos(angle),
                ]
                assert ((series @ turned @ tilt - mirrored) ** 2).sum() > best


def test_null_space_adds_nothing():
    factor, total = polar(np.diag([3.0, 2.0, 0.0]))
    assert np.allclose(factor, np.diag([1, 1, 0]))
    assert total == pytest.approx(5)


def test_prior_goes_from_the_data_to_the_anchor():
    rng = np.random.default_rng(4)
    series, target = rng.standard_normal((2, 60, 8))
    free = product(fit_rotation(series, target))
    distances = [
        np.linalg.norm(product(fit_rotation(series, target, prior=weight)) - np.eye(8))
        for weight in (0.0, 0.5, 2.0, 1e4)
    ]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] == pytest.approx(np.linalg.norm(free - np.eye(8)))
    assert distances[-1] < 1e-3


@pytest.mark.parametrize("scaling", [False, True])
def test_rounds_in_the_space_of_rows_equal_rounds_in_voxels(scaling):
    # The textbook: fit everybody to the mean, take the new mean, with whole matrices.
    rng = np.random.default_rng(5)
    everybody = rng.standard_normal((4, 10, 25))
    mean = everybody.mean(axis=0)
    people = [Person(series, np.arange(10)) for series in everybody]
    template, rotations = generalised(people, mean, n_iter=3, scaling=scaling)
    for _ in range(3):
        turned = []
        for series in everybody:
            left, values, right = np.linalg.svd(series.T @ mean)
            scale = values.sum() / (series**2).sum() if scaling else 1.0
            turned.append(series @ (left[:, :10] @ right[:10]) * scale)
        mean = np.mean(turned, axis=0)
    assert np.allclose(template, mean, atol=1e-9)
    for series, rotation, expected in zip(everybody, rotations, turned, strict=True):
        assert np.allclose(rotation.apply(series), expected, atol=1e-9)


@pytest.mark.parametrize("n_voxels", [6, 40])
def test_rows_that_some_lack_are_averaged_over_those_who_have_them(n_voxels):
    rng = np.random.default_rng(6)
    common = rng.standard_normal((30, n_voxels))
    turns = [np.linalg.qr(rng.standard_normal((n_voxels, n_voxels)))[0] for _ in range(3)]
    rows = [np.arange(30), np.arange(20), np.arange(10, 30)]
    people = [Person(common[r] @ q, r) for r, q in zip(rows, turns, strict=True)]
    template, rotations = generalised(people, common, n_iter=1)
    # Without noise each is brought back to where it came from.
    for person, rotation in zip(people, rotations, strict=True):
        assert np.allclose(rotation.apply(person.series), common[person.rows], atol=1e-6)
    assert np.allclose(template, common, atol=1e-6)
