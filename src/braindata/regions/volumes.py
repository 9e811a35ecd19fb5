"""Images that regions are made from: read, checked, and sampled at points."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray
from scipy import ndimage

from braindata.errors import BraindataError, DamageError, UsageError

# Of an index: what rounding leaves of a point that lies exactly on, or half-way between, voxels.
_DECIMALS = 9
_GZIP = b"\x1f\x8b"
_MOST = 2.0**53
# What nibabel raises for a file that is no NIfTI image, or not all of one.
NIFTI_ERRORS = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    WrapStructError,
    OSError,
    EOFError,
    ValueError,
    zlib.error,
)


@dataclass(frozen=True)
class Volume:
    """An image.

    Attributes
    ----------
    data : ndarray, shape (nx, ny, nz) or (nx, ny, nz, n_maps)
        Its values.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.
    """

    data: NDArray[Any]
    affine: NDArray[np.float64]

    def sample(
        self, points: NDArray[np.float64], *, order: Literal[0, 1], map_index: int | None = None
    ) -> NDArray[np.float64]:
        """Return the values at points, as nilearn's `resample_img` does.

        Parameters
        ----------
        points : ndarray, shape (n_points, 3)
            In mm.
        order : {0, 1}
            The nearest voxel's value, or linear interpolation.
        map_index : int, optional
            Which map of a 4D image.

        Returns
        -------
        ndarray of float64, shape (n_points,)
            0 outside the centres of the image's outermost voxels.
        """
        inverse = np.linalg.inv(self.affine)
        indices = np.round(points @ inverse[:3, :3].T + inverse[:3, 3], _DECIMALS)
        data = self.data if map_index is None else self.data[..., map_index]
        values: NDArray[np.float64] = ndimage.map_coordinates(
            data, indices.T, np.float64, order=order, mode="constant", cval=0.0, prefilter=False
        )
        return values

    def box(self, inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the corners in mm of a box around voxels, one voxel wider on each side."""
        indices = np.argwhere(inside)
        low, high = indices.min(axis=0) - 1, indices.max(axis=0) + 1
        corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1)
        placed = self.affine[:3, :3] @ corners + self.affine[:3, 3:]
        return placed.min(axis=1), placed.max(axis=1)

    def center_of_mass(self, map_index: int) -> tuple[float, float, float] | None:
        """Return the mean position in mm of a map of a 4D image, by its values above 0."""
        weights = np.clip(self.data[..., map_index], 0, None)
        if not weights.any():
            return None
        places = np.argwhere(weights) @ self.affine[:3, :3].T + self.affine[:3, 3]
        x, y, z = np.average(places, axis=0, weights=weights[weights > 0]).tolist()
        return x, y, z


def read_volume(path: Path, sha256: str) -> Volume:
    """Read the image of an atlas or a mask.

    Parameters
    ----------
    path : Path
        A NIfTI, compressed or not.
    sha256 : str
        Hash of its contents.

    Returns
    -------
    Volume
        Whole numbers as int64, others as float32; not writable.

    Raises
    ------
    DamageError
        When the contents are not those of the hash.
    UsageError
        When it is no NIfTI, holds NaN or infinity, or is empty; when its affine cannot be
        inverted.
    """
    return _read(path, sha256)


@lru_cache(maxsize=2)
def _read(path: Path, sha256: str) -> Volume:
    image = open_nifti(path, sha256)
    try:
        data = np.asarray(image.dataobj)
    except (*NIFTI_ERRORS, TypeError, MemoryError) as error:
        raise UsageError(f"its voxels cannot be read ({error})", file=path) from error
    if data.dtype.kind not in "iufb":
        raise UsageError(
            "its voxels are colours or complex numbers",
            file=path,
            hint="save it as an image of plain numbers",
        )
    affine = np.array(image.affine, np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise UsageError(
            "its affine cannot be inverted, so nobody knows where its voxels are",
            file=path,
            hint="save the image anew with a correct affine",
        )
    if not np.isfinite(data).all():
        raise UsageError(
            "it holds NaN or infinity",
            file=path,
            hint="replace them by 0 where the region is not, and save the image anew",
        )
    if not data.any():
        raise UsageError("all of its voxels are 0", file=path, hint="is it the right image?")
    # Numbers that 64-bit integers hold and floats count one by one.
    whole = float(np.abs(data).max()) < _MOST and bool((data == np.round(data)).all())
    with np.errstate(over="ignore", under="ignore"):
        kept: NDArray[Any] = data.astype(np.int64 if whole else np.float32)
    if not np.isfinite(kept).all() or not kept.any():
        raise UsageError(
            "its values are too large or too small",
            file=path,
            hint="scale them: weights count in relation to each other only",
        )
    kept.setflags(write=False)
    return Volume(kept, affine)


def open_nifti(path: Path, sha256: str) -> nib.Nifti1Image:
    """Open a NIfTI whose contents are known by their hash.

    Raises
    ------
    DamageError
        When the contents are not those of the hash.
    UsageError
        When it is no NIfTI.
    """
    contents = read_bytes(path, sha256)
    try:
        raw = gzip.decompress(contents) if contents.startswith(_GZIP) else contents
        image: nib.Nifti1Image = nib.Nifti1Image.from_bytes(raw)
        return image
    except NIFTI_ERRORS as error:
        raise UsageError(f"this is no NIfTI image ({error})", file=path) from error


def read_bytes(path: Path, sha256: str) -> bytes:
    """Read a file whose contents are known by their hash.

    Raises
    ------
    BraindataError
        When it cannot be read.
    DamageError
        When the contents are others.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise BraindataError(
            f"the region file cannot be read ({error.strerror})", file=path
        ) from error
    if hashlib.sha256(contents).hexdigest() != sha256:
        raise damaged(path)
    return contents


def damaged(path: Path) -> DamageError:
    """Return the error that a file's contents are not those of its hash."""
    return DamageError(
        "the region file's contents are not what they were: altered, or cut off",
        file=path,
        hint="delete it and run again: it is copied or fetched anew",
    )
