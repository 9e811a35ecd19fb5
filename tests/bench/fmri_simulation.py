"""A simulated person for the fMRI bench: every transform is known.

The person is nilearn's template under a random affine and warp, with skull and scalp. Its EPI is
made of tissue fractions that are read off the template's *intensities*; the chain, which knows the
template's *probability* maps, is not given what the EPI was made of. Nothing here uses
`braindata.fmri`, whose transforms and interpolation are what is measured.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from braindata.phantom.anatomy import Warp, head_grid, random_warp, structural, template
from braindata.phantom.parameters import PhantomParameters
from braindata.phantom.sampling import sample_spline
from braindata.phantom.scan import random_motion, random_pose, rigid

Array = NDArray[np.float64]

SHAPE = (64, 64, 36)
VOXEL = (3.0, 3.0, 3.5)
TR = 2.0
# T2*-weighted intensities; grey matter is 1.
WHITE, FLUID, SKULL, SCALP = 0.8, 1.3, 0.02, 0.35
TSNR = 80.0
DRIFT = 0.01
LARGEST_MOTION = 3.0
_HEAD_VOXEL = 1.5
# What the EPI's resolution leaves of detail, mm.
_BLUR_FWHM = 3.0
# Where the sinuses and the ear canals take the signal: template mm, radius (standard deviation).
DROPOUTS = (((0, 36, -22), 13.0), ((-46, -28, -26), 9.0), ((46, -28, -26), 9.0))


@dataclass(frozen=True)
class Simulation:
    """A run with its T1w image, and the truth.

    Attributes
    ----------
    bold, t1w : Path
        The images.
    warp : Warp
        From the T1w image's coordinates to the template's, mm.
    poses : ndarray, shape (n_volumes, 4, 4)
        From the T1w image's coordinates to each volume's, mm.
    """

    bold: Path
    t1w: Path
    warp: Warp
    poses: Array


def epi_affine() -> Array:
    """Return an oblique grid, stored left to right reversed, as scanners store it."""
    turn = Rotation.from_euler("xyz", [-14.0, 2.0, -3.0], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-VOXEL[0], VOXEL[1], VOXEL[2]])
    affine[:3, 3] = np.array([0.0, -20.0, 10.0]) - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


def simulate(folder: Path, seed: int, n_volumes: int, dropout: bool) -> Simulation:
    """Make a person and a run.

    Parameters
    ----------
    folder : Path
        Where to.
    seed : int
        Of everything.
    n_volumes : int
        Volumes of the run.
    dropout : bool
        Whether the signal is lost above sinuses and ear canals.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 2009])
    warp = random_warp(rng, PhantomParameters())
    image, affine = structural(warp, rng, 1.0)
    t1w = folder / "sub-01_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.rint(image).astype(np.int16), affine), t1w)
    head, active, head_affine = _epi_head(warp, dropout)
    motion = np.stack([rigid(one) for one in random_motion(rng, n_volumes, LARGEST_MOTION)])
    poses = motion @ rigid(random_pose(rng, 4.0, 3.0))
    bold = folder / "sub-01_task-bench_bold.nii.gz"
    _scan(bold, head, active, head_affine, poses, rng)
    return Simulation(bold, t1w, warp, poses)


def _fractions() -> tuple[NDArray[np.float32], NDArray[np.float32], Array]:
    """Return grey and white matter's share of each template voxel, by its intensity alone."""
    brain = template()
    medians = [
        float(np.median(brain.t1w[where]))
        for where in (
            (brain.t1w > 0) & (brain.grey + brain.white < 0.05),
            brain.grey > 0.9,
            brain.white > 0.95,
        )
    ]
    fluid, grey, white = medians
    of_white = np.clip((brain.t1w - grey) / (white - grey), 0, 1)
    of_fluid = np.clip((grey - brain.t1w) / (grey - fluid), 0, 1)
    return (1 - of_white - of_fluid) * (brain.t1w > 0), of_white, brain.affine


