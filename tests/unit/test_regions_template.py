"""The grey-matter map on a grid: nilearn's own, and nothing outside of the template."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template
from nilearn.image import resample_img

from braindata.regions.template import brain_mask, grey_matter, template_grid


def test_equals_nilearn_on_its_2_mm_grid() -> None:
    expected = load_mni152_gm_template(resolution=2)
    assert expected.shape == (99, 117, 95)
    got = grey_matter(expected.affine, expected.shape)
    np.testing.assert_allclose(got, np.clip(expected.get_fdata(), 0, 1), atol=1e-6)
    assert grey_matter(expected.affine, expected.shape) is got
    with pytest.raises(ValueError, match="read-only"):
        got[0, 0, 0] = 1


def test_follows_a_flipped_grid_and_is_zero_outside() -> None:
    affine = np.diag([-4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [100, -20, -20]
    turned = np.diag([4.0, 4.0, 4.0, 1.0])
    turned[:3, 3] = [-100, -20, -20]
    flipped, plain = grey_matter(affine, (51, 10, 10)), grey_matter(turned, (51, 10, 10))
    np.testing.assert_allclose(flipped[::-1], plain, atol=1e-5)
    assert plain[0].max() == 0
    assert plain.max() > 0.9


@pytest.mark.parametrize("turned", [False, True])
def test_equals_nilearn_on_another_grid(turned: bool) -> None:
    affine = np.array([[3.1, 0, 0.4, -80], [0, 3.3, 0, -110], [-0.4, 0, 3.1, -60], [0, 0, 0, 1.0]])
    if turned:
        affine = affine[:, [1, 2, 0, 3]]
    shape = (50, 48, 46)
    target = {"target_affine": affine, "target_shape": shape}
    grey = load_mni152_gm_template(resolution=1)
    expected = resample_img(grey, interpolation="linear", **target).get_fdata()
    np.testing.assert_allclose(grey_matter(affine, shape), expected, atol=1e-5)
    brain = load_mni152_brain_mask(resolution=1)
    nearest = resample_img(brain, interpolation="nearest", **target).get_fdata()
    np.testing.assert_array_equal(brain_mask(affine, shape), nearest > 0)


@pytest.mark.parametrize("resolution", [1, 2, 3, 4])
def test_the_template_s_grid_is_nilearn_s(resolution: int) -> None:
    grid = template_grid(resolution)
    expected = load_mni152_brain_mask(resolution=resolution)
    assert grid.shape == expected.shape
    np.testing.assert_array_equal(grid.affine, expected.affine)
    if resolution < 3:
        np.testing.assert_array_equal(grid.brain, expected.get_fdata() > 0)
    assert (grid.brain != (expected.get_fdata() > 0)).mean() < 0.03
