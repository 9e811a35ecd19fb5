"""The two worked examples find what is there, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from examples import controller, reward_model
from examples.reward_model import MODELS, Trials, fit


def test_the_direction_minimises_what_it_says():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 4))
    trials = Trials(x, x[:, 0] + rng.standard_normal(60), x[:, 0] - x[:, 1], x[:, 2], np.zeros(60))
    weights = rng.uniform(0.5, 2, 60)
    ridge = 5.0
    # Without the neural part it is weighted ridge regression.
    gram = x.T @ (x * weights[:, None]) + ridge * np.eye(4)
    expected = np.linalg.solve(gram, x.T @ (weights * trials.rating))
    assert np.allclose(fit(trials, weights, 0.0, ridge), expected)
    # With all weight on it, the direction is that of the neural value.
    direction = fit(trials, weights, 1e6, ridge)
    assert np.allclose(direction / direction[0], [1, -1, 0, 0], atol=1e-3)


def test_neural_value_helps_a_reward_model_only_where_brains_show_it(tmp_path):
    found = {
        coupling: reward_model.gains(reward_model.compare(tmp_path / f"{coupling}", coupling))
        for coupling in (reward_model.COUPLING, 0.0)
    }
    for table in found.values():
        assert list(table.index) == list(MODELS)
        # Ratings alone find a good part of what texts are worth.
        assert table["r"]["ratings alone"] > 0.5
        control = table.loc["+ both, shuffled"]
        assert abs(control["gain"]) < 3 * control["error"] + 0.01
    there, absent = found[reward_model.COUPLING], found[0.0]
    for name in ("+ value", "+ both"):
        assert there["gain"][name] > 2 * there["error"][name] > 0
    for name in MODELS[1:]:
        assert abs(absent["gain"][name]) < 3 * absent["error"][name] + 0.01


def test_a_controller_does_what_pays():
    one = controller.Controller(0.3, 0.6)
    reliability = np.array([0.1, 0.3, 0.59, 0.6, 1.0])
    c, d, b = controller.CONTINUE, controller.DECOMPOSE, controller.BRANCH
    assert one.act(reliability).tolist() == [b, d, d, c, c]
    right = np.array([True, False])
    assert controller.payoff(np.array([c, c]), right).tolist() == [1, -1]
    assert controller.payoff(np.array([d, d]), right) == pytest.approx([0.3, 0.3])
    assert controller.payoff(np.array([b, b]), right) == pytest.approx([-1.1, 0.8])
    # Where the probability is known, the thresholds are where the lines of the payoffs cross.
    rng = np.random.default_rng(0)
    known = rng.random(30_000)
    learned = controller.learn_thresholds(known, rng.random(30_000) < known)
    assert learned.low == pytest.approx(0.5 / 1.9, abs=0.06)
    assert learned.high == pytest.approx(0.65, abs=0.06)


def test_brains_help_a_controller_only_where_they_show_something(tmp_path):
    there = controller.compare(tmp_path / "there", controller.COUPLING)
    absent = controller.compare(tmp_path / "absent", 0.0)
    both = "brain and behaviour"
    assert there["gain"][both] > 2 * there["error"][both] > 0
    assert there["payoff"]["people's own reliability"] > there["payoff"][both]
    assert there["payoff"]["behaviour alone"] > there["payoff"]["always continue"]
    assert there["payoff"][both] > there["payoff"]["the same, never decomposing"]
    acts = there.loc[both, ["continue", "decompose", "branch"]]
    assert (acts > 0.05).all() and acts.sum() == pytest.approx(1)
    for table, name in ((there, "shuffled brain and behaviour"), (absent, both)):
        assert abs(table["gain"][name]) < 3 * table["error"][name] + 0.005
