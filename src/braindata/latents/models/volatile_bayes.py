"""A Bayesian learner with volatility: the binary hierarchical Gaussian filter, three levels.

Mathys et al. 2011 (doi:10.3389/fnhum.2011.00039), with their update equations; the coupling of the
levels (kappa) is 1, and the beliefs start at 0 with a variance of 1.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from braindata.latents.behaviour import Behaviour, Integers, Task
from braindata.latents.models.base import Model, Parameter

Floats = NDArray[np.float64]

LATENTS = ("value_chosen", "value_difference", "prediction_error", "confidence", "volatility")
# A precision that an update makes negative stays here.
MIN_PRECISION = 1e-3
# Beyond these log-odds and log-volatilities nothing changes any more.
MAX_BELIEF = 15.0

PARAMETERS = (
    Parameter(
        "tonic_volatility",
        "identity",
        -2.0,
        1.5,
        "Log-variance by which the belief moves from trial to trial at a volatility of 0.",
    ),
    Parameter(
        "meta_volatility",
        "log",
        -2.5,
        1.0,
        "Variance by which the volatility itself moves from trial to trial.",
    ),
    Parameter(
        "inverse_temperature",
        "log",
        0.0,
        0.8,
        "How strictly the likelier option is chosen; 1 matches its probability.",
    ),
)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _run(
    tonic: float,
    meta: float,
    temperature: float,
    choice: Integers,
    outcome: Floats,
    sequence: Integers,
    payoff: Floats,
    uniforms: Floats,
    log_likelihood: Floats,
    latents: Floats,
) -> None:
    mean2, variance2, mean3, variance3 = 0.0, 1.0, 0.0, 1.0
    for t in range(len(choice)):
        if t > 0 and sequence[t] != sequence[t - 1]:
            mean2, variance2, mean3, variance3 = 0.0, 1.0, 0.0, 1.0
        predicted = 1.0 / (1.0 + np.exp(-mean2))
        second = 1.0 / (1.0 + np.exp(-temperature * mean2))
        if len(uniforms) > 0:
            choice[t] = 1 if uniforms[t] < second else 0
            outcome[t] = payoff[t, choice[t]]
        chosen = choice[t]
        if chosen < 0:
            continue
        # The logarithm from the log-odds: a probability rounds to 0 far earlier.
        log_odds = temperature * mean2 if chosen == 1 else -temperature * mean2
        log_likelihood[t] = -np.log1p(np.exp(-log_odds)) if log_odds > -30 else log_odds
        value = predicted if chosen == 1 else 1.0 - predicted
        latents[t, 0] = value
        latents[t, 1] = 2.0 * value - 1.0
        latents[t, 3] = second if chosen == 1 else 1.0 - second
        latents[t, 4] = mean3
        if np.isnan(outcome[t]):
            continue
        latents[t, 2] = outcome[t] - value
        # How far the outcome says that the second option is the right one, 0 to 1.
        shown = outcome[t] if chosen == 1 else 1.0 - outcome[t]
        phasic = np.exp(min(mean3 + tonic, MAX_BELIEF))
        before = variance2 + phasic
        precision2 = 1.0 / before + predicted * (1.0 - predicted)
        updated = mean2 + (shown - predicted) / precision2
        updated = min(max(updated, -MAX_BELIEF), MAX_BELIEF)
        weight = phasic / before
        relative = (phasic - variance2) / before
        surprise = (1.0 / precision2 + (updated - mean2) ** 2) / before - 1.0
        precision3 = 1.0 / (variance3 + meta) + 0.5 * weight * (weight + relative * surprise)
        precision3 = max(precision3, MIN_PRECISION)
        mean3 += 0.5 * weight / precision3 * surprise
        mean3 = min(max(mean3, -MAX_BELIEF), MAX_BELIEF)
        mean2, variance2, variance3 = updated, 1.0 / precision2, 1.0 / precision3


def _evaluate(values: Floats, behaviour: Behaviour) -> tuple[Floats, Floats]:
    n = behaviour.n_trials
    log_likelihood, latents = np.full(n, np.nan), np.full((n, len(LATENTS)), np.nan)
    _run(
        *values,
        behaviour.choice,
        behaviour.scaled_outcome,
        behaviour.sequence,
        np.empty((0, 2)),
        np.empty(0),
        log_likelihood,
        latents,
    )
    return log_likelihood, latents


def _simulate(values: Floats, task: Task, rng: np.random.Generator) -> Behaviour:
    blank = task.blank()
    choice, outcome = blank.choice.copy(), blank.outcome.copy()
    unused = np.empty(task.n_trials), np.empty((task.n_trials, len(LATENTS)))
    uniforms = rng.random(task.n_trials)
    _run(*values, choice, outcome, blank.sequence, task.payoff, uniforms, *unused)
    return replace(blank, choice=choice, outcome=outcome)


VOLATILE_BAYES = Model(
    name="volatile_bayes",
    version=1,
    summary="Which of two options is right, with how fast that changes (a binary HGF).",
    reference="Mathys et al. 2011, doi:10.3389/fnhum.2011.00039",
    parameters=PARAMETERS,
    needs=("choice", "outcome"),
    latents=LATENTS,
    evaluate=_evaluate,
    simulate=_simulate,
    options=2,
)
