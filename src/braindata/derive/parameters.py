"""What a user can set about derivation."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

TrialModel = Literal["lss", "lsa", "fir", "window"]
HrfModel = Literal[
    "spm",
    "spm + derivative",
    "spm + derivative + dispersion",
    "glover",
    "glover + derivative",
    "glover + derivative + dispersion",
]
ConfoundStrategy = Literal["simple", "motion", "none"]
# What BIDS has a name for.
BIDS_COLUMNS = ("trial_type", "response", "response_time")


class DeriveParameters(BaseModel):
    """How trials are estimated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[TrialModel, ...] = Field(
        default=("lss",),
        description="How trials are estimated, `lss` always among them: `lss` (least squares "
        "separate), `lsa` (all trials in one model), `fir` (finite impulse response, a row per "
        "delay) and `window` (mean of what confounds and drifts leave of the series).",
    )
    hrf_model: HrfModel = Field(
        default="spm",
        description="Haemodynamic response function, as nilearn names it. Of one with derivatives, "
        "which take up that a response is early, late or wide, the response itself is in `trials`.",
    )
    high_pass: float = Field(
        default=0.008,
        ge=0,
        le=0.1,
        description="Cut-off of the cosine drifts in the design, in Hz; 0 means none.",
    )
    confounds: ConfoundStrategy = Field(
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

    fir_delays: tuple[Annotated[int, Field(ge=0, le=60)], ...] = Field(
        default=tuple(range(10)),
        min_length=1,
        description="Delays of `fir` in repetition times: 0 is of the volumes within one after the "
        "onset (nilearn calls it 1).",
    )
    window: tuple[float, float] = Field(
        default=(4.0, 8.0), description="Window of the model `window`, in s from the onset."
    )
    max_variance_inflation: float = Field(
        default=5.0,
        gt=1,
        description="Trials of a greater variance inflation are marked as `collinear`.",
    )

    @field_validator("models")
    @classmethod
    def _each_once(cls, models: tuple[TrialModel, ...]) -> tuple[TrialModel, ...]:
        if len(set(models)) < len(models):
            raise ValueError("a model is listed twice")
        if "lss" not in models:
            raise ValueError("`lss` must be among them: signals are made from it")
        return models

    @field_validator("fir_delays")
    @classmethod
    def _delays_once(cls, delays: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(delays)) < len(delays):
            raise ValueError("a delay is listed twice")
        return delays

    @field_validator("window")
    @classmethod
    def _forwards(cls, window: tuple[float, float]) -> tuple[float, float]:
        if window[1] <= window[0]:
            raise ValueError("a window ends after it starts")
        return window


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
