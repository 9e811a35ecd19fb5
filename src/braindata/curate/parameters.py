"""What a user can set about curation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from braindata.curate.licences import LicenceClass
from braindata.fmri.backends import DerivativesParameters
from braindata.tables.exclusions import Decisions
from braindata.tables.rules import METADATA, canonical

Modality = Literal["fmri", "eeg"]


def _canonical(rule: str) -> str:
    return canonical(rule, METADATA, "it is found out later: write the rule in publish.exclude")


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
    # Each by itself, so that all wrong ones are told at once.
    exclude: tuple[Annotated[str, AfterValidator(_canonical)], ...] = Field(
        default=(),
        description="Rules; recordings of which one is true are excluded before anything is "
        "computed, such as `n_volumes < 100`, `tr > 3`, `task == rest`: a column of `recordings`, "
        "one of < <= > >= == !=, a value. Quality is known later: see `publish.exclude`.",
    )

    require_licence: tuple[LicenceClass, ...] = Field(
        default=(),
        description="Use only data sets under one of these licences, as `recordings` classes them; "
        "empty means all. What states none, or one that is not known, is `unknown`.",
    )

    @field_validator("exclude")
    @classmethod
    def _once(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rules))


class Alignment(BaseModel):
    """Which recordings of a data set people's maps into a common space are fitted on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[str, ...] = Field(
        default=(), description="Labels of tasks, as in file names; empty means all."
    )
    runs: tuple[str, ...] = Field(
        default=(), description="Runs, as in file names ('01' for run-01); empty means all."
    )

    def fits(self, task: str | None, run: str | None) -> bool:
        """Whether maps are fitted on a recording of a task and run."""
        return (not self.tasks or task in self.tasks) and (not self.runs or run in self.runs)


class Choice(BaseModel):
    """What is chosen of one data set.

    Attributes
    ----------
    modalities : tuple of {"fmri", "eeg"}
        Which recordings are looked at.
    subjects, tasks : tuple of str
        Use only these (labels as in file names); empty means all.
    decisions : Decisions
        What people decided about single recordings, as far as it counts here.
    derivatives : DerivativesParameters or None
        What is used of derivatives that others made of it; None where there are none. With them,
        raw images need not be there.
    alignment : Alignment
        On which recordings maps into a common space are fitted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: tuple[Modality, ...] = ("fmri",)
    subjects: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    decisions: Decisions = Decisions()
    derivatives: DerivativesParameters | None = None
    alignment: Alignment = Alignment()
