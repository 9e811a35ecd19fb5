"""Several models in one group: who follows which, whatever the others follow."""

from __future__ import annotations

import numpy as np
import pytest

from braindata.latents.behaviour import Behaviour
from braindata.latents.comparison import model_probabilities
from braindata.latents.fitting import fit_group
from braindata.latents.mixture import Comparison, compare_models
from braindata.latents.models.base import Model
from braindata.latents.recovery import DISTINCT, confusion, draw_people, gambles, walking_bandit
from braindata.latents.registry import MODELS

GAMBLES = [MODELS["expected_value"], MODELS["prospect"]]
BANDITS = [MODELS["q_learning"], MODELS["q_learning_perseveration"]]


def simulated(model: Model, n_people: int, make=gambles, seed: int = 0) -> list[Behaviour]:
    rng = np.random.default_rng(seed)
    truths = draw_people(model, n_people, rng, DISTINCT[model.name])
    return [model.simulate(values, make(200, rng), rng) for values in truths]


def evidences_of(model: Model, people: list[Behaviour]) -> np.ndarray:
    """Under the prior that all of these people set."""
    return np.array([one.log_evidence for one in fit_group(model, people).people])


def compare(models: list[Model], people: list[Behaviour]) -> Comparison:
    modes = [[one.mode for one in fit_group(model, people).people] for model in models]
    return compare_models(models, people, modes)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("models", "make"), [(GAMBLES, gambles), (BANDITS, walking_bandit)])
def test_models_are_told_apart(models, make, mixed):
    """Small versions of tests/bench/latents.py."""
    counts = confusion(models, make, 20, 200, seed=4, mixed=mixed)["model_probability"]
    assert counts.sum(axis=1) == pytest.approx(1)
    assert (np.diag(counts) >= 0.7).all(), counts


def test_a_prior_of_everybody_would_absorb_the_simple_model():
    people = simulated(GAMBLES[0], 15) + simulated(GAMBLES[1], 15, seed=1)
    evidences = np.array([evidences_of(model, people) for model in GAMBLES])
    absorbed = model_probabilities(evidences).argmax(axis=0)[:15]
    found = compare(GAMBLES, people).probabilities.argmax(axis=0)[:15]
    assert np.mean(absorbed == 0) < 0.5 < 0.8 < np.mean(found == 0)


def test_other_criteria_are_of_the_same_people():
    criteria = ("model_probability", "bic", "held_out_log_likelihood")
    found = confusion(GAMBLES, gambles, 6, 120, seed=0, criteria=criteria)
    assert tuple(found) == criteria
    for counts in found.values():
        assert counts.sum(axis=1) == pytest.approx(1)
    assert found["bic"][1, 1] > 0.8


def test_people_and_models_may_come_in_any_order():
    people = simulated(GAMBLES[0], 8) + simulated(GAMBLES[1], 8, seed=1)
    one, other = compare(GAMBLES, people), compare(GAMBLES[::-1], people[::-1])
    np.testing.assert_allclose(
        one.probabilities, other.probabilities[::-1, ::-1], rtol=0, atol=1e-4
    )
    again = compare(GAMBLES, people)
    np.testing.assert_array_equal(one.probabilities, again.probabilities)
    np.testing.assert_array_equal(one.log_evidences, again.log_evidences)
    assert one.probabilities.sum(axis=0) == pytest.approx(1)


def test_followers_set_the_prior_of_their_model():
    """In a mixed group evidences are those of a group of the model's followers alone."""
    followers = simulated(GAMBLES[1], 15, seed=1)
    alone = evidences_of(GAMBLES[1], followers)
    others = simulated(GAMBLES[0], 15)
    among = compare(GAMBLES, others + followers).log_evidences[1, 15:]
    everybody = evidences_of(GAMBLES[1], others + followers)[15:]
    assert np.abs(among - alone).mean() < 0.3 * np.abs(everybody - alone).mean()


def test_one_model_has_everybody():
    people = simulated(GAMBLES[1], 5)
    found = compare(GAMBLES[1:], people)
    np.testing.assert_array_equal(found.probabilities, 1.0)
    # Set by all of them, it is the prior of `fit_group`, where a turn more or less changes little.
    assert found.log_evidences[0] == pytest.approx(evidences_of(GAMBLES[1], people), abs=0.3)
