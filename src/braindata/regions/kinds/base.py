"""What every kind of region definition has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from braindata.regions.strict import Strict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from braindata.regions.definition import Region
    from braindata.regions.kinds.images import ImageKind
    from braindata.regions.points import Points

# Keys that say where a definition comes from and decide no voxel.
NOT_DECISIVE = frozenset({"hemisphere", "source"})


class Kind(Strict, ABC):
    """A kind of definition: the keys of a region file, and which voxels they mean.

    A kind has a field `kind`, a literal by which region files choose it, and is named in
    `braindata.regions.kinds`. CONTRIBUTING.md walks through a new one.
    """

    # Fields that are filled in when region files are read, and that these may not state.
    FILLED_IN: ClassVar[frozenset[str]] = frozenset()

    kind: str

    @abstractmethod
    def evaluate(self, points: Points) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the voxels of the region on a grid, and the weight of each in its mean.

        Parameters
        ----------
        points : Points
            The grid's voxel centres in the region's space, and the grey matter there.

        Returns
        -------
        voxels : ndarray of int64, shape (n_voxels,)
            Flat C-order indices, ascending, each once.
        weights : ndarray of float64, shape (n_voxels,)
            Above 0; exactly 1 where a voxel either belongs to the region or not.

        Raises
        ------
        EmptyRegionError
            When a part of the region holds no voxel.
        """

    @abstractmethod
    def sources(self) -> list[str]:
        """Return where its coordinates or files come from."""

    def decisive(self) -> dict[str, Any]:
        """Return what decides the voxels, as JSON-like values: it goes into the region's hash."""
        kept: dict[str, Any] = _without(self.model_dump(mode="json"), NOT_DECISIVE)
        return kept

    def with_files(self, folders: Sequence[Path]) -> tuple[Self, dict[str, Path]]:
        """Return the definition with what its files say filled in, and these files by sha256.

        Parameters
        ----------
        folders : sequence of Path
            Where to look for a file that is stated as a relative path.

        Raises
        ------
        UsageError
            When a file is not there, or is not what is stated of it.
        """
        del folders
        return self, {}

    def operand_names(self) -> tuple[str, ...]:
        """Return the names of the regions that it is made from."""
        return ()

    def with_operands(self, regions: Mapping[str, Region]) -> Self:
        """Return the definition with the regions that it names filled in."""
        del regions
        return self

    def spaces(self, own: str) -> frozenset[str]:
        """Return the spaces of all its parts, `own` being that of the region."""
        return frozenset({own})

    def images(self) -> list[ImageKind]:
        """Return the images that it is made from, those of its operands included."""
        return []


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {k: _without(inner, names) for k, inner in value.items() if k not in names}
    return [_without(inner, names) for inner in value] if isinstance(value, list) else value
