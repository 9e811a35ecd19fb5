"""The trials table: which rows there are, and what is in them."""

from __future__ import annotations

import io
import json
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix, run_glm
from pydantic import ValidationError

from braindata.derive.design import CONFOUND_COLUMNS, frame_times, trial_regressors
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.trials import RecordingEvents, derive_trials
from braindata.errors import UsageError
from braindata.stages.events import require_columns
from braindata.tables.keys import RecordingKey, stimulus_id
from braindata.tables.schemas.series import SERIES
from braindata.tables.schemas.trials import TRIALS

TR = 2.0
N_VOLUMES = 190
PLAIN = DeriveParameters(confounds="none")


def read_events(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text.replace(" ", "\t")), sep="\t", na_values="n/a")


def confounds(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = CONFOUND_COLUMNS["simple"]
    table = pd.DataFrame(rng.standard_normal((N_VOLUMES, len(names))), columns=names)
    table.loc[0, [name for name in names if "derivative1" in name]] = np.nan
    return table


def recording(events: pd.DataFrame, name: str = "sub-01_task-x_bold") -> RecordingEvents:
    key = RecordingKey(dataset="ds", recording=name, subject="01", session=None, task="x", run="02")
    return RecordingEvents(key, events, confounds(), TR)


def series_row(values, name: str = "sub-01_task-x_bold", strategy: str = "none", **other):
    return {
        "dataset": "ds",
        "recording": name,
        "region": "visual",
        "definition_hash": "abc",
        "strategy": strategy,
        "values": values,
        "start": None,
        "sampling_frequency": 1 / TR,
        "unit": "a.u.",
        **other,
    }


def series_table(*rows) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SERIES)


def noise(seed: int = 0) -> np.ndarray:
    return 1000 + np.random.default_rng(seed).standard_normal(N_VOLUMES)


def many_events(n_trials: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "onset": np.sort(rng.uniform(0, N_VOLUMES * TR - 15, n_trials)).round(3),
            "duration": 1.5,
            "trial_type": np.where(np.arange(n_trials) % 2, "gain", "loss"),
        }
    )


def test_estimates_equal_nilearn_on_percent_signal():
    events = many_events()
    values = noise() + 20 * confounds()["csf"].to_numpy()
    table, outcomes = derive_trials(
        series_table(series_row(values, "b", "simple"), series_row(values)),
        [recording(events)],
        DeriveParameters(),
    )
    assert outcomes["sub-01_task-x_bold"].state == "done"
    assert table.schema.equals(TRIALS, check_metadata=True)
    values = np.float32(values).astype(float)
    percent = 100 * (values / values.mean() - 1)
    times = frame_times(N_VOLUMES, TR, 0.5)
    _, heights = trial_regressors(np.array([50.0]), np.array([1.5]), times, "spm")
    for i in (0, 7, 29):
        kind = np.where(events.index == i, "this", "others")
        design = make_first_level_design_matrix(
            times,
            events.assign(trial_type=kind),
            "spm",
            high_pass=0.008,
            add_regs=confounds().bfill(limit=1),
        )
        _, fits = run_glm(percent[:, None], design.to_numpy(), noise_model="ols")
        (fit,) = fits.values()
        beta = fit.theta[design.columns.get_loc("this"), 0]
        # Onsets off the fine grid make a trial's boxcar one sample in 37 longer or shorter.
        assert table["estimate"][i].as_py() == pytest.approx(beta * heights[0], rel=0.03)


def test_volumes_that_are_not_steady_spoil_nothing():
    events, values = many_events(), noise()
    kept = [False] * 3 + [True] * (N_VOLUMES - 3)
    bright = values * np.concatenate([[1.6, 1.25, 1.08], np.ones(N_VOLUMES - 3)])
    clean, spoilt = (
        derive_trials(series_table(series_row(v, kept=kept)), [recording(events)], PLAIN)[0]
        for v in (values, bright)
    )
    expected = clean["estimate"].to_numpy(zero_copy_only=False).astype(float)
    found = spoilt["estimate"].to_numpy(zero_copy_only=False).astype(float)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert np.abs(found).max() < 2


