"""What a user can set about publishing."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from braindata.tables.rules import METADATA, QUALITY, canonical


def _canonical(rule: str) -> str:
    return canonical(rule, METADATA | QUALITY)


class PublishParameters(BaseModel):
    """Which recordings are in the tables."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Each by itself, so that all wrong ones are told at once.
    exclude: tuple[Annotated[str, AfterValidator(_canonical)], ...] = Field(
        default=(),
        description="Rules; recordings of which one is true are left out of the tables, such as "
        "`fd_mean > 0.5`, `tsnr_median < 30`, `registration_dice < 0.9`: a column of `recordings`, "
        "one of < <= > >= == !=, a value. A changed rule makes a release and computes nothing.",
    )

    @field_validator("exclude")
    @classmethod
    def _once(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rules))
