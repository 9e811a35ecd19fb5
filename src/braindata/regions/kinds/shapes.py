"""Regions made of solid shapes around coordinates: what spheres and their like share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from braindata.errors import EmptyRegionError
from braindata.regions.kinds.base import Kind
from braindata.regions.strict import Strict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from braindata.regions.points import Points

Hemisphere = Literal["left", "right", "midline"]

# Nothing of a head lies farther from the origin of MNI space.
Millimetres = Annotated[float, Field(ge=-150, le=150)]


class Shape(Strict, ABC):
    """A solid around a point of MNI space."""

    center: tuple[Millimetres, Millimetres, Millimetres] = Field(
        description="Centre in mm: x (right), y (anterior), z (superior)."
    )
    hemisphere: Hemisphere = Field(
        description="On which side the centre lies; `midline` when the shape reaches both sides."
    )
    source: str = Field(
        min_length=10, description="Where the coordinate comes from: publication or named parcel."
    )

    @property
    @abstractmethod
    def extent(self) -> tuple[float, float, float]:
        """How far it reaches from its centre along x, y and z, in mm."""

    @abstractmethod
    def contains(self, offsets: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which points lie in it, those on its surface included.

        Parameters
        ----------
        offsets : ndarray, shape (n_points, 3)
            Position from the centre in mm.

        Returns
        -------
        ndarray of bool, shape (n_points,)
        """

    def __str__(self) -> str:
        size = " × ".join(f"{value:g}" for value in self.extent)
        return f"{type(self).__name__.lower()} of {size} mm around {_format_mm(self.center)}"

    @model_validator(mode="after")
    def _side(self) -> Shape:
        x = self.center[0]
        right_side = {"left": x < 0, "right": x > 0, "midline": abs(x) <= self.extent[0]}
        if not right_side[self.hemisphere]:
            kind = type(self).__name__.lower()
            raise ValueError(f"a {self.hemisphere} {kind} cannot have its centre at x = {x:g} mm")
        return self


class Shapes(Kind):
    """A region made of shapes; a voxel in two of them counts once.

    The shapes are in the field that is named as the kind: ``kind: spheres`` has ``spheres:``.
    """

    grey_matter: bool = Field(
        default=True,
        description="Keep only voxels whose grey-matter probability in the template is above 0.2 "
        "(or the value of `grey_matter_threshold`).",
    )
    grey_matter_threshold: float = Field(
        default=0.2, ge=0, lt=1, description="Grey-matter probability above which a voxel is kept."
    )

    def shapes(self) -> Sequence[Shape]:
        """Return the shapes."""
        shapes: Sequence[Shape] = getattr(self, self.kind)
        return shapes

    def sources(self) -> list[str]:
        """Return where each shape's coordinates come from."""
        return [shape.source for shape in self.shapes()]

    def evaluate(self, points: Points) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the voxels whose centre lies in one of the shapes (see `Kind.evaluate`)."""
        # Definitions are read whenever a run is planned, which needs no numerical library.
        import numpy as np

        from braindata.regions.kinds.rasterise import union_of_voxels

        voxels = union_of_voxels(self.shapes(), points)
        if self.grey_matter:
            voxels = voxels[points.grey_matter.ravel()[voxels] > self.grey_matter_threshold]
        if not len(voxels):
            raise EmptyRegionError(
                "none of its voxels is grey matter",
                hint="check its coordinates, lower grey_matter_threshold, or set "
                "grey_matter: false",
            )
        return voxels, np.ones(len(voxels))


def _format_mm(center: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in center) + ")"