@pytest.mark.parametrize("duration", [0.0, 1.0, 20.0])
def test_unit_is_percent_of_the_mean_at_the_peak(duration):
    onsets = np.arange(10.0, 330, 35.0)
    events = pd.DataFrame({"onset": onsets, "duration": duration})
    regressors, heights = trial_regressors(
        onsets, np.full(len(onsets), duration), frame_times(N_VOLUMES, TR, 0.5), "spm"
    )
    # A response that rises to 2 % above baseline, whatever the duration.
    values = 500 * (1 + 0.02 * (regressors / heights).sum(axis=1))
    table, _ = derive_trials(series_table(series_row(values)), [recording(events)], PLAIN)
    mean = values.mean() / 500
    assert np.allclose(table["estimate"].to_numpy(), 2 / mean, rtol=1e-3)


@pytest.mark.parametrize("start", [0.0, 0.36, 1.7])
def test_the_time_that_slices_are_corrected_to_counts(start):
    """As fMRIPrep's `StartTime` and nilearn have it; `slice_time_ref` is for what has none."""
    onsets = np.arange(10.0, 330, 35.0)
    events = pd.DataFrame({"onset": onsets, "duration": 1.0})
    times = start + TR * np.arange(N_VOLUMES)
    regressors, heights = trial_regressors(onsets, np.full(len(onsets), 1.0), times, "spm")
    values = 500 * (1 + 0.02 * (regressors / heights).sum(axis=1))
    mean = values.mean() / 500
    row = series_row(values, start=start)
    table, _ = derive_trials(series_table(row), [recording(events)], PLAIN)
    assert np.allclose(table["estimate"].to_numpy(), 2 / mean, rtol=1e-3)
    table, _ = derive_trials(series_table(series_row(values)), [recording(events)], PLAIN)
    assert not np.allclose(table["estimate"].to_numpy(), 2 / mean, rtol=1e-3)


def test_rows_hold_the_events_with_their_types():
    events = read_events(
        "onset duration trial_type stim_file response response_time code note flag\n"
        "5.5 1 go faces/é.png 1 0.5 007 é 1.25\n"
        "n/a 1 n/a n/a n/a n/a 008 n/a n/a\n"
        "20 0 stop faces/b.png 2 n/a 009 1 3\n"
    ).assign(code=["007", "008", "009"])
    table, _ = derive_trials(series_table(series_row(noise())), [recording(events)], PLAIN)
    rows = table.to_pylist()
    assert [row["trial"] for row in rows] == [0, 1, 2]
    first = {name: rows[0][name] for name in TRIALS.names if not name.startswith("estimate")}
    columns = json.loads(first.pop("columns"))
    assert first == {
        "dataset": "ds",
        "recording": "sub-01_task-x_bold",
        "subject": "01",
        "session": None,
        "task": "x",
        "run": "02",
        "trial": 0,
        "event_recording": "sub-01_task-x_bold",
        "event": 0,
        "region": "visual",
        "definition_hash": "abc",
        "onset": 5.5,
        "duration": 1.0,
        "trial_type": "go",
        "response": "1",
        "response_time": 0.5,
        "choice": None,
        "outcome": None,
        "stimulus": stimulus_id("ds", "faces/é.png"),
        "feature": "bold",
        "channels": None,
        "unit": "percent",
        "model": "lss",
        "hrf_model": "spm",
        "delay": None,
        "variance_inflation": pytest.approx(1.1, abs=0.1),
        "collinear": False,
        "noise_ceiling": None,
        "reason": None,
        "eeg_class": None,
        "localisation_error": None,
        "crosstalk_max": None,
    }
    assert list(columns) == list(events.columns)
    assert columns == {
        "onset": 5.5,
        "duration": 1,
        "trial_type": "go",
        "stim_file": "faces/é.png",
        "response": 1,
        "response_time": 0.5,
        "code": "007",
        "note": "é",
        "flag": 1.25,
    }
    assert rows[1]["stimulus"] is None and rows[1]["trial_type"] is None
    assert rows[1]["estimate"] is None and rows[1]["estimate_se"] is None
    assert rows[1]["reason"] == "its onset is not known"
    assert json.loads(rows[1]["columns"])["response"] is None
    assert rows[2]["reason"] is None and rows[2]["estimate"] is not None


