"""Streaming an image, against nibabel."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindata.errors import DamageError
from braindata.pack.volumes import open_volumes

DTYPES = ["uint8", "int16", "uint16", "int32", "float32", "float64", ">i2", ">f4"]


def write_image(
    path: Path,
    dtype: str,
    shape: tuple[int, ...] = (4, 5, 3, 6),
    scaling: tuple[float, float] | None = None,
    seed: int = 0,
) -> Path:
    numbers = np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    image = nib.Nifti1Image(numbers, np.diag([-2.0, 2.0, 3.0, 1.0]), header)
    image.header.set_data_dtype(numbers.dtype)
    if scaling:
        # Not `set_slope_inter` alone: nibabel would scale the numbers back when it writes.
        image.header.set_slope_inter(*scaling)
        image.dataobj[...] = numbers
    image.to_filename(path)
    return path


@settings(max_examples=40)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(*[st.integers(1, 6)] * 4),
    scaled=st.booleans(),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
)
def test_volumes_equal_nibabel(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    shape: tuple[int, ...],
    scaled: bool,
    suffix: str,
) -> None:
    folder = tmp_path_factory.mktemp("image")
    path = write_image(folder / f"a{suffix}", dtype, shape, (0.25, -3.0) if scaled else None)
    expected = nib.load(path)
    volumes = open_volumes(path)
    assert (*volumes.shape, volumes.n_volumes) == expected.shape == shape
    np.testing.assert_array_equal(volumes.affine, expected.affine)
    scale = (volumes.slope, volumes.intercept)
    assert scale == (expected.dataobj.slope, expected.dataobj.inter)
    read = [volume.reshape(volumes.shape, order="F").copy() for volume in volumes]
    np.testing.assert_array_equal(np.stack(read, -1), expected.dataobj.get_unscaled())
    assert read[0].dtype == volumes.dtype == np.dtype(dtype)
    scaled_back = np.stack(read, -1) * volumes.slope + volumes.intercept
    np.testing.assert_allclose(scaled_back, expected.get_fdata())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_damage(tmp_path: Path, share: float) -> None:
    path = write_image(tmp_path / "a.nii.gz", "int16", (20, 20, 20, 8))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DamageError, match="cannot be read") as raised:
        for _ in open_volumes(path):
            pass
    assert raised.value.file == str(path)


def test_a_flipped_byte_is_damage(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.nii.gz", "int16", (20, 20, 20, 8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(DamageError, match="cannot be read"):
        for _ in open_volumes(path):
            pass


def test_an_uncompressed_file_that_ends_early_is_damage(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.nii", "int16")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamageError, match="ends before its last volume"):
        list(open_volumes(path))


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5, 3, 2, 1)])
def test_another_number_of_dimensions_is_damage(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = write_image(tmp_path / "a.nii.gz", "int16", shape)
    with pytest.raises(DamageError, match="four dimensions"):
        open_volumes(path)


def test_colours_and_complex_numbers_are_refused(tmp_path: Path) -> None:
    numbers = np.zeros((2, 2, 2, 2), np.complex64)
    nib.Nifti1Image(numbers, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    with pytest.raises(DamageError, match="no numbers"):
        open_volumes(tmp_path / "a.nii.gz")


def test_what_is_no_image_is_damage(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"no image"))
    for name in ("a.nii.gz", "missing.nii.gz"):
        with pytest.raises(DamageError, match="cannot be read"):
            open_volumes(tmp_path / name)


@pytest.mark.parametrize(
    ("where", "value"),
    [(70, struct.pack("<h", 9999)), (116, struct.pack("<f", np.inf)), (42, struct.pack("<h", -2))],
    ids=["type", "intercept", "dimension"],
)
def test_a_header_that_says_nonsense_is_damage(tmp_path: Path, where: int, value: bytes) -> None:
    path = write_image(tmp_path / "a.nii", "int16", (2, 2, 2, 3))
    contents = bytearray(path.read_bytes())
    contents[where : where + len(value)] = value
    path.write_bytes(contents)
    with pytest.raises(DamageError):
        open_volumes(path)
