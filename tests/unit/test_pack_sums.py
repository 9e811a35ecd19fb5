"""Means of regions: two engines with one result, against nilearn and numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker, NiftiSpheresMasker
from numpy.typing import NDArray

from braindata.pack import sums
from braindata.pack.derivatives import read_samples
from braindata.pack.order import VoxelOrder, voxel_order
from braindata.pack.store import Grid, open_store, write_store
from braindata.pack.sums import RegionMean, place, store_mean, stream_means
from braindata.pack.volumes import open_volumes
from braindata.regions.definition import Region
from braindata.regions.kinds import Sphere, Spheres
from braindata.regions.resolve import resolve

DTYPES = ["uint8", "int16", "uint16", "int32", "float32", "float64"]
AFFINES = st.tuples(
    st.sampled_from([2.0, 3.0, 3.5]),
    st.tuples(*[st.sampled_from([1, -1])] * 3),
    st.permutations([0, 1, 2]),
)


def affine_of(size: float, flips: tuple[int, ...], axes: list[int]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (row, sign) in enumerate(zip(axes, flips, strict=True)):
        affine[row, axis] = sign * size
    affine[:3, 3] = [-11.0, 4.0, 7.5]
    return affine


def write_image(
    path: Path, numbers: NDArray[Any], affine: NDArray[np.float64], scaling: tuple[float, float]
) -> Path:
    """Write numbers with a slope and an intercept in the header, as scanners' converters do."""
    image = nib.Nifti1Image(numbers, affine)
    image.to_filename(path)
    content = bytearray(path.read_bytes())
    # NIfTI-1's scl_slope and scl_inter.
    content[112:120] = np.array(scaling, "<f4").tobytes()
    path.write_bytes(content)
    return path


def both_engines(
    path: Path, mask: NDArray[np.bool_], regions: list[tuple[Any, Any]]
) -> tuple[list[RegionMean], VoxelOrder]:
    """Return the means of regions, after both engines have given the same bits."""
    order = voxel_order(mask)
    placed = [place(voxels, weights, order) for voxels, weights in regions]
    volumes = open_volumes(path)
    streamed = stream_means(volumes, order, placed)
    samples, has_data = read_samples(volumes, order)
    write_store(
        path.with_suffix(".h5"),
        samples,
        Grid(volumes.shape, volumes.affine, "MNI152NLin2009aSym"),
        order.voxels,
        has_data,
        2.0,
        pd.DataFrame(index=range(volumes.n_volumes)),
        {},
        slope=volumes.slope,
        intercept=volumes.intercept,
    )
    with open_store(path.with_suffix(".h5")) as store:
        for one, stream in zip(placed, streamed, strict=True):
            stored = store_mean(store, one)
            assert stored.values.tobytes() == stream.values.tobytes()
            assert (stored.coverage, stored.n_voxels) == (stream.coverage, stream.n_voxels)
    return streamed, order


@settings(max_examples=20)
@given(
    shape=st.tuples(*[st.integers(2, 7)] * 3, st.integers(2, 70)),
    affine=AFFINES,
    dtype=st.sampled_from(DTYPES),
    scaling=st.sampled_from([(1.0, 0.0), (0.0625, -12.5), (0.3, 100.0)]),
    seed=st.integers(0, 999),
)
def test_means_equal_nilearn_s_labels_masker(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int, int],
    affine: tuple[float, tuple[int, ...], list[int]],
    dtype: str,
    scaling: tuple[float, float],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 200, shape).astype(dtype)
    if np.dtype(dtype).kind == "f":
        numbers += rng.random(shape, np.float32)
    labels = rng.integers(0, 4, shape[:3]).astype(np.int16)
    folder = tmp_path_factory.mktemp("image")
    path = write_image(folder / "a.nii", numbers, affine_of(*affine), scaling)
    present = [n for n in (1, 2, 3) if (labels == n).any()]
    mask = np.ones(shape[:3], bool)
    # Voxels that never change hold no data here; nilearn averages them, so it is not told of them.
    changing = np.ptp(numbers, axis=3) > 0
    labels[~changing] = 0
    present = [n for n in present if (labels == n).any()]
    if not present:
        return
    regions = [np.flatnonzero(labels.ravel() == n) for n in present]
    means, _ = both_engines(path, mask, [(v, np.ones(len(v))) for v in regions])
    image = nib.Nifti1Image(labels, affine_of(*affine))
    expected = NiftiLabelsMasker(image).fit_transform(nib.load(path))
    scale = np.maximum(expected.std(axis=0), 1e-3 * np.abs(expected).max(axis=0))
    for number, mean in enumerate(means):
        difference = np.abs(mean.values - expected[:, number]).max() / scale[number]
        assert difference < 1e-6
        assert mean.coverage == 1


