"""Reading against nibabel, writing the same bytes, and every kind of bad image."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from braindata.errors import DataError
from braindata.fmri.images import (
    Image,
    inverse,
    load_volume,
    open_series,
    write_series,
    write_volume,
)
from braindata.fmri.interpolation import sample_cubic, spline_coefficients

AFFINE = np.array([[-3.0, 0, 0.2, 30], [0.1, 3, 0, -40], [0, 0, 3.3, -20], [0, 0, 0, 1]])
SHAPE = (10, 9, 8, 12)


def _data() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2000, SHAPE).astype(np.int16)


def _save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.mark.parametrize("name", ["bold.nii", "bold.nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_volumes_equal_what_nibabel_reads(tmp_path, name, order):
    data = _data()
    image = nib.Nifti1Image(data, AFFINE, nib.Nifti1Header(endianness=order))
    image.header.set_slope_inter(0.5, 3.0)
    nib.save(image, tmp_path / name)
    series = open_series(tmp_path / name)
    expected = nib.load(tmp_path / name)
    np.testing.assert_allclose(series.affine, expected.affine)
    np.testing.assert_allclose(
        np.stack(list(series.volumes()), axis=-1), expected.get_fdata(), rtol=1e-6
    )


def test_written_series_reads_back_and_its_bytes_depend_on_nothing_else(tmp_path):
    data = _data()
    paths = [tmp_path / "a" / "one.nii.gz", tmp_path / "b" / "another.nii.gz"]
    for path in paths:
        with write_series(
            path, SHAPE, AFFINE, np.int16, space_code=4, tr=1.5, slope=0.25
        ) as writer:
            for volume in np.moveaxis(data, -1, 0):
                writer.append(volume)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    # Flags (no name) and time stamp of the gzip header.
    assert paths[0].read_bytes()[3:8] == bytes(5)
    image = nib.load(paths[0])
    np.testing.assert_allclose(image.get_fdata(), data * 0.25)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    assert image.header.get_zooms()[3] == 1.5
    assert image.header.get_xyzt_units() == ("mm", "sec")
    assert image.header["sform_code"] == 4


def test_a_killed_write_leaves_nothing(tmp_path):
    path = tmp_path / "x.nii.gz"
    with (
        pytest.raises(RuntimeError, match="stop"),
        write_series(path, SHAPE, AFFINE, np.int16, space_code=1),
    ):
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_floats_are_scaled_into_integers(tmp_path):
    data = np.random.default_rng(0).normal(0, 50, SHAPE[:3]).astype(np.float32)
    path = write_volume(tmp_path / "x.nii.gz", data, AFFINE, np.int16, space_code=1)
    np.testing.assert_allclose(nib.load(path).get_fdata(), data, atol=np.abs(data).max() / 30000)


def _truncated(path: Path) -> Path:
    _save(path, _data())
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def _damaged(path: Path) -> Path:
    _save(path, _data())
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 0xFF  # the checksum
    path.write_bytes(bytes(raw))
    return path


def _with_nan(path: Path) -> Path:
    data = _data().astype(np.float32)
    data[1, 2, 3, 5] = np.nan
    return _save(path, data)


def _with_infinity(path: Path) -> Path:
    data = _data().astype(np.float32)
    data[1, 2, 3, 5] = np.inf
    return _save(path, data)


def _not_nifti(path: Path) -> Path:
    path.write_bytes(gzip.compress(b"no image"))
    return path


def _nowhere(path: Path) -> Path:
    image = nib.Nifti1Image(_data(), None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, path)
    return path


def _singular(path: Path) -> Path:
    image = nib.Nifti1Image(_data(), AFFINE)
    image.set_qform(None, code=0)
    image.set_sform(np.diag([3.0, 3, 0, 1]), code=1)
    nib.save(image, path)
    return path


def _boundless(path: Path, *, volumes: int = 100) -> Path:
    """A header that states more than could be in the file, or in memory."""
    _save(path, _data())
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[40:56] = np.array([4, 20000, 20000, 20000, volumes, 1, 1, 1], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(raw)))
    return path


def _two_affines(path: Path, *, reverse: bool) -> Path:
    """sform and qform that have left and right, or the size of voxels, differently."""
    image = nib.Nifti1Image(_data(), AFFINE)
    image.set_sform(AFFINE, code=1)
    other = np.diag([-1.0, 1, 1, 1]) @ AFFINE if reverse else AFFINE @ np.diag([1, 1, 1.2, 1])
    image.set_qform(other, code=1)
    nib.save(image, path)
    return path


BAD_SERIES = {
    "left is right": (lambda path: _two_affines(path, reverse=True), "reversed"),
    "two sizes": (lambda path: _two_affines(path, reverse=False), "contradict each other: voxels"),
    "boundless": (_boundless, "read to its end"),
    "truncated": (_truncated, "read to its end"),
    "checksum": (_damaged, "read to its end"),
    "nan": (_with_nan, "volume 5 holds NaN"),
    "infinite": (_with_infinity, "volume 5 holds NaN"),
    "no nifti": (_not_nifti, "no readable NIfTI"),
    "missing": (lambda path: path, "no readable NIfTI"),
    "3D": (lambda path: _save(path, _data()[..., 0]), "needs 4 dimensions"),
    "short": (lambda path: _save(path, _data()[..., :9]), "9 volumes"),
    "complex": (lambda path: _save(path, _data().astype(np.complex64)), "no magnitudes"),
    "thin": (lambda path: _save(path, _data()[:, :, :2]), "too small"),
    "no orientation": (_nowhere, "left and right are unknown"),
    "zero affine": (_singular, "singular"),
    "huge voxels": (lambda path: _save(path, _data(), np.diag([300, 3, 3, 1])), "voxel sizes"),
}


@pytest.mark.parametrize("kind", BAD_SERIES)
def test_bad_series(tmp_path, kind):
    make, problem = BAD_SERIES[kind]
    path = make(tmp_path / "bold.nii.gz")
    with pytest.raises(DataError, match=problem) as caught:
        list(open_series(path).volumes())
    assert caught.value.file == str(path)


BAD_VOLUMES = {
    "boundless": (lambda path: _boundless(path, volumes=1), "read to its end"),
    "truncated": (_truncated, "dimensions|read to its end"),
    "4D": (lambda path: _save(path, _data()), "needs 3 dimensions"),
    "constant": (lambda path: _save(path, np.full(SHAPE[:3], 7, np.int16)), "constant"),
    "nan": (lambda path: _save(path, np.full(SHAPE[:3], np.nan, np.float32)), "NaN"),
}


@pytest.mark.parametrize("kind", BAD_VOLUMES)
def test_bad_volumes(tmp_path, kind):
    make, problem = BAD_VOLUMES[kind]
    with pytest.raises(DataError, match=problem):
        load_volume(make(tmp_path / "T1w.nii.gz"))


def test_a_truncated_volume(tmp_path):
    path = _save(tmp_path / "T1w.nii.gz", _data()[..., 0])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="read to its end"):
        load_volume(path)


def test_an_image_that_compresses_well_is_read(tmp_path):
    data = np.zeros((100, 100, 100, 10), np.int16)
    data[50, 50, 50] = 1
    path = tmp_path / "bold.nii.gz"
    path.write_bytes(gzip.compress(_save(tmp_path / "bold.nii", data).read_bytes()))
    assert data.nbytes > 800 * path.stat().st_size
    assert len(list(open_series(path).volumes())) == 10


def test_a_volume_with_an_empty_fourth_dimension_is_3d(tmp_path):
    path = _save(tmp_path / "T1w.nii.gz", _data()[..., :1])
    np.testing.assert_array_equal(load_volume(path).data, _data()[..., 0])


def test_an_sform_from_a_later_registration_counts(tmp_path):
    turn = Rotation.from_euler("x", 20, degrees=True).as_matrix()
    sform = AFFINE.copy()
    sform[:3, :3] = turn @ AFFINE[:3, :3]
    sform[:3, 3] += 12
    image = nib.Nifti1Image(_data(), sform)
    image.set_sform(sform, code=2)
    image.set_qform(AFFINE, code=1)
    nib.save(image, tmp_path / "bold.nii.gz")
    np.testing.assert_allclose(open_series(tmp_path / "bold.nii.gz").affine, sform, atol=1e-5)


@given(
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.booleans()] * 3),
    angles=st.tuples(*[st.floats(-25, 25)] * 3),
)
@settings(max_examples=25)
def test_how_an_image_is_stored_changes_nothing(order, flips, angles):
    """Oblique, left-handed and with its axes in any order: the same place has the same value."""
    affine = AFFINE.copy()
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ AFFINE[:3, :3]
    data = _data()[..., 0].astype(np.float32)
    stored = np.transpose(data, order)
    to_original = np.eye(4)[:, [*order, 3]]
    for axis, flip in enumerate(flips):
        if flip:
            stored = np.flip(stored, axis)
            back = np.eye(4)
            back[axis, axis], back[axis, 3] = -1, stored.shape[axis] - 1
            to_original = to_original @ back
    again = Image(np.ascontiguousarray(stored), affine @ to_original)
    points = np.random.default_rng(1).uniform(1, 6, (50, 3)) @ affine[:3, :3].T + affine[:3, 3]
    values = []
    for image in (Image(data, affine), again):
        result = np.empty(len(points), np.float32)
        sample_cubic(spline_coefficients(image.data), inverse(image.affine), points, 0.0, result)
        values.append(result)
    np.testing.assert_allclose(values[0], values[1], atol=0.05)
    np.testing.assert_allclose(np.prod(again.zooms), np.prod(Image(data, affine).zooms))
