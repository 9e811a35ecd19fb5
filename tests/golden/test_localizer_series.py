"""Series of the real localizer run, against nilearn on the same derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy
from nilearn.maskers import NiftiLabelsMasker, NiftiSpheresMasker
from nilearn.signal import clean
from numpy.typing import NDArray

from braindata.config_regions import load_regions
from braindata.pack.mask import store_mask
from braindata.pack.order import voxel_order
from braindata.pack.sums import place, stream_means
from braindata.pack.volumes import open_volumes
from braindata.regions.definition import Region
from braindata.regions.kinds import Sphere, Spheres
from braindata.regions.resolve import resolve
from braindata.regions.template import grey_matter
from braindata.tables.reading import Tables

from .conftest import PRESETS

# Of a standard deviation. Tables hold 32-bit floats, whose last digit comes on top.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def bold(localizer: Path) -> Path:
    (path,) = localizer.rglob("*_space-*_desc-preproc_bold.nii.gz")
    return path


@pytest.fixture(scope="module")
def regions(repository: Path) -> list[Region]:
    return load_regions(str(repository / "config/regions/spheres"))


@pytest.fixture(scope="module")
def means(bold: Path, regions: list[Region]) -> Mapping[str, NDArray[np.float64]]:
    """Uncleaned means by nilearn; regions one by one, as labels cannot overlap."""
    image = nib.load(bold)
    grid = image.shape[:3]
    probability = grey_matter(image.affine, grid)
    found = {}
    loaded = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    for region in regions:
        labels = np.zeros(grid, np.int8)
        labels.ravel()[resolve(region, image.affine, grid, probability).voxels] = 1
        masker = NiftiLabelsMasker(nib.Nifti1Image(labels, image.affine))
        found[region.name] = masker.fit_transform(loaded)[:, 0]
    return found


def rows(tables: Tables, strategy: str) -> dict[str, Mapping[str, Any]]:
    found = tables["series"].to_pyarrow(where={"strategy": strategy}).to_pylist()
    return {row["region"]: row for row in found}


def assert_equal(row: Mapping[str, Any], expected: NDArray[np.float64]) -> None:
    """Compare the kept volumes."""
    got = np.array([np.nan if v is None else v for v in row["values"]], float)
    assert np.isfinite(got).sum() == len(expected)
    got = got[np.isfinite(got)]
    rounding = np.spacing(np.float32(np.abs(expected).max()))
    assert np.abs(got - expected).max() < TOLERANCE * expected.std() + rounding


def test_uncleaned_means(tables: Tables, means: Mapping[str, NDArray[np.float64]]) -> None:
    found = rows(tables, "none")
    assert found.keys() == means.keys()
    for name, expected in means.items():
        assert_equal(found[name], expected)
        assert found[name]["coverage"] == 1.0


def test_a_sphere_without_its_grey_matter_mask(bold: Path) -> None:
    image = nib.load(bold)
    center = (12.0, 10.0, -6.0)
    sphere = Sphere(center=center, radius=8, hemisphere="right", source="made for a test")
    region = Region(
        name="test",
        level="valuation",
        processes=("value",),
        references=("a publication",),
        space="MNI152NLin2009aSym",
        definition=Spheres(spheres=(sphere,), grey_matter=False),
    )
    grid = image.shape[:3]
    resolved = resolve(region, image.affine, grid, grey_matter(image.affine, grid))
    order = voxel_order(store_mask(grid, image.affine))
    placed = place(resolved.voxels, resolved.weights, order)
    (mean,) = stream_means(open_volumes(bold), order, [placed])
    assert mean.coverage == 1
    # In 32 bits, nilearn's own sums are off by a ten-thousandth of a standard deviation here.
    for precision, tolerance in (("float64", TOLERANCE), ("float32", 3e-4)):
        masker = NiftiSpheresMasker([center], radius=8, dtype=precision)
        expected = masker.fit_transform(image)[:, 0].astype(float)
        assert np.abs(mean.values - expected).max() < tolerance * expected.std()


@pytest.mark.parametrize("strategy", ["simple", "scrubbing", "compcor"])
def test_nilearn_s_strategies(
    tables: Tables, bold: Path, means: Mapping[str, NDArray[np.float64]], strategy: str
) -> None:
    confounds, sample_mask = load_confounds_strategy(str(bold), denoise_strategy=strategy)
    for name, row in rows(tables, strategy).items():
        expected = clean(
            means[name][:, None],
            confounds=confounds,
            sample_mask=sample_mask,
            detrend=True,
            standardize="zscore_sample",
        )[:, 0]
        assert_equal(row, expected)
        kept = np.ones(len(row["kept"]), bool)
        if sample_mask is not None:
            kept[:] = False
            kept[sample_mask] = True
        assert row["kept"] == kept.tolist()
        assert row["unit"] == "z"


def test_a_preset_with_a_filter(
    tables: Tables, bold: Path, means: Mapping[str, NDArray[np.float64]]
) -> None:
    confounds, sample_mask = load_confounds(
        str(bold), strategy=["motion", "wm_csf"], motion="basic"
    )
    assert sample_mask is None
    tr = float(nib.load(bold).header.get_zooms()[3])
    for name, row in rows(tables, "band").items():
        expected = clean(
            means[name][:, None],
            confounds=confounds,
            detrend=True,
            standardize="zscore_sample",
            high_pass=PRESETS["band"]["high_pass"],
            low_pass=PRESETS["band"]["low_pass"],
            filter="butterworth",
            t_r=tr,
        )[:, 0]
        assert_equal(row, expected)


def test_an_eigenvariate_follows_its_region(tables: Tables) -> None:
    for row in rows(tables, "first").values():
        assert row["reason"] is None
        assert all(value is not None for value in row["values"])
    simple = rows(tables, "simple")["visual"]["values"]
    assert np.corrcoef(rows(tables, "first")["visual"]["values"], simple)[0, 1] > 0.5


def test_a_strategy_that_the_recording_does_not_allow_has_its_reason(tables: Tables) -> None:
    # Native preprocessing has no ICA.
    for row in rows(tables, "ica_aroma").values():
        assert row["values"] is None
        assert "aroma" in row["reason"].lower()