def test_columns_are_those_that_the_data_set_names():
    events = read_events(
        "onset duration trial_type cond rt gain pressed response_time\n"
        "10 1 x left 650 12.5 1 0.2\n"
        "40 1 y right n/a -3 2 0.3\n"
    )
    named = {"trial_type": "cond", "response_time": "rt", "response_time_unit": "ms"}
    mapping = EventMapping(**named, choice="pressed", outcome="gain", response="absent")

    def rows(mapping):
        series = series_table(series_row(noise()))
        return derive_trials(series, [recording(events)], PLAIN, mapping)[0].to_pylist()

    keys = ("trial_type", "response", "response_time", "choice", "outcome")
    assert [[row[key] for key in keys] for row in rows(mapping)] == [
        ["left", None, pytest.approx(0.65), "1", "12.5"],
        ["right", None, None, "2", "-3"],
    ]
    # BIDS's own names are in seconds, also where another column would be in ms.
    elsewhere = EventMapping(response_time="latency", response_time_unit="ms")
    expected = [["x", None, 0.2, None, None], ["y", None, 0.3, None, None]]
    assert [[row[key] for key in keys] for row in rows(elsewhere)] == expected
    assert rows(EventMapping())[0]["columns"] == rows(mapping)[0]["columns"]


def test_a_word_among_response_times_costs_only_itself():
    events = read_events(
        "onset duration response_time\n10 1 0.5\n40 1 slow\n70 1 -1.5\n90 1 inf\n120 1 n/a\n"
    )
    table = derive_trials(series_table(series_row(noise())), [recording(events)], PLAIN)[0]
    assert table["response_time"].to_pylist() == [0.5, None, -1.5, None, None]
    texts = [json.loads(one)["response_time"] for one in table["columns"].to_pylist()]
    assert texts == ["0.5", "slow", "-1.5", "inf", None]


def test_a_column_that_no_file_has_is_a_slip_of_the_pen():
    one = read_events("onset duration condition\n10 1 x\n")
    require_columns({"trial_type": "condition"}, [one], "ds")
    require_columns({"trial_type": "anything"}, [], "ds")
    with pytest.raises(UsageError, match="no events file of ds has a column conditon") as caught:
        require_columns({"trial_type": "conditon"}, [one], "ds")
    assert caught.value.hint == "did you mean condition?"


def test_columns_are_the_same_when_the_events_are_read_as_text():
    text = "onset duration value label\n5 1 1.5 01\n30 1 n/a 02\n"
    typed = read_events(text).assign(label=["01", "02"])
    as_text = pd.read_csv(io.StringIO(text.replace(" ", "\t")), sep="\t", dtype=str)
    tables = [
        derive_trials(series_table(series_row(noise())), [recording(e)], PLAIN)[0]
        for e in (typed, as_text)
    ]
    assert tables[0].equals(tables[1])
    assert (
        tables[0]["columns"][0].as_py()
        == '{"onset": 5, "duration": 1, "value": 1.5, "label": "01"}'
    )


