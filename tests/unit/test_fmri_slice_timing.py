"""Slice timing: known signals sampled at known times."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from braindata.fmri.images import open_series
from braindata.fmri.slice_timing import CorrectedSeries, SliceTimes, slice_times

SHAPE = (8, 9, 10)
TR = 2.0
# Interleaved: even slices first.
TIMES = np.array([np.r_[0:10:2, 1:10:2].tolist().index(k) for k in range(10)]) * TR / 10


def _signal(t: np.ndarray) -> np.ndarray:
    """What a haemodynamic response holds: nothing faster than 0.12 Hz."""
    return 1000 + 30 * np.sin(2 * np.pi * 0.03 * t) + 12 * np.cos(2 * np.pi * 0.12 * t + 1)


def _write(path: Path, n: int, times: np.ndarray = TIMES, axis: int = 2) -> None:
    values = _signal(np.arange(n)[None] * TR + times[:, None])
    shape = [1, 1, 1, n]
    shape[axis] = len(times)
    data = np.broadcast_to(
        values.reshape(shape), (*SHAPE[:axis], len(times), *SHAPE[axis + 1 :], n)
    )
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([3.0, 3, 3, 1])), path)


def test_all_slices_show_one_moment(tmp_path):
    path = tmp_path / "bold.nii.gz"
    _write(path, 60)
    series = open_series(path)
    slices = slice_times(TIMES.tolist(), None, SHAPE, TR)
    assert isinstance(slices, SliceTimes)
    assert slices.reference == 0.9
    found = np.stack(list(CorrectedSeries(series, slices, TR, 0).volumes()))
    assert found.shape == (60, *SHAPE)
    due = _signal(np.arange(60) * TR + 0.9)[:, None]
    errors = np.abs(found[:, 0, 0] - due)
    raw = np.abs(np.stack(list(series.volumes()))[:, 0, 0] - due)
    # A thirtieth of the faster part; linear interpolation loses a quarter of it half-way.
    assert errors[8:-8].max() < 0.4
    assert raw[8:-8].max() > 10
    # At its ends there is only one side.
    assert errors.max() < 0.5 * raw.max()


def test_volumes_before_the_steady_state_lend_nothing(tmp_path):
    path = tmp_path / "bold.nii.gz"
    _write(path, 30)
    image = nib.load(path)
    data = np.asarray(image.dataobj)
    clean = tmp_path / "clean.nii.gz"
    nib.save(nib.Nifti1Image(data[..., 2:], image.affine), clean)
    bright = data.copy()
    bright[..., :2] += 5000
    nib.save(nib.Nifti1Image(bright, image.affine), path)
    slices = slice_times(TIMES.tolist(), None, SHAPE, TR)
    assert isinstance(slices, SliceTimes)
    found = np.stack(list(CorrectedSeries(open_series(path), slices, TR, 2).volumes()))
    alone = np.stack(list(CorrectedSeries(open_series(clean), slices, TR, 0).volumes()))
    np.testing.assert_array_equal(found[2:], alone)
    np.testing.assert_array_equal(found[:2], np.moveaxis(bright, -1, 0)[:2])


@pytest.mark.parametrize("n", [10, 12])
def test_short_runs_and_constants(tmp_path, n):
    path = tmp_path / "bold.nii.gz"
    data = np.full((*SHAPE, n), 700, np.int16)
    data[0, 0, 0, 0] = 0
    nib.save(nib.Nifti1Image(data, np.diag([3.0, 3, 3, 1])), path)
    slices = slice_times(TIMES.tolist(), "k", SHAPE, TR)
    assert isinstance(slices, SliceTimes)
    found = np.stack(list(CorrectedSeries(open_series(path), slices, TR, 0).volumes()))
    assert len(found) == n
    np.testing.assert_allclose(found[:, 1:], 700, rtol=1e-6)


def test_reversed_order_and_other_axes(tmp_path):
    times = np.linspace(0, 1.6, 9)
    _write(tmp_path / "bold.nii.gz", 40, times, axis=1)
    series = open_series(tmp_path / "bold.nii.gz")
    slices = slice_times(times[::-1].tolist(), "j-", SHAPE, TR)
    assert isinstance(slices, SliceTimes)
    assert slices.axis == 1
    found = np.stack(list(CorrectedSeries(series, slices, TR, 0).volumes()))
    due = _signal(np.arange(40) * TR + 0.8)[:, None]
    assert np.abs(found[:, 0, :, 0] - due)[8:-8].max() < 0.4


@pytest.mark.parametrize(
    ("stated", "direction", "reason"),
    [
        (None, None, "state no SliceTiming"),
        ([], None, "state no SliceTiming"),
        ("0, 1", None, "no list of numbers"),
        ([0.0, "1"], None, "no list of numbers"),
        ([0.0] * 9 + [float("nan")], None, "no list of numbers"),
        ([0.0] * 9 + [10**400], None, "no list of numbers"),
        ([0.0, 0.1], None, "2 times, the image 10 slices"),
        ((TIMES * 1000).tolist(), None, "are they in milliseconds"),
        ((TIMES * 1.5).tolist(), None, "times up to 2.7 s in a TR of 2 s"),
        ((TIMES - 0.1).tolist(), None, "a negative time"),
        ([0.5] * 10, None, "at once"),
        (TIMES.tolist(), "z", "not one of i, j, k"),
    ],
)
def test_wrong_times_are_not_used(stated, direction, reason):
    found = slice_times(stated, direction, SHAPE, TR)
    assert isinstance(found, str)
    assert reason in found
