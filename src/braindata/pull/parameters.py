"""What a user can set about pulling."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PullParameters(BaseModel):
    """How data sets come under `raw/`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["link", "copy"] = Field(
        default="link",
        description="`link` makes symbolic links to a local folder, `copy` copies it. The source "
        "is never changed.",
    )