@settings(max_examples=10)
@given(seed=st.integers(0, 999), dtype=st.sampled_from(["int16", "float32"]), affine=AFFINES)
def test_weighted_means_equal_nilearn_s_maps_masker(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    dtype: str,
    affine: tuple[float, tuple[int, ...], list[int]],
) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(100, 900, (5, 4, 6, 40)).astype(dtype)
    weights = rng.random((5, 4, 6)) * (rng.random((5, 4, 6)) < 0.5)
    path = write_image(
        tmp_path_factory.mktemp("image") / "a.nii", numbers, affine_of(*affine), (0.5, 0.0)
    )
    voxels = np.flatnonzero(weights)
    (mean,), _ = both_engines(
        path, np.ones(weights.shape, bool), [(voxels, weights.ravel()[voxels])]
    )
    image = nib.Nifti1Image(weights[..., None], affine_of(*affine))
    fitted = NiftiMapsMasker(image).fit_transform(nib.load(path))[:, 0]
    # nilearn gives the least-squares amplitude of the map: the same up to its norm.
    expected = fitted * (weights**2).sum() / weights.sum()
    assert np.abs(mean.values - expected).max() < 1e-6 * expected.std()


@pytest.mark.parametrize("scaling", [(1.0, 0.0), (0.05, 3.0)])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_integer_images_give_the_means_of_floats(
    tmp_path: Path, dtype: str, scaling: tuple[float, float]
) -> None:
    """nilearn 0.14.1's sphere masker floors the means of unscaled integers, unless told a dtype."""
    rng = np.random.default_rng(0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -11
    # A signal far larger than what 32-bit output rounds off.
    signal = 100 * rng.random(30)
    numbers = (rng.integers(0, 50, (12, 12, 12, 30)) + signal).astype(dtype)
    path = write_image(tmp_path / "a.nii", numbers, affine, scaling)
    sphere = Sphere(center=(3, 1, 0), radius=5, hemisphere="right", source="made for a test")
    region = Region(
        name="test",
        level="valuation",
        processes=("value",),
        references=("a publication",),
        space="MNI152",
        definition=Spheres(spheres=(sphere,), grey_matter=False),
    )
    resolved = resolve(region, affine, (12, 12, 12), np.ones((12, 12, 12), np.float32))
    (mean,), _ = both_engines(
        path, np.ones((12, 12, 12), bool), [(resolved.voxels, resolved.weights)]
    )
    # nilearn adds up 32-bit floats in 32 bits, and is then itself off by some 1e-6.
    for precision, tolerance in (("float64", 1e-6), ("float32", 1e-5)):
        masker = NiftiSpheresMasker([(3, 1, 0)], radius=5, dtype=precision)
        expected = masker.fit_transform(nib.load(path))[:, 0]
        assert np.abs(mean.values - expected).max() < tolerance * expected.std()
    truth = numbers.reshape(-1, 30)[resolved.voxels].astype(float).mean(axis=0)
    np.testing.assert_allclose(mean.values, truth * np.float32(scaling[0]) + scaling[1], rtol=1e-12)


def test_voxels_without_data_do_not_count(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).normal(800, 20, (4, 4, 4, 50)).astype(np.float32)
    numbers[0, 0, 0] = 700  # never changes
    numbers[0, 0, 1] = 0
    numbers[0, 0, 2, 3] = np.nan
    numbers[0, 0, 3] = np.nan
    numbers[0, 1, 0] = 0
    numbers[0, 1, 0, 7] = np.inf
    numbers[0, 1, 1] = -5
    numbers[0, 1, 1, 7] = -np.inf
    path = write_image(tmp_path / "a.nii", numbers, np.eye(4), (1.0, 0.0))
    mask = np.ones((4, 4, 4), bool)
    mask[3] = False
    everywhere = np.arange(64)
    only_bad = np.array([0, 1, 2, 3])
    means, order = both_engines(path, mask, [(everywhere, np.ones(64)), (only_bad, np.ones(4))])
    good = mask.copy()
    good.ravel()[[0, 1, 2, 3, 4, 5]] = False
    np.testing.assert_allclose(means[0].values, numbers[good].mean(axis=0, dtype=float), rtol=1e-12)
    assert (means[0].n_voxels, means[0].coverage) == (42, 42 / 64)
    assert np.isnan(means[1].values).all()
    assert (means[1].n_voxels, means[1].coverage) == (0, 0.0)
    assert len(order.voxels) == 48


def test_no_regions_give_no_means(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).integers(0, 9, (3, 3, 3, sums.BLOCK + 1)).astype(np.int16)
    path = write_image(tmp_path / "a.nii", numbers, np.eye(4), (1.0, 0.0))
    assert both_engines(path, np.ones((3, 3, 3), bool), [])[0] == []
