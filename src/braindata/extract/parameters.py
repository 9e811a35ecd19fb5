"""What a user can set about series."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Strategy = Literal["none", "simple"]


class ExtractParameters(BaseModel):
    """How a region's series is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategies: tuple[Strategy, ...] = Field(
        default=("none", "simple"),
        description="How the region's mean is cleaned, one series each. `none`: not at all, always "
        "there, as trials are estimated from it. `simple`: nilearn's strategy of that name (linear "
        "trend, fMRIPrep's cosines, 24 motion parameters, mean white matter and CSF), in standard "
        "deviations.",
    )
    min_coverage: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Smallest share of a region's voxels that must hold data; below it the series "
        "is null.",
    )

    @field_validator("strategies")
    @classmethod
    def _complete(cls, strategies: tuple[Strategy, ...]) -> tuple[Strategy, ...]:
        if "none" not in strategies:
            raise ValueError("`none` must be among them: trials are estimated from it")
        if len(set(strategies)) < len(strategies):
            raise ValueError("a strategy is listed twice")
        return strategies
