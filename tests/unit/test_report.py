"""The report's numbers: averages against brute force, charts that show them where they are."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from braindata.report.charts import Measured, axis_over, distribution, response_chart
from braindata.report.responses import MAX_TYPES, Responses, average_responses, times
from braindata.tables.schemas import TABLES

TR = 2.0
N = 60


def frame(table: str, rows: list[dict[str, object]]) -> pd.DataFrame:
    return pa.Table.from_pylist(rows, schema=TABLES[table]).to_pandas()


def series_row(values: list[float] | None, subject: str = "01") -> dict[str, object]:
    who = {"dataset": "ds", "recording": f"r{subject}", "subject": subject, "region": "visual"}
    timing = {"start": 0.0, "sampling_frequency": 1 / TR}
    return who | {"strategy": "simple", "values": values} | timing


def trial_rows(
    onsets: list[float], kinds: list[str | None], subject: str = "01"
) -> list[dict[str, object]]:
    who = {"dataset": "ds", "recording": f"r{subject}", "subject": subject, "region": "visual"}
    return [
        who | {"trial": i, "onset": onset, "trial_type": kind}
        for i, (onset, kind) in enumerate(zip(onsets, kinds, strict=True))
    ]


def points(values: np.ndarray, onsets: list[float], lag: float) -> list[float]:
    there = [onset + lag for onset in onsets if 0 <= onset + lag <= (N - 1) * TR]
    return [float(np.interp(t, np.arange(N) * TR, values)) for t in there]


def numbers(values: tuple[float | None, ...]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


def test_one_persons_error_is_over_trials_and_equals_brute_force() -> None:
    values = np.random.default_rng(0).normal(size=N).astype(np.float32)
    onsets = [3.0, 30.5, 61.0, 115.0]
    series = frame("series", [series_row(values.tolist())])
    trials = frame("trials", trial_rows(onsets, ["a", "a", "a", None]))
    first, rest = average_responses(series, trials).averages
    assert (first.trial_type, first.n_trials, first.n_people) == ("a", 3, 1)
    assert (rest.trial_type, rest.n_trials, rest.error_over) == ("all events", 1, "trials")
    for i, lag in enumerate(times()):
        expected = points(values, onsets[:3], lag)
        assert first.mean[i] == pytest.approx(np.mean(expected), abs=1e-4)
        error = np.std(expected, ddof=1) / np.sqrt(len(expected))
        assert first.sem[i] == pytest.approx(error, abs=1e-4)
    # After the end of the run there is nothing, and nothing is made up.
    assert np.isnan(numbers(rest.mean)[times() > 3]).all()
    assert np.isnan(numbers(rest.sem)).all()


def test_with_two_people_the_error_is_over_their_averages() -> None:
    rng = np.random.default_rng(1)
    values = {who: rng.normal(size=N).astype(np.float32) for who in ("01", "02", "03")}
    onsets = {"01": [10.0, 30.0, 50.0, 70.0], "02": [20.0, 44.0], "03": [63.5]}
    series = frame("series", [series_row(values[who].tolist(), who) for who in values])
    rows = [row for who, own in onsets.items() for row in trial_rows(own, ["a"] * len(own), who)]
    (average,) = average_responses(series, frame("trials", rows)).averages
    assert (average.n_trials, average.n_people, average.error_over) == (7, 3, "people")
    for i, lag in enumerate(times()):
        means = [np.mean(points(values[who], onsets[who], lag)) for who in values]
        assert average.mean[i] == pytest.approx(np.mean(means), abs=1e-4)
        assert average.sem[i] == pytest.approx(np.std(means, ddof=1) / np.sqrt(3), abs=1e-4)


def test_the_most_frequent_types_are_shown_and_the_others_counted() -> None:
    kinds = [f"k{i:02d}" for i in range(12)] * 2 + ["k11"]
    trials = frame("trials", trial_rows([4.0 + i for i in range(len(kinds))], list(kinds)))
    series = frame("series", [series_row([0.0, 1.0] * 30)])
    responses = average_responses(series, trials)
    assert responses.n_types == 12
    assert [a.trial_type for a in responses.averages] == [*kinds[: MAX_TYPES - 1], "k11"]
    chart = response_chart(responses)
    assert chart is not None
    assert (len(chart.panels), chart.n_hidden) == (8, 4)
    # What is kept between two reports comes back as it was.
    assert Responses.from_json(json.loads(json.dumps(asdict(responses)))) == responses


def test_no_series_is_no_chart() -> None:
    trials = frame("trials", trial_rows([4.0], ["a"]))
    for rows in ([], [series_row(None)], [series_row([])]):
        responses = average_responses(frame("series", rows), trials)
        assert responses.averages == ()
        assert response_chart(responses) is None


def test_curves_lie_where_their_values_are() -> None:
    series = frame("series", [series_row([0.0] * 5 + [1.0] * 55)])
    responses = average_responses(series, frame("trials", trial_rows([20.0, 105.0], ["a", "b"])))
    chart = response_chart(responses)
    assert chart is not None
    (panel,) = chart.panels
    first, second = panel.curves
    (line,) = first.lines
    drawn = [tuple(map(float, pair.split(","))) for pair in line.split()]
    assert len(drawn) == len(times())
    for (x, y), lag, mean in zip(drawn, times(), first.average.mean, strict=True):
        assert mean is not None
        assert chart.x.low + x / 100 * (chart.x.high - chart.x.low) == pytest.approx(lag, abs=0.01)
        height = chart.y.low + (100 - y) / 100 * (chart.y.high - chart.y.low)
        assert height == pytest.approx(mean, abs=0.01)
    # One trial has no error; after the end of the run its line ends.
    assert first.bands == second.bands == ()
    assert len(second.lines[0].split()) == sum(105 + times() <= (N - 1) * TR)


def test_axes_hold_all_values_and_their_ticks_are_told_apart() -> None:
    for values in ([0.0, 0.3], [3.2, 3.2], [-1.0, 17.0], [0.0], [0.912, 0.914], [5e3, 9e5], [1, 8]):
        axis = axis_over(values)
        assert all(0 <= axis.at(value) <= 100 for value in values)
        labels = [tick.label for tick in axis.ticks]
        assert len(set(labels)) == len(labels) >= 2
        for tick in axis.ticks:
            number = float(tick.label.replace("−", "-"))
            assert axis.at(number) == pytest.approx(tick.at, abs=0.5)


def test_every_recording_has_a_dot_in_its_column() -> None:
    values = np.random.default_rng(2).gamma(2, 0.1, 1000)
    strip = distribution([Measured(float(v), i) for i, v in enumerate(values)], (0, 0.3))
    assert sorted(dot.index for dot in strip.dots) == list(range(1000))
    assert strip.median == pytest.approx(np.median(values))
    for dot in strip.dots:
        assert dot.value == values[dot.index]
        assert abs(dot.x - strip.axis.at(dot.value)) <= 1.01
        assert 0 <= dot.y <= strip.height
    assert len({(dot.x, dot.y) for dot in strip.dots}) == 1000
    assert [dot.x for dot in strip.dots] == sorted(dot.x for dot in strip.dots)


def test_two_close_values_look_close() -> None:
    strip = distribution([Measured(0.0920, 0), Measured(0.0921, 1)], (0, 0.3))
    assert (strip.axis.low, strip.axis.high) == pytest.approx((0, 0.3))
    assert len({dot.x for dot in strip.dots}) == 1
    assert strip.dots[0].y > strip.dots[1].y
