"""What a user can set about sample stores."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class QualityParameters(BaseModel):
    """From where on the quality of a recording counts as bad; nothing is left out by it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fd_threshold: float = Field(
        default=0.5,
        gt=0,
        description="Framewise displacement in mm above which a volume counts as an outlier in "
        "`n_outliers` of the table `recordings`, whatever preprocessed it (Power et al. 2012).",
    )
    std_dvars_threshold: float = Field(
        default=1.5,
        gt=0,
        description="Standardised DVARS above which a volume counts as an outlier there.",
    )
    signal_floor: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="A voxel whose mean over time is below this share of the brain's median has "
        "lost its signal (`signal_loss` in the tables `series` and `recordings`).",
    )


class PackParameters(BaseModel):
    """What is kept of a preprocessed recording."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: bool = Field(
        default=True,
        description="Keep the voxels, so that a new region reads only its own: 0.6 times the size "
        "of the image. Without them the means of all known regions are made in one pass over the "
        "image, and a new region passes over all images again.",
    )
    quality: QualityParameters = Field(
        default_factory=QualityParameters,
        description="What counts as bad in the quality figures of recordings, which are made while "
        "the image is open. Which recordings are left out for it: `publish.exclude`.",
    )
