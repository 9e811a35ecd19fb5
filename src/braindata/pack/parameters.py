"""What a user can set about sample stores."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PackParameters(BaseModel):
    """What is kept of a preprocessed recording."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: bool = Field(
        default=True,
        description="Keep the voxels, so that a new region reads only its own: 0.6 times the size "
        "of the image. Without them the means of all known regions are made in one pass over the "
        "image, and a new region passes over all images again.",
    )
