"""Fits of models of behaviour: recovery, intervals, and what held-out trials say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from braindata.latents.behaviour import Behaviour
from braindata.latents.comparison import (
    beats_chance,
    bic,
    chance_log_likelihood,
    folds,
    held_out_log_likelihood,
    is_better,
    model_probabilities,
)
from braindata.latents.fitting import Search, fit_group
from braindata.latents.models.base import Parameter
from braindata.latents.recovery import SPREADS, draw_people, gambles, recover, task_for
from braindata.latents.registry import MODELS

PROSPECT = MODELS["prospect"]


def gamblers(n_people: int, n_trials: int = 120, seed: int = 0) -> list[Behaviour]:
    rng = np.random.default_rng(seed)
    people = []
    for loss_aversion in np.linspace(1.2, 3, n_people):
        values = np.array([loss_aversion, 0.3, 0.0])
        people.append(PROSPECT.simulate(values, gambles(n_trials, rng), rng))
    return people


@pytest.mark.parametrize(
    ("name", "least"),
    [("q_learning", 0.8), ("prospect", 0.8), ("drift_diffusion", 0.9)],
)
def test_recovery(name, least):
    """Small versions of tests/bench/latents.py."""
    found = recover(MODELS[name], 16, 200, seed=1)
    assert min(found.parameters.values()) > least, found
    assert found.latents.get("prediction_error", 1) > 0.99
    assert found.cpu < 2


def test_the_same_seed_gives_the_same_fit():
    people = gamblers(3)
    one, other = (fit_group(PROSPECT, people, seed=5) for _ in range(2))
    for a, b in zip(one.people, other.people, strict=True):
        np.testing.assert_array_equal(a.mode, b.mode)
        np.testing.assert_array_equal(a.covariance, b.covariance)


def test_the_mode_is_stationary_and_the_curvature_analytic():
    people = gamblers(4)
    fit = fit_group(PROSPECT, people)
    for person, own in zip(people, fit.people, strict=True):
        sensitivity = np.exp(own.mode[1])
        value = person.gain - np.exp(own.mode[0]) * person.loss
        p = 1 / (1 + np.exp(-(own.mode[2] + sensitivity * value)))
        accepted = person.choice == person.options.index("accept")
        slopes = np.column_stack(
            [-sensitivity * np.exp(own.mode[0]) * person.loss, sensitivity * value, np.ones(len(p))]
        )
        gradient = slopes.T @ (accepted - p) - (own.mode - fit.mean) / fit.sd**2
        assert np.abs(gradient).max() < 5e-3
        # Fisher's information is the curvature but for the second derivatives of the log-odds.
        extra = np.zeros((3, 3))
        second = -sensitivity * np.exp(own.mode[0]) * person.loss
        extra[0, 0] = extra[0, 1] = extra[1, 0] = (second * (accepted - p)).sum()
        extra[1, 1] = (sensitivity * value * (accepted - p)).sum()
        curvature = (slopes.T * (p * (1 - p))) @ slopes - extra
        np.testing.assert_allclose(own.curvature, curvature, rtol=1e-3, atol=1e-2)


def test_sampled_covariances_are_those_of_the_curvature_where_that_is_known():
    people = gamblers(6)
    fit = fit_group(PROSPECT, people)
    for person, own in zip(people, fit.people, strict=True):
        search = Search(PROSPECT, person, np.ones(person.n_trials, bool))
        found = search.sampled_covariance(own.mode, fit.mean, fit.sd, seed=0)
        np.testing.assert_allclose(np.sqrt(np.diag(found)), own.sd, rtol=0.3)
        again = search.sampled_covariance(own.mode, fit.mean, fit.sd, seed=0)
        np.testing.assert_array_equal(found, again)


def test_intervals_hold_the_truth_where_the_likelihood_has_jumps():
    model = MODELS["rule_reliability"]
    rng = np.random.default_rng(2)
    truths = draw_people(model, 16, rng, SPREADS[model.name])
    people = [model.simulate(true, task_for(model, 200, rng), rng) for true in truths]
    fit = fit_group(model, people)
    away = np.array(
        [
            (own.mode - model.unbounded(t)) / own.sd
            for own, t in zip(fit.people, truths, strict=True)
        ]
    )
    # 95 % intervals by curvature hold the learning rate and the volatility in 36 % of people.
    held = np.mean(np.abs(away) < 1.96, axis=0)
    assert (held >= 0.8).all(), held
    # They are not merely wide: the prior of the simulation is wider still.
    assert np.median([own.sd[0] for own in fit.people]) < 0.8


def test_trials_that_are_masked_do_not_count():
    people = gamblers(3)
    masks = [np.arange(person.n_trials) < 90 for person in people]
    changed = []
    for person in people:
        choice = person.choice.copy()
        choice[90:] = 1 - choice[90:]
        changed.append(replace(person, choice=choice))
    one, other = (fit_group(PROSPECT, group, masks) for group in (people, changed))
    for a, b in zip(one.people, other.people, strict=True):
        np.testing.assert_array_equal(a.mode, b.mode)


def test_held_out_trials_are_not_fitted_to():
    people = gamblers(3)
    changed = [replace(person, choice=person.choice.copy()) for person in people]
    last = folds(people[0]) == 3
    for person in changed:
        person.choice[last] = 1 - person.choice[last]
    before, after = (held_out_log_likelihood(PROSPECT, group) for group in (people, changed))
    for a, b in zip(before, after, strict=True):
        # The probability of the other choice: the parameters are those of the other folds.
        np.testing.assert_allclose(np.exp(a[last]) + np.exp(b[last]), 1.0, rtol=1e-9)


def test_folds_are_runs_or_quarters():
    person = gamblers(1, 8)[0]
    assert folds(person).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    runs = replace(person, sequence=np.array([0, 0, 0, 1, 1, 4, 4, 4]))
    assert folds(runs).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    many = replace(person, sequence=np.arange(8))
    assert folds(many).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_chance_is_the_rate_in_the_other_folds():
    person = gamblers(1, 8)[0]
    person = replace(person, choice=np.array([0, 0, 1, 1, 1, -1, 1, 1]))
    found = chance_log_likelihood(PROSPECT, person)
    # Without the first quarter: 5 times option 1, never option 0, half a choice more of each.
    assert found[:2] == pytest.approx(np.log(0.5 / 6))
    assert found[2:4] == pytest.approx(np.log(3.5 / 6))
    assert np.isnan(found[5])


def n_beating(model, people, held_out):
    return sum(
        beats_chance(model, person, trials, chance_log_likelihood(model, person))
        for person, trials in zip(people, held_out, strict=True)
    )


def test_somebody_who_throws_a_coin_is_not_predicted():
    rng = np.random.default_rng(3)
    people = [replace(p, choice=rng.integers(0, 2, p.n_trials)) for p in gamblers(8)]
    held_out = held_out_log_likelihood(PROSPECT, people)
    assert n_beating(PROSPECT, people, held_out) <= 1
    real = gamblers(8)
    held_out = held_out_log_likelihood(PROSPECT, real)
    assert n_beating(PROSPECT, real, held_out) == len(real)


def test_few_coins_beat_chance():
    rng = np.random.default_rng(5)
    model = MODELS["q_learning"]
    people = [
        replace(
            p,
            choice=rng.integers(0, 2, p.n_trials),
            outcome=rng.integers(0, 2, p.n_trials).astype(float),
        )
        for p in gamblers(120, 100)
    ]
    held_out = held_out_log_likelihood(model, people)
    n_lucky = n_beating(model, people, held_out)
    # One-sided 5 % would be 6 of 120, and no more than 11 in 95 of 100 such samples.
    assert n_lucky <= 11
    # Even odds are what the coins follow: against habits alone more are lucky.
    habits = [chance_log_likelihood(model, person) for person in people]
    assert sum(map(is_better, held_out, habits)) >= n_lucky


def test_bic_and_probabilities():
    assert bic(-100.0, 3, 50) == pytest.approx(3 * np.log(50) + 200)
    evidences = np.array([[0.0, 0.0, -8.0], [-9.0, -9.0, 0.0]])
    found = model_probabilities(evidences)
    assert found.sum(axis=0) == pytest.approx(1)
    assert found.argmax(axis=0).tolist() == [0, 0, 1]
    # Where a person says nothing, what the others follow counts.
    undecided = model_probabilities(np.array([[0.0] * 6 + [0.0], [-9.0] * 6 + [0.0]]))
    assert undecided[0, -1] > 0.8


@pytest.mark.parametrize("scale", ["identity", "log", "logit"])
def test_scales_go_forth_and_back(scale):
    one = Parameter("x", scale, 0.0, 1.0, "", lower=0.0, upper=0.5)
    low, high = one.bounds
    for x in (-3.0, 0.0, 2.5):
        value = float(one.value(x))
        assert low <= value <= high
        assert float(one.unbounded(value)) == pytest.approx(x)
        assert one.plain_value(x) == pytest.approx(value, rel=1e-12)
