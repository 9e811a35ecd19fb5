"""Regions made from a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from braindata.regions.kinds.images import ImageKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from braindata.regions.points import Points


class Mask(ImageKind):
    """A region made from a mask, binary or weighted, or from one probability map."""

    kind: Literal["mask"] = "mask"
    threshold: float | None = Field(
        default=None,
        ge=0,
        description="Keep voxels whose value is above this; without it all that are not 0.",
    )
    weights: bool = Field(default=False, description="Weight each voxel with the image's value.")

    @model_validator(mode="after")
    def _one_reading(self) -> Self:
        if self.threshold is not None and self.weights:
            raise ValueError("state threshold or weights, not both")
        return self

    def decisive(self) -> dict[str, Any]:
        """Return what decides the voxels: the image's contents and how they are read."""
        return {
            "kind": self.kind,
            "sha256": self.hash_of_image,
            "threshold": self.threshold,
            "weights": self.weights,
        }

    def evaluate(self, points: Points) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the voxels of the mask (see `Kind.evaluate`)."""
        from braindata.regions.kinds.sampling import mask_weights

        return mask_weights(self, points)
