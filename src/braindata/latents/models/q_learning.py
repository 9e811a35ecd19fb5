"""Q-learning: values of options follow prediction errors (Sutton & Barto 2018, chapter 2)."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from braindata.latents.behaviour import Behaviour, Integers, Task
from braindata.latents.models.base import INVERSE_TEMPERATURE, LEARNING_RATE, Model, Parameter
from braindata.latents.models.choosing import best_other, draw, softmax

Floats = NDArray[np.float64]

# Values start in the middle of the outcomes' range: nothing is known of the options yet.
START = 0.5
LATENTS = ("value_chosen", "value_difference", "prediction_error", "confidence")
# Latents that are differences of values, and those that are values.
_DIFFERENCES, _VALUES = (1, 2), (0,)

LEARNING_RATE_GAIN = Parameter(
    "learning_rate_gain", "logit", -0.5, 1.2, "Learning rate where it is better than expected."
)
LEARNING_RATE_LOSS = Parameter(
    "learning_rate_loss", "logit", -0.5, 1.2, "Learning rate where it is worse than expected."
)
FORGETTING = Parameter(
    "forgetting", "logit", -1.5, 1.2, "Share by which values not chosen return to the start."
)
PERSEVERATION = Parameter(
    "perseveration", "identity", 0.0, 1.0, "Log-odds in favour of the latest choice."
)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _run(
    learning: tuple[float, float, float],
    choosing: tuple[float, float],
    choice: Integers,
    outcome: Floats,
    state: Integers,
    sequence: Integers,
    payoff: Floats,
    uniforms: Floats,
    log_likelihood: Floats,
    latents: Floats,
) -> None:
    """Go through the trials; where there are `uniforms`, choose by them and fill the choices in."""
    rate_gain, rate_loss, forgetting = learning
    temperature, perseveration = choosing
    n_states, n_options = state.max() + 1, payoff.shape[1]
    values = np.full((n_states, n_options), START)
    latest = np.full(n_states, -1)
    utilities = np.empty(n_options)
    probabilities = np.empty(n_options)
    for t in range(len(choice)):
        if t > 0 and sequence[t] != sequence[t - 1]:
            values[:] = START
            latest[:] = -1
        s = state[t]
        if s < 0:
            continue
        own = values[s]
        for i in range(n_options):
            utilities[i] = temperature * own[i]
        if latest[s] >= 0:
            utilities[latest[s]] += perseveration
        softmax(utilities, probabilities)
        if len(uniforms) > 0:
            choice[t] = draw(probabilities, uniforms[t])
            outcome[t] = payoff[t, choice[t]]
        chosen = choice[t]
        if chosen < 0:
            continue
        log_likelihood[t] = np.log(probabilities[chosen])
        latents[t, 0] = own[chosen]
        latents[t, 1] = own[chosen] - best_other(own, chosen)
        latents[t, 3] = probabilities[chosen]
        latest[s] = chosen
        if np.isnan(outcome[t]):
            continue
        error = outcome[t] - own[chosen]
        latents[t, 2] = error
        kept = own[chosen] + (rate_gain if error > 0 else rate_loss) * error
        for i in range(n_options):
            own[i] += forgetting * (START - own[i])
        own[chosen] = kept


def _make(
    name: str, parameters: tuple[Parameter, ...], summary: str, reference: str, version: int = 1
) -> Model:
    names = [one.name for one in parameters]

    def settings(values: Floats) -> tuple[tuple[float, float, float], tuple[float, float]]:
        given = dict(zip(names, values, strict=True))
        one_rate = given.get("learning_rate", 0.0)
        learning = (
            given.get("learning_rate_gain", one_rate),
            given.get("learning_rate_loss", one_rate),
            given.get("forgetting", 0.0),
        )
        return learning, (given["inverse_temperature"], given.get("perseveration", 0.0))

    def evaluate(values: Floats, behaviour: Behaviour) -> tuple[Floats, Floats]:
        n = behaviour.n_trials
        log_likelihood, latents = np.full(n, np.nan), np.full((n, len(LATENTS)), np.nan)
        nothing = np.empty((0, len(behaviour.options)))
        _run(
            *settings(values),
            behaviour.choice,
            behaviour.scaled_outcome,
            behaviour.state,
            behaviour.sequence,
            nothing,
            np.empty(0),
            log_likelihood,
            latents,
        )
        return log_likelihood, in_outcome_units(latents, behaviour, _VALUES, _DIFFERENCES)

    def simulate(values: Floats, task: Task, rng: np.random.Generator) -> Behaviour:
        blank = task.blank()
        choice, outcome = blank.choice.copy(), blank.outcome.copy()
        unused = np.empty(task.n_trials), np.empty((task.n_trials, len(LATENTS)))
        uniforms = rng.random(task.n_trials)
        _run(
            *settings(values),
            choice,
            outcome,
            task.state,
            blank.sequence,
            task.payoff,
            uniforms,
            *unused,
        )
        return replace(blank, choice=choice, outcome=outcome)

    return Model(
        name=name,  # type: ignore[arg-type]
        version=version,
        summary=summary,
        reference=reference,
        parameters=parameters,
        needs=("choice", "outcome"),
        latents=LATENTS,
        evaluate=evaluate,
        simulate=simulate,
    )


def in_outcome_units(
    latents: Floats, behaviour: Behaviour, values: tuple[int, ...], differences: tuple[int, ...]
) -> Floats:
    """Return latents in the units of the outcomes; the models work on a range of 0 to 1."""
    low, high = behaviour.outcome_range
    if (low, high) == (0.0, 1.0):
        return latents
    for i in values:
        latents[:, i] = low + (high - low) * latents[:, i]
    for i in differences:
        latents[:, i] *= high - low
    return latents


_RESCORLA = "Rescorla & Wagner 1972; Sutton & Barto 2018"
Q_MODELS = (
    _make(
        "q_learning",
        (LEARNING_RATE, INVERSE_TEMPERATURE),
        "Values follow prediction errors at one rate.",
        _RESCORLA,
    ),
    _make(
        "q_learning_two_rates",
        (LEARNING_RATE_GAIN, LEARNING_RATE_LOSS, INVERSE_TEMPERATURE),
        "Values follow good and bad surprises at rates of their own.",
        "Frank et al. 2007, doi:10.1073/pnas.0706111104",
    ),
    _make(
        "q_learning_forgetting",
        (LEARNING_RATE, FORGETTING, INVERSE_TEMPERATURE),
        "Values of options that are not chosen fade.",
        "Ito & Doya 2009, doi:10.1523/JNEUROSCI.6157-08.2009",
    ),
    _make(
        "q_learning_perseveration",
        (LEARNING_RATE, PERSEVERATION, INVERSE_TEMPERATURE),
        "The latest choice is repeated (or avoided) whatever it brought.",
        "Lau & Glimcher 2005, doi:10.1901/jeab.2005.110-04",
    ),
)
