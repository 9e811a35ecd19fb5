"""Simulate and recover: how well parameters and latents are found where they are known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from braindata.latents.behaviour import Behaviour, Task
from braindata.latents.comparison import bic, held_out_log_likelihood
from braindata.latents.fitting import fit_group
from braindata.latents.mixture import compare_models
from braindata.latents.models.base import Model
from braindata.latents.names import ModelName

Floats = NDArray[np.float64]
Criterion = Literal["model_probability", "bic", "held_out_log_likelihood"]

# How people differ in the simulations, where it is not as the default prior has it: values of the
# parameters between which they are spread evenly on the unbounded scale.
SPREADS: dict[ModelName, dict[str, tuple[float, float]]] = {
    "q_learning": {"learning_rate": (0.1, 0.9), "inverse_temperature": (1.5, 10)},
    "q_learning_two_rates": {
        "learning_rate_gain": (0.1, 0.9),
        "learning_rate_loss": (0.1, 0.9),
        "inverse_temperature": (2, 10),
    },
    "q_learning_forgetting": {
        "learning_rate": (0.1, 0.9),
        "forgetting": (0.05, 0.9),
        "inverse_temperature": (2, 10),
    },
    "q_learning_perseveration": {
        "learning_rate": (0.1, 0.9),
        "perseveration": (-2, 2),
        "inverse_temperature": (2, 10),
    },
    "kalman_bandit": {
        "drift_variance": (0.01, 1),
        "inverse_temperature": (2, 12),
        "uncertainty_bonus": (-1.5, 3),
    },
    "volatile_bayes": {
        "tonic_volatility": (-5, 1),
        "meta_volatility": (0.02, 0.5),
        "inverse_temperature": (0.5, 4),
    },
    "rule_reliability": {
        "learning_rate": (0.1, 0.9),
        "inverse_temperature": (2, 10),
        "rule_volatility": (0.02, 0.35),
    },
    "expected_value": {"sensitivity": (0.05, 0.6), "bias": (-2, 2)},
    "prospect": {"loss_aversion": (0.8, 4), "sensitivity": (0.05, 0.6), "bias": (-2, 2)},
    "drift_diffusion": {
        "drift": (-2, 2),
        "boundary": (0.8, 2.5),
        "non_decision_time": (0.15, 0.5),
        "start_bias": (0.25, 0.75),
    },
    "drift_diffusion_evidence": {
        "drift": (-1.5, 1.5),
        "drift_evidence": (0.3, 4),
        "boundary": (0.8, 2.5),
        "non_decision_time": (0.15, 0.5),
        "start_bias": (0.25, 0.75),
    },
}
# Where models are compared: people whose parameters make their model differ from the simpler ones.
DISTINCT: dict[ModelName, dict[str, tuple[float, float]]] = SPREADS | {
    "q_learning": {"learning_rate": (0.2, 0.8), "inverse_temperature": (3, 10)},
    "q_learning_two_rates": {
        "learning_rate_gain": (0.4, 0.9),
        "learning_rate_loss": (0.03, 0.12),
        "inverse_temperature": (3, 10),
    },
    "q_learning_forgetting": {
        "learning_rate": (0.2, 0.8),
        "forgetting": (0.3, 0.9),
        "inverse_temperature": (4, 10),
    },
    "q_learning_perseveration": {
        "learning_rate": (0.2, 0.8),
        "perseveration": (1, 2.5),
        "inverse_temperature": (3, 10),
    },
    "kalman_bandit": {
        "drift_variance": (0.02, 0.5),
        "inverse_temperature": (3, 12),
        "uncertainty_bonus": (1, 3),
    },
    "volatile_bayes": {
        "tonic_volatility": (-5, 0),
        "meta_volatility": (0.02, 0.5),
        "inverse_temperature": (1, 4),
    },
    "prospect": {"loss_aversion": (1.5, 4), "sensitivity": (0.1, 0.6), "bias": (-2, 2)},
    "rule_reliability": {
        "learning_rate": (0.2, 0.9),
        "inverse_temperature": (3, 10),
        "rule_volatility": (0.02, 0.2),
    },
}


@dataclass(frozen=True)
class Recovery:
    """How well a model was recovered.

    Attributes
    ----------
    parameters : dict of str to float
        Correlation over people of the true and the fitted parameter, on the unbounded scale.
    coverage : dict of str to float
        Share of people in whom the 95 % interval of each parameter holds the true one.
    latents : dict of str to float
        Median over people of the correlation over trials of each true latent and the one with the
        fitted parameters; NaN where it never varies.
    cpu : float
        CPU seconds per person, for the fit and for the held-out likelihood.
    """

    parameters: dict[str, float]
    coverage: dict[str, float]
    latents: dict[str, float]
    cpu: float


def task_for(model: Model, n_trials: int, rng: np.random.Generator) -> Task:
    """Return a task that tells the parameters of a model apart."""
    if "gain" in model.needs:
        return gambles(n_trials, rng)
    if "response_time" in model.needs:
        return detection(n_trials, rng)
    if "stimulus" in model.needs:
        return rules(n_trials, rng)
    if model.name == "kalman_bandit":
        return drifting_bandit(n_trials, rng)
    if model.name == "volatile_bayes":
        return reversing_bandit(n_trials, rng)
    return walking_bandit(n_trials, rng)


def walking_bandit(n_trials: int, rng: np.random.Generator) -> Task:
    """Two options that pay or not, with chances that walk at random between 5 and 95 %."""
    chances = np.empty((n_trials, 2))
    chances[0] = rng.uniform(0.2, 0.8, 2)
    for t in range(1, n_trials):
        walked = chances[t - 1] + rng.normal(0, 0.05, 2)
        walked = np.where(walked > 0.95, 1.9 - walked, walked)
        chances[t] = np.where(walked < 0.05, 0.1 - walked, walked)
    payoff = (rng.random((n_trials, 2)) < chances).astype(float)
    return Task(n_trials, ("left", "right"), payoff, np.zeros(n_trials, np.int64))


def reversing_bandit(n_trials: int, rng: np.random.Generator) -> Task:
    """Two options, one of which pays in 80 % of the trials; every 15 to 30 trials they swap."""
    good = _episodes(n_trials, 2, (15, 30), rng)
    paying = rng.random(n_trials) < 0.8
    payoff = np.empty((n_trials, 2))
    for option in range(2):
        payoff[:, option] = (good == option) == paying
    return Task(n_trials, ("left", "right"), payoff, np.zeros(n_trials, np.int64))


def drifting_bandit(n_trials: int, rng: np.random.Generator) -> Task:
    """Four options whose values drift, as in Daw et al. 2006 (doi:10.1038/nature04766)."""
    means = np.empty((n_trials, 4))
    means[0] = rng.uniform(0.2, 0.8, 4)
    for t in range(1, n_trials):
        means[t] = 0.5 + 0.9836 * (means[t - 1] - 0.5) + rng.normal(0, 0.05, 4)
    payoff = np.clip(means + rng.normal(0, 0.1, means.shape), 0, 1)
    return Task(n_trials, ("a", "b", "c", "d"), payoff, np.zeros(n_trials, np.int64))


def rules(n_trials: int, rng: np.random.Generator) -> Task:
    """Three stimuli and three actions under one of three rules, which recur (90 % truthful)."""
    rule = _episodes(n_trials, 3, (20, 35), rng)
    state = rng.integers(0, 3, n_trials)
    right = (state + rule) % 3
    truthful = rng.random(n_trials) < 0.9
    payoff = np.array([(right == action) == truthful for action in range(3)], float).T
    return Task(n_trials, ("1", "2", "3"), payoff, state)


def gambles(n_trials: int, rng: np.random.Generator) -> Task:
    """Gains of up to 40 and losses of up to 20: the range of Tom et al. 2007, and small stakes."""
    gain = rng.integers(1, 41, n_trials).astype(float)
    loss = rng.integers(1, 21, n_trials).astype(float)
    nothing = np.zeros((n_trials, 2))
    return Task(
        n_trials, ("reject", "accept"), nothing, np.zeros(n_trials, np.int64), gain=gain, loss=loss
    )


def detection(n_trials: int, rng: np.random.Generator) -> Task:
    """Evidence of five strengths for either of two options."""
    evidence = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], n_trials)
    nothing = np.zeros((n_trials, 2))
    return Task(
        n_trials, ("left", "right"), nothing, np.zeros(n_trials, np.int64), evidence=evidence
    )


def _episodes(
    n_trials: int, n_kinds: int, lengths: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return which of some kinds holds at each trial, never the same twice in a row."""
    kinds = np.empty(n_trials, np.int64)
    at, kind = 0, int(rng.integers(n_kinds))
    while at < n_trials:
        length = int(rng.integers(lengths[0], lengths[1] + 1))
        kinds[at : at + length] = kind
        at += length
        kind = int((kind + rng.integers(1, n_kinds)) % n_kinds)
    return kinds


