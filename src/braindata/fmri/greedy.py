"""A thin wrapper around the registration tool greedy (package ``picsl-greedy``).

greedy's conventions, tested in tests/unit/test_fmri_greedy.py: an affine matrix maps fixed to
moving coordinates in mm, RAS+; a warp holds, for each voxel of the fixed grid, a displacement in mm
in LPS+ which is added to the fixed point *before* the matrix is applied.

References
----------
Yushkevich et al. 2016, doi:10.1016/j.jalz.2016.06.205
"""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from picsl_greedy import Greedy3D

from braindata.errors import BraindataError
from braindata.fmri.images import FloatArray, Image, Volume


@dataclass(frozen=True)
class Pair:
    """What is registered: `moving` to `fixed`, judged inside a mask of the fixed image.

    Attributes
    ----------
    fixed, moving : Image
        The images.
    mask : ndarray of bool
        On the grid of `fixed`.
    """

    fixed: Image
    moving: Image
    mask: NDArray[np.bool_]


def register_linear(
    pair: Pair, start: FloatArray, dof: Literal[6, 12], iterations: str, seed: int, scratch: Path
) -> FloatArray:
    """Register rigidly (6) or affinely (12) by normalised mutual information.

    Parameters
    ----------
    pair : Pair
        The images.
    start : ndarray of float64, shape (4, 4)
        Fixed to moving coordinates in mm, where to begin.
    dof : {6, 12}
        Degrees of freedom.
    iterations : str
        Iterations per level, coarsest first, such as ``"100x50"``.
    seed : int
        Of the jitter of greedy's sample points.
    scratch : Path
        Where temporary files go.

    Returns
    -------
    ndarray of float64, shape (4, 4)
        Fixed to moving coordinates in mm, RAS+.
    """
    with _working_folder(scratch) as here:
        np.savetxt(here / "start.mat", start, fmt="%.17g")
        _run(
            f"{_inputs(pair, seed, here)} -a -dof {dof} -m NMI -n {iterations} "
            f'-ia "{here}/start.mat" -o "{here}/result.mat"'
        )
        return _read_matrix(here / "result.mat")


def register_deformable(
    pair: Pair,
    affine: FloatArray,
    iterations: str,
    seed: int,
    scratch: Path,
    smoothing: str = "3vox 1vox",
) -> Volume:
    """Register by a diffeomorphic warp and local cross-correlation, after an affine.

    Parameters
    ----------
    pair, iterations, seed, scratch
        As in `register_linear`.
    affine : ndarray of float64, shape (4, 4)
        Fixed to moving coordinates in mm.
    smoothing : str
        Of the update and of the whole warp in each iteration, as greedy's ``-s`` has it.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz, 3)
        Displacement in mm, RAS+, of each voxel of the fixed grid, applied before `affine`.
    """
    with _working_folder(scratch) as here:
        np.savetxt(here / "affine.mat", affine, fmt="%.17g")
        # No noise and no rounding of the warp: both would differ between equal runs.
        _run(
            f"{_inputs(pair, seed, here)} -noise 0 -m NCC 2x2x2 -n {iterations} "
            f'-s {smoothing} -wp 0 -it "{here}/affine.mat" -o "{here}/warp.nii"'
        )
        warp = _read_warp(here / "warp.nii")
    return np.ascontiguousarray(warp * np.array([-1, -1, 1], np.float32))


@contextmanager
def _working_folder(scratch: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            yield Path(folder)
        except OSError as error:
            # A write on a full disk does not say where it was.
            error.filename = error.filename or folder
            raise


def _read_matrix(path: Path) -> FloatArray:
    matrix: FloatArray = np.array(path.read_text().split(), dtype=np.float64)
    if matrix.size != 16:
        raise _cut_off(path)
    return matrix.reshape(4, 4)


def _read_warp(path: Path) -> Volume:
    image = nib.load(path)
    if path.stat().st_size < image.dataobj.offset + 4 * np.prod(image.shape):
        raise _cut_off(path)
    warp: Volume = np.asarray(image.dataobj, dtype=np.float32)[:, :, :, 0, :]
    return warp


def _cut_off(path: Path) -> OSError:
    """Return an error for a file that greedy has not written to its end, without a word of it."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _inputs(pair: Pair, seed: int, folder: Path) -> str:
    images = {
        "fixed": pair.fixed,
        "moving": pair.moving,
        "mask": Image(pair.mask.astype(np.float32), pair.fixed.affine),
    }
    for name, image in images.items():
        # Plain NIfTI on scratch: greedy then reads exactly the affine that nibabel writes.
        nib.save(nib.Nifti1Image(image.data, image.affine), folder / f"{name}.nii")
    # To greedy the seed 0 means "another one each time".
    return (
        f'-d 3 -threads 1 -V 0 -seed {seed + 1} -i "{folder}/fixed.nii" "{folder}/moving.nii" '
        f'-gm "{folder}/mask.nii"'
    )


def _run(command: str) -> None:
    said = io.StringIO()
    try:
        with _silenced():
            Greedy3D().execute(command, said, said)
    except RuntimeError as error:
        raise BraindataError(f"greedy failed: {error}", hint=said.getvalue()[-500:]) from error


@contextmanager
def _silenced() -> Iterator[None]:
    """Discard what compiled code writes to standard output.

    greedy's optimiser reports there, past all options, that a line search ended early. That is how
    it stops when a better place cannot be found, and in a log it looks like a fault.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
