"""The template, on the grid that a region is resolved on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from braindata.regions.spaces import NATIVE


@dataclass(frozen=True)
class TemplateGrid:
    """The template's own grid.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.
    shape : tuple of int
        Number of voxels along x, y and z.
    grey_matter : ndarray of float32, shape `shape`
        Grey-matter probability.
    brain : ndarray of bool, shape `shape`
        The brain's mask.
    space : str
        The template, as BIDS names it.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    grey_matter: NDArray[np.float32]
    brain: NDArray[np.bool_]
    space: str = NATIVE


@lru_cache(maxsize=1)
def template_grid(resolution: int) -> TemplateGrid:
    """Return the grid of native output, at `resolution` mm."""
    from nilearn.datasets import load_mni152_brain_mask

    mask = load_mni152_brain_mask(resolution=resolution)
    affine = np.array(mask.affine, np.float64)
    brain: NDArray[np.bool_] = np.asarray(mask.dataobj) > 0.5
    nx, ny, nz = brain.shape
    return TemplateGrid(affine, (nx, ny, nz), grey_matter(affine, (nx, ny, nz)), brain)


def grey_matter(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return the grey-matter probability of the MNI152 template on a grid.

    The map is the one that nilearn brings along (ICBM 152 2009a symmetric, 1 mm, rescaled to 0-1;
    Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033), resampled as nilearn resamples it.
    It is kept in memory per grid, as a job resolves many regions on one grid.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel indices to mm in an MNI152 space.
    shape : tuple of int
        Number of voxels along x, y and z.

    Returns
    -------
    ndarray of float32, shape `shape`
        Probability of grey matter, 0 outside the template; not writable.
    """
    return _grey_matter(np.asarray(affine, np.float64).tobytes(), tuple(int(n) for n in shape))


@lru_cache(maxsize=4)
def _grey_matter(affine: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    # nilearn takes more than a second to import: only jobs that need the map pay for it.
    from nilearn.datasets import load_mni152_gm_template
    from nilearn.image import resample_img

    resampled = resample_img(
        load_mni152_gm_template(resolution=1),
        target_affine=np.frombuffer(affine, np.float64).reshape(4, 4),
        target_shape=shape,
        interpolation="continuous",
    )
    clipped = np.clip(resampled.get_fdata(dtype=np.float32), 0, 1)
    probability: NDArray[np.float32] = np.ascontiguousarray(clipped)
    probability.setflags(write=False)
    return probability