def test_every_trial_without_an_estimate_has_a_reason():
    end = N_VOLUMES * TR
    onsets = [np.nan, 10, 50, 90, end, end - 0.5, -30, 130]
    durations = [1, np.nan, -1, 1, 1, 1, 1, 0]
    events = pd.DataFrame({"onset": onsets, "duration": durations})
    table, outcomes = derive_trials(series_table(series_row(noise())), [recording(events)], PLAIN)
    assert outcomes["sub-01_task-x_bold"].state == "done"
    assert table["reason"].to_pylist() == [
        "its onset is not known",
        "its duration is not known",
        "its duration is negative",
        None,
        "it starts after the end of the recording",
        "the recording ends before its response, or starts after it",
        "it starts too long before the recording",
        None,
    ]
    missing = [reason is not None for reason in table["reason"].to_pylist()]
    for name in ("estimate", "estimate_se"):
        assert [value is None for value in table[name].to_pylist()] == missing


def test_a_series_that_is_null_keeps_its_rows():
    events = many_events(4)
    for values in (None, [None] * N_VOLUMES):
        table, outcomes = derive_trials(
            series_table(series_row(values)), [recording(events)], DeriveParameters()
        )
        assert outcomes["sub-01_task-x_bold"].state == "done"
        assert table.num_rows == 4
        assert table["estimate"].null_count == table["estimate_se"].null_count == 4
        assert "covers too little" in table["reason"][0].as_py()


def test_one_bad_recording_does_not_stop_the_others():
    good = many_events(5)
    names = ["a", "b", "c", "d", "e", "f", "g"]
    recordings = [
        recording(good.astype({"onset": object}).assign(onset="late"), "b"),
        recording(good, "a"),
        recording(good.drop(columns="duration"), "c"),
        recording(good, "d"),
        recording(good, "e"),
        recording(good, "f"),
        recording(good, "g"),
    ]
    rows = [series_row(noise(), name) for name in "abc"]
    rows.append(series_row(np.full(N_VOLUMES, 5.0), "d"))
    rows.append(series_row(noise() - 999.9, "e"))
    rows.append(series_row(noise(), "f", sampling_frequency=1.0))
    table, outcomes = derive_trials(series_table(*rows), recordings, PLAIN)
    assert sorted(outcomes) == names
    assert {name: outcomes[name].state for name in names} == {
        "a": "done",
        **dict.fromkeys("bcdefg", "quarantined"),
    }
    wanted = [
        "not a number",
        "no column duration",
        "constant",
        "percentage",
        "TR of",
        "no uncleaned",
    ]
    for name, text in zip("bcdefg", wanted, strict=True):
        assert text in str(outcomes[name].reason)
    assert set(table["recording"].to_pylist()) == {"a"}
    assert table.num_rows == 5


def test_order_of_recordings_does_not_matter():
    recordings = [recording(many_events(5), name) for name in "abc"]
    rows = [series_row(noise(i), name) for i, name in enumerate("abc")]
    one, _ = derive_trials(series_table(*rows), recordings, PLAIN)
    other, _ = derive_trials(series_table(*rows[::-1]), recordings[::-1], PLAIN)
    assert one.equals(other)


def test_events_with_a_header_only():
    table, outcomes = derive_trials(
        series_table(series_row(noise())), [recording(many_events(0))], DeriveParameters()
    )
    assert table.num_rows == 0
    assert table.schema.equals(TRIALS, check_metadata=True)
    assert outcomes["sub-01_task-x_bold"].state == "done"


def test_series_of_two_regions_are_refused():
    rows = [series_row(noise()), series_row(noise()) | {"region": "other"}]
    with pytest.raises(ValueError, match="several regions"):
        derive_trials(series_table(*rows), [], PLAIN)


def test_parameters_are_strict_and_described():
    with pytest.raises(ValidationError):
        DeriveParameters.model_validate({"hrf": "spm"})
    assert all(field.description for field in DeriveParameters.model_fields.values())


def test_a_recording_takes_less_than_a_tenth_of_a_second():
    arguments = (series_table(series_row(noise())), [recording(many_events(60))])
    derive_trials(*arguments, DeriveParameters())
    start = time.process_time()
    for _ in range(5):
        derive_trials(*arguments, DeriveParameters())
    assert (time.process_time() - start) / 5 < 0.1
