"""What is looked at before anything is estimated: the typical volume, and where the brain is."""

from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
from nilearn.masking import compute_epi_mask
from numpy.typing import NDArray

from braindata.errors import DataError
from braindata.fmri.confounds import count_non_steady
from braindata.fmri.images import Image, Series
from braindata.fmri.motion import typical_volume

_THUMBNAIL_STEP = 2


def survey(series: Series) -> tuple[int, int]:
    """Read a run once: the most typical volume, and how many are not in a steady state.

    Raises
    ------
    DataError
        When a volume is constant, or all are equal.
    """
    step = slice(None, None, _THUMBNAIL_STEP)
    thumbnails = np.empty(
        (series.n_volumes, int(np.prod([-(-n // _THUMBNAIL_STEP) for n in series.shape]))),
        np.float32,
    )
    means = np.empty(series.n_volumes)
    for number, volume in enumerate(series.volumes()):
        if volume.min() == volume.max():
            raise DataError(f"volume {number} is constant", hint="fetch or convert it again")
        thumbnails[number] = volume[step, step, step].ravel()
        means[number] = volume.mean(dtype=np.float64)
    if (thumbnails == thumbnails[0]).all():
        raise DataError("all volumes are equal", hint="a single volume, repeated? convert it again")
    non_steady = count_non_steady(means)
    return typical_volume(thumbnails, non_steady), non_steady


def epi_brain(reference: Image) -> NDArray[np.bool_]:
    """Return the brain's mask in an EPI reference.

    Raises
    ------
    DataError
        When there is none.
    """
    image = nib.Nifti1Image(reference.data, reference.affine)
    with warnings.catch_warnings():
        # nilearn warns of an empty mask; here that is an error.
        warnings.simplefilter("ignore")
        mask: NDArray[np.bool_] = compute_epi_mask(image, ensure_finite=False).get_fdata() > 0
    if not mask.any():
        raise DataError(
            "no brain can be found in the image", hint="look at it: is it BOLD, not its residuals?"
        )
    return mask
