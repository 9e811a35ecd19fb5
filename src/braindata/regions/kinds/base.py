"""What every kind of region definition has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Keys that say where a definition comes from and decide no voxel.
NOT_DECISIVE = frozenset({"hemisphere", "source"})


class Strict(BaseModel):
    """A model that refuses unknown keys and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind(Strict, ABC):
    """A kind of definition: the keys of a region file, and which voxels they mean.

    A kind has a field `kind`, a literal by which region files choose it, and is named in
    `braindata.regions.kinds`. CONTRIBUTING.md walks through a new one.
    """

    kind: str

    @abstractmethod
    def voxels(
        self,
        affine: NDArray[np.float64],
        shape: tuple[int, int, int],
        grey_matter: NDArray[np.float32],
    ) -> NDArray[np.int64]:
        """Return the voxels of the region on a grid.

        Parameters
        ----------
        affine : ndarray, shape (4, 4)
            Voxel indices to mm in the region's space.
        shape : tuple of int
            Number of voxels along x, y and z.
        grey_matter : ndarray, shape `shape`
            Grey-matter probability on this grid.

        Returns
        -------
        ndarray of int64, shape (n_voxels,)
            Flat C-order indices, ascending, each once.

        Raises
        ------
        BraindataError
            When a part of the region holds no voxel.
        """

    @abstractmethod
    def sources(self) -> list[str]:
        """Return where its coordinates or files come from."""

    def decisive(self) -> dict[str, Any]:
        """Return what decides the voxels, as JSON-like values: it goes into the region's hash."""
        kept: dict[str, Any] = _without(self.model_dump(mode="json"), NOT_DECISIVE)
        return kept


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {k: _without(inner, names) for k, inner in value.items() if k not in names}
    return [_without(inner, names) for inner in value] if isinstance(value, list) else value
