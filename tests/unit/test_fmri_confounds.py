"""Confounds against independent formulas, nilearn's basis and nilearn's reader."""

from __future__ import annotations

import json
from itertools import pairwise

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level.design_matrix import create_cosine_drift
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy

from braindata.errors import DataError
from braindata.fmri.compcor import Components, compcor
from braindata.fmri.confounds import (
    OutlierRule,
    confounds_table,
    cosine_basis,
    count_non_steady,
    describe,
    dvars,
    framewise_displacement,
    rms_displacement,
)
from braindata.fmri.motion import Motion, rigid_matrix
from braindata.fmri.outputs import write_confounds, write_json

RULE = OutlierRule()
CENTRE = np.array([2.0, -18.0, 9.0])


def _motion(n: int = 60) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.cumsum(rng.normal(0, [0.02] * 3 + [0.0003] * 3, (n, 6)), axis=0)


def _table(n: int = 60, tr: float = 3.0, non_steady: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    signals = {name: rng.normal(1000, 5, n) for name in ("global_signal", "csf", "white_matter")}
    motion = _motion(n)
    motion[30:] += [0.5, 0, 0, 0, 0.01, 0]
    figures = rng.uniform(0.9, 1.1, n)
    figures[0] = np.nan
    figures[40] = 1.6
    transforms = np.stack([rigid_matrix(one, CENTRE) for one in motion])
    moved = Motion(transforms, motion, CENTRE)
    both = (20 * figures, figures)
    return confounds_table(
        moved, signals, both, tr, 128.0, non_steady, RULE, _components(n, tr, non_steady)
    )


def _components(n: int = 60, tr: float = 3.0, non_steady: int = 2) -> dict[str, Components]:
    rng = np.random.default_rng(4)
    stored = rng.normal(1000, 20, (n, 600)).astype(np.int16)
    where = np.arange(600)
    tissues = {"CSF": where < 100, "WM": (where >= 100) & (where < 300), "combined": where < 300}
    drifts = cosine_basis(n, tr, 128.0, non_steady)
    # The 2 % most variable of the brain are fewer than are needed: repeated, they are enough.
    return compcor(np.tile(stored, 4), np.ones(2400, bool), _tiled(tissues), drifts, non_steady)


def _tiled(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.tile(mask, 4) for name, mask in masks.items()}


def test_framewise_displacement_equals_powers_sum():
    motion = _motion()
    found = framewise_displacement(motion)
    assert np.isnan(found[0])
    for t in range(1, len(motion)):
        expected = sum(abs(motion[t][k] - motion[t - 1][k]) for k in range(3))
        expected += sum(50.0 * abs(motion[t][k] - motion[t - 1][k]) for k in range(3, 6))
        assert found[t] == pytest.approx(expected)


def test_rms_displacement_is_that_of_points_in_the_sphere():
    rng = np.random.default_rng(8)
    motion = np.cumsum(rng.normal(0, [0.3] * 3 + [0.01] * 3, (6, 6)), axis=0)
    transforms = np.stack([rigid_matrix(one, CENTRE) for one in motion])
    ball = rng.normal(size=(200_000, 3))
    ball *= (80 * rng.uniform(size=(len(ball), 1)) ** (1 / 3)) / np.linalg.norm(
        ball, axis=1, keepdims=True
    )
    points = np.column_stack([ball + CENTRE, np.ones(len(ball))])
    expected = []
    for before, after in pairwise(transforms):
        moved = points @ (after @ np.linalg.inv(before) - np.eye(4)).T
        expected.append(np.sqrt((moved**2).sum(axis=1).mean()))
    found = rms_displacement(transforms, CENTRE)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], expected, rtol=5e-3)


@pytest.mark.parametrize(("n", "tr"), [(156, 2.0), (200, 0.72), (490, 1.0), (30, 2.0)])
def test_cosines_are_fmripreps(n, tr):
    # nipype's basis has floor(2 n tr / 128) columns of which the last is the constant that
    # fMRIPrep drops; nilearn's basis has one cosine more.
    expected = create_cosine_drift(1 / 128.0, np.arange(n) * tr)[:, :-2]
    np.testing.assert_allclose(cosine_basis(n, tr, 128.0), expected, atol=1e-12)


def test_cosines_skip_non_steady_volumes():
    found = cosine_basis(160, 2.0, 128.0, skip=4)
    assert (found[:4] == 0).all()
    np.testing.assert_array_equal(found[4:], cosine_basis(156, 2.0, 128.0))


