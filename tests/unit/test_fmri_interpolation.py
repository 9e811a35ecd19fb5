"""Interpolation against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from braindata.fmri.interpolation import (
    always_inside,
    grid_points,
    resample_linear,
    sample_cubic,
    sample_linear,
    spline_coefficients,
)


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(100, 10, (11, 9, 13)).astype(np.float32)


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    result = np.eye(4)
    result[:3, :3] = [[0.4, 0.02, -0.1], [-0.05, -0.3, 0.02], [0.1, 0.03, 0.5]]
    result[:3, 3] = [4.0, 5.0, 6.0]
    return result


def _random_points(n: int = 500) -> np.ndarray:
    return np.random.default_rng(2).uniform(-12, 12, (n, 3))


def _voxels(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return (points @ matrix[:3, :3].T + matrix[:3, 3]).T


def _inside(voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    upper = np.array(shape)[:, None] - 0.5
    return ((voxels >= -0.5) & (voxels < upper)).all(axis=0)


def test_cubic_equals_scipy_inside_and_has_the_given_value_outside(volume, matrix):
    points = _random_points()
    result = np.empty(len(points), np.float32)
    sample_cubic(spline_coefficients(volume), matrix, points, -7.0, result)
    voxels = _voxels(matrix, points)
    inside = _inside(voxels, volume.shape)
    expected = ndimage.map_coordinates(volume.astype(float), voxels, order=3, mode="mirror")
    assert 50 < inside.sum() < len(points)
    np.testing.assert_allclose(result[inside], expected[inside], atol=2e-3)
    assert (result[~inside] == -7.0).all()


def test_cubic_gives_back_the_samples_at_voxel_centres(volume):
    points = grid_points(np.ones(volume.shape, bool), np.eye(4))
    result = np.empty(len(points), np.float32)
    sample_cubic(spline_coefficients(volume), np.eye(4), points, 0.0, result)
    np.testing.assert_allclose(result, volume.ravel(), atol=2e-3)


@pytest.mark.parametrize("clamp", [True, False])
def test_linear_equals_scipy(volume, matrix, clamp):
    points = _random_points()
    voxels = _voxels(matrix, points)
    inside = _inside(voxels, volume.shape)
    expected = ndimage.map_coordinates(volume.astype(float), voxels, order=1, mode="nearest")
    result = sample_linear(volume, matrix, points, clamp)
    np.testing.assert_allclose(result[inside], expected[inside], rtol=1e-5)
    np.testing.assert_allclose(result[~inside], expected[~inside] if clamp else 0.0, rtol=1e-5)


def test_resampling_a_grid_equals_sampling_its_points(volume, matrix):
    shape = (6, 7, 8)
    points = np.argwhere(np.ones(shape, bool)).astype(float)
    expected = sample_linear(volume, matrix, points, False).reshape(shape)
    assert expected.any()
    np.testing.assert_array_equal(resample_linear(volume, matrix, shape, False), expected)


def test_always_inside_needs_every_map(volume, matrix):
    points = _random_points()
    moved = matrix.copy()
    moved[:3, 3] += [2.0, 0.0, -1.0]
    expected = _inside(_voxels(matrix, points), volume.shape)
    expected &= _inside(_voxels(moved, points), volume.shape)
    result = always_inside(volume.shape, np.stack([matrix, moved]), points)
    assert expected.any()
    np.testing.assert_array_equal(result, expected)
