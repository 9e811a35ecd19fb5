"""The metrics of alignment: by hand, under rotation, and at chance without signal."""

from __future__ import annotations

import numpy as np
import pytest

from braindata.align.scores import (
    decode,
    decoding_chance,
    matching,
    matching_chance,
    predict_labels,
    prediction_r,
    segment_similarities,
)
from braindata.errors import DataError


def test_similarity_is_the_cosine_of_segments_side_by_side():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 25, 4))
    found = segment_similarities(one, other, 5)
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    for i in (0, 7, 20):
        for j in (0, 3, 20):
            x, y = a[i : i + 5].ravel(), b[j : j + 5].ravel()
            assert found[i, j] == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def test_matching_by_hand():
    # Four segments of two volumes. Overlapping competitors do not count, ties are misses.
    similarities = np.array(
        [
            [0.5, 0.9, 0.4, 0.1],  # beaten only by the overlapping one: right
            [0.0, 0.5, 0.0, 0.7],  # beaten
            [0.5, 0.0, 0.5, 0.0],  # a tie: a miss
            [0.1, 0.2, 0.9, 0.8],  # right
        ]
    )
    assert matching(similarities, 2) == 0.5
    assert matching(np.eye(6), 2) == 1.0
    assert matching(np.roll(np.eye(6), 2, axis=1), 2, shift=2) == 1.0


def test_rotation_changes_nothing():
    rng = np.random.default_rng(1)
    shared = rng.standard_normal((80, 5))
    one, other = shared + 1.5 * rng.standard_normal((2, 80, 5))
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    labels = np.array(["gain", "loss"])[rng.integers(0, 2, 80)]
    assert matching(segment_similarities(one, other, 3), 3) == matching(
        segment_similarities(one @ turn, other @ turn, 3), 3
    )
    assert (
        predict_labels(one, labels, other) == predict_labels(one @ turn, labels, other @ turn)
    ).all()


def test_noise_is_at_chance():
    rng = np.random.default_rng(2)
    scores, chances = [], []
    for _ in range(40):
        similar = segment_similarities(*rng.standard_normal((2, 60, 5)), 5)
        scores.append(matching(similar, 5))
        chances.append(matching_chance(similar, 5, 10, rng).mean)
    error = np.std(np.array(scores) - chances) / np.sqrt(40)
    assert abs(np.mean(scores) - np.mean(chances)) < 3 * error
    # About one in as many as compete.
    assert 1 / 56 < np.mean(chances) < 1 / 38


def test_prediction_by_hand():
    time = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    measured = np.stack([np.sin(time), np.cos(time), np.full(100, 3.0)], axis=1)
    predicted = np.stack([2 * np.sin(time) + 1, -np.cos(time), np.sin(time)], axis=1)
    # r of 1 and -1; the constant voxel does not count.
    assert prediction_r(predicted, measured) == pytest.approx(0)
    assert prediction_r(predicted[:, :1], measured[:, :1]) == pytest.approx(1)
    assert prediction_r(predicted[:, :1], measured[:, :1], shift=50) == pytest.approx(-1)


def test_decoding():
    rng = np.random.default_rng(3)
    labels = np.repeat(["gain", "loss"], 40)
    signal = np.where(labels == "gain", 1.0, -1.0)[:, None] * rng.standard_normal((1, 20))
    train, test = signal + rng.standard_normal((2, 80, 20))
    assert decode(train, labels, test, labels) > 0.95
    noise = rng.standard_normal((80, 20))
    said = predict_labels(noise, labels, test)
    chance = decoding_chance(said, labels, 200, rng)
    assert chance.mean == pytest.approx(0.5, abs=0.02)
    # Balanced: saying the commoner label always is worth no more than chance.
    uneven = np.array(["gain"] * 70 + ["loss"] * 10)
    assert decode(np.zeros((80, 2)), uneven, np.zeros((80, 2)), uneven) == 0.5


def test_too_short_to_tell_segments_apart():
    with pytest.raises(DataError, match="no segments of 9 volumes"):
        segment_similarities(np.zeros((9, 2)), np.zeros((9, 2)))
