"""From events files to behaviour: which columns hold it, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.latents.behaviour import MISSING, Behaviour
from braindata.latents.models.base import Model
from braindata.tables.keys import RecordingKey

Floats = NDArray[np.float64]

# Fewer choices than this say less than the prior does.
MIN_CHOICES = 20


@dataclass(frozen=True)
class Columns:
    """Which columns of the events hold what; None where none does.

    Attributes
    ----------
    choice, outcome, stimulus, response_time, gain, loss, evidence : str or None
        Names of columns.
    choices : mapping of str to sequence of str
        Which values of `choice` stand for which option; every other value is no choice. Empty: each
        value is an option.
    response_time_scale : float
        What response times are multiplied by to be in s.
    """

    choice: str | None = None
    outcome: str | None = None
    stimulus: str | None = None
    response_time: str | None = None
    gain: str | None = None
    loss: str | None = None
    evidence: str | None = None
    choices: Mapping[str, Sequence[str]] | None = None
    response_time_scale: float = 1.0

    def missing(self, model: Model, there: Sequence[str]) -> list[str]:
        """Return what a model needs and events with these columns do not have."""
        return [need for need in model.needs if getattr(self, need) not in there]


@dataclass(frozen=True)
class RunEvents:
    """The events of one recording.

    Attributes
    ----------
    key : RecordingKey
        Which recording.
    events : pandas.DataFrame
        As `braindata.bids.events.read_events` returns them.
    """

    key: RecordingKey
    events: pd.DataFrame

    def in_time(self) -> RunEvents:
        """Return the events in the order of their onsets; their index is the row in the file.

        What is learned depends on the order, and files need not be sorted.
        """
        events = self.events.reset_index(drop=True)
        if "onset" in events.columns:
            events = events.sort_values("onset", kind="stable")
        return RunEvents(self.key, events)


@dataclass(frozen=True)
class Person:
    """One person in one task.

    Attributes
    ----------
    subject, task : str
        Who, and in which task.
    runs : list of RunEvents
        The recordings, by name, their events in the order of time.
    behaviour : Behaviour
        All of their trials, one after the other.
    oddities : list of str
        What was left out of the behaviour, and why.
    """

    subject: str
    task: str
    runs: list[RunEvents]
    behaviour: Behaviour
    oddities: list[str]


def read_people(runs: Sequence[RunEvents], columns: Columns) -> list[Person]:
    """Return the behaviour of each person in each task.

    Options, stimuli and the range of outcomes are those of a whole task: they mean the same in all
    people.

    Parameters
    ----------
    runs : sequence of RunEvents
        The recordings of a data set, in any order.
    columns : Columns
        Where the behaviour is.

    Returns
    -------
    list of Person
        Sorted by task and subject.
    """
    tasks: dict[str, dict[str, list[RunEvents]]] = {}
    for run in sorted(runs, key=lambda one: one.key.recording):
        of_task = tasks.setdefault(run.key.task or "", {})
        of_task.setdefault(run.key.subject or "", []).append(run.in_time())
    people = []
    for task, of_task in sorted(tasks.items()):
        everybody = [run for own in of_task.values() for run in own]
        options = _options(everybody, columns)
        stimuli = sorted({v for run in everybody for v in _texts(run, columns.stimulus) if v})
        outcomes = np.concatenate([_numbers(run, columns.outcome) for run in everybody])
        known = outcomes[np.isfinite(outcomes)]
        span = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        span = span if span[1] > span[0] else (span[0], span[0] + 1.0)
        for subject, own in sorted(of_task.items()):
            behaviour, oddities = _behaviour(own, columns, options, stimuli, span)
            people.append(Person(subject, task, own, behaviour, oddities))
    return people


def why_not(model: Model, person: Person, columns: Columns) -> str | None:
    """Return why a model cannot be fitted to a person; None when it can."""
    there = {str(name) for run in person.runs for name in run.events.columns}
    missing = columns.missing(model, sorted(there))
    if missing:
        return (
            f"the events have no {' and no '.join(missing)}, which {model.name} needs: name the "
            "column in event_mapping"
        )
    behaviour = person.behaviour
    if isinstance(model.options, tuple) and set(behaviour.options) != set(model.options):
        return (
            f"{model.name} needs the options {' and '.join(model.options)}, and there are "
            f"{', '.join(behaviour.options) or 'none'}: say in event_mapping.choices which is which"
        )
    if isinstance(model.options, int) and len(behaviour.options) != model.options:
        return (
            f"{model.name} needs {model.options} options, and there are {len(behaviour.options)}: "
            f"{', '.join(behaviour.options[:5])}"
        )
    usable = _usable(model, behaviour)
    if usable.sum() < MIN_CHOICES:
        return f"{usable.sum()} trials have all that is needed; at least {MIN_CHOICES} must"
    chosen = np.unique(behaviour.choice[usable])
    if len(chosen) == 1:
        return (
            f"the choice is {behaviour.options[chosen[0]]} throughout: nothing is left to explain"
        )
    if "outcome" in model.needs and np.ptp(behaviour.outcome[usable]) == 0:
        return "the outcome is the same throughout: nothing can be learned from it"
    return None


def _usable(model: Model, behaviour: Behaviour) -> NDArray[np.bool_]:
    usable = behaviour.choice >= 0
    for need in model.needs:
        if need == "stimulus":
            usable &= behaviour.state >= 0
        elif need != "choice":
            usable &= np.isfinite(getattr(behaviour, need))
    return usable


def _options(runs: Sequence[RunEvents], columns: Columns) -> tuple[str, ...]:
    if columns.choices:
        return tuple(columns.choices)
    return tuple(sorted({v for run in runs for v in _texts(run, columns.choice) if v is not None}))


def _behaviour(
    runs: Sequence[RunEvents],
    columns: Columns,
    options: tuple[str, ...],
    stimuli: Sequence[str],
    outcome_range: tuple[float, float],
) -> tuple[Behaviour, list[str]]:
    option_of = {name: i for i, name in enumerate(options)}
    if columns.choices:
        option_of = {value: i for i, name in enumerate(options) for value in columns.choices[name]}
    state_of = {name: i for i, name in enumerate(stimuli)}
    said = [value for run in runs for value in _texts(run, columns.choice)]
    shown = [value for run in runs for value in _texts(run, columns.stimulus)]
    choice = np.array([option_of.get(value or "", MISSING) for value in said], np.int64)
    state = np.zeros(len(said), np.int64)
    if stimuli:
        state = np.array([state_of.get(value or "", MISSING) for value in shown], np.int64)

    def numbers(column: str | None) -> Floats:
        return np.concatenate([_numbers(run, column) for run in runs])

    times = numbers(columns.response_time) * columns.response_time_scale
    oddities = []
    strange = Counter(value for value in said if value is not None and value not in option_of)
    if strange:
        listed = ", ".join(f"{value} ({n})" for value, n in sorted(strange.items()))
        oddities.append(f"no option of event_mapping.choices: {listed}")
    n_missing = sum(value is None for value in said)
    if n_missing:
        oddities.append(f"{n_missing} trials without a response")
    impossible = times <= 0
    if impossible.any():
        oddities.append(f"{impossible.sum()} response times of 0 or below are left out")
    behaviour = Behaviour(
        choice=choice,
        options=options,
        sequence=np.repeat(np.arange(len(runs)), [len(run.events) for run in runs]),
        outcome=numbers(columns.outcome),
        state=state,
        response_time=np.where(impossible, np.nan, times),
        gain=numbers(columns.gain),
        # Some files have losses below 0, some above.
        loss=np.abs(numbers(columns.loss)),
        evidence=numbers(columns.evidence),
        outcome_range=outcome_range,
    )
    return behaviour, oddities


def _texts(run: RunEvents, column: str | None) -> list[str | None]:
    if column is None or column not in run.events.columns:
        return [None] * len(run.events)
    return [_text(value) for value in run.events[column]]


def _text(value: object) -> str | None:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    # pandas reads a column of whole numbers with an `n/a` as floats: 1.0 was `1` in the file.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _numbers(run: RunEvents, column: str | None) -> Floats:
    if column is None or column not in run.events.columns:
        return np.full(len(run.events), np.nan)
    numbers = pd.to_numeric(run.events[column], errors="coerce").to_numpy(np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)
