"""Reading, checking and writing NIfTI images, with bounded memory and the same bytes each time."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias, cast

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import DTypeLike, NDArray

from braindata.errors import DataError
from braindata.files import atomic_path

FloatArray: TypeAlias = NDArray[np.float64]
Volume: TypeAlias = NDArray[np.float32]

MINIMUM_VOLUMES = 10
# Below this an axis is no brain image; splines need a few voxels too.
MINIMUM_VOXELS = 8
# How many bytes one of gzip's holds at most, see "Maximum Compression Factor" in zlib's technical
# details.
DEFLATE_RATIO = 1032
VOXEL_SIZES_MM = (0.2, 20.0)
# sform and qform: axes within 60° of each other, voxels of the same size.
_LEAST_COSINE = 0.5
_SIZE_TOLERANCE = 0.05
_BROKEN = "the image cannot be read to its end"
_BROKEN_HINT = "fetch the file again: it is truncated or damaged"
_CONVERT_HINT = "convert it again from the scanner's files"
_READ_ERRORS = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Image:
    """A volume and where it lies.

    Attributes
    ----------
    data : ndarray of float32, shape (nx, ny, nz)
        The values.
    affine : ndarray of float64, shape (4, 4)
        Voxel indices to mm, RAS+.
    """

    data: Volume
    affine: FloatArray

    @property
    def zooms(self) -> FloatArray:
        """Voxel sizes in mm, shape (3,)."""
        return voxel_sizes(self.affine)


@dataclass(frozen=True)
class Series:
    """A 4D image on disk, read one volume at a time.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        Voxels along x, y and z.
    n_volumes : int
        Number of volumes.
    affine : ndarray of float64, shape (4, 4)
        Voxel indices to mm, RAS+.
    """

    path: Path
    shape: tuple[int, int, int]
    n_volumes: int
    affine: FloatArray
    _dtype: np.dtype[np.generic]
    _offset: int
    _slope: float
    _intercept: float

    @property
    def zooms(self) -> FloatArray:
        """Voxel sizes in mm, shape (3,)."""
        return voxel_sizes(self.affine)

    def volumes(self) -> Iterator[Volume]:
        """Yield each volume as float32, shape `shape`, in scaled units.

        Raises
        ------
        DataError
            When the file ends early, is damaged, or a volume holds NaN or infinite values.
        """
        size = int(np.prod(self.shape)) * self._dtype.itemsize
        try:
            with _open(self.path) as handle:
                if len(handle.read(self._offset)) < self._offset:
                    raise EOFError
                for number in range(self.n_volumes):
                    block = handle.read(size)
                    if len(block) < size:
                        raise EOFError
                    raw = np.frombuffer(block, self._dtype).reshape(self.shape, order="F")
                    volume = np.ascontiguousarray(raw, np.float32)
                    if (self._slope, self._intercept) != (1.0, 0.0):
                        volume = volume * np.float32(self._slope) + np.float32(self._intercept)
                    # The sum is finite only if every value is, and costs one pass.
                    if not np.isfinite(volume.sum(dtype=np.float64)):
                        raise DataError(
                            f"volume {number} holds NaN or infinite values",
                            file=self.path,
                            hint=_CONVERT_HINT,
                        )
                    yield volume
                # gzip checks its checksum only at the end of the stream.
                while handle.read(1 << 20):
                    pass
        except _READ_ERRORS as error:
            raise DataError(_BROKEN, file=self.path, hint=_BROKEN_HINT) from error


def voxel_sizes(affine: FloatArray) -> FloatArray:
    """Return the voxel sizes in mm, shape (3,), of an affine."""
    return cast(FloatArray, np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))


def inverse(matrix: FloatArray) -> FloatArray:
    """Return the inverse of an affine matrix."""
    return np.ascontiguousarray(np.linalg.inv(matrix), np.float64)


def open_series(path: Path) -> Series:
    """Open a BOLD image and check its header.

    Raises
    ------
    DataError
        When it is missing, damaged, not 4D, shorter than `MINIMUM_VOLUMES` or has an affine that
        places it nowhere.
    """
    image = _load(path)
    if len(image.shape) != 4:
        raise DataError(
            f"a BOLD image needs 4 dimensions, this one has {len(image.shape)}",
            file=path,
            hint="is it a single volume (_sbref)?",
        )
    if image.shape[3] < MINIMUM_VOLUMES:
        raise DataError(
            f"{image.shape[3]} volumes, at least {MINIMUM_VOLUMES} are needed",
            file=path,
            hint="was the scan broken off? then leave it out",
        )
    proxy = image.dataobj
    return Series(
        path=path,
        shape=_checked_shape(image.shape[:3], path),
        n_volumes=int(image.shape[3]),
        affine=_checked_affine(image, path),
        _dtype=_checked_dtype(image, path),
        _offset=int(proxy.offset),
        _slope=float(proxy.slope),
        _intercept=float(proxy.inter),
    )


def load_volume(path: Path) -> Image:
    """Load a 3D image and check it.

    Raises
    ------
    DataError
        When it is missing, damaged, not 3D, constant, not finite or has an affine that places it
        nowhere.
    """
    image = _load(path)
    shape = tuple(image.shape)
    if len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != 3:
        raise DataError(
            f"a T1w image needs 3 dimensions, this one has {len(shape)}",
            file=path,
            hint="keep one volume of it",
        )
    _checked_dtype(image, path)
    affine = _checked_affine(image, path)
    try:
        data = np.asarray(image.dataobj, dtype=np.float32).reshape(_checked_shape(shape, path))
    except (*_READ_ERRORS, ValueError) as error:
        raise DataError(_BROKEN, file=path, hint=_BROKEN_HINT) from error
    if not np.isfinite(data.sum(dtype=np.float64)):
        raise DataError("the image holds NaN or infinite values", file=path, hint=_CONVERT_HINT)
    if data.min() == data.max():
        raise DataError("the image is constant", file=path, hint=_CONVERT_HINT)
    return Image(np.ascontiguousarray(data), affine)


def _load(path: Path) -> nib.Nifti1Image:
    try:
        image = nib.load(path)
    except (ImageFileError, HeaderDataError, ValueError, KeyError, *_READ_ERRORS) as error:
        raise DataError(
            f"this is no readable NIfTI image ({error})", file=path, hint=_BROKEN_HINT
        ) from error
    if not isinstance(image, nib.Nifti1Image):
        raise DataError(
            "this is no NIfTI image in one file", file=path, hint="convert it to .nii.gz"
        )
    _check_size(image, path)
    return image


def _check_size(image: nib.Nifti1Image, path: Path) -> None:
    """Refuse an image that cannot be in its file, before memory is asked for."""
    stated = math.prod(map(int, image.shape)) * image.get_data_dtype().itemsize
    there = path.stat().st_size * (DEFLATE_RATIO if path.name.endswith(".gz") else 1)
    if stated > there:
        raise DataError(_BROKEN, file=path, hint=_BROKEN_HINT)


def _checked_shape(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    if min(shape) < MINIMUM_VOXELS:
        raise DataError(
            f"a grid of {'×'.join(map(str, shape))} voxels is too small for a brain",
            file=path,
            hint="convert it again: is it a part of the image, or a localiser?",
        )
    return (int(shape[0]), int(shape[1]), int(shape[2]))


def _checked_dtype(image: nib.Nifti1Image, path: Path) -> np.dtype[np.generic]:
    dtype: np.dtype[np.generic] = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise DataError(
            f"data of type {dtype} are no magnitudes",
            file=path,
            hint="convert the magnitude part of the image",
        )
    return dtype


def _checked_affine(image: nib.Nifti1Image, path: Path) -> FloatArray:
    hint = "repair sform or qform from the scanner's files"
    header = image.header
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        raise DataError(
            "neither sform nor qform is set: left and right are unknown", file=path, hint=hint
        )
    affine = np.array(image.affine, np.float64)
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3], tol=1e-6) < 3:
        raise DataError("the affine is singular", file=path, hint=hint)
    zooms = voxel_sizes(affine)
    if zooms.min() < VOXEL_SIZES_MM[0] or zooms.max() > VOXEL_SIZES_MM[1]:
        raise DataError(f"voxel sizes of {zooms.round(3)} mm", file=path, hint=hint)
    if header["sform_code"] > 0 and header["qform_code"] > 0:
        _require_agreement(affine, header, path, hint)
    return affine


def _require_agreement(sform: FloatArray, header: nib.Nifti1Header, path: Path, hint: str) -> None:
    """Refuse an image whose two affines send its axes different ways, or scale them differently.

    Where they lie elsewhere or are slightly turned, the sform, which counts, is of a later
    registration; registration here begins from several places anyway.
    """
    try:
        qform = np.array(header.get_qform(), np.float64)
    except HeaderDataError:
        return
    sizes = voxel_sizes(sform), voxel_sizes(qform)
    directions = [form[:3, :3] / size for form, size in zip((sform, qform), sizes, strict=True)]
    if (directions[0] * directions[1]).sum(axis=0).min() < _LEAST_COSINE:
        raise DataError(
            "sform and qform contradict each other: one of them has an axis of the image reversed "
            "or swapped with another",
            file=path,
            hint=hint,
        )
    if np.abs(sizes[0] / sizes[1] - 1.0).max() > _SIZE_TOLERANCE:
        raise DataError(
            f"sform and qform contradict each other: voxels of {sizes[0].round(3)} and "
            f"{sizes[1].round(3)} mm",
            file=path,
            hint=hint,
        )


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        if path.name.endswith(".gz"):
            with gzip.GzipFile(fileobj=raw, mode="rb") as handle:
                yield cast(IO[bytes], handle)
        else:
            yield raw


class VolumeWriter:
    """Appends volumes to an open NIfTI file; made by `write_series`."""

    def __init__(self, handle: IO[bytes], dtype: np.dtype[np.generic]):
        self._handle = handle
        self._dtype = dtype

    def append(self, volume: NDArray[np.generic]) -> None:
        """Write one volume of stored (unscaled) values."""
        self._handle.write(np.asarray(volume, self._dtype).tobytes(order="F"))


@contextmanager
def write_series(
    path: Path,
    shape: tuple[int, ...],
    affine: FloatArray,
    dtype: DTypeLike,
    *,
    space_code: int,
    tr: float | None = None,
    slope: float = 1.0,
    intent: str | None = None,
) -> Iterator[VolumeWriter]:
    """Write a ``.nii.gz`` volume by volume, atomically, with the same bytes each time.

    Parameters
    ----------
    path : Path
        Where to; must end in ``.nii.gz``.
    shape : tuple of int
        Shape of the whole image.
    affine : ndarray of float64, shape (4, 4)
        Voxel indices to mm, RAS+.
    dtype : dtype
        How values are stored.
    space_code : int
        NIfTI code of the space: 1 scanner, 4 MNI152.
    tr : float, optional
        Repetition time in s.
    slope : float
        Stored value to value.
    intent : str, optional
        NIfTI intent, such as ``"vector"``.

    Yields
    ------
    VolumeWriter
        To which the volumes are appended.
    """
    stored = np.dtype(dtype).newbyteorder("<")
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(stored)
    header.set_data_shape(shape)
    header.set_qform(affine, code=space_code)
    header.set_sform(affine, code=space_code)
    header.set_xyzt_units("mm", "sec")
    if tr is not None:
        header["pixdim"][4] = tr
    if intent is not None:
        header.set_intent(intent)
    header.set_slope_inter(slope, 0.0)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    # No file name and no time in the gzip header: same images, same bytes.
    with (
        atomic_path(path) as part,
        part.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as handle,
    ):
        stream = cast(IO[bytes], handle)
        stream.write(header.binaryblock + b"\0\0\0\0")
        yield VolumeWriter(stream, stored)


def write_volume(
    path: Path,
    data: NDArray[np.generic],
    affine: FloatArray,
    dtype: DTypeLike,
    *,
    space_code: int,
    intent: str | None = None,
) -> Path:
    """Write one image as ``.nii.gz`` (see `write_series`) and return its path.

    Integer types are scaled when `data` are floats, so that the largest value fills their range.
    """
    slope = 1.0
    stored: NDArray[np.generic] = np.asarray(data)
    if stored.dtype.kind == "f" and np.dtype(dtype).kind in "iu":
        values = np.asarray(data, np.float32)
        slope = full_scale(float(np.abs(values).max()))
        stored = np.rint(values / np.float32(slope))
    with write_series(
        path, stored.shape, affine, dtype, space_code=space_code, slope=slope, intent=intent
    ) as writer:
        writer.append(stored)
    return path


def full_scale(largest: float) -> float:
    """Return the slope with which int16 holds values up to `largest`, with some headroom."""
    return float(np.float32(largest / 32000.0)) if largest > 0 else 1.0
