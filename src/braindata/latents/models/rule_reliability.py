"""Several rules monitored at once: exploit the reliable one, retrieve another, or explore.

After Collins & Koechlin 2012 (doi:10.1371/journal.pbio.1001293) and Donoso, Collins & Koechlin 2014
(doi:10.1126/science.1252254). A rule (task set) maps stimuli to actions and predicts what they
bring. Up to three are monitored: the reliability of each is the probability that it, and no other,
holds now. One of them acts. When it ceases to be reliable, another reliable one is retrieved; when
none is, a new rule is made from those that are known, and acts while it is put to the test.

Simpler than the original: a rule predicts by the values that it has learned; context cues are left
out; a new rule starts from the mixture of the monitored ones and from ignorance.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from braindata.latents.behaviour import Behaviour, Integers, Task
from braindata.latents.models.base import INVERSE_TEMPERATURE, LEARNING_RATE, Model, Parameter
from braindata.latents.models.choosing import best_other, draw, softmax
from braindata.latents.models.q_learning import START, in_outcome_units

Floats = NDArray[np.float64]

# As many rules as people were found to monitor (Donoso et al. 2014).
CAPACITY = 3
RELIABLE = 0.5
# No rule is so sure of an outcome that a single one could refute it.
MIN_PREDICTED = 0.05
LATENTS = (
    "value_chosen",
    "value_difference",
    "prediction_error",
    "confidence",
    "rule_reliability_current",
    "rule_reliability_alternative",
    "exploration_value",
    "rule_switch",
)

PARAMETERS = (
    replace(LEARNING_RATE, description="Share of a prediction error that changes the acting rule."),
    INVERSE_TEMPERATURE,
    Parameter(
        "rule_volatility",
        "logit",
        -1.5,
        1.0,
        "Probability that another rule holds at the next trial.",
        upper=0.5,
    ),
)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _run(
    rate: float,
    temperature: float,
    volatility: float,
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
    values = np.empty((CAPACITY, n_states, n_options))
    # The last is the reliability of none of them: the world follows a rule that is not known.
    reliability = np.zeros(CAPACITY + 1)
    known = np.zeros(CAPACITY, np.bool_)
    utilities = np.empty(n_options)
    probabilities = np.empty(n_options)
    actor, on_probation, switched = 0, True, False
    for t in range(len(choice)):
        if t == 0 or sequence[t] != sequence[t - 1]:
            values[:] = START
            known[:] = False
            known[0] = True
            reliability[:] = 0.0
            reliability[0] = reliability[CAPACITY] = 0.5
            actor, on_probation, switched = 0, True, False
        s = state[t]
        if s < 0:
            continue
        own = values[actor, s]
        for i in range(n_options):
            utilities[i] = temperature * own[i]
        softmax(utilities, probabilities)
        if len(uniforms) > 0:
            choice[t] = draw(probabilities, uniforms[t])
            outcome[t] = payoff[t, choice[t]]
        chosen = choice[t]
        if chosen < 0:
            continue
        # Since the last trial another rule may have come to hold, all being as likely.
        n_known = 1
        for m in range(CAPACITY):
            n_known += 1 if known[m] else 0
        for m in range(CAPACITY + 1):
            if m == CAPACITY or known[m]:
                reliability[m] = (1.0 - volatility) * reliability[m] + volatility / n_known
        alternative = 0.0
        for m in range(CAPACITY):
            if m != actor and known[m] and reliability[m] > alternative:
                alternative = reliability[m]
        log_likelihood[t] = np.log(probabilities[chosen])
        latents[t, 0] = own[chosen]
        latents[t, 1] = own[chosen] - best_other(own, chosen)
        latents[t, 3] = probabilities[chosen]
        latents[t, 4] = reliability[actor]
        latents[t, 5] = alternative
        latents[t, 6] = reliability[CAPACITY]
        latents[t, 7] = 1.0 if switched else 0.0
        switched = False
        if np.isnan(outcome[t]):
            continue
        # What each rule had predicted of this outcome.
        total = 0.0
        for m in range(CAPACITY + 1):
            predicted = values[m, s, chosen] if m < CAPACITY and known[m] else START
            predicted = min(max(predicted, MIN_PREDICTED), 1.0 - MIN_PREDICTED)
            reliability[m] *= outcome[t] * predicted + (1.0 - outcome[t]) * (1.0 - predicted)
            total += reliability[m]
        for m in range(CAPACITY + 1):
            reliability[m] /= total
        latents[t, 2] = outcome[t] - own[chosen]
        own[chosen] += rate * latents[t, 2]
        # Act on: keep, retrieve, or explore.
        if reliability[actor] > RELIABLE:
            on_probation = False
            continue
        retrieved = -1
        for m in range(CAPACITY):
            if m != actor and known[m] and reliability[m] > RELIABLE:
                retrieved = m
        if retrieved >= 0:
            if on_probation:
                # A rule that was never confirmed is given up.
                known[actor] = False
                reliability[CAPACITY] += reliability[actor]
                reliability[actor] = 0.0
            actor, on_probation, switched = retrieved, False, True
        elif not on_probation:
            new = -1
            for m in range(CAPACITY):
                if not known[m]:
                    new = m
                    break
            if new < 0:
                # Of those that do not act the least reliable makes room.
                for m in range(CAPACITY):
                    if m != actor and (new < 0 or reliability[m] < reliability[new]):
                        new = m
                reliability[CAPACITY] += reliability[new]
                known[new] = False
            for i in range(n_states):
                for j in range(n_options):
                    mixed = reliability[CAPACITY] * START
                    for m in range(CAPACITY):
                        if known[m]:
                            mixed += reliability[m] * values[m, i, j]
                    values[new, i, j] = mixed
            reliability[new] = reliability[CAPACITY] / 2.0
            reliability[CAPACITY] /= 2.0
            known[new] = True
            actor, on_probation, switched = new, True, True


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


RULE_RELIABILITY = Model(
    name="rule_reliability",
    version=1,
    summary="Up to three rules are monitored; the reliable one acts, or a new one is explored.",
    reference="Donoso, Collins & Koechlin 2014, doi:10.1126/science.1252254",
    parameters=PARAMETERS,
    needs=("choice", "outcome", "stimulus"),
    latents=LATENTS,
    evaluate=_evaluate,
    simulate=_simulate,
    smooth=False,
)
