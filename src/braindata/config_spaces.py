"""The section `spaces`: how regions of one template space are used on images in another."""

from __future__ import annotations

from pydantic import Field, field_validator

from braindata.config_section import Section
from braindata.regions.spaces import DEFAULT_ACCEPTED, Space


class SpaceTransform(Section):
    """A spatial transform that carries regions from one template space to another."""

    start: Space = Field(alias="from", description="Space of the regions.")
    end: Space = Field(alias="to", description="Space of the images.")
    file: str = Field(
        min_length=1,
        description="An ITK displacement field (NIfTI) or ITK transform (`.h5`), named "
        "`from-…_to-…_mode-image_xfm` by BIDS and TemplateFlow.",
    )
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="Compared where it is stated."
    )


class SpacesSection(Section):
    """How regions of one template space are used on images in another."""

    accepted: tuple[tuple[Space, Space], ...] = Field(
        default=DEFAULT_ACCEPTED,
        description="Pairs of a region's space and the images' space between which coordinates are "
        "taken over as they are; docs/regions.md says how many mm that costs. A list of your own "
        "replaces the default.",
    )
    transforms: tuple[SpaceTransform, ...] = Field(
        default=(), description="Transforms between template spaces; they come before `accepted`."
    )

    @field_validator("transforms")
    @classmethod
    def _one_per_pair(cls, transforms: tuple[SpaceTransform, ...]) -> tuple[SpaceTransform, ...]:
        pairs = [(one.start, one.end) for one in transforms]
        if len(set(pairs)) < len(pairs):
            raise ValueError("two transforms have the same from and to")
        return transforms
