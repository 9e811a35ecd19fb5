"""Recordings that a person leaves out or brings back: who, when and why.

Read whenever a run is planned, so it imports little.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Stage = Literal["curate", "publish"]
ENTITIES = ("subject", "session", "task", "acquisition", "reconstruction", "direction", "run")


class Decision(BaseModel):
    """What somebody decided about recordings: by name, or by their entities."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recording: str | None = Field(
        default=None, min_length=1, description="Name of one recording, without its extension."
    )
    subject: str | None = Field(
        default=None, description="Label as in file names: '01' for sub-01."
    )
    session: str | None = Field(default=None, description="Label as in file names.")
    task: str | None = Field(default=None, description="Label as in file names.")
    acquisition: str | None = Field(default=None, description="Label as in file names.")
    reconstruction: str | None = Field(default=None, description="Label as in file names.")
    direction: str | None = Field(default=None, description="Label as in file names.")
    run: str | None = Field(default=None, description="As in file names: '02' for run-02.")
    who: str = Field(min_length=1, description="Who decided.")
    when: date = Field(description="When: year-month-day.")
    why: str = Field(min_length=1, description="Why, in words for people.")
    stage: Stage | None = Field(
        default=None,
        description="`curate`: nothing is computed of it. `publish`: it is computed and left out "
        "of the tables. By default `curate` for what is excluded, both for what is included.",
    )

    @model_validator(mode="after")
    def _of_something(self) -> Decision:
        if not self.meant():
            raise ValueError(f"name a recording, or some of {', '.join(ENTITIES)}")
        return self

    def meant(self) -> dict[str, str]:
        """Return the columns and values of the recordings that are meant."""
        named = {key: getattr(self, key) for key in ("recording", *ENTITIES)}
        return {key: value for key, value in named.items() if value is not None}

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of `recordings` is meant."""
        return all(row[key] == value for key, value in self.meant().items())

    def signed(self) -> str:
        """Return why, by whom and when."""
        return f"{self.why} ({self.who}, {self.when.isoformat()})"


class Decisions(BaseModel):
    """All that was decided about the recordings of one data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exclude: tuple[Decision, ...] = Field(default=(), description="Recordings to leave out.")
    include: tuple[Decision, ...] = Field(
        default=(), description="Recordings to bring back that a rule or `exclude` leaves out."
    )

    def at(self, stage: Stage) -> Decisions:
        """Return what counts at a stage."""
        return Decisions(
            exclude=tuple(one for one in self.exclude if (one.stage or "curate") == stage),
            include=tuple(one for one in self.include if (one.stage or stage) == stage),
        )

    def excluding(self, row: Mapping[str, Any]) -> Decision | None:
        """Return the first decision that leaves a recording out."""
        return next((one for one in self.exclude if one.matches(row)), None)

    def including(self, row: Mapping[str, Any]) -> Decision | None:
        """Return the first decision that brings a recording back."""
        return next((one for one in self.include if one.matches(row)), None)

    def about_nothing(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return, in words, the decisions that are about no recording at all."""
        there = list(rows)
        told = []
        for one in (*self.exclude, *self.include):
            if any(one.matches(row) for row in there):
                continue
            said = f"no recording has {', '.join(f'{k} {v}' for k, v in one.meant().items())}"
            for key, value in one.meant().items():
                known = {str(row[key]) for row in there if row[key] is not None}
                near = difflib.get_close_matches(value, sorted(known), n=1)
                if value not in known and near:
                    said += f"; did you mean {key} {near[0]}?"
            told.append(said)
        return told
