"""How well models predict choices that they were not fitted to, against the person's own habits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, softmax
from scipy.stats import norm

from braindata.latents.behaviour import Behaviour
from braindata.latents.fitting import fit_group
from braindata.latents.models.base import Model

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_FOLDS = 4
# Of the fits without a fold: the group is the same but for a quarter of its trials.
N_STARTS, N_STARTS_ROUGH, MAX_ROUNDS = 2, 12, 6
# The 95 % quantile of a standard normal distribution.
ONE_SIDED = 1.6448536269514722
MAX_ITERATIONS = 1000
# Each option counts half a choice more than it was chosen: none is impossible (Krichevsky &
# Trofimov 1981, doi:10.1109/TIT.1981.1056331).
HALF_A_CHOICE = 0.5


def folds(behaviour: Behaviour) -> Integers:
    """Return to which fold each trial belongs: runs where there are several, else blocks.

    Parameters
    ----------
    behaviour : Behaviour
        The person.

    Returns
    -------
    ndarray of int64, shape (n_trials,)
        From 0; at most four folds, each of neighbouring trials.
    """
    runs = np.unique(behaviour.sequence, return_inverse=True)[1]
    n_runs = int(runs.max(initial=0)) + 1
    if n_runs > 1:
        result: Integers = runs * min(MAX_FOLDS, n_runs) // n_runs
        return result
    return np.arange(behaviour.n_trials) * MAX_FOLDS // max(behaviour.n_trials, 1)


def held_out_log_likelihood(
    model: Model, people: Sequence[Behaviour], seed: int = 0
) -> list[Floats]:
    """Return the log-likelihood of each trial by parameters fitted without its fold.

    The group's prior is fitted without the fold, too. A trial is predicted from all that came
    before it in its run, as the person saw it.

    Parameters
    ----------
    model : Model
        The model.
    people : sequence of Behaviour
        The people.
    seed : int
        Seed of the starts.

    Returns
    -------
    list of ndarray of float64, shape (n_trials,)
        NaN for trials that the model does not explain.
    """
    n_starts = N_STARTS if model.smooth else N_STARTS_ROUGH
    memberships = [folds(person) for person in people]
    held_out = [np.full(person.n_trials, np.nan) for person in people]
    for fold in range(MAX_FOLDS):
        inside = [membership == fold for membership in memberships]
        if not any(mask.any() for mask in inside):
            continue
        outside = [~mask for mask in inside]
        fit = fit_group(
            model,
            people,
            outside,
            seed=seed,
            n_starts=n_starts,
            max_rounds=MAX_ROUNDS,
            intervals=False,
        )
        for person, own, mask, result in zip(people, fit.people, inside, held_out, strict=True):
            trials, _ = model.evaluate(model.values(own.mode), person)
            result[mask] = trials[mask]
    return held_out


def chance_log_likelihood(model: Model, behaviour: Behaviour, even: bool = False) -> Floats:
    """Return the log-likelihood of each trial by the person's habits in the other folds.

    How often each option was chosen; for models of response times, also a log-normal distribution
    of these, whatever was chosen.

    Parameters
    ----------
    model : Model
        What is compared.
    behaviour : Behaviour
        The person.
    even : bool
        That all options are equally probable, instead of habits of choice.

    Returns
    -------
    ndarray of float64, shape (n_trials,)
        NaN for trials without a choice, or without a response time where it counts.
    """
    result = np.full(behaviour.n_trials, np.nan)
    membership = folds(behaviour)
    chosen = behaviour.choice >= 0
    timed = model.explains == "choice and response time"
    if timed:
        chosen = chosen & (behaviour.response_time > 0)
    for fold in np.unique(membership):
        inside = chosen & (membership == fold)
        outside = chosen & (membership != fold)
        counts = np.bincount(behaviour.choice[outside], minlength=len(behaviour.options))
        rates = (counts + HALF_A_CHOICE) / (counts + HALF_A_CHOICE).sum()
        if even:
            rates = np.full(len(rates), 1.0 / len(rates))
        result[inside] = np.log(rates[behaviour.choice[inside]])
        if timed and outside.sum() > 1:
            logs = np.log(behaviour.response_time)
            spread = max(float(logs[outside].std()), 1e-3)
            density = norm.logpdf(logs[inside], logs[outside].mean(), spread)
            result[inside] += density - logs[inside]
    return result


def beats_chance(model: Model, behaviour: Behaviour, held_out: Floats, habits: Floats) -> bool:
    """Whether held-out trials are predicted better than by habits, and than by even odds.

    Habits are estimated from few trials. Of somebody who throws a coin that estimate is worse than
    what a model learns of a whole group, so that habits alone would be beaten too often.

    Parameters
    ----------
    model : Model
        What predicted the trials.
    behaviour : Behaviour
        The person.
    held_out, habits : ndarray of float64, shape (n_trials,)
        Log-likelihoods of the trials, by the model and by the person's habits (see
        `chance_log_likelihood`).
    """
    even = chance_log_likelihood(model, behaviour, even=True)
    return is_better(held_out, habits) and is_better(held_out, even)


def is_better(held_out: Floats, chance: Floats) -> bool:
    """Whether held-out trials are predicted better than by chance, by more than luck.

    Somebody who throws a coin is predicted as well by a model as by the rate of heads, and so a
    little better half of the time. So the mean difference over trials has to exceed its one-sided
    95 % bound under no difference.

    Parameters
    ----------
    held_out, chance : ndarray of float64, shape (n_trials,)
        Log-likelihoods of the same trials.
    """
    difference = (held_out - chance)[np.isfinite(held_out) & np.isfinite(chance)]
    if len(difference) < 2:
        return False
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(difference.mean() > ONE_SIDED * error)


def bic(log_likelihood: float, n_parameters: int, n_trials: int) -> float:
    """Return the Bayesian information criterion (Schwarz 1978, doi:10.1214/aos/1176344136)."""
    return n_parameters * float(np.log(n_trials)) - 2.0 * log_likelihood


def model_probabilities(log_evidences: Floats) -> Floats:
    """Return how probable it is that each person follows each of some models.

    How common the models are among the people is inferred along with it, and counts as the prior
    of each person (random-effects comparison, Stephan et al. 2009,
    doi:10.1016/j.neuroimage.2009.03.025).

    Parameters
    ----------
    log_evidences : ndarray of float64, shape (n_models, n_people)
        Of each model in each person.

    Returns
    -------
    ndarray of float64, shape (n_models, n_people)
        Columns sum to 1.
    """
    counts = np.ones(len(log_evidences))
    for _ in range(MAX_ITERATIONS):
        probabilities: Floats = softmax(log_evidences + digamma(counts)[:, None], axis=0)
        updated = 1.0 + probabilities.sum(axis=1)
        if np.abs(updated - counts).max() < 1e-6:
            break
        counts = updated
    return probabilities
