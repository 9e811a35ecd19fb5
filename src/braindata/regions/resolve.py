"""From a region's definition to voxels of a grid, and to the voxels that a recording has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.errors import BraindataError
from braindata.regions.definition import Region, Sphere


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
        Weight of each voxel in the region's mean; their sum is 1.
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


@dataclass(frozen=True)
class PlacedRegion:
    """A region on the voxels that hold data in one recording.

    Attributes
    ----------
    positions : ndarray of int64, shape (n_covered,)
        Position in the recording's list of voxels of each voxel that holds data, ascending.
    weights : ndarray of float64, shape (n_covered,)
        Their weights, scaled so that the sum is 1; empty where nothing is covered.
    coverage : float
        Share of the region's voxels that hold data.
    """

    positions: NDArray[np.int64]
    weights: NDArray[np.float64]
    coverage: float


def resolve(
    region: Region,
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    grey_matter: NDArray[np.float32],
) -> ResolvedRegion:
    """Find the voxels of a region on a grid.

    A voxel belongs to a sphere when its centre is at most `radius` mm from the sphere's centre,
    which is the rule of nilearn's `NiftiSpheresMasker`.

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
        With equal weights.

    Raises
    ------
    BraindataError
        When a sphere reaches no voxel of the grid, or no voxel of the region is grey matter.
    """
    if grey_matter.shape != tuple(shape):
        raise ValueError(f"grey matter of shape {grey_matter.shape} on a grid of shape {shape}")
    definition = region.definition
    parts = []
    for sphere in definition.spheres:
        voxels = _sphere_voxels(sphere, affine, shape)
        if not len(voxels):
            raise BraindataError(
                f"region {region.name}: the sphere of {sphere.radius:g} mm around "
                f"{_format_mm(sphere.center)} holds no voxel of the image grid",
                hint="check its coordinates, or give it a larger radius",
            )
        parts.append(voxels)
    voxels = np.unique(np.concatenate(parts))
    if definition.grey_matter:
        voxels = voxels[grey_matter.ravel()[voxels] > definition.grey_matter_threshold]
        if not len(voxels):
            raise BraindataError(
                f"region {region.name}: none of its voxels is grey matter",
                hint="check its coordinates, lower grey_matter_threshold, or set "
                "grey_matter: false",
            )
    indices = np.column_stack(np.unravel_index(voxels, shape))
    x, y, z = (indices @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0).tolist()
    return ResolvedRegion(
        name=region.name,
        voxels=voxels,
        weights=np.full(len(voxels), 1 / len(voxels)),
        center_of_mass=(x, y, z),
        n_voxels=len(voxels),
        volume=len(voxels) * float(abs(np.linalg.det(affine[:3, :3]))),
    )


def place(
    resolved: ResolvedRegion, voxels: NDArray[np.int64], has_data: NDArray[np.bool_]
) -> PlacedRegion:
    """Find a region's voxels among those that a recording holds.

    Parameters
    ----------
    resolved : ResolvedRegion
        The region, resolved on the recording's grid.
    voxels : ndarray of int64, shape (n_stored,)
        Flat C-order grid index of each stored voxel, ascending (`Store.voxels`).
    has_data : ndarray of bool, shape (n_stored,)
        Whether each stored voxel holds data (`Store.has_data`).

    Returns
    -------
    PlacedRegion
        Its positions among the stored voxels and its coverage.
    """
    positions = np.searchsorted(voxels, resolved.voxels)
    inside = positions < len(voxels)
    covered = np.zeros(resolved.n_voxels, bool)
    covered[inside] = (voxels[positions[inside]] == resolved.voxels[inside]) & has_data[
        positions[inside]
    ]
    weights = resolved.weights[covered]
    return PlacedRegion(
        positions=positions[covered].astype(np.int64),
        weights=weights / weights.sum() if len(weights) else weights,
        coverage=int(covered.sum()) / resolved.n_voxels,
    )


def _sphere_voxels(
    sphere: Sphere, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.int64]:
    inverse = np.linalg.inv(affine[:3, :3])
    center = inverse @ (np.array(sphere.center) - affine[:3, 3])
    # A row of the inverse maps mm to one index, so its length bounds how far a sphere of 1 mm
    # reaches along that index, for oblique grids too. One voxel more absorbs rounding.
    reach = np.linalg.norm(inverse, axis=1) * sphere.radius + 1
    low = np.clip(np.floor(center - reach), 0, shape).astype(np.int64)
    high = np.clip(np.ceil(center + reach) + 1, low, shape).astype(np.int64)
    axes = [np.arange(start, stop) for start, stop in zip(low, high, strict=True)]
    indices = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    offsets = indices @ affine[:3, :3].T + affine[:3, 3] - np.array(sphere.center)
    near = indices[(offsets**2).sum(axis=1) <= sphere.radius**2]
    flat: NDArray[np.int64] = np.ravel_multi_index(near.T, shape).astype(np.int64)
    return flat


def _format_mm(center: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in center) + ")"
