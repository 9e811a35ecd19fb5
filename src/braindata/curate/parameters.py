"""What a user can set about curation."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CurateParameters(BaseModel):
    """Which recordings are used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[str, ...] = Field(
        default=(), description="Use only these tasks (labels as in file names); empty means all."
    )
    min_volumes: int = Field(
        default=50,
        ge=10,
        description="Exclude recordings with fewer volumes than this; confounds and drifts alone "
        "take up about 30 degrees of freedom.",
    )
