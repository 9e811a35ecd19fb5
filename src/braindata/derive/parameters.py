"""What a user can set about derivation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DeriveParameters(BaseModel):
    """How trials are estimated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hrf_model: Literal["spm", "glover"] = Field(
        default="spm",
        description="Haemodynamic response function, as nilearn names it. One column per trial: "
        "models with derivatives have no single estimate.",
    )
    high_pass: float = Field(
        default=0.008,
        ge=0,
        le=0.1,
        description="Cut-off of the cosine drifts in the design, in Hz; 0 means none.",
    )
    confounds: Literal["simple", "motion", "none"] = Field(
        default="simple",
        description="Confounds in the design: `simple` (24 motion parameters, white matter and "
        "CSF, as nilearn's strategy of that name), `motion` (the 24 only) or `none`.",
    )
    slice_time_ref: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="To which moment of its repetition time a volume is attributed, 0 (start) to 1 "
        "(end). 0.5 suits data corrected to the middle of the TR, as fMRIPrep does, and is the "
        "least biased choice for uncorrected data, whose slices are on average half a TR late.",
    )
