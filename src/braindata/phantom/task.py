"""The gambling task: offers, a person's values and choices, and the response to them in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.phantom.parameters import (
    EVENT_DURATION,
    LEAD_IN,
    REGIONS,
    TASK,
    PhantomParameters,
)

Vector = NDArray[np.float64]

FINE_STEP = 0.05
HRF_LENGTH = 32.0


@dataclass(frozen=True)
class Person:
    """What makes a person's behaviour and blood flow their own.

    Attributes
    ----------
    loss_aversion : float
        How much heavier a loss weighs than a gain.
    hrf_stretch : float
        By how much the haemodynamic response is slower than Glover's.
    """

    loss_aversion: float
    hrf_stretch: float


def random_person(rng: np.random.Generator) -> Person:
    """Draw a person: loss aversion about 2 (Tom et al. 2007, doi:10.1126/science.1134239)."""
    return Person(
        loss_aversion=float(np.exp(rng.normal(np.log(2.0), 0.15))),
        hrf_stretch=float(rng.uniform(0.9, 1.15)),
    )


def glover(time: Vector, stretch: float = 1.0) -> Vector:
    """Haemodynamic response of Glover (1999), doi:10.1006/nimg.1998.0419, unscaled.

    Parameters
    ----------
    time : ndarray
        Time since the event in s.
    stretch : float
        Above 1: slower.
    """
    scaled = np.clip(time / stretch, 0, None)
    first, second = 6 * 0.9, 12 * 0.9
    rise = (scaled / first) ** 6 * np.exp(-(scaled - first) / 0.9)
    fall = (scaled / second) ** 12 * np.exp(-(scaled - second) / 0.9)
    return np.asarray(rise - 0.35 * fall, dtype=float)


def trial_responses(onsets: Vector, frame_times: Vector, stretch: float) -> Vector:
    """Responses to trials, each with a peak of 1, from a grid of 0.05 s.

    Parameters
    ----------
    onsets : ndarray of shape (n_trials,)
        Onsets in s.
    frame_times : ndarray of shape (n_volumes,)
        Times of the volumes in s.
    stretch : float
        See `glover`.

    Returns
    -------
    ndarray of shape (n_volumes, n_trials)
    """
    time = np.arange(0, HRF_LENGTH + EVENT_DURATION, FINE_STEP)
    cumulated = np.concatenate([[0.0], np.cumsum(glover(time + FINE_STEP / 2, stretch))])[:-1]
    one = cumulated - np.interp(time - EVENT_DURATION, time, cumulated, left=0.0)
    one[time > HRF_LENGTH] = 0.0
    since = frame_times[:, None] - onsets[None, :]
    return np.asarray(np.interp(since, time, one / one.max(), left=0.0, right=0.0))


def frame_times(parameters: PhantomParameters) -> Vector:
    """Times of the volumes: each is acquired at once, at the start of its TR."""
    return np.arange(parameters.n_volumes, dtype=float) * parameters.tr


def draw_events(
    person: Person, parameters: PhantomParameters, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw a run's trials.

    Offers span gains of 10 to 40 and losses of 5 to 20 (as Tom et al. 2007), spread evenly over
    gain − 2 × loss. Pauses are spread evenly over `interval` and shuffled, so that every run lasts
    equally long.

    Returns
    -------
    DataFrame
        The columns of an events file, and `utility` (gain − loss aversion × loss).
    """
    n = parameters.n_trials
    gains, losses = (
        a.ravel() for a in np.meshgrid(np.arange(10, 41, 2), np.arange(5, 21), indexing="ij")
    )
    spread = gains - 2 * losses
    chosen = [
        rng.choice(np.flatnonzero(np.abs(spread - target) <= 2))
        for target in np.linspace(-30, 30, n)
    ]
    order = rng.permutation(np.array(chosen))
    gain, loss = gains[order].astype(float), losses[order].astype(float)
    low, high = parameters.interval
    pauses = np.linspace(low, high, n - 1) if n > 2 else np.array([(low + high) / 2])
    steps = EVENT_DURATION + rng.permutation(pauses)
    onset = np.round(LEAD_IN + np.concatenate([[0.0], np.cumsum(steps)]), 3)
    utility = gain - person.loss_aversion * loss
    accepted = rng.random(n) < 1 / (1 + np.exp(-utility / 4))
    won = rng.random(n) < 0.5
    missed = rng.random(n) < 0.02
    time = 0.6 + 0.5 * np.exp(-np.abs(utility) / 10) + rng.gamma(4.0, 0.05, n)
    outcome = np.where(accepted & ~missed, np.where(won, gain, -loss), 0.0)
    return pd.DataFrame(
        {
            "onset": onset,
            "duration": EVENT_DURATION,
            "trial_type": TASK,
            "response_time": np.where(missed, np.nan, np.round(np.minimum(time, 1.9), 3)),
            "gain": gain.astype(int),
            "loss": loss.astype(int),
            "response": np.where(missed, "n/a", np.where(accepted, "accept", "reject")),
            "outcome": outcome.astype(int),
            "utility": utility,
        }
    )


def true_amplitudes(
    values: Vector, parameters: PhantomParameters, rng: np.random.Generator
) -> dict[str, Vector]:
    """Return each region's responses to a run's trials, as fractions of the signal at its peak.

    Parameters
    ----------
    values : ndarray of shape (n_trials,)
        Utilities, scaled so that a person's largest one is 1.
    """
    amplitudes = {}
    for region in REGIONS:
        own = region.response + region.variability * rng.standard_normal(len(values))
        effect = parameters.value_effect if region.follows_value else 0.0
        amplitudes[region.name] = own + effect * values
    return amplitudes
