"""Re-centring of EEG trials: to the identity, in each person alone, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from pyriemann.geometry.mean import gmean

from braindata.align import DeterministicSRM
from braindata.align.recentring import EuclideanAlignment, RiemannianRecentring, lagged
from braindata.align.selection import held_out_matching
from braindata.errors import DataError, UsageError


def mixed(n_subjects: int = 3, n_channels: int = 6, seed: int = 0) -> dict[str, dict]:
    rng = np.random.default_rng(seed)
    data = {}
    for number in range(n_subjects):
        mixing = (rng.standard_normal((n_channels, n_channels)) + 4 * np.eye(n_channels)) * (
            number + 1
        )
        data[str(number)] = {
            run: mixing @ rng.standard_normal((15, n_channels, 60)) for run in ("a", "b")
        }
    return data


@pytest.mark.parametrize(
    ("kind", "metric"), [(EuclideanAlignment, "euclid"), (RiemannianRecentring, "riemann")]
)
def test_the_mean_covariance_becomes_the_identity(kind, metric):
    data = mixed()
    model = kind().fit(data)
    for subject, runs in data.items():
        trials = model.transform(subject, np.concatenate(list(runs.values())))
        covariances = trials @ trials.transpose(0, 2, 1) / 60
        assert np.allclose(gmean(covariances, metric=metric), np.eye(6), atol=1e-5)
        back = model.inverse_transform(subject, trials)
        assert np.allclose(back, np.concatenate(list(runs.values())), atol=1e-8)


def test_euclidean_alignment_by_hand():
    # Two channels without correlation, of power 4 and 1: the first is halved.
    trial = np.array([[[2.0, -2, 2, -2], [1, 1, -1, -1]]])
    model = EuclideanAlignment().fit({"01": {"a": trial}})
    assert np.allclose(model.maps_["01"].forward, [[0.5, 0], [0, 1]])


def test_a_new_person_touches_nobody():
    data = mixed()
    new = data.pop("2")
    model = RiemannianRecentring().fit(data)
    before = {s: m.forward.tobytes() for s, m in model.maps_.items()}
    model.fit_subject("2", new)
    assert {s: model.maps_[s].forward.tobytes() for s in before} == before
    with pytest.raises(DataError, match="has a map already"):
        model.fit_subject("2", new)


def nan(data):
    data["0"]["a"][0, 0, 0] = np.nan
    return data


def doubled(data):
    for trials in data["0"].values():
        trials[:, 1] = trials[:, 0]
    return data


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (nan, "hold NaN or infinite values"),
        (doubled, "linearly dependent or constant"),
        (lambda d: {"0": {}}, "no trials of shape"),
        (lambda d: {"0": {"a": np.zeros((3, 4))}}, "no trials of shape"),
        (lambda d: {"0": {"a": d["0"]["a"], "b": d["0"]["b"][:, 1:]}}, "differ in their channels"),
    ],
)
def test_bad_input(spoil, message):
    with pytest.raises(DataError, match=message):
        EuclideanAlignment().fit(spoil(mixed()))
    model = EuclideanAlignment().fit(mixed())
    with pytest.raises(DataError, match="for 6 channels"):
        model.transform("0", np.zeros((5, 60)))
    with pytest.raises(DataError, match="no map"):
        model.transform("9", np.zeros((6, 60)))
    with pytest.raises(UsageError, match="call fit first"):
        EuclideanAlignment().transform("0", np.zeros((6, 60)))


def test_lags_by_hand_and_in_a_shared_response():
    found = lagged(np.array([[1, 10], [2, 20], [3, 30]]), 2)
    assert found.tolist() == [[1, 10, 0, 0], [2, 20, 1, 10], [3, 30, 2, 20]]
    with pytest.raises(UsageError, match="4 lags"):
        lagged(np.zeros((3, 2)), 4)
    # Sources that reach people's channels at delays of their own: only lags bring them together.
    rng = np.random.default_rng(1)
    data = {}
    source = {run: rng.standard_normal((300, 3)) for run in ("fit", "score")}
    for number in range(4):
        mixing = rng.standard_normal((3, 6))
        data[str(number)] = {}
        for run, series in source.items():
            late = np.roll(series, number, axis=0)
            data[str(number)][run] = late @ mixing + 0.3 * rng.standard_normal((300, 6))
    scores = []
    for n_lags in (1, 4):
        wide = {s: {r: lagged(x, n_lags) for r, x in p.items()} for s, p in data.items()}
        model = DeterministicSRM(3).fit({s: {"fit": p["fit"]} for s, p in wide.items()})
        scores.append(held_out_matching(model, {s: {"score": p["score"]} for s, p in wide.items()}))
    assert scores[1] > 0.9 > scores[0] + 0.3
