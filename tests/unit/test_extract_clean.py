"""Cleaning a mean: equal to nilearn's confound selection and `signal.clean`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds_strategy
from nilearn.maskers import NiftiSpheresMasker
from numpy.typing import NDArray
from pydantic import ValidationError

from braindata.bids.confounds import MOTION_24, TISSUES
from braindata.errors import DataError
from braindata.extract.clean import Regressors, clean, simple_regressors
from braindata.extract.parameters import ExtractParameters

N_VOLUMES = 80


def fmriprep_confounds(seed: int = 0, n_volumes: int = N_VOLUMES) -> pd.DataFrame:
    """A confounds table as fMRIPrep writes it, with more in it than `simple` takes."""
    rng = np.random.default_rng(seed)
    columns: dict[str, NDArray[np.float64]] = {}
    for name in ("csf", "white_matter", "global_signal"):
        columns[name] = 500 + rng.normal(size=n_volumes).cumsum()
    for name in ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"):
        value = rng.normal(scale=0.05, size=n_volumes).cumsum()
        slope = np.diff(value, prepend=np.nan)
        columns |= {
            name: value,
            f"{name}_derivative1": slope,
            f"{name}_power2": value**2,
            f"{name}_derivative1_power2": slope**2,
        }
    for order in range(3):
        phase = np.pi * (order + 1) * (np.arange(n_volumes) + 0.5) / n_volumes
        columns[f"cosine{order:02d}"] = np.cos(phase) * np.sqrt(2 / n_volumes)
    columns["framewise_displacement"] = np.abs(rng.normal(size=n_volumes))
    columns["std_dvars"] = np.abs(rng.normal(size=n_volumes))
    columns["framewise_displacement"][0] = columns["std_dvars"][0] = np.nan
    return pd.DataFrame(columns)


def nilearn_series(
    folder: Path, samples: NDArray[np.float32], affine: NDArray[np.float64], confounds: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """What nilearn's documented use of the strategy gives for a sphere around the origin."""
    stem = folder / "sub-01_task-x"
    image = Path(f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")
    # In float32 nilearn's own average is off by 4e-4 of a standard deviation.
    nib.Nifti1Image(samples.astype(np.float64), affine).to_filename(image)
    table = Path(f"{stem}_desc-confounds_timeseries.tsv")
    confounds.to_csv(table, sep="\t", index=False, na_rep="n/a")
    table.with_suffix(".json").write_text(json.dumps({}), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        selected, sample_mask = load_confounds_strategy(str(image), denoise_strategy="simple")
        masker = NiftiSpheresMasker(
            [(0, 0, 0)], radius=6, detrend=True, standardize="zscore_sample"
        )
        series = masker.fit_transform(str(image), confounds=selected, sample_mask=sample_mask)
    return series[:, 0], sample_mask


def make_samples(seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    drift = np.linspace(0, 20, N_VOLUMES) + 5 * np.sin(np.arange(N_VOLUMES) / 9)
    samples = 1000 + rng.normal(scale=10, size=(7, 7, 7, N_VOLUMES)) + drift
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -6
    return samples.astype(np.float32), affine


def sphere_mean(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    index = np.indices(samples.shape[:3]) * 2 - 6
    inside = (index**2).sum(axis=0) <= 36
    mean: NDArray[np.float64] = samples[inside].astype(np.float64).mean(axis=0)
    return mean


def test_equals_nilearn_strategy_simple(tmp_path: Path) -> None:
    samples, affine = make_samples()
    confounds = fmriprep_confounds()
    expected, sample_mask = nilearn_series(tmp_path, samples, affine, confounds)
    regressors = simple_regressors(confounds)
    got = clean(sphere_mean(samples), regressors)
    assert sample_mask is None
    assert regressors.kept.all()
    assert regressors.values.shape == (N_VOLUMES, 24 + 2 + 3)
    # The series has a standard deviation of 1.
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert got.std(ddof=1) == pytest.approx(1)


def test_equals_nilearn_when_first_volumes_are_not_steady(tmp_path: Path) -> None:
    samples, affine = make_samples(2)
    confounds = fmriprep_confounds(2)
    for volume in range(2):
        confounds[f"non_steady_state_outlier{volume:02d}"] = np.eye(N_VOLUMES)[volume]
    expected, sample_mask = nilearn_series(tmp_path, samples, affine, confounds)
    regressors = simple_regressors(confounds)
    got = clean(sphere_mean(samples), regressors)
    assert sample_mask is not None
    assert np.flatnonzero(regressors.kept).tolist() == sample_mask.tolist()
    np.testing.assert_allclose(got[regressors.kept], expected, atol=1e-6)
    assert np.isnan(got[:2]).all()


def test_equals_nilearn_with_redundant_and_constant_confounds(tmp_path: Path) -> None:
    samples, affine = make_samples(3)
    confounds = fmriprep_confounds(3)
    confounds["white_matter"] = 2 * confounds["csf"]
    confounds["rot_z"] = confounds["rot_z_power2"] = 0.0
    confounds = confounds.drop(columns=[c for c in confounds if c.startswith("cosine")])
    expected, _ = nilearn_series(tmp_path, samples, affine, confounds)
    np.testing.assert_allclose(
        clean(sphere_mean(samples), simple_regressors(confounds)), expected, atol=1e-6
    )


def test_residual_is_that_of_ordinary_least_squares() -> None:
    confounds = fmriprep_confounds(4)
    regressors = simple_regressors(confounds)
    series = np.random.default_rng(5).normal(size=N_VOLUMES)
    design = np.column_stack([np.ones(N_VOLUMES), np.arange(N_VOLUMES), regressors.values])
    residual = series - design @ np.linalg.lstsq(design, series, rcond=None)[0]
    np.testing.assert_allclose(
        clean(series, regressors), residual / residual.std(ddof=1), atol=1e-8
    )


@pytest.mark.parametrize("name", [MOTION_24[0], MOTION_24[-1], *TISSUES])
def test_missing_confounds_are_named(name: str) -> None:
    confounds = fmriprep_confounds().drop(columns=[name])
    with pytest.raises(DataError, match=rf"missing: {name}\n"):
        simple_regressors(confounds)


def test_gaps_after_the_first_volume_are_named() -> None:
    confounds = fmriprep_confounds()
    confounds.loc[7, "csf"] = np.nan
    with pytest.raises(DataError, match=r"not finite: csf\n"):
        simple_regressors(confounds)


def test_too_few_volumes_are_refused() -> None:
    regressors = simple_regressors(fmriprep_confounds(n_volumes=31))
    with pytest.raises(DataError, match="31 volumes are too few to remove 31 regressors"):
        clean(np.arange(31.0) ** 2, regressors)


def test_a_constant_series_stays_zero() -> None:
    regressors = Regressors(np.random.default_rng(0).normal(size=(20, 2)), np.ones(20, bool))
    assert np.abs(clean(np.zeros(20), regressors)).max() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"strategies": ("simple",)},
        {"strategies": ("none", "none")},
        {"strategies": ("none", "scrubbing")},
        {"min_coverage": 1.5},
        {"smoothing": 6},
    ],
)
def test_parameters_refuse_what_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ExtractParameters.model_validate(wrong)


def test_every_parameter_is_described() -> None:
    assert all(field.description for field in ExtractParameters.model_fields.values())
