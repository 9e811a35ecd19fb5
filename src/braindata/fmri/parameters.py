"""What a user can set about native fMRI preprocessing. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class NativeParameters(BaseModel):
    """Native fMRI preprocessing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resolution: Literal[2, 3] = Field(
        default=2, description="Voxel size in mm of the preprocessed images in template space."
    )
    motion_fwhm: float = Field(
        default=4.0,
        gt=0,
        le=20,
        description="Smoothing in mm (FWHM) while head motion is estimated; the output is not "
        "smoothed.",
    )
    high_pass_period: float = Field(
        default=128.0,
        gt=0,
        description="Longest period in s that the cosine_XX confounds leave in the signal.",
    )
    fd_threshold: float = Field(
        default=0.5,
        gt=0,
        description="Framewise displacement in mm above which a volume is a motion outlier.",
    )
    std_dvars_threshold: float = Field(
        default=1.5,
        gt=0,
        description="Standardised DVARS above which a volume is a motion outlier.",
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="Seed of the registration's random sample points."
    )
