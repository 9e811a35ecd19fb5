"""From a region's definition to voxels of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.errors import BraindataError
from braindata.regions.definition import Region


@dataclass(frozen=True)
class ResolvedRegion:
    """A region on the voxels of one grid.

    Attributes
    ----------
    name : str
        The region's name.
    voxels : ndarray of int64, shape (n_voxels,)
        Flat C-order index into the grid of each voxel, ascending.
    weights : ndarray of float64, shape (n_voxels,)
        Weight of each voxel in the region's mean, above 0; 1 throughout where all count alike.
    center_of_mass : tuple of float
        Mean position of the voxels in mm.
    n_voxels : int
        Number of voxels.
    volume : float
        Their volume in mm³.
    """

    name: str
    voxels: NDArray[np.int64]
    weights: NDArray[np.float64]
    center_of_mass: tuple[float, float, float]
    n_voxels: int
    volume: float


def resolve(
    region: Region,
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    grey_matter: NDArray[np.float32],
) -> ResolvedRegion:
    """Find the voxels of a region on a grid.

    Parameters
    ----------
    region : Region
        The region.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm in an MNI152 space.
    shape : tuple of int
        Number of voxels along x, y and z.
    grey_matter : ndarray, shape `shape`
        Grey-matter probability on this grid, see `braindata.regions.template.grey_matter`.

    Returns
    -------
    ResolvedRegion
        With a weight of 1 throughout.

    Raises
    ------
    BraindataError
        When a part of the region holds no voxel of the grid, or none of the region is grey matter.
    """
    if grey_matter.shape != tuple(shape):
        raise ValueError(f"grey matter of shape {grey_matter.shape} on a grid of shape {shape}")
    try:
        voxels = region.definition.voxels(affine, shape, grey_matter)
    except BraindataError as error:
        raise BraindataError(f"region {region.name}: {error.problem}", hint=error.hint) from error
    indices = np.column_stack(np.unravel_index(voxels, shape))
    x, y, z = (indices @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0).tolist()
    return ResolvedRegion(
        name=region.name,
        voxels=voxels,
        weights=np.ones(len(voxels)),
        center_of_mass=(x, y, z),
        n_voxels=len(voxels),
        volume=len(voxels) * float(abs(np.linalg.det(affine[:3, :3]))),
    )
