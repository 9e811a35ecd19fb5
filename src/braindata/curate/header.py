"""What a BOLD image's header says, held against its sidecar."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from braindata.curate.plain_nifti import PlainHeader, read_plain_header
from braindata.errors import DataError, DoubtfulError

# Relative difference above which two repetition times contradict each other.
TR_TOLERANCE = 0.01
# Repetition times outside are no BOLD sequence in seconds (ms, or a placeholder).
TR_RANGE = (0.05, 30.0)
# Codes of units in a NIfTI header, and how many millimetres or seconds each is.
_MILLIMETRES = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}
_SECONDS = {0: 1.0, 8: 1.0, 16: 1e-3, 24: 1e-6}


@dataclass(frozen=True)
class BoldHeader:
    """What the header of a BOLD image says.

    Attributes
    ----------
    n_volumes : int
        Number of volumes.
    tr : float or None
        Repetition time in s as the header states it, None if it does not.
    shape : tuple of int
        Voxels along each axis.
    voxel_size : tuple of float
        Edges of a voxel in mm.
    """

    n_volumes: int
    tr: float | None
    shape: tuple[int, ...] = field(default=(), compare=False)
    voxel_size: tuple[float, ...] = field(default=(), compare=False)


def read_bold_header(path: Path) -> BoldHeader:
    """Read the header of a BOLD image; its data are not touched.

    Raises
    ------
    DataError
        When it is no 4D image with a usable affine.
    """
    plain = read_plain_header(path)
    found = _bold_header(plain) if plain is not None else None
    return _read_any_header(path) if found is None else found


def _bold_header(plain: PlainHeader) -> BoldHeader | None:
    """Return what a plain header says; None when it is no run's, or has other units."""
    length, time = _MILLIMETRES.get(plain.units % 8), _SECONDS.get(plain.units - plain.units % 8)
    if plain.shape[3] < 2 or length is None or time is None:
        return None
    return _header_of(plain.shape, plain.zooms, length, time)


def _header_of(
    shape: tuple[int, ...], zooms: tuple[float, ...], millimetres: float, seconds: float
) -> BoldHeader:
    return BoldHeader(
        int(shape[3]),
        float(zooms[3]) * seconds if zooms[3] > 0 else None,
        tuple(int(number) for number in shape[:3]),
        tuple(round(float(edge) * millimetres, 4) for edge in zooms[:3]),
    )


def _read_any_header(path: Path) -> BoldHeader:
    """Read the header of an image of any format and in any state (see `read_bold_header`)."""
    # Most data sets need neither of them, and both take long to import.
    import zlib

    import nibabel as nib
    import numpy as np
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image = nib.load(path)
        header, shape, affine = image.header, image.shape, image.affine
        length, units = header.get_xyzt_units()
    except (
        *(ImageFileError, HeaderDataError, EOFError, OSError, zlib.error),
        *(ValueError, KeyError, AttributeError),
    ) as error:
        raise DataError(
            f"the image cannot be opened ({error})",
            file=path,
            hint="is it truncated, or no NIfTI? fetch it again",
        ) from error
    if len(shape) != 4 or shape[3] < 2:
        raise DataError(
            f"the image has shape {'×'.join(map(str, shape))}; a BOLD run has four dimensions and "
            "several volumes",
            file=path,
            hint="a single volume is no run; rename it to _sbref if that is what it is",
        )
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise DataError(
            "the affine in its header is singular: voxels have no place in space",
            file=path,
            hint="convert the image again from DICOM",
        )
    seconds = {"msec": 1e-3, "usec": 1e-6}.get(units, 1.0)
    millimetres = {"meter": 1e3, "micron": 1e-3}.get(length, 1.0)
    return _header_of(shape, header.get_zooms(), millimetres, seconds)


def check_tr(header: BoldHeader, metadata: dict[str, Any], path: Path) -> float:
    """Return the repetition time in s, from the sidecar if it has one.

    Parameters
    ----------
    header : BoldHeader
        Of the image.
    metadata : dict
        Of all sidecars that apply.
    path : Path
        The file that is at fault when it is wrong: the one that states it.

    Raises
    ------
    DataError
        When there is none, or it is not plausible.
    """
    stated = metadata.get("RepetitionTime")
    if stated is not None and (isinstance(stated, bool) or not isinstance(stated, int | float)):
        raise DataError(
            f"RepetitionTime is {stated!r}, not a number of seconds",
            file=path,
            hint="in JSON a number has no quotation marks",
        )
    try:
        tr = header.tr if stated is None else float(stated)
    except OverflowError:
        tr = math.inf
    if tr is None:
        raise DataError(
            "neither the sidecar nor the header states a repetition time",
            file=path,
            hint="add RepetitionTime (s) to the sidecar",
        )
    if not TR_RANGE[0] <= tr <= TR_RANGE[1]:
        raise DataError(
            f"a repetition time of {tr:g} s is not plausible",
            file=path,
            hint="RepetitionTime is in seconds; is this milliseconds?",
        )
    return tr


def stated_tr(metadata: dict[str, Any]) -> float | None:
    """Return the repetition time in s of the sidecars, where it is one; no image is needed."""
    stated = metadata.get("RepetitionTime")
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        return None
    return float(stated) if TR_RANGE[0] <= stated <= TR_RANGE[1] else None


def require_same_tr(header: BoldHeader, tr: float, path: Path) -> None:
    """Check that the header states the repetition time that counts, or none.

    Raises
    ------
    DoubtfulError
        When they contradict each other; `path` is the file that states what counts.
    """
    if header.tr is not None and abs(header.tr - tr) > TR_TOLERANCE * tr:
        raise DoubtfulError(
            f"the sidecar states a repetition time of {tr:g} s, the header {header.tr:g} s",
            file=path,
            hint="find out which one is right and correct the other; where it is the sidecar, "
            "`include` in the exclusions brings it back",
        )
