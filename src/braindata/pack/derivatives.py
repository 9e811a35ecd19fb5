"""From preprocessed images to sample stores."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, generate_binary_structure

from braindata.errors import DamageError
from braindata.pack.store import Grid, write_store

# Voxels by which the template's brain mask is widened, so that no region at its rim is cut off.
DILATION = 2


def store_mask(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the voxels that every store on a grid holds: the template's brain mask, dilated.

    Parameters
    ----------
    shape, affine
        The grid.

    Returns
    -------
    ndarray of bool, shape `shape`
        One fixed mask per grid, so that a region has the same voxels in every recording.
    """
    # nilearn takes more than a second to import: only jobs that pack pay for it.
    from nilearn.datasets import load_mni152_brain_mask
    from nilearn.image import resample_img

    template = resample_img(
        load_mni152_brain_mask(resolution=1),
        target_affine=affine,
        target_shape=shape,
        interpolation="nearest",
    )
    inside = np.asarray(template.dataobj) > 0
    structure = generate_binary_structure(3, 1)
    dilated: NDArray[np.bool_] = binary_dilation(inside, structure, iterations=DILATION)
    return dilated


def pack_recording(
    bold: Path,
    confounds: Path,
    target: Path,
    *,
    space: str,
    tr: float,
    attributes: dict[str, Any],
) -> None:
    """Write the sample store of one preprocessed recording.

    Parameters
    ----------
    bold, confounds : Path
        ``desc-preproc_bold.nii.gz`` and ``desc-confounds_timeseries.tsv``.
    target : Path
        The store.
    space : str
        Template space of `bold`.
    tr : float
        Repetition time in s.
    attributes : dict
        Further facts to keep in the store.

    Raises
    ------
    DamageError
        When an image or table cannot be read, or they differ in length.
    """
    image, raw = _load(bold)
    shape, n_volumes = image.shape[:3], image.shape[3]
    table = pd.read_csv(confounds, sep="\t", na_values="n/a")
    if len(table) != n_volumes:
        raise DamageError(
            f"{len(table)} rows of confounds for {n_volumes} volumes",
            file=confounds,
            hint="delete the receipt of its preprocessing (derivatives/…receipt.json), run again",
        )
    mask = store_mask(shape, image.affine)
    # The source's own numbers are kept, integers unchanged: lossless and a quarter of the size.
    samples = raw[mask]
    has_data = np.isfinite(samples).all(axis=1) & (samples.max(axis=1) > samples.min(axis=1))
    samples[~has_data] = 0
    write_store(
        target,
        samples,
        Grid(shape, np.asarray(image.affine, np.float64), space),
        np.flatnonzero(mask),
        has_data,
        tr,
        table,
        attributes,
        slope=float(image.dataobj.slope),
        intercept=float(image.dataobj.inter),
    )


def _load(path: Path) -> tuple[Any, NDArray[Any]]:
    try:
        image = nib.load(path)
        # Unscaled and in the file's own type.
        return image, np.asarray(image.dataobj.get_unscaled())
    except (ImageFileError, EOFError, OSError, zlib.error, ValueError) as error:
        raise DamageError(
            "the preprocessed image cannot be read",
            file=path,
            hint="delete the receipt of its preprocessing (derivatives/…receipt.json), run again",
        ) from error
