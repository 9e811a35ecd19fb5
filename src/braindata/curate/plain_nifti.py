"""The header of a NIfTI-1 image in which nothing is odd, read without a library.

A corpus has ten thousands of images whose headers are in perfect order; nibabel takes ten times as
long for each. Whatever is not plain is left to nibabel, which mends or refuses it.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

# https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h: the header, and the four bytes after it
# that say whether there are extensions.
_LENGTH = 352
_SINGLE_FILE = b"n+1\x00"
# Bits of a voxel by data type.
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32}
_TRANSFORM_CODES = range(6)
# Enough of a compressed file for its header.
_START = 4096
# `determinant` below is not numpy's to the last bit: where that could matter it is nibabel's turn.
_LEAST_DETERMINANT = 1e-5
# FreeSurfer's surfaces have this shape instead of theirs.
_SURFACE = (27307, 1, 6)


@dataclass(frozen=True)
class PlainHeader:
    """What the header of a plain image of four dimensions says.

    Attributes
    ----------
    shape : tuple of int
        Voxels along each axis, and volumes.
    zooms : tuple of float
        Edges of a voxel and time between volumes, in the image's own units.
    units : int
        Code of those units (`xyzt_units`).
    """

    shape: tuple[int, ...]
    zooms: tuple[float, ...]
    units: int


def read_plain_header(path: Path) -> PlainHeader | None:
    """Return the header of a little-endian 4D image with an affine; None of any other file."""
    start = _start(path)
    if start is None or len(start) < _LENGTH:
        return None
    length, *dim = struct.unpack_from("<i36x8h", start)
    datatype, bitpix = struct.unpack_from("<2h", start, 70)
    pixdim = struct.unpack_from("<9f", start, 76)
    qform, sform = struct.unpack_from("<2h", start, 252)
    affine = struct.unpack_from("<12f", start, 280)
    shape = tuple(dim[1:5])
    plain = (
        length == 348
        and start[344:348] == _SINGLE_FILE
        and start[348:352] == bytes(4)
        and dim[0] == 4
        and min(shape) > 0
        and shape[:3] != _SURFACE
        and _BITS.get(datatype) == bitpix
        and all(map(math.isfinite, (*pixdim, *affine)))
        and pixdim[0] in (-1, 1)
        and min(pixdim[1:4]) > 0
        and pixdim[8] == _LENGTH
        and qform in _TRANSFORM_CODES
        and sform in _TRANSFORM_CODES
        and sform != 0
        and abs(_determinant(affine)) > _LEAST_DETERMINANT
    )
    return PlainHeader(shape, tuple(pixdim[1:5]), start[123]) if plain else None


def _start(path: Path) -> bytes | None:
    try:
        with path.open("rb", buffering=0) as handle:
            start = handle.read(_START)
        if path.name.endswith(".gz"):
            return zlib.decompressobj(wbits=31).decompress(start, _LENGTH)
    except (OSError, zlib.error):
        return None
    return start


def _determinant(rows: tuple[float, ...]) -> float:
    """Return that of the left 3 × 3 of an affine's upper three rows."""
    (a, b, c), (d, e, f), (g, h, i) = rows[0:3], rows[4:7], rows[8:11]
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
