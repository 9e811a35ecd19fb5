"""A Kalman filter on drifting values of options (Daw et al. 2006, doi:10.1038/nature04766)."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from braindata.latents.behaviour import Behaviour, Integers, Task
from braindata.latents.models.base import INVERSE_TEMPERATURE, Model, Parameter
from braindata.latents.models.choosing import best_other, draw, softmax
from braindata.latents.models.q_learning import START, in_outcome_units

Floats = NDArray[np.float64]

# Variances are in units of the noise of one outcome; at first a value is as uncertain as that.
START_VARIANCE = 1.0
LATENTS = ("value_chosen", "value_difference", "prediction_error", "confidence", "uncertainty")

PARAMETERS = (
    Parameter(
        "drift_variance",
        "log",
        -2.0,
        1.5,
        "Variance by which values drift from trial to trial, in units of the outcomes' noise.",
    ),
    INVERSE_TEMPERATURE,
    Parameter(
        "uncertainty_bonus",
        "identity",
        0.0,
        1.0,
        "Log-odds in favour of an option per unit of its uncertainty: directed exploration.",
    ),
)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _run(
    drift: float,
    temperature: float,
    bonus: float,
    choice: Integers,
    outcome: Floats,
    state: Integers,
    sequence: Integers,
    payoff: Floats,
    uniforms: Floats,
    log_likelihood: Floats,
    latents: Floats,
) -> None:
    n_states, n_options = state.max() + 1, payoff.shape[1]
    means = np.full((n_states, n_options), START)
    variances = np.full((n_states, n_options), START_VARIANCE)
    utilities = np.empty(n_options)
    probabilities = np.empty(n_options)
    for t in range(len(choice)):
        if t > 0 and sequence[t] != sequence[t - 1]:
            means[:] = START
            variances[:] = START_VARIANCE
        s = state[t]
        if s < 0:
            continue
        for i in range(n_options):
            utilities[i] = temperature * means[s, i] + bonus * np.sqrt(variances[s, i])
        softmax(utilities, probabilities)
        if len(uniforms) > 0:
            choice[t] = draw(probabilities, uniforms[t])
            outcome[t] = payoff[t, choice[t]]
        chosen = choice[t]
        if chosen < 0:
            continue
        log_likelihood[t] = np.log(probabilities[chosen])
        latents[t, 0] = means[s, chosen]
        latents[t, 1] = means[s, chosen] - best_other(means[s], chosen)
        latents[t, 3] = probabilities[chosen]
        latents[t, 4] = np.sqrt(variances[s, chosen])
        if not np.isnan(outcome[t]):
            error = outcome[t] - means[s, chosen]
            latents[t, 2] = error
            gain = variances[s, chosen] / (variances[s, chosen] + 1.0)
            means[s, chosen] += gain * error
            variances[s, chosen] *= 1.0 - gain
        for i in range(n_options):
            variances[s, i] += drift


def _evaluate(values: Floats, behaviour: Behaviour) -> tuple[Floats, Floats]:
    n = behaviour.n_trials
    log_likelihood, latents = np.full(n, np.nan), np.full((n, len(LATENTS)), np.nan)
    _run(
        *values,
        behaviour.choice,
        behaviour.scaled_outcome,
        behaviour.state,
        behaviour.sequence,
        np.empty((0, len(behaviour.options))),
        np.empty(0),
        log_likelihood,
        latents,
    )
    return log_likelihood, in_outcome_units(latents, behaviour, (0,), (1, 2))


def _simulate(values: Floats, task: Task, rng: np.random.Generator) -> Behaviour:
    blank = task.blank()
    choice, outcome = blank.choice.copy(), blank.outcome.copy()
    unused = np.empty(task.n_trials), np.empty((task.n_trials, len(LATENTS)))
    uniforms = rng.random(task.n_trials)
    _run(*values, choice, outcome, task.state, blank.sequence, task.payoff, uniforms, *unused)
    return replace(blank, choice=choice, outcome=outcome)


KALMAN_BANDIT = Model(
    name="kalman_bandit",
    version=1,
    summary="Values are estimated with their uncertainty, which may be sought or avoided.",
    reference="Daw et al. 2006, doi:10.1038/nature04766",
    parameters=PARAMETERS,
    needs=("choice", "outcome"),
    latents=LATENTS,
    evaluate=_evaluate,
    simulate=_simulate,
)
