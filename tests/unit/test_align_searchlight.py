"""Searchlights: cover, merging, and that they align what is scrambled locally."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindata.align import ResponseHyperalignment
from braindata.align.scores import matching, segment_similarities
from braindata.align.searchlight import Searchlight, neighbourhoods
from braindata.errors import DataError, UsageError

GRID = np.argwhere(np.ones((6, 5, 4), bool)) * 3.0


def make(parcellation: str) -> ResponseHyperalignment:
    return ResponseHyperalignment(weighting=False, shrinkage=1, parcellation=parcellation)


@given(st.floats(1, 9), st.floats(0, 1))
def test_neighbourhoods_cover_all_voxels_and_are_balls(radius: float, share: float) -> None:
    found = neighbourhoods(GRID, radius, share * radius)
    assert set(np.concatenate(found)) == set(range(len(GRID)))
    for place in found:
        assert list(place) == sorted(place)
        # All within a radius of one of them.
        away = np.linalg.norm(GRID[place][:, None] - GRID[place][None], axis=2)
        assert (away <= radius + 1e-9).all(axis=1).any()


def test_every_voxel_is_a_centre_unless_they_are_spaced() -> None:
    assert len(neighbourhoods(GRID, 5.0)) == len(GRID)
    # Every second voxel along each axis, and some of the corners in between.
    assert len(neighbourhoods(GRID, 6.0, 6.0)) < len(GRID) / 4


def test_one_neighbourhood_of_all_voxels_is_the_plain_estimator() -> None:
    rng = np.random.default_rng(0)
    data = {s: {"run": rng.standard_normal((80, 20)).astype(np.float32)} for s in ("a", "b", "c")}
    plain = make("").fit(data)
    whole = Searchlight(make, [np.arange(20)], 20).fit(data)
    new = rng.standard_normal((5, 20))
    np.testing.assert_allclose(whole.transform("b", new), plain.transform("b", new), atol=1e-5)
    np.testing.assert_allclose(
        whole.inverse_transform("b", new), plain.inverse_transform("b", new), atol=1e-5
    )
    person = {"run": rng.standard_normal((80, 20))}
    for model in (plain, whole):
        model.fit_subject("new", person)
    np.testing.assert_allclose(whole.transform("new", new), plain.transform("new", new), atol=1e-5)


def test_it_finds_what_is_scrambled_within_a_few_mm() -> None:
    # Each person has the same response, its voxels swapped among near neighbours.
    rng = np.random.default_rng(1)
    response = rng.standard_normal((2, 200, len(GRID)))
    fit, score = {}, {}
    for name in "abcdef":
        order = np.argsort(GRID @ [1, 0.01, 0.0001] + rng.uniform(0, 4, len(GRID)))
        noisy = response[:, :, order] + 1.5 * rng.standard_normal(response.shape)
        fit[name], score[name] = {"run": noisy[0]}, noisy[1]

    def matched(common: dict[str, np.ndarray]) -> float:
        total = sum(common.values())
        return float(
            np.mean(
                [matching(segment_similarities(x, (total - x) / 5, 5), 5) for x in common.values()]
            )
        )

    model = Searchlight(make, neighbourhoods(GRID, 7.0, 3.0), len(GRID)).fit(fit)
    aligned = matched({name: model.transform(name, x) for name, x in score.items()})
    anatomical = matched(score)
    assert aligned > anatomical + 0.2


def test_what_it_refuses() -> None:
    with pytest.raises(UsageError, match="spacing"):
        neighbourhoods(GRID, 3.0, 4.0)
    with pytest.raises(UsageError, match="no neighbourhood"):
        Searchlight(make, [np.arange(5)], 6)
    data = {s: {"run": np.random.default_rng(2).standard_normal((40, 6))} for s in ("a", "b")}
    with pytest.raises(UsageError, match="not voxels"):
        Searchlight(lambda h: ResponseHyperalignment(), [np.arange(6)], 6).fit(data)
    with pytest.raises(DataError, match="has 6 voxels, not 7"):
        Searchlight(make, [np.arange(7)], 7).fit(data)
    fitted = Searchlight(make, [np.arange(6)], 6).fit(data)
    with pytest.raises(DataError, match="has no map"):
        fitted.transform("c", np.zeros((2, 6)))
