"""The report: averages against brute force, and what the page says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from braindata.report.page import render
from braindata.report.responses import average_responses, times
from braindata.tables.schemas import TABLES

TR = 2.0
N = 60


def frame(table: str, rows: list[dict[str, object]]) -> pd.DataFrame:
    return pa.Table.from_pylist(rows, schema=TABLES[table]).to_pandas()


def series_rows(values: list[float], region: str = "visual") -> list[dict[str, object]]:
    who = {"dataset": "ds", "recording": "r1", "subject": "01", "region": region}
    return [
        who
        | {
            "strategy": "simple",
            "values": values,
            "start": 0.0,
            "sampling_frequency": 1 / TR,
            "coverage": 0.75,
        }
    ]


def trial_rows(onsets: list[float], kinds: list[str | None]) -> list[dict[str, object]]:
    who = {"dataset": "ds", "recording": "r1", "subject": "01", "region": "visual"}
    return [
        who | {"trial": i, "onset": onset, "trial_type": kind, "estimate": None, "reason": "why"}
        for i, (onset, kind) in enumerate(zip(onsets, kinds, strict=True))
    ]


def test_averages_equal_brute_force() -> None:
    values = np.random.default_rng(0).normal(size=N).astype(np.float32)
    onsets = [3.0, 30.5, 61.0, 115.0]
    series = frame("series", series_rows(values.tolist()))
    trials = frame("trials", trial_rows(onsets, ["a", "a", "a", None]))
    first, rest = average_responses(series, trials)
    assert (first.trial_type, first.n_trials) == ("a", 3)
    assert (rest.trial_type, rest.n_trials) == ("all events", 1)
    for i, lag in enumerate(times()):
        there = [t + lag for t in onsets[:3] if 0 <= t + lag <= (N - 1) * TR]
        points = [np.interp(t, np.arange(N) * TR, values) for t in there]
        np.testing.assert_allclose(first.mean[i], np.mean(points))
        expected = np.std(points, ddof=1) / np.sqrt(len(points))
        np.testing.assert_allclose(first.sem[i], expected)
    # After the end of the run there is nothing, and nothing is made up.
    assert np.isnan(rest.mean[times() > 3]).all()
    assert np.isnan(rest.sem).all()


def page() -> str:
    who = {"dataset": "ds", "dataset_version": "v1", "subject": "01"}
    recordings = [
        who | {"recording": "r1", "status": "used", "tr": TR, "n_volumes": N, "fd_mean": 0.1},
        who | {"recording": "r2", "status": "used", "reason": "no <onset>", "stage": "derive"},
        who
        | {
            "recording": "r3",
            "status": "quarantined",
            "stage": "pack",
            "reason": "bad & broken",
            "validator_errors": ["/r3: CODE"],
        },
    ]
    regions = [
        {"region": name, "level": level, "processes": ["vision"], "sources": ["Atlas"]}
        for name, level in (("acc", "execution"), ("visual", "perception"))
    ]
    tables = {
        "recordings": frame("recordings", recordings),
        "regions": frame("regions", regions),
        "series": frame("series", series_rows(list(range(N)))),
        "trials": frame("trials", trial_rows([10.0, 30.0], ["a", "b"])),
        "stimuli": frame("stimuli", []),
    }
    return render(tables, 7)


def test_the_page_says_what_was_left_out_and_why() -> None:
    text = page()
    assert "Release 7" in text
    assert "Recordings used: 2, left out: 1." in text
    assert "bad &amp; broken" in text
    assert "no &lt;onset&gt;" in text
    assert "/r3: CODE" in text
    assert "2: why" in text
    # In the order of the paper's levels, and a region without trials says so.
    assert text.index("<td>visual</td>") < text.index("<td>acc</td>")
    assert "no trials" in text
    assert "0.75" in text


def test_the_page_is_the_same_each_time_and_needs_nothing_else() -> None:
    text = page()
    assert text == page()
    assert "<script" not in text
    assert 'src="' not in text
    assert "@import" not in text


def test_a_release_without_trials_has_a_page() -> None:
    tables = {name: frame(name, []) for name in TABLES}
    assert "Release 1" in render(tables, 1)
