"""Voxels of a region: against brute force, nilearn and a hand-made grid."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.maskers import NiftiSpheresMasker
from numpy.typing import NDArray

from braindata.errors import EmptyRegionError
from braindata.regions.definition import Region
from braindata.regions.kinds import Sphere, Spheres
from braindata.regions.resolve import resolve

SHAPE = (13, 11, 12)


def region(
    *spheres: tuple[tuple[float, float, float], float],
    grey_matter: bool = False,
    threshold: float = 0.2,
) -> Region:
    return Region(
        name="test",
        level="valuation",
        processes=("value",),
        references=("a publication",),
        space="MNI152",
        definition=Spheres(
            grey_matter=grey_matter,
            grey_matter_threshold=threshold,
            spheres=tuple(
                Sphere(
                    center=center,
                    radius=radius,
                    hemisphere="midline"
                    if center[0] == 0
                    else ("left" if center[0] < 0 else "right"),
                    source="made for a test",
                )
                for center, radius in spheres
            ),
        ),
    )


def affine_of(
    sizes: tuple[float, ...], flips: tuple[int, ...], order: tuple[int, ...], angle: float = 0.0
) -> NDArray[np.float64]:
    """A grid around the origin: voxel sizes, flipped and swapped axes, an oblique turn."""
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ (np.diag(np.array(sizes) * flips))[:, list(order)]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


def brute_force(of: Region, affine: NDArray[np.float64]) -> list[int]:
    found = []
    for flat, index in enumerate(itertools.product(*map(range, SHAPE))):
        position = affine[:3, :3] @ index + affine[:3, 3]
        for sphere in of.definition.spheres:
            if np.sum((position - np.array(sphere.center)) ** 2) <= sphere.radius**2:
                found.append(flat)
                break
    return found


millimetres = st.integers(-16, 16).map(lambda n: n / 2)
spheres_strategy = st.lists(
    st.tuples(st.tuples(millimetres, millimetres, millimetres), st.floats(4, 9)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=30, deadline=None)
@given(
    spheres=spheres_strategy,
    sizes=st.tuples(*[st.sampled_from([1.5, 2.0, 3.0, 3.3])] * 3),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    order=st.permutations([0, 1, 2]).map(tuple),
    angle=st.sampled_from([0.0, 0.3]),
)
def test_equals_brute_force_on_any_grid(
    spheres: list[tuple[tuple[float, float, float], float]],
    sizes: tuple[float, ...],
    flips: tuple[int, ...],
    order: tuple[int, ...],
    angle: float,
) -> None:
    affine = affine_of(sizes, flips, order, angle)
    of = region(*spheres)
    got = resolve(of, affine, SHAPE, np.ones(SHAPE, np.float32))
    assert got.voxels.tolist() == brute_force(of, affine)
    assert got.voxels.dtype == np.int64
    assert set(got.weights.tolist()) == {1.0}
    assert got.placement == "same space"
    assert got.n_voxels == len(got.voxels) == len(got.weights)
    assert got.volume == pytest.approx(got.n_voxels * np.prod(sizes))


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_equals_nilearn(flips: tuple[int, ...]) -> None:
    affine = affine_of((2.0, 2.0, 2.0), flips, (0, 1, 2))
    of = region(((-4.0, 3.0, 2.0), 6.0))
    masker = NiftiSpheresMasker([of.definition.spheres[0].center], radius=6.0)
    samples = np.random.default_rng(0).normal(size=(*SHAPE, 5)).astype(np.float32)
    expected = masker.fit_transform(nib.Nifti1Image(samples, affine))[:, 0]
    got = resolve(of, affine, SHAPE, np.ones(SHAPE, np.float32))
    mean = got.weights @ samples.reshape(-1, 5)[got.voxels] / got.weights.sum()
    np.testing.assert_allclose(mean, expected, atol=1e-6)


def test_overlapping_spheres_count_once_and_centre_of_mass_is_theirs() -> None:
    affine = affine_of((2.0, 2.0, 2.0), (1, 1, 1), (0, 1, 2))
    whole = np.ones(SHAPE, np.float32)
    one = resolve(region(((0.0, 0.0, 1.0), 5.0)), affine, SHAPE, whole)
    two = resolve(region(((0.0, 0.0, 1.0), 5.0), ((0.0, 0.0, 1.0), 4.0)), affine, SHAPE, whole)
    assert np.array_equal(one.voxels, two.voxels)
    # The grid is symmetric around the sphere's centre, so the centre of mass is that centre.
    assert one.center_of_mass == pytest.approx((0, 0, 1))


def test_keeps_grey_matter_only() -> None:
    affine = affine_of((2.0, 2.0, 2.0), (1, 1, 1), (0, 1, 2))
    probability = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    plain = resolve(region(((0.0, 0.0, 0.0), 7.0)), affine, SHAPE, probability)
    grey = resolve(
        region(((0.0, 0.0, 0.0), 7.0), grey_matter=True, threshold=0.5), affine, SHAPE, probability
    )
    expected = [v for v in plain.voxels.tolist() if probability.ravel()[v] > 0.5]
    assert grey.voxels.tolist() == expected
    assert set(grey.weights.tolist()) == {1.0}


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (region(((40.0, 0.0, 0.0), 6.0)), r"region test: .*\(40, 0, 0\) holds no voxel"),
        (
            region(((4.0, 0.0, 0.0), 6.0), ((-80.0, 0.0, 0.0), 6.0)),
            r"region test: .*\(-80, 0, 0\) holds no voxel",
        ),
        (region(((0.0, 0.0, 0.0), 6.0), grey_matter=True), "region test: none .* grey matter"),
    ],
)
def test_names_a_region_that_is_empty(of: Region, says: str) -> None:
    affine = affine_of((2.0, 2.0, 2.0), (1, 1, 1), (0, 1, 2))
    with pytest.raises(EmptyRegionError, match=rf"{says}.* \(voxels of 2 × 2 × 2 mm\)"):
        resolve(of, affine, SHAPE, np.zeros(SHAPE, np.float32))
