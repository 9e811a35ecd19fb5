"""The voxel centres of a grid, as the space of a region sees them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braindata.regions.files import Placing
from braindata.regions.spaces import Placement


@dataclass(frozen=True)
class Points:
    """Where a kind of region is evaluated: the centres of a grid's voxels, in mm.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
        Voxel indices to mm in the space of the images.
    shape : tuple of int
        Number of voxels along x, y and z.
    grey_matter : ndarray, shape `shape`
        Grey-matter probability on this grid.
    space : str
        Space of the region: that of the points which the methods return.
    image_space : str
        Space of the images.
    placing : Placing
        Files and transforms.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    grey_matter: NDArray[np.float32]
    space: str
    image_space: str
    placing: Placing = field(default_factory=Placing)

    def in_space(self, space: str) -> Points:
        """Return the same voxels as another region's space sees them."""
        return replace(self, space=space)

    @property
    def n_voxels(self) -> int:
        """Number of voxels of the grid."""
        nx, ny, nz = self.shape
        return nx * ny * nz

    @property
    def placement(self) -> Placement:
        """How the region gets to the images."""
        return self.placing.spaces.route(self.space, self.image_space)[0]

    def within(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the voxels whose centre lies in a box of the region's space.

        Parameters
        ----------
        low, high : ndarray, shape (3,)
            Corners of the box in mm. A few voxels around it may be among those returned.

        Returns
        -------
        voxels : ndarray of int64, shape (n_points,)
            Flat C-order indices, ascending.
        points : ndarray, shape (n_points, 3)
            Their centres in mm of the region's space.

        Raises
        ------
        UsageError
            When there is no way from the region's space to that of the images.
        """
        _, transform = self.placing.spaces.route(self.space, self.image_space)
        if transform is None:
            indices = self._indices_near(low, high)
            voxels = np.ravel_multi_index(tuple(indices.T), self.shape).astype(np.int64)
            return voxels, indices @ self.affine[:3, :3].T + self.affine[:3, 3]
        path = self.placing.files.path(transform.sha256)
        mapped = _mapped(self.affine.tobytes(), self.shape, path, transform.sha256)
        voxels = np.flatnonzero(((mapped >= low) & (mapped <= high)).all(axis=1))
        return voxels, mapped[voxels]

    def _indices_near(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        inverse = np.linalg.inv(self.affine[:3, :3])
        center = inverse @ ((low + high) / 2 - self.affine[:3, 3])
        # A row of the inverse maps mm to one index, so this bounds how far the box reaches along
        # that index, for oblique grids too. One voxel more absorbs rounding.
        reach = np.abs(inverse) @ ((high - low) / 2) + 1
        first = np.clip(np.floor(center - reach), 0, self.shape).astype(np.int64)
        last = np.clip(np.ceil(center + reach) + 1, first, self.shape).astype(np.int64)
        axes = [np.arange(start, stop) for start, stop in zip(first, last, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


@lru_cache(maxsize=1)
def _mapped(
    affine: bytes, shape: tuple[int, int, int], path: Path, sha256: str
) -> NDArray[np.float64]:
    """Return where a transform takes the voxel centres of a grid, shape (n_voxels, 3) in mm."""
    # Kept, as a job resolves many regions on one grid.
    from braindata.regions.warps import read_warp

    matrix = np.frombuffer(affine, np.float64).reshape(4, 4)
    indices = np.indices(shape).reshape(3, -1).T
    mapped = read_warp(path, sha256)(indices @ matrix[:3, :3].T + matrix[:3, 3])
    mapped.setflags(write=False)
    return mapped
