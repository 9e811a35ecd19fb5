"""Nested scores: nothing leaks, noise is at chance, and scrambled patterns are decoded."""

from __future__ import annotations

import numpy as np
import pytest

from braindata.align import (
    ConnectivityHyperalignment,
    DeterministicSRM,
    ResponseHyperalignment,
)
from braindata.align.evaluation import (
    DECODING,
    MATCHING,
    PREDICTION,
    enter,
    evaluate,
    evaluate_decoding,
)
from braindata.align.scores import decode
from tests.unit.align_data import gains_and_losses, scrambled

LABELS = np.repeat(np.arange(1, 11), 2)
METHODS = {
    "procrustes": lambda: ResponseHyperalignment(shrinkage=1, weighting=False),
    "whitened": ResponseHyperalignment,
    "shared start": lambda: ResponseHyperalignment(start="shared", n_iter=1),
    "prior": lambda: ResponseHyperalignment(prior=0.5),
    "srm": lambda: DeterministicSRM(5),
    "connectivity": lambda: ConnectivityHyperalignment(LABELS),
}


def values(scores, metric, what):
    return np.array([getattr(s, what) for s in scores if s.metric == metric], dtype=float)


def test_aligned_people_predict_each_other():
    scores = evaluate(METHODS["whitened"], scrambled(), length=5, n_permutations=10)
    assert {s.held_out for s in scores} == {"run-1", "run-2"}
    assert values(scores, MATCHING, "before").mean() < 0.1
    assert values(scores, MATCHING, "after").mean() > 0.9
    assert values(scores, PREDICTION, "after").mean() > 0.5
    assert (values(scores, PREDICTION, "ceiling") > values(scores, PREDICTION, "after")).all()
    assert (values(scores, MATCHING, "ceiling") >= values(scores, MATCHING, "after")).all()


@pytest.mark.parametrize("kind", ["noise", "shuffled in time"])
@pytest.mark.parametrize("name", METHODS)
def test_without_signal_all_is_at_chance(name, kind):
    differences = {MATCHING: [], PREDICTION: []}
    for seed in range(4):
        rng = np.random.default_rng([seed, len(kind)])
        if kind == "noise":
            data = {
                str(n): {r: rng.standard_normal((50, 20)) for r in ("a", "b")} for n in range(4)
            }
        else:
            data = scrambled(n_subjects=4, n_times=50, n_voxels=20, seed=seed)
            data = {
                s: {r: rng.permutation(x, axis=0) for r, x in p.items()} for s, p in data.items()
            }
        scores = evaluate(METHODS[name], data, length=5, n_permutations=10, seed=seed)
        for metric, found in differences.items():
            off = [s.after - s.chance.mean for s in scores if s.metric == metric]
            # People of one group are compared with each other: a group is one observation.
            found.append(np.mean(off))
    for metric, found in differences.items():
        error = max(np.std(found, ddof=1) / np.sqrt(len(found)), 0.01)
        assert abs(np.mean(found)) < 3 * error, metric


@pytest.mark.parametrize("name", ["procrustes", "whitened", "srm"])
def test_scrambled_patterns_are_decoded_between_people(name):
    films, patterns, labels = gains_and_losses()
    make = {**METHODS, "srm": lambda: DeterministicSRM(10)}[name]
    scores = evaluate_decoding(make, films, patterns, labels)
    assert len(scores) == 16
    assert values(scores, DECODING, "after").mean() >= 0.7
    assert np.mean([s.chance.mean for s in scores]) == pytest.approx(0.5, abs=0.02)
    # Neither voxels nor the region's mean tell gain from loss in another person.
    chance = 3 * 0.5 / np.sqrt(16 * 20)
    assert abs(values(scores, DECODING, "before").mean() - 0.5) < chance
    means = {
        s: {r: x.mean(axis=1, keepdims=True) for r, x in p.items()} for s, p in patterns.items()
    }
    by_mean = []
    for subject in means:
        for run in ("task-1", "task-2"):
            others = [s for s in means if s != subject]
            train = np.concatenate([means[s][run] for s in others])
            said = np.concatenate([labels[s][run] for s in others])
            by_mean.append(decode(train, said, means[subject][run], labels[subject][run]))
    assert abs(np.mean(by_mean) - 0.5) < chance


def test_shuffled_labels_are_decoded_at_chance():
    films, patterns, labels = gains_and_losses(seed=3)
    rng = np.random.default_rng(0)
    shuffled = {s: {r: rng.permutation(y) for r, y in p.items()} for s, p in labels.items()}
    scores = evaluate_decoding(METHODS["whitened"], films, patterns, shuffled)
    error = 0.5 / np.sqrt(16 * 20)
    assert abs(values(scores, DECODING, "after").mean() - 0.5) < 3 * error


def test_what_is_scored_fits_nothing():
    data = scrambled()
    seen = []

    class Watched(ResponseHyperalignment):
        def fit(self, data):
            seen.append(("fit", {s: sorted(p) for s, p in data.items()}))
            return super().fit(data)

        def fit_subject(self, subject, runs):
            seen.append(("enter", {subject: sorted(runs)}))
            return super().fit_subject(subject, runs)

    evaluate(Watched, data, [["run-2"]], n_permutations=1)
    assert len(seen) == 10
    for (_, members), (_, entering) in zip(seen[::2], seen[1::2], strict=True):
        (subject,) = entering
        assert subject not in members
        assert len(members) == 4
        assert all(runs == ["run-1"] for runs in [*members.values(), *entering.values()])


def test_who_cannot_be_aligned_has_a_reason():
    data = scrambled()
    data["02"] = {"run-1": data["02"]["run-1"][:5], "run-2": data["02"]["run-2"]}
    scores = evaluate(ResponseHyperalignment, data, [["run-2"]], n_permutations=1)
    unaligned = [s for s in scores if s.subject == "02"]
    assert [s.after for s in unaligned] == [None, None]
    assert "too little data" in unaligned[0].reason
    data["02"] = {"run-2": data["02"]["run-2"]}
    fit = {s: {r: x for r, x in p.items() if r == "run-1"} for s, p in data.items() if s != "02"}
    assert enter(ResponseHyperalignment, fit, "02") == "no runs but the held-out ones"
