"""What a user can set about regions in EEG."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class HeadParameters(BaseModel):
    """The head models: one that the operators are made with, one that they are tried on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: Literal["bem", "sphere"] = Field(
        default="bem",
        description="`bem`: three layers of fsaverage's head, about two CPU minutes, once. "
        "`sphere`: concentric spheres, seconds; electrodes and sources are placed less exactly.",
    )
    spacing: int = Field(default=7, ge=4, le=20, description="mm between sources.")


class SourceParameters(BaseModel):
    """How a region's course is made from electrodes, and when it is claimed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: Literal["eLORETA", "sLORETA", "lcmv"] = Field(
        default="eLORETA",
        description="`eLORETA`, `sLORETA`: one operator per montage. `lcmv`: filters made from "
        "each recording's covariance.",
    )
    snr: float = Field(
        default=3.0,
        gt=0,
        description="Assumed ratio of the amplitudes of signal and noise; `lambda2` of mne is "
        "1 / snr².",
    )
    reg: float = Field(
        default=0.05, ge=0, description="Regularisation of `lcmv`, as a share of mean variance."
    )
    n_dipoles: int = Field(
        default=100,
        ge=10,
        description="Dipoles that are simulated in each region to see how well a montage finds "
        "them.",
    )
    simulated_snr: float = Field(
        default=3.0, gt=0, description="Ratio of amplitudes of simulated dipoles and noise."
    )
    jitter: float = Field(
        default=3.0,
        ge=0,
        description="mm, standard deviation of the electrodes' positions from what is stated of "
        "them, along each axis.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the simulation.")
    good: float = Field(
        default=12.0,
        gt=0,
        description="mm: a region is `good` up to this median error of localisation.",
    )
    fair: float = Field(
        default=20.0, gt=0, description="mm: `fair` up to this one; `not_claimed` beyond."
    )
    max_crosstalk: float = Field(
        default=1.0,
        gt=0,
        description="`not_claimed` too where another region contributes to its course this many "
        "times what it does itself, or more.",
    )
    insist: tuple[str, ...] = Field(
        default=(), description="Regions that get values though they are `not_claimed`."
    )

    @model_validator(mode="after")
    def _ordered(self) -> SourceParameters:
        if self.fair < self.good:
            raise ValueError("`fair` must not be below `good`: it is the looser of the two")
        return self
