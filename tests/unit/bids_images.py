"""Images of a BIDS folder in which nothing but their headers is to be read."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np


def save(
    path: Path, shape: tuple[int, ...], voxel: float = 3.0, fill: int = 1, tr: float = 2.0
) -> None:
    """Write an image of one value; one of four dimensions has a volume each `tr` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([voxel, voxel, voxel, 1.0])
    image = nib.Nifti1Image(np.full(shape, fill, np.int16), affine)
    image.header.set_xyzt_units("mm", "sec")
    if len(shape) == 4:
        image.header.set_zooms((voxel, voxel, voxel, tr))
    nib.save(image, path)
