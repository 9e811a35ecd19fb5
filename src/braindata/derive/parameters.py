"""What a user can set about derivation."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

# What BIDS has a name for.
BIDS_COLUMNS = ("trial_type", "response", "response_time")


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
        "(end), where slice times were not corrected: the slices are on average half a TR late. "
        "Where they were, the time they were corrected to counts.",
    )


class EventMapping(BaseModel):
    """Which columns of a data set's events files hold what of a trial."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trial_type: str | None = Field(
        default=None, description="Column with the kind of trial, if not `trial_type`."
    )
    response: str | None = Field(
        default=None, description="Column with the response, if not `response`."
    )
    response_time: str | None = Field(
        default=None, description="Column with the response time, if not `response_time`."
    )
    response_time_unit: Literal["s", "ms"] = Field(
        default="s", description="Unit of the response times; tables have seconds."
    )
    choice: str | None = Field(default=None, description="Column with what was chosen.")
    outcome: str | None = Field(default=None, description="Column with what came of it.")
    labels: dict[str, str] = Field(
        default={},
        description="What the codes in the column of trial types stand for, such as "
        "`{1: target, 2: nontarget}`; a code that is not listed stays as it is. EEG without "
        "`trial_type` has its types from `value`.",
    )

    @field_validator("labels", mode="before")
    @classmethod
    def _codes_are_texts(cls, labels: object) -> object:
        if not isinstance(labels, dict):
            return labels
        # YAML reads a code that is a whole number as one.
        return {
            str(code) if isinstance(code, int) and not isinstance(code, bool) else code: label
            for code, label in labels.items()
        }

    def columns(self) -> dict[str, str]:
        """Return the columns that are named, by what they hold."""
        names = ("trial_type", "response", "response_time", "choice", "outcome")
        named = {name: getattr(self, name) for name in names}
        return {name: column for name, column in named.items() if column is not None}

    def source(self, name: str, there: Collection[str]) -> str | None:
        """Return the column of a file that holds something; None where it has none.

        A file that lacks the named column is of another task: there BIDS's own name counts.
        """
        named = self.columns().get(name)
        if named in there:
            return named
        return name if name in BIDS_COLUMNS and name in there else None
