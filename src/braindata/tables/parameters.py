"""What a user can set about publishing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from braindata.tables.rules import METADATA, QUALITY, canonical


class PublishParameters(BaseModel):
    """Which recordings are in the tables."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exclude: tuple[str, ...] = Field(
        default=(),
        description="Rules; recordings of which one is true are left out of the tables, such as "
        "`fd_mean > 0.5`, `tsnr_median < 30`, `registration_dice < 0.9`: a column of `recordings`, "
        "one of < <= > >= == !=, a value. A changed rule makes a release and computes nothing.",
    )

    @field_validator("exclude")
    @classmethod
    def _rules(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        known: tuple[str, ...] = canonical(rules, METADATA | QUALITY)
        return known
