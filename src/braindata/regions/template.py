"""The template: its grey matter and brain, on the grid that a region or a store lies on.

The maps are those that nilearn brings along (ICBM 152 2009a symmetric, 1 mm; Fonov et al. 2011,
doi:10.1016/j.neuroimage.2010.07.033). They are read from nilearn's folder without importing
nilearn, which takes more than a second and 100 MiB: more than all else that a new region costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from braindata.errors import BraindataError
from braindata.regions.spaces import NATIVE

# Of the T1w, scaled to 0-1; nilearn's `load_mni152_brain_mask`.
BRAIN_THRESHOLD = 0.2


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
    data, template_affine = _load("gm")
    affine = np.diag([resolution, resolution, resolution, 1.0])
    affine[:3, 3] = template_affine[:3, 3]
    # As nilearn resamples it: from the same corner, and as far as the template reaches.
    n_x, n_y, n_z = (-(-(n - 1) // resolution) + 1 for n in data.shape)
    shape = (n_x, n_y, n_z)
    brain = brain_mask(affine, shape)
    return TemplateGrid(affine, shape, grey_matter(affine, shape), brain)


def grey_matter(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return the grey-matter probability of the MNI152 template on a grid.

    Interpolated linearly; on a grid whose voxel centres are the template's, as that of native
    output, these are the template's own values. Kept in memory per grid, as a job resolves many
    regions on one grid.

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


def brain_mask(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Return the brain of the MNI152 template on a grid, as `nilearn.datasets` defines it.

    Parameters
    ----------
    affine, shape
        As for `grey_matter`.

    Returns
    -------
    ndarray of bool, shape `shape`
        By the nearest voxel; False outside the template.
    """
    data, template_affine = _load("t1")
    inside = (data > BRAIN_THRESHOLD).astype(np.uint8)
    return _on_grid(inside, template_affine, np.asarray(affine, np.float64), shape, 0) > 0


def white_matter() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the white-matter probability of the MNI152 template at 1 mm, and its affine."""
    return _load("wm")


@lru_cache(maxsize=4)
def _grey_matter(affine: bytes, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    data, template_affine = _load("gm")
    target = np.frombuffer(affine, np.float64).reshape(4, 4)
    probability = np.clip(_on_grid(data, template_affine, target, shape, 1), 0, 1)
    probability.setflags(write=False)
    return probability


def _load(name: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return a map scaled to a maximum of 1, and its affine."""
    import nibabel as nib

    package = find_spec("nilearn")
    folder = Path(package.origin).parent if package and package.origin else Path("nilearn")
    path = folder / "datasets" / "data" / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise BraindataError(
            "nilearn's template is not where it was",
            file=path,
            hint="install the version of nilearn that uv.lock names",
        )
    image = nib.load(path)
    data = image.get_fdata(dtype=np.float32)
    return data / data.max(), np.asarray(image.affine, np.float64)


def _on_grid(
    data: NDArray[Any],
    affine: NDArray[np.float64],
    target: NDArray[np.float64],
    shape: tuple[int, int, int],
    order: Literal[0, 1],
) -> NDArray[np.float32]:
    from scipy.ndimage import affine_transform

    to_data = np.linalg.inv(affine) @ target
    result: Any = np.empty(shape, np.float32)
    affine_transform(data, to_data[:3, :3], to_data[:3, 3], shape, result, order=order)
    return cast("NDArray[np.float32]", result)
