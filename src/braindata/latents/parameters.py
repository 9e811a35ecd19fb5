"""What a user can set about models of behaviour."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class BehaviourMapping(BaseModel):
    """Which columns of a data set's events files hold what models of behaviour need."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stimulus: str | None = Field(
        default=None, description="Column with what the person responds to, for `models`."
    )
    gain: str | None = Field(default=None, description="Column with what a gamble may bring.")
    loss: str | None = Field(
        default=None, description="Column with what a gamble may cost, with either sign."
    )
    evidence: str | None = Field(
        default=None,
        description="Column with the strength of a stimulus, positive towards the second option.",
    )
    choices: dict[str, tuple[str, ...]] = Field(
        default={},
        description="Which values of the choice stand for which option, such as "
        "`accept: [strongly_accept, weakly_accept]`; any other value is no choice. Without it each "
        "value is an option, in alphabetical order.",
    )

    @field_validator("choices")
    @classmethod
    def _once(cls, choices: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        values = [value for listed in choices.values() for value in listed]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"{twice[0]} stands for two options")
        return choices

    def columns(self) -> dict[str, str]:
        """Return the columns that are named, by what they hold."""
        named = {name: getattr(self, name) for name in ("stimulus", "gain", "loss", "evidence")}
        return {name: column for name, column in named.items() if column is not None}
