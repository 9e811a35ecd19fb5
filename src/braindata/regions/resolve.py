"""From a region's definition to voxels of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.errors import BraindataError, EmptyRegionError
from braindata.regions.definition import Place
from braindata.regions.files import Placing
from braindata.regions.points import Points
from braindata.regions.spaces import PLACEMENTS, Placement


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
        Weight of each voxel in the region's mean: exactly 1 where a voxel either belongs to the
        region or not, else the value of the map. Means divide by the sum of those that hold data.
    center_of_mass : tuple of float
        Mean position of the voxels in mm, by their weights.
    n_voxels : int
        Number of voxels.
    volume : float
        Their volume in mm³.
    placement : {"same space", "transformed", "accepted"}
        How it got into the space of the images; of a region in several spaces, the least exact.
    """

    name: str
    voxels: NDArray[np.int64]
    weights: NDArray[np.float64]
    center_of_mass: tuple[float, float, float]
    n_voxels: int
    volume: float
    placement: Placement


def resolve(
    region: Place,
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    grey_matter: NDArray[np.float32],
    space: str | None = None,
    placing: Placing | None = None,
) -> ResolvedRegion:
    """Find the voxels of a region on a grid.

    Parameters
    ----------
    region : Place
        The region.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm in an MNI152 space.
    shape : tuple of int
        Number of voxels along x, y and z.
    grey_matter : ndarray, shape `shape`
        Grey-matter probability on this grid, see `braindata.regions.template.grey_matter`.
    space : str, optional
        Space of the images; without it, the region's own.
    placing : Placing, optional
        Where its files lie, and how it gets into the space of the images.

    Returns
    -------
    ResolvedRegion
        Its voxels and their weights.

    Raises
    ------
    EmptyRegionError
        When a part of the region holds no voxel of the grid, or none of the region is grey matter.
    BraindataError
        When its file is missing or damaged.
    UsageError
        When there is no way from its space to that of the images, or its file is not what it is
        said to be.
    """
    if grey_matter.shape != tuple(shape):
        raise ValueError(f"grey matter of shape {grey_matter.shape} on a grid of shape {shape}")
    points = Points(
        affine=np.asarray(affine, np.float64),
        shape=shape,
        grey_matter=grey_matter,
        space=region.space,
        image_space=region.space if space is None else space,
        placing=placing or Placing(),
    )
    try:
        voxels, weights = region.definition.evaluate(points)
        ways = {points.in_space(one).placement for one in region.spaces}
    except BraindataError as error:
        where = _grid_in_words(affine) if isinstance(error, EmptyRegionError) else ""
        raise type(error)(
            f"region {region.name}: {error.problem}{where}", file=error.file, hint=error.hint
        ) from error
    indices = np.column_stack(np.unravel_index(voxels, shape))
    positions = indices @ affine[:3, :3].T + affine[:3, 3]
    x, y, z = np.average(positions, axis=0, weights=weights).tolist()
    return ResolvedRegion(
        name=region.name,
        voxels=voxels,
        weights=weights,
        center_of_mass=(x, y, z),
        n_voxels=len(voxels),
        volume=len(voxels) * float(abs(np.linalg.det(affine[:3, :3]))),
        placement=max(ways, key=PLACEMENTS.index),
    )


def _grid_in_words(affine: NDArray[np.float64]) -> str:
    """Say how fine a grid is: another data set's may hold what is too small for this one."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return f" (voxels of {' × '.join(f'{size:.3g}' for size in sizes)} mm)"
