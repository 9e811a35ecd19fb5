"""Regions made of spheres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from braindata.regions.kinds.shapes import Shape, Shapes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Sphere(Shape):
    """One sphere in MNI space."""

    radius: float = Field(
        gt=0,
        le=40,
        description="Radius in mm; voxels whose centre is at this distance or nearer belong to it.",
    )

    @property
    def extent(self) -> tuple[float, float, float]:
        """The radius, three times."""
        return self.radius, self.radius, self.radius

    def contains(self, offsets: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which points are at most the radius away, as nilearn's `NiftiSpheresMasker`."""
        inside: NDArray[np.bool_] = (offsets**2).sum(axis=1) <= self.radius**2
        return inside


class Spheres(Shapes):
    """A region made of spheres."""

    kind: Literal["spheres"] = "spheres"
    spheres: tuple[Sphere, ...] = Field(min_length=1, description="The spheres.")
