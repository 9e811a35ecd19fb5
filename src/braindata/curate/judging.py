"""Whether a recording is used: excluded by choice or rule, or quarantined for bad data."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from braindata.bids.entities import stem
from braindata.bids.events import EventTimes
from braindata.curate.parameters import Choice, CurateParameters
from braindata.errors import DataError, DoubtfulError
from braindata.receipts import Outcome
from braindata.tables.rules import first_match

# More events than this share after the end of the run: another run's file, or milliseconds.
MAX_SHARE_BEYOND = 0.5


def excluded_before_reading(
    row: dict[str, Any], parameters: CurateParameters, choice: Choice, first_echo: str | None
) -> Outcome | None:
    """Return why a recording is excluded that need not even be opened; None when it must be.

    Parameters
    ----------
    row : dict
        Its row of the inventory.
    parameters : CurateParameters
        What the user excludes in all data sets.
    choice : Choice
        What is chosen of this one.
    first_echo : str or None
        Path of the echo that stands for its run; None where it is no image.
    """
    kind = _of_another_kind(row, first_echo)
    if kind is not None or choice.decisions.including(row) is not None:
        return kind
    if parameters.tasks and row["task"] not in parameters.tasks:
        return Outcome(
            "excluded", f"task {row['task']} is not asked for", "see curate.tasks in the config"
        )
    for column, asked in (("subject", choice.subjects), ("task", choice.tasks)):
        if asked and row[column] not in asked:
            return Outcome(
                "excluded",
                f"{column} {row[column]} is not asked for",
                f"see {column}s of this data set in the config",
            )
    decision = choice.decisions.excluding(row)
    if decision is not None:
        return Outcome("excluded", decision.signed(), f"see the exclusions of {row['dataset']}")
    if parameters.require_licence and row["licence_class"] not in parameters.require_licence:
        stated = "none is stated" if row["licence"] is None else "see `licence`"
        return Outcome(
            "excluded",
            f"its licence is {row['licence_class']} ({stated}), and curate.require_licence asks "
            f"for {', '.join(parameters.require_licence)}",
            "ask its authors, or include it in the exclusions of this data set",
        )
    return None


def excluded_by_rule(
    row: dict[str, Any], parameters: CurateParameters, choice: Choice
) -> Outcome | None:
    """Return why a recording whose metadata are complete is excluded; None when it is not."""
    outcome = _by_rule(row, parameters)
    decision = choice.decisions.including(row)
    if outcome is None or decision is None:
        return outcome
    row["warnings"].append(f"{outcome.reason}; brought back: {decision.signed()}")
    return None


def _by_rule(row: dict[str, Any], parameters: CurateParameters) -> Outcome | None:
    if row["n_volumes"] is not None and row["n_volumes"] < parameters.min_volumes:
        return Outcome(
            "excluded",
            f"it has {row['n_volumes']} volumes, fewer than {parameters.min_volumes}",
            "lower curate.min_volumes to use it",
        )
    rule = first_match(parameters.exclude, row)
    if rule is not None:
        return Outcome(
            "excluded",
            rule.reason(row, "curate.exclude"),
            "change the rule, or bring the recording back under `include` in the exclusions of "
            f"{row['dataset']}",
        )
    return None


def _of_another_kind(row: dict[str, Any], first_echo: str | None) -> Outcome | None:
    if first_echo is not None and row["path"] != first_echo:
        # Whether echoes are combined is a matter of preprocessing; the run is one recording.
        return Outcome(
            "excluded", f"it is a further echo of a run for which {stem(first_echo)} stands", None
        )
    if row["part"] not in (None, "mag"):
        return Outcome("excluded", f"it is the {row['part']} part of a complex image", None)
    return None


@contextmanager
def unless_included(row: dict[str, Any], choice: Choice) -> Iterator[None]:
    """Let what is doubtful about a recording pass, as a warning, where somebody included it."""
    try:
        yield
    except DoubtfulError as error:
        decision = choice.decisions.including(row)
        if decision is None:
            raise
        row["warnings"].append(f"{error.problem}; brought back: {decision.signed()}")


def told_to_who_included(outcome: Outcome, row: Mapping[str, Any], choice: Choice) -> Outcome:
    """Add to why a recording cannot be used that including it does not help, if somebody did."""
    decision = choice.decisions.including(row)
    if decision is None:
        return outcome
    said = (
        f"it is included ({decision.who}), which mends no data: {outcome.hint or 'see the reason'}"
    )
    return replace(outcome, hint=said)


def require_contents(path: Path) -> None:
    """Check that a file is there and may be read.

    Raises
    ------
    DataError
        When it is a folder, a link that leads nowhere, or closed to us.
    """
    try:
        # One question to the system: this is done for each file of each data set.
        mode = path.stat().st_mode
    except PermissionError:
        # Of a file in a closed folder, to be told of below.
        mode = stat.S_IFREG
    except OSError:
        mode = 0
    if stat.S_ISDIR(mode):
        raise DataError(
            "this is a folder, where a file is due", file=path, hint="put the image in its place"
        )
    if not stat.S_ISREG(mode):
        raise DataError(
            "the contents of this file are not there",
            file=path,
            hint="fetch them into the source (git annex get, datalad get), run again",
        )
    if not os.access(path, os.R_OK):
        raise DataError(
            "nobody permits you to read this file", file=path, hint="chmod u+r FILE, run again"
        )


def require_events_within(events: EventTimes, end: float, path: Path) -> None:
    """Check that the events are those of a run that ends at `end` (s).

    Raises
    ------
    DoubtfulError
        When most of them start after it.
    """
    beyond = int((events.onset >= end).sum())
    if beyond > MAX_SHARE_BEYOND * len(events.onset):
        raise DoubtfulError(
            f"{beyond} of {len(events.onset)} events start after the end of the run at {end:g} s",
            file=path,
            hint="are the onsets in milliseconds, or is it another run's events file? where it is "
            "neither, `include` in the exclusions brings it back",
        )