def draw_people(
    model: Model, n_people: int, rng: np.random.Generator, spread: Mapping[str, tuple[float, float]]
) -> Floats:
    """Return true parameters of some people, of shape (n_people, n_parameters)."""
    columns = []
    for one in model.parameters:
        low, high = (float(one.unbounded(value)) for value in spread[one.name])
        columns.append(one.value(rng.uniform(low, high, n_people)))
    return np.column_stack(columns)


def recover(model: Model, n_people: int, n_trials: int, seed: int) -> Recovery:
    """Simulate people, fit the model to them, and compare.

    Parameters
    ----------
    model : Model
        The model.
    n_people, n_trials : int
        How many people, and trials of each.
    seed : int
        Seed of people, tasks and starts.
    """
    rng = np.random.default_rng(seed)
    truths = draw_people(model, n_people, rng, SPREADS[model.name])
    people = [model.simulate(true, task_for(model, n_trials, rng), rng) for true in truths]
    began = time.process_time()
    fit = fit_group(model, people, seed=seed)
    held_out_log_likelihood(model, people, seed=seed)
    cpu = (time.process_time() - began) / n_people
    found = np.array([one.mode for one in fit.people])
    wanted = np.array([model.unbounded(true) for true in truths])
    parameters = {
        one.name: float(np.corrcoef(wanted[:, i], found[:, i])[0, 1])
        for i, one in enumerate(model.parameters)
    }
    low, high = (np.array(ends) for ends in zip(*(one.interval for one in fit.people), strict=True))
    held = ((low <= wanted) & (wanted <= high)).mean(axis=0)
    coverage = {one.name: float(v) for one, v in zip(model.parameters, held, strict=True)}
    values = [model.values(one.mode) for one in fit.people]
    agreements = np.array(
        [
            _agreements(model, person, true, own)
            for person, true, own in zip(people, truths, values, strict=True)
        ]
    )
    middle = [_median(column) for column in agreements.T]
    return Recovery(parameters, coverage, dict(zip(model.latents, middle, strict=True)), cpu)


