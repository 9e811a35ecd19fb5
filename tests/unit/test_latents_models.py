"""Models of behaviour: likelihoods against plain statements of the same rules."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from braindata.latents.behaviour import Behaviour
from braindata.latents.models.drift_diffusion import first_passage_density, upper_probability
from braindata.latents.names import MODEL_NAMES
from braindata.latents.recovery import SPREADS, draw_people, task_for
from braindata.latents.registry import MODELS

N_TRIALS = 60


def simulated(name: str, seed: int = 0) -> tuple[np.ndarray, Behaviour]:
    rng = np.random.default_rng(seed)
    model = MODELS[name]
    values = draw_people(model, 1, rng, SPREADS[model.name])[0]
    return values, model.simulate(values, task_for(model, N_TRIALS, rng), rng)


def softmax(utilities: list[float]) -> list[float]:
    total = sum(math.exp(u) for u in utilities)
    return [math.exp(u) / total for u in utilities]


def test_the_registry_holds_what_a_configuration_can_name():
    assert tuple(MODELS) == MODEL_NAMES
    assert set(SPREADS) == set(MODEL_NAMES)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_missing_choices_say_nothing_and_runs_start_anew(name):
    model = MODELS[name]
    values, person = simulated(name)
    whole, latents = model.evaluate(values, person)
    assert whole.shape == (N_TRIALS,)
    assert latents.shape == (N_TRIALS, len(model.latents))
    assert (np.exp(whole[np.isfinite(whole)]) > 0).all()

    choice = person.choice.copy()
    choice[7] = -1
    partly, without = model.evaluate(values, replace(person, choice=choice))
    assert math.isnan(partly[7])
    assert np.isnan(without[7]).all()
    assert np.isfinite(partly[8:][person.choice[8:] >= 0]).all()
    # What comes first is not touched by what comes later.
    np.testing.assert_array_equal(partly[:7], whole[:7])

    second = {
        key: np.tile(getattr(person, key), 2)
        for key in ("choice", "outcome", "state", "response_time", "gain", "loss", "evidence")
    }
    twice = replace(person, sequence=np.repeat([0, 1], N_TRIALS), **second)
    both, _ = model.evaluate(values, twice)
    np.testing.assert_array_equal(both[:N_TRIALS], both[N_TRIALS:])


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if name.startswith("q_")])
def test_q_learning(name):
    model = MODELS[name]
    values, person = simulated(name)
    given = dict(zip([p.name for p in model.parameters], values, strict=True))
    q, latest = [0.5, 0.5], None
    for t, (chosen, outcome) in enumerate(zip(person.choice, person.outcome, strict=True)):
        utilities = [given["inverse_temperature"] * value for value in q]
        if latest is not None:
            utilities[latest] += given.get("perseveration", 0.0)
        p = softmax(utilities)[chosen]
        error = outcome - q[chosen]
        log_likelihood, latents = model.evaluate(values, person)
        assert log_likelihood[t] == pytest.approx(math.log(p), rel=1e-9)
        expected = [q[chosen], q[chosen] - q[1 - chosen], error, p]
        np.testing.assert_allclose(latents[t], expected, rtol=1e-9, atol=1e-12)
        rate = given.get("learning_rate")
        if rate is None:
            rate = given["learning_rate_gain" if error > 0 else "learning_rate_loss"]
        q[chosen] += rate * error
        q[1 - chosen] += given.get("forgetting", 0.0) * (0.5 - q[1 - chosen])
        latest = chosen


def test_values_are_in_the_units_of_the_outcomes():
    model = MODELS["q_learning"]
    values, person = simulated("q_learning")
    _, latents = model.evaluate(values, person)
    paid = replace(person, outcome=20 * person.outcome - 10, outcome_range=(-10.0, 10.0))
    _, in_cents = model.evaluate(values, paid)
    np.testing.assert_allclose(in_cents[:, 0], 20 * latents[:, 0] - 10)
    np.testing.assert_allclose(in_cents[:, 1:3], 20 * latents[:, 1:3])
    np.testing.assert_allclose(in_cents[:, 3], latents[:, 3])


def test_kalman_bandit_is_bayes_rule_on_gaussians():
    model = MODELS["kalman_bandit"]
    values, person = simulated("kalman_bandit")
    drift, temperature, bonus = values
    means, precisions = [0.5] * 4, [1.0] * 4
    log_likelihood, latents = model.evaluate(values, person)
    for t, (chosen, outcome) in enumerate(zip(person.choice, person.outcome, strict=True)):
        pairs = zip(means, precisions, strict=True)
        p = softmax([temperature * m + bonus * k**-0.5 for m, k in pairs])[chosen]
        assert log_likelihood[t] == pytest.approx(math.log(p), rel=1e-9)
        assert latents[t, 2] == pytest.approx(outcome - means[chosen])
        # The product of two Gaussians, by precisions: an outcome has the precision 1.
        own = precisions[chosen]
        means[chosen] = (own * means[chosen] + outcome) / (own + 1)
        precisions[chosen] = own + 1
        precisions = [1 / (1 / k + drift) for k in precisions]


def test_volatile_bayes_follows_the_published_updates():
    model = MODELS["volatile_bayes"]
    values, person = simulated("volatile_bayes")
    omega, theta, zeta = values
    mu2, pi2, mu3, pi3 = 0.0, 1.0, 0.0, 1.0
    log_likelihood, latents = model.evaluate(values, person)
    for t, (chosen, outcome) in enumerate(zip(person.choice, person.outcome, strict=True)):
        seen = outcome if chosen == 1 else 1 - outcome
        mu1_hat = 1 / (1 + math.exp(-mu2))
        p = mu1_hat**zeta / (mu1_hat**zeta + (1 - mu1_hat) ** zeta)
        assert math.exp(log_likelihood[t]) == pytest.approx(p if chosen else 1 - p, rel=1e-9)
        assert latents[t, 4] == pytest.approx(mu3, rel=1e-9)
        # Mathys et al. 2014 (doi:10.3389/fnhum.2014.00825), equations of the binary filter.
        nu = math.exp(mu3 + omega)
        pi2_hat = 1 / (1 / pi2 + nu)
        new_pi2 = pi2_hat + mu1_hat * (1 - mu1_hat)
        new_mu2 = mu2 + (seen - mu1_hat) / new_pi2
        delta2 = (1 / new_pi2 + (new_mu2 - mu2) ** 2) * pi2_hat - 1
        w2 = nu * pi2_hat
        r2 = (nu - 1 / pi2) * pi2_hat
        pi3_hat = 1 / (1 / pi3 + theta)
        pi3 = pi3_hat + 0.5 * w2 * (w2 + r2 * delta2)
        mu3 += 0.5 * w2 * delta2 / pi3
        mu2, pi2 = new_mu2, new_pi2


def test_rules_are_kept_retrieved_and_explored():
    """Two rules in turn, followed without a slip: what was learned of the first comes back."""
    n = 30
    state = np.tile([0, 1, 2], 4 * n // 3)
    rule = np.repeat([0, 1, 0, 1], n)
    right = (state + rule) % 3
    # Somebody who errs twice after each change, and then knows.
    since = np.tile(np.arange(n), 4)
    choice = np.where((since < 2) & (np.arange(4 * n) >= n), (state + 1 - rule) % 3, right)
    unknown = np.full(4 * n, np.nan)
    person = Behaviour(
        choice=choice, options=("a", "b", "c"), sequence=np.zeros(4 * n, np.int64),
        outcome=(choice == right).astype(float), state=state, response_time=unknown,
        gain=unknown, loss=unknown, evidence=unknown,
    )  # fmt: skip
    model = MODELS["rule_reliability"]
    _, latents = model.evaluate(np.array([0.5, 5.0, 0.05]), person)
    of = {name: latents[:, i] for i, name in enumerate(model.latents)}
    total = (
        of["rule_reliability_current"] + of["rule_reliability_alternative"]
        + of["exploration_value"]
    )  # fmt: skip
    # At most three rules are known: what is not said here belongs to the third.
    assert ((total > 0) & (total < 1 + 1e-9)).all()
    assert total[:n] == pytest.approx(1.0)
    late = np.arange(20, n)
    assert (of["rule_reliability_current"][late] > 0.8).all()
    for change in (n, 2 * n, 3 * n):
        assert of["rule_switch"][change : change + 6].sum() >= 1
        assert of["rule_switch"][change + 15 : change + n].sum() == 0
        assert of["rule_reliability_current"][change + 20] > 0.8
    # The first rule comes back with what was learned of it.
    assert of["value_chosen"][2 * n + 8] > 0.9
    assert of["rule_reliability_alternative"][n + 2] > 0


@pytest.mark.parametrize("drift", [-1.5, 0.0, 2.0])
@pytest.mark.parametrize("start", [0.3, 0.5])
def test_first_passages_are_a_density(drift, start):
    boundary = 1.4
    lower = quad(lambda t: first_passage_density(t, drift, boundary, start), 1e-6, 30, limit=200)
    assert lower[0] == pytest.approx(1 - upper_probability(drift, boundary, start), abs=1e-6)
    # The probability of Feller's classical ruin problem.
    if drift:
        ruin = math.exp(-2 * drift * boundary * start), math.exp(-2 * drift * boundary)
        expected = (ruin[0] - ruin[1]) / (1 - ruin[1])
        assert lower[0] == pytest.approx(expected, abs=1e-6)


def test_both_series_of_the_density_agree_with_many_terms():
    """At a time where the short one is taken, and at one where the other is."""
    for time in (0.05, 0.3, 1.5):
        scaled = time / 1.2**2
        terms = [
            k * math.exp(-(k**2) * math.pi**2 * scaled / 2) * math.sin(k * math.pi * 0.4)
            for k in range(1, 400)
        ]
        tilt = math.exp(-0.8 * 1.2 * 0.4 - 0.8**2 * time / 2)
        expected = math.pi * sum(terms) * tilt / 1.2**2
        assert first_passage_density(time, 0.8, 1.2, 0.4) == pytest.approx(expected, rel=1e-7)


def test_simulated_passages_have_the_density():
    model = MODELS["drift_diffusion"]
    values = np.array([1.0, 1.2, 0.3, 0.4])
    rng = np.random.default_rng(1)
    person = model.simulate(values, task_for(model, 1500, rng), rng)
    upper = person.choice == 1
    expected = upper_probability(1.0, 1.2, 0.4)
    assert upper.mean() == pytest.approx(expected, abs=3 * math.sqrt(0.25 / 1500))
    mean = quad(lambda t: t * first_passage_density(t, -1.0, 1.2, 0.6), 1e-6, 30, limit=200)[0]
    found = person.response_time[upper] - 0.3
    error = found.std() / math.sqrt(upper.sum())
    assert found.mean() == pytest.approx(mean / expected, abs=3 * error)
