"""The grey-matter map on a grid: nilearn's own, and nothing outside of the template."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.datasets import load_mni152_gm_template

from braindata.regions.template import grey_matter


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
