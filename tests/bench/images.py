"""Preprocessed images for benches: as large and about as compressible as real ones."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from braindata.pack.mask import store_mask

# fMRIPrep's grid at 2 mm (MNI152NLin2009cAsym, res-2).
SHAPE = (97, 115, 97)
AFFINE = np.array([[2.0, 0, 0, -96.5], [0, 2, 0, -132.5], [0, 0, 2, -78.5], [0, 0, 0, 1]])
N_VOLUMES = 100


def write_bold(path: Path, dtype: str, seed: int = 0, n_volumes: int = N_VOLUMES) -> Path:
    """Write a preprocessed image: smooth anatomy and noise within the head, nothing outside.

    Parameters
    ----------
    path : Path
        ``.nii.gz``.
    dtype : str
        ``int16`` (with a slope, as fMRIPrep writes it) or ``float32``.
    seed : int
        Of its noise.
    n_volumes : int
        Number of volumes.
    """
    rng = np.random.default_rng(seed)
    head = store_mask(SHAPE, AFFINE)
    anatomy = 800 + 3000 * gaussian_filter(rng.standard_normal(SHAPE), 3)
    data = np.zeros((*SHAPE, n_volumes), dtype)
    slope = 0.06 if dtype == "int16" else 1.0
    for volume in range(n_volumes):
        noise = gaussian_filter(rng.standard_normal(SHAPE, np.float32), 0.8)
        values = np.clip(anatomy + 60 * noise, 1, 1900) / slope
        data[..., volume] = np.where(head, np.rint(values) if dtype == "int16" else values, 0)
    image = nib.Nifti1Image(data, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    if dtype == "int16":
        # The numbers are what the file holds already: nibabel must not scale them again.
        image.header["scl_slope"], image.header["scl_inter"] = slope, 0
        with nib.openers.ImageOpener(path, "wb") as handle:
            image.header["vox_offset"] = 352
            image.header["magic"] = b"n+1"
            handle.write(image.header.binaryblock + bytes(4))
            for volume in range(n_volumes):
                handle.write(data[..., volume].tobytes(order="F"))
        return path
    image.to_filename(path)
    return path


def blob(order_voxels: NDArray[np.int64], center: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the `n` voxels (flat indices, ascending) that are nearest to a voxel of the grid."""
    indices = np.column_stack(np.unravel_index(order_voxels, SHAPE))
    near = np.argsort(((indices - center) ** 2).sum(axis=1), kind="stable")[:n]
    return np.sort(order_voxels[near])