def _epi_head(warp: Warp, dropout: bool) -> tuple[NDArray[np.float32], NDArray[np.float32], Array]:
    """Return the head's EPI intensity and what activation adds, on a fine grid, and its affine."""
    affine, shape = head_grid(_HEAD_VOXEL)
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))
    offset = affine[:3, 3].astype(np.float32).reshape(3, 1, 1, 1)
    points = warp(grid * np.float32(_HEAD_VOXEL) + offset)
    grey, white, tissue_affine = _fractions()

    def look(volume: NDArray[np.float32], own: Array, outside: float) -> NDArray[np.float32]:
        index = (points - own[:3, 3].astype(np.float32).reshape(3, 1, 1, 1)) / np.float32(own[0, 0])
        return ndimage.map_coordinates(volume, index, order=1, cval=outside, output=np.float32)

    gm, wm = look(grey, tissue_affine, 0.0), look(white, tissue_affine, 0.0)
    distance = look(template().distance, template().distance_affine, 99.0)
    # 3 mm of fluid, 5 mm of skull, 6 mm of scalp.
    within = [np.clip(edge - distance + 0.5, 0, 1) for edge in (3.0, 8.0, 14.0)]
    epi = gm + WHITE * wm + FLUID * np.clip(within[0] - gm - wm, 0, 1)
    epi += SKULL * (within[1] - within[0]) + SCALP * (within[2] - within[1])
    if dropout:
        for centre, radius in DROPOUTS:
            away = points - np.array(centre, np.float32).reshape(3, 1, 1, 1)
            epi *= 1 - 0.95 * np.exp(-(away**2).sum(axis=0) / (2 * radius**2))
    away = points - np.array([0, -85, 5], np.float32).reshape(3, 1, 1, 1)
    active = 0.02 * epi * np.clip(2 * gm, 0, 1) * np.exp(-(away**2).sum(axis=0) / (2 * 15.0**2))
    sigma = _BLUR_FWHM / 2.3548 / _HEAD_VOXEL
    blurred = [ndimage.gaussian_filter(one.astype(np.float32), sigma) for one in (epi, active)]
    return blurred[0], blurred[1], affine


def _scan(
    path: Path,
    head: NDArray[np.float32],
    active: NDArray[np.float32],
    head_affine: Array,
    poses: Array,
    rng: np.random.Generator,
) -> None:
    affine = epi_affine()
    voxels = np.argwhere(np.ones(SHAPE, bool)).astype(np.int32)
    coefficients = ndimage.spline_filter(head, order=3, output=np.float32)
    added = ndimage.spline_filter(active, order=3, output=np.float32)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((*SHAPE, len(poses)))
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4] = TR
    header["magic"], header["vox_offset"] = b"n+1", 352
    with gzip.open(path, "wb", compresslevel=1) as handle:
        handle.write(header.binaryblock + b"\0\0\0\0")
        for number, pose in enumerate(poses):
            # A block design of 20 s on and off.
            on = np.float32((number * TR) % 40 >= 20)
            matrix = np.linalg.inv(pose @ head_affine) @ affine
            volume = sample_spline(coefficients + on * added, voxels, matrix).reshape(SHAPE)
            volume *= 1 + DRIFT * np.cos(np.pi * number / len(poses))
            volume += rng.standard_normal(SHAPE, dtype=np.float32) / np.float32(TSNR)
            stored = np.rint(1000 * np.abs(volume)).astype("<i2")
            handle.write(stored.tobytes(order="F"))


def true_grey(points: Array) -> NDArray[np.float32]:
    """Return the template's probability of grey matter at template points, shape (n, 3)."""
    brain = template()
    index = (points - brain.affine[:3, 3]) / np.diag(brain.affine)[:3]
    return ndimage.map_coordinates(brain.grey, index.T, order=1, output=np.float32)
