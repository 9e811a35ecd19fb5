"""Mean and standard deviation over time, made while the image is open, and what comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from braindata.errors import DataError
from braindata.pack.derivatives import Packed, pack_recording
from braindata.pack.mask import template_brain
from braindata.pack.moments import MomentSums
from braindata.pack.parameters import QualityParameters
from braindata.pack.store import Grid, open_store
from braindata.regions.resolve import ResolvedRegion
from braindata.stages.quality import recording_quality

SHAPE = (26, 30, 25)
AFFINE = np.diag([7.0, 7.0, 7.0, 1.0])
AFFINE[:3, 3] = [-91, -126, -70]
N_VOLUMES = 60


def write(folder: Path, data: NDArray[Any], n_non_steady: int = 0) -> tuple[Path, Path]:
    nib.Nifti1Image(data, AFFINE).to_filename(folder / "a_desc-preproc_bold.nii.gz")
    n = data.shape[-1]
    table = pd.DataFrame({"framewise_displacement": [np.nan, *[0.1] * (n - 1)]})
    for number in range(n_non_steady):
        table[f"non_steady_state_outlier{number:02d}"] = np.eye(n)[number]
    confounds = folder / "a_desc-confounds_timeseries.tsv"
    table.to_csv(confounds, sep="\t", index=False, na_rep="n/a")
    return folder / "a_desc-preproc_bold.nii.gz", confounds


def pack(folder: Path, files: tuple[Path, Path], **more: Any) -> Packed:
    space = "MNI152NLin2009aSym"
    return pack_recording(*files, folder / "a.h5", space=space, tr=2.0, attributes={}, **more)


def noise(mean: float = 900, sd: float = 12, n_volumes: int = N_VOLUMES) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(mean, sd, (*SHAPE, n_volumes))


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32", "float64", "uint8"])
def test_moments_equal_numpy(dtype: str) -> None:
    rng = np.random.default_rng(1)
    limit = 250 if dtype == "uint8" else 30_000
    level = rng.uniform(0.2 * limit, 0.9 * limit, 500)
    values = (level + rng.normal(0, 0.01 * limit, (N_VOLUMES, 500))).astype(dtype)
    counted = rng.random(N_VOLUMES) < 0.8
    values[:, 0] = values[0, 0]
    if values.dtype.kind == "f":
        values[5, 1], values[6, 2] = np.nan, np.inf
        counted[5:7] = True
    sums = MomentSums(500, values.dtype, counted.tolist())
    for volume in values:
        sums.add(volume)
    found = sums.moments(-0.25, 3.0)
    with np.errstate(invalid="ignore"):
        scaled = values[counted].astype(np.float64) * -0.25 + 3.0
        mean, sd = scaled.mean(axis=0), scaled.std(axis=0)
    none = [0, 1, 2] if values.dtype.kind == "f" else [0]
    assert np.flatnonzero(~found.has_data).tolist() == none
    assert (found.mean[none] == 0).all()
    np.testing.assert_allclose(found.mean[3:], mean[3:], rtol=1e-6)
    np.testing.assert_allclose(found.sd[3:], sd[3:], rtol=2e-6)


def test_a_store_keeps_them_and_gives_them_in_any_order(tmp_path: Path) -> None:
    data = noise().astype(np.float32)
    packed = pack(tmp_path, write(tmp_path, data, n_non_steady=3))
    with open_store(tmp_path / "a.h5") as store:
        everything = store.read_moments()
        positions = np.random.default_rng(2).permutation(len(store.voxels))[:700]
        some = store.read_moments(positions)
        voxels = store.voxels
        floor = store.attributes["signal_floor"]
    flat = data.reshape(-1, N_VOLUMES)[voxels][:, 3:].astype(np.float64)
    assert everything is not None and some is not None
    np.testing.assert_allclose(everything.mean, flat.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(everything.sd, flat.std(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(some.mean, everything.mean[positions])
    np.testing.assert_array_equal(some.sd, everything.sd[positions])
    brain = template_brain(SHAPE, AFFINE).ravel()[voxels]
    assert floor == packed.signal_floor == pytest.approx(0.5 * np.median(everything.mean[brain]))


def test_without_a_store_they_are_the_same_bits(tmp_path: Path) -> None:
    files = write(tmp_path, noise().astype(np.int16))
    kept = pack(tmp_path, files).moments
    region = ResolvedRegion("a", np.arange(9000, 9020), np.ones(20), (0.0,) * 3, 20, 1.0, "same")

    def regions(grid: Grid) -> dict[str, ResolvedRegion]:
        return {"a-1": region}

    streamed = pack(tmp_path, files, regions=regions).moments
    np.testing.assert_array_equal(kept.mean, streamed.mean)
    np.testing.assert_array_equal(kept.sd, streamed.sd)


def test_tsnr_of_pure_noise_is_mean_over_standard_deviation(tmp_path: Path) -> None:
    packed = pack(tmp_path, write(tmp_path, noise(900, 12, 200).astype(np.float32)))
    found = recording_quality(packed, [], {}, QualityParameters())
    # Of n volumes the standard deviation is, in the median, a little smaller: by 1 − 1 / (1.2 n).
    assert found["tsnr_median"] == pytest.approx(900 / 12, rel=0.01)
    assert found["boundary_cost"] == pytest.approx(1, abs=0.05)
    assert found["ofc_signal_loss"] == found["vmpfc_signal_loss"] == 0
    assert found["brain_coverage"] == 1
    assert (found["fd_mean"], found["n_outliers"]) == (pytest.approx(0.1), 0)


def test_masks_are_found_by_their_name_and_a_bad_one_is_noted(tmp_path: Path) -> None:
    packed = pack(tmp_path, write(tmp_path, noise().astype(np.float32)))
    brain = np.roll(template_brain(SHAPE, AFFINE), 2, axis=0)
    new = tmp_path / "a_space-MNI_desc-brain_mask.nii.gz"
    old = tmp_path / "a_space-MNI_brainmask.nii.gz"
    elsewhere = tmp_path / "a_desc-brain_mask.nii.gz"
    for path in (new, old, elsewhere):
        nib.Nifti1Image(brain.astype(np.uint8), AFFINE).to_filename(path)
    parameters = QualityParameters()
    template = template_brain(SHAPE, AFFINE)
    dice = 2 * (brain & template).sum() / (brain.sum() + template.sum())
    for path in (new, old):
        found = recording_quality(packed, [elsewhere, path], {}, parameters)
        assert found["registration_dice"] == pytest.approx(dice)
        assert found["quality_note"] == "the confounds hold no dvars, std_dvars"
    # What the backend measured on a mask of the EPI itself counts.
    known = {"registration_dice": 0.8}
    assert recording_quality(packed, [new], known, parameters)["registration_dice"] == 0.8
    for files, said in (([], "no brain mask;"), ([new, old], "2 brain masks;")):
        found = recording_quality(packed, files, {}, parameters)
        assert found["registration_dice"] is None
        assert said in found["quality_note"]
        assert found["tsnr_median"] is not None
    nib.Nifti1Image(brain[1:].astype(np.uint8), AFFINE).to_filename(new)
    note = recording_quality(packed, [new], {}, parameters)["quality_note"]
    assert f"the brain mask {new.name} is of no use: the brain mask lies on another grid" in note


def test_a_volume_of_nan_leaves_no_data(tmp_path: Path) -> None:
    data = noise().astype(np.float32)
    data[..., 7] = np.nan
    with pytest.raises(DataError, match="no voxel of the preprocessed image holds data"):
        pack(tmp_path, write(tmp_path, data))
    assert not (tmp_path / "a.h5").exists()


def test_standardised_images_say_nothing_of_signal(tmp_path: Path) -> None:
    data = noise(0, 1).astype(np.float32)
    packed = pack(tmp_path, write(tmp_path, data - data.mean(axis=-1, keepdims=True) - 0.1))
    assert packed.signal_floor is None
    found = recording_quality(packed, [], {}, QualityParameters())
    assert found["tsnr_median"] is found["boundary_cost"] is found["ofc_signal_loss"] is None
    assert "median intensity is not above 0" in found["quality_note"]


def test_thresholds_are_those_of_the_configuration(tmp_path: Path) -> None:
    packed = pack(tmp_path, write(tmp_path, noise().astype(np.float32)), signal_floor=0.99)
    assert packed.signal_floor == pytest.approx(0.99 * 900, rel=0.01)
    strict = QualityParameters(fd_threshold=0.05)
    found = recording_quality(packed, [], {}, strict)
    assert (found["n_outliers"], found["outlier_share"]) == (N_VOLUMES - 1, 1.0)