def _agreements(model: Model, person: Behaviour, true: Floats, own: Floats) -> list[float]:
    left, right = (model.evaluate(values, person)[1] for values in (true, own))
    return [_correlation(left[:, i], right[:, i]) for i in range(left.shape[1])]


def _correlation(a: Floats, b: Floats) -> float:
    there = np.isfinite(a) & np.isfinite(b)
    if there.sum() < 3 or np.ptp(a[there]) < 1e-12 or np.ptp(b[there]) < 1e-12:
        return math.nan
    return float(np.corrcoef(a[there], b[there])[0, 1])


def _median(values: Floats) -> float:
    there = values[np.isfinite(values)]
    return float(np.median(there)) if len(there) else math.nan


def confusion(
    models: Sequence[Model],
    make: Callable[[int, np.random.Generator], Task],
    n_people: int,
    n_trials: int,
    seed: int,
    *,
    mixed: bool = False,
    criteria: Sequence[Criterion] = ("model_probability",),
) -> dict[Criterion, Floats]:
    """Return how often people simulated by one model (rows) are taken for another (columns).

    Parameters set each model apart from the others (`DISTINCT`).

    Parameters
    ----------
    models : sequence of Model
        Models that explain the same behaviour.
    make : callable
        Makes a task of some trials.
    n_people : int
        How many people follow each model.
    n_trials, seed : int
        As of `recover`.
    mixed : bool, default=False
        Whether all people are one group. Else each group follows one model, so that the others
        tell of each person what it is: most data sets lie between the two.
    criteria : sequence of str
        By which columns of `latent_fits` a person is taken for a model: the most probable one, that
        with the lowest BIC, or that which predicts held-out trials best.

    Returns
    -------
    dict of str to ndarray of float64, shape (n_models, n_models)
        By criterion; rows sum to 1.
    """
    kinds = []
    for row, truth in enumerate(models):
        rng = np.random.default_rng([seed, row])
        truths = draw_people(truth, n_people, rng, DISTINCT[truth.name])
        kinds.append([truth.simulate(values, make(n_trials, rng), rng) for values in truths])
    groups = [[person for kind in kinds for person in kind]] if mixed else kinds
    scores = [_scores(models, people, seed, criteria) for people in groups]
    result: dict[Criterion, Floats] = {}
    for criterion in criteria:
        winners = np.concatenate([one[criterion].argmax(axis=0) for one in scores])
        counts = np.zeros((len(models), len(models)))
        for number, winner in enumerate(winners):
            counts[number // n_people, winner] += 1 / n_people
        result[criterion] = counts
    return result


def _scores(
    models: Sequence[Model],
    people: Sequence[Behaviour],
    seed: int,
    criteria: Sequence[Criterion],
) -> dict[Criterion, Floats]:
    """Return by criterion how well each model does in each person: the highest is best."""
    fits = [fit_group(model, people, seed=seed) for model in models]
    scores: dict[Criterion, Floats] = {}
    if "model_probability" in criteria:
        modes = [[one.mode for one in fit.people] for fit in fits]
        scores["model_probability"] = compare_models(models, people, modes).probabilities
    if "bic" in criteria:
        scores["bic"] = np.array(
            [
                [
                    -bic(one.log_likelihood, len(model.parameters), person.n_trials)
                    for one, person in zip(fit.people, people, strict=True)
                ]
                for model, fit in zip(models, fits, strict=True)
            ]
        )
    if "held_out_log_likelihood" in criteria:
        held_out = [held_out_log_likelihood(model, people, seed=seed) for model in models]
        scores["held_out_log_likelihood"] = np.array(
            [[np.nanmean(trials) for trials in own] for own in held_out]
        )
    return scores
