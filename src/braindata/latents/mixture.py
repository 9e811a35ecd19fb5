"""Several models in one group, of which each person follows one.

A prior that all people set fits those least who follow a simple model: larger models take them in
along with their own followers, and the simple one is left with nobody. So the prior of each model
is set by the people who follow it, each by how probable that is; and that depends on the priors.
Both are found by turns: hierarchical Bayesian inference (Piray et al. 2019,
doi:10.1371/journal.pcbi.1007043), here with Laplace's approximation of the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from braindata.latents.behaviour import Behaviour
from braindata.latents.comparison import model_probabilities
from braindata.latents.fitting import PersonFit, Search, group_prior
from braindata.latents.models.base import Model

Floats = NDArray[np.float64]

# Turns of priors and probabilities at most, and the change of a probability that ends them.
MAX_TURNS = 100
TOLERANCE = 0.01


@dataclass(frozen=True)
class Comparison:
    """Which model people follow.

    Attributes
    ----------
    probabilities : ndarray of float64, shape (n_models, n_people)
        Of each model in each person; columns sum to 1.
    log_evidences : ndarray of float64, shape (n_models, n_people)
        Of each model in each person, under the prior that its followers set.
    """

    probabilities: Floats
    log_evidences: Floats


def compare_models(
    models: Sequence[Model], people: Sequence[Behaviour], modes: Sequence[Sequence[Floats]]
) -> Comparison:
    """Return how probable it is that people follow each of some models.

    The first probabilities are those under the models' own priors, which no group has set. All
    models are taken to be equally common until priors and probabilities have settled; then how
    common they are is inferred too. Inferred from the start, a model that shares its followers with
    others could lose them before it has a prior of its own.

    Parameters
    ----------
    models : sequence of Model
        Models that explain the same behaviour.
    people : sequence of Behaviour
        The people.
    modes : sequence of sequence of ndarray of float64, shape (n_parameters,)
        By model and person, probable parameters on the unbounded scale, as `fit_group` finds them:
        where the searches start.

    Returns
    -------
    Comparison
        In the order of models and people.
    """
    groups = [_Group(model, people, own) for model, own in zip(models, modes, strict=True)]
    probabilities, equally_common = _equally_common(_evidences(groups)), True
    for _ in range(MAX_TURNS):
        for group, weights in zip(groups, probabilities, strict=True):
            group.follow(weights)
        evidences = _evidences(groups)
        before = probabilities
        probabilities = (_equally_common if equally_common else model_probabilities)(evidences)
        if np.abs(probabilities - before).max() < TOLERANCE:
            if not equally_common:
                break
            probabilities, equally_common = model_probabilities(evidences), False
    return Comparison(probabilities, evidences)


def _equally_common(log_evidences: Floats) -> Floats:
    probabilities: Floats = softmax(log_evidences, axis=0)
    return probabilities


def _evidences(groups: Sequence[_Group]) -> Floats:
    return np.array([[fit.log_evidence for fit in group.fits] for group in groups])


class _Group:
    """One model in all people, with `fits` under the prior that its followers set."""

    def __init__(self, model: Model, people: Sequence[Behaviour], modes: Sequence[Floats]):
        self._model = model
        self._searches = [Search(model, one, np.ones(one.n_trials, bool)) for one in people]
        self.fits: list[PersonFit] = []
        mean, sd = model.prior_mean, model.prior_sd
        for search, mode in zip(self._searches, modes, strict=True):
            self.fits.append(search.laplace(search.best([mode, mean], mean, sd), mean, sd))

    def follow(self, weights: Floats) -> None:
        """Set the prior by those who follow the model, and everybody's parameters by it."""
        mean, sd = group_prior(self._model, self.fits, weights)
        self.fits = [
            search.laplace(search.follow(fit, mean, sd), mean, sd)
            for search, fit in zip(self._searches, self.fits, strict=True)
        ]
