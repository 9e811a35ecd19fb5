"""What a person did, trial by trial, as arrays: what models are fitted to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MISSING = -1


@dataclass(frozen=True)
class Behaviour:
    """The trials of one person, run after run.

    Attributes
    ----------
    choice : ndarray of int64, shape (n_trials,)
        Index of the option that was chosen; -1 where there is no choice.
    options : tuple of str
        Names of the options.
    sequence : ndarray of int64, shape (n_trials,)
        Index of the run: what was learned starts anew where it changes.
    outcome : ndarray of float64, shape (n_trials,)
        What came of the choice; NaN where it is not known.
    state : ndarray of int64, shape (n_trials,)
        Index of the stimulus; all 0 where there are none, -1 where it is not known.
    response_time : ndarray of float64, shape (n_trials,)
        In s; NaN where it is not known.
    gain, loss : ndarray of float64, shape (n_trials,)
        What a gamble may bring, and what it may cost as a positive number; NaN if not known.
    evidence : ndarray of float64, shape (n_trials,)
        Strength of the stimulus, positive towards the second option; NaN if not known.
    outcome_range : tuple of float
        Lowest and highest outcome in the data set.
    """

    choice: Integers
    options: tuple[str, ...]
    sequence: Integers
    outcome: Floats
    state: Integers
    response_time: Floats
    gain: Floats
    loss: Floats
    evidence: Floats
    outcome_range: tuple[float, float] = (0.0, 1.0)

    @property
    def n_trials(self) -> int:
        """Number of trials, with a choice or without."""
        return len(self.choice)

    @property
    def n_states(self) -> int:
        """Number of stimuli, at least 1."""
        return int(self.state.max(initial=0)) + 1

    @cached_property
    def scaled_outcome(self) -> Floats:
        """The outcomes with the data set's range as 0 to 1."""
        low, high = self.outcome_range
        scaled: Floats = (self.outcome - low) / (high - low)
        return scaled


@dataclass(frozen=True)
class Task:
    """What a simulated person is put before.

    Attributes
    ----------
    n_trials : int
        Number of trials.
    options : tuple of str
        Names of the options.
    payoff : ndarray of float64, shape (n_trials, n_options)
        What each option would bring, between 0 and 1.
    state : ndarray of int64, shape (n_trials,)
        Index of the stimulus.
    gain, loss, evidence : ndarray of float64, shape (n_trials,)
        As of `Behaviour`.
    """

    n_trials: int
    options: tuple[str, ...]
    payoff: Floats
    state: Integers
    gain: Floats = field(default_factory=lambda: np.empty(0))
    loss: Floats = field(default_factory=lambda: np.empty(0))
    evidence: Floats = field(default_factory=lambda: np.empty(0))

    def blank(self) -> Behaviour:
        """Return the behaviour of somebody who has not begun yet."""
        unknown = np.full(self.n_trials, np.nan)
        return Behaviour(
            choice=np.full(self.n_trials, MISSING, np.int64),
            options=self.options,
            sequence=np.zeros(self.n_trials, np.int64),
            outcome=unknown.copy(),
            state=self.state,
            response_time=unknown.copy(),
            gain=self.gain if len(self.gain) else unknown,
            loss=self.loss if len(self.loss) else unknown,
            evidence=self.evidence if len(self.evidence) else unknown,
        )