def test_dvars_equals_a_plain_loop():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 20, (50, 300))
    for t in range(1, 50):
        noise[t] += 0.4 * noise[t - 1]
    stored = (rng.uniform(500, 1500, 300) + noise).round().astype(np.int16)
    stored[20] += 40
    stored[:, 7] = 1000  # a voxel that never varies is left out
    data = stored * (1000.0 / np.median(stored))
    expected_sd, squares = [], np.zeros(49)
    for voxel in data.T:
        ordered = np.sort(voxel)
        spread = (ordered[int(0.75 * 49)] - ordered[int(0.25 * 49)]) / 1.349
        if spread == 0:
            continue
        centred = voxel - voxel.mean()
        rho = (centred[1:] @ centred[:-1]) / (centred @ centred)
        expected_sd.append(np.sqrt(2 * (1 - rho)) * spread)
        squares += np.diff(voxel) ** 2
    plain = np.sqrt(squares / len(expected_sd))
    found, standardised = dvars(stored)
    np.testing.assert_allclose(found[1:], plain, rtol=1e-9)
    np.testing.assert_allclose(standardised[1:], plain / np.mean(expected_sd), rtol=1e-9)
    assert np.isnan([found[0], standardised[0]]).all()
    assert standardised[1:].argmax() in {19, 20}


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        (np.full((40, 9), 100, np.int16), "no voxel of the brain varies"),
        (np.zeros((40, 9), np.int16), "the median intensity of the brain is 0"),
        (np.full((40, 9), -5, np.int16), "the median intensity of the brain is -5"),
    ],
)
def test_dvars_of_what_is_no_bold_is_refused(stored, problem):
    with pytest.raises(DataError, match=problem):
        dvars(stored)


def test_non_steady_volumes_are_leading_outliers():
    signal = np.random.default_rng(3).normal(1000, 1, 100)
    assert count_non_steady(signal) == 0
    signal[[0, 1, 30]] += [60, 30, 50]
    assert count_non_steady(signal) == 2
    assert count_non_steady(np.full(20, 5.0)) == 0


def test_table_has_fmripreps_columns_and_gaps():
    table = _table()
    assert len([c for c in table if c.startswith(("trans_", "rot_"))]) == 24
    np.testing.assert_allclose(
        table["csf_derivative1_power2"][1:], np.diff(table["csf"]) ** 2, rtol=1e-12
    )
    missing = set(table.columns[table.isna().any()])
    assert {c for c in table if "derivative1" in c} <= missing
    assert missing - {c for c in table if "derivative1" in c} == {
        "dvars",
        "std_dvars",
        "framewise_displacement",
        "rmsd",
    }
    assert not table[1:].isna().any(axis=None)
    spikes = {c: int(table[c].argmax()) for c in table if "outlier" in c}
    assert spikes == {
        "non_steady_state_outlier00": 0,
        "non_steady_state_outlier01": 1,
        "motion_outlier00": 30,
        "motion_outlier01": 40,
    }
    assert all(table[c].sum() == 1 for c in spikes)


def test_every_column_is_described():
    table = _table()
    described = describe(list(table.columns), 128.0, RULE, _components())
    assert list(described) == list(table.columns)
    assert described["rot_x"]["Units"] == "rad"
    assert described["trans_y_derivative1"]["Units"] == "mm"
    assert "Units" not in described["trans_y_power2"]


def test_nilearn_reads_them_beside_the_image(tmp_path):
    table = _table()
    stem = "sub-01_ses-a_task-rest_run-02"
    write_confounds(tmp_path / f"{stem}_desc-confounds_timeseries.tsv", table)
    write_json(
        tmp_path / f"{stem}_desc-confounds_timeseries.json",
        dict(describe(list(table.columns), 128.0, RULE, _components())),
    )
    bold = tmp_path / f"{stem}_space-MNI152NLin2009aSym_res-2_desc-preproc_bold.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 60), np.int16), np.eye(4)), bold)
    found, kept = load_confounds(
        str(bold), strategy=("motion", "high_pass", "wm_csf"), motion="basic", wm_csf="basic"
    )
    assert sorted(found) == [
        "cosine00",
        "csf",
        *[f"rot_{a}" for a in "xyz"],
        *[f"trans_{a}" for a in "xyz"],
        "white_matter",
    ]
    # nilearn centres them over the volumes that it keeps.
    centred = table["trans_x"] - table["trans_x"][2:].mean()
    np.testing.assert_allclose(found["trans_x"], centred, atol=1e-8)
    assert kept.tolist() == list(range(2, 60))
    _, kept = load_confounds(str(bold), strategy=("motion", "scrub"), scrub=0)
    assert set(range(60)) - set(kept.tolist()) == {0, 1, 30, 40}
    names = {letter: list(one.columns(letter)) for letter, one in _components().items()}
    for kind, letters in (
        ("anat_combined", "a"),
        ("anat_separated", "cw"),
        ("temporal", "t"),
        ("temporal_anat_combined", "at"),
    ):
        found, _ = load_confounds(
            str(bold), strategy=("high_pass", "compcor"), compcor=kind, n_compcor="all"
        )
        due = {name for letter in letters for name in names[letter]}
        assert {name for name in found if "comp_cor" in name} == due
    found, _ = load_confounds_strategy(str(bold), denoise_strategy="compcor")
    assert {n for n in found if "comp_cor" in n} == {*names["c"], *names["w"]} or len(found) > 0
    for strategy in ("simple", "scrubbing"):
        assert (
            not load_confounds_strategy(str(bold), denoise_strategy=strategy)[0].isna().any().any()
        )


def test_files_are_plain_bids(tmp_path):
    path = write_confounds(tmp_path / "x.tsv", _table())
    lines = path.read_bytes().split(b"\n")
    assert b"\r" not in path.read_bytes()
    assert b"n/a" in lines[1]
    assert b"n/a" not in lines[2]
    body = {"b": 1, "a": "ä"}
    assert json.loads(write_json(tmp_path / "x.json", body).read_text(encoding="utf-8")) == body
