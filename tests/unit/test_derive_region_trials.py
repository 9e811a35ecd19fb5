"""Trials of regions in EEG: values of a known course, nulls with reasons, units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from braindata.derive.parameters import EventMapping
from braindata.derive.region_trials import CourseEvents, derive_region_trials
from braindata.derive.sensor_parameters import Band, ErpWindow, SensorParameters
from braindata.derive.sensor_trials import SensorRecording, derive_sensor_trials
from braindata.eeg.features import aperiodic_exponents
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import SERIES
from braindata.tables.schemas.trials import TRIALS

SFREQ = 250.0
KEY = RecordingKey("ds", "sub-01_task-x_eeg", "01", task="x")
PARAMETERS = SensorParameters(
    erp=(ErpWindow(name="late", tmin=0.3, tmax=0.5, channels=("Pz",)),),
    bands=(Band(name="alpha", fmin=8, fmax=13), Band(name="high", fmin=100, fmax=140)),
)


def series(values: np.ndarray | None, unit: str = "A·m", **more: Any) -> pa.Table:
    row = {
        **vars(KEY),
        "region": "visual",
        "definition_hash": "abc",
        "strategy": "none",
        "values": None if values is None else values.astype(np.float32).tolist(),
        "sampling_frequency": SFREQ,
        "unit": unit,
        "eeg_class": "good",
        "localisation_error": 9.5,
        "crosstalk_max": 0.3,
        **more,
    }
    return pa.Table.from_pylist([row], schema=SERIES)


def trials(table: pa.Table, onsets: list[float], rejected: dict[str, str] | None = None) -> Any:
    events = pd.DataFrame({"onset": onsets, "duration": 0.0, "value": [1, 2] * (len(onsets) // 2)})
    recording = CourseEvents(KEY, events, rejected or {})
    mapping = EventMapping(labels={1: "target"})
    found, outcomes = derive_region_trials(table, [recording], PARAMETERS, mapping)
    assert found.schema == TRIALS
    assert outcomes[KEY.recording].state == "done"
    return found.to_pandas()


def test_a_step_of_known_height_is_found_in_its_unit() -> None:
    course = np.zeros(5000)
    for onset in (4.0, 10.0):
        course[round((onset + 0.15) * SFREQ) : round((onset + 0.8) * SFREQ)] = 3e-12
    rows = trials(series(course), [4.0, 7.0, 10.0, 19.9])
    late = rows[rows["feature"] == "late"]
    assert_allclose(late["estimate"][:3], [3, 0, 3], atol=0.01)
    assert late["unit"].unique() == ["pA·m"] and late["model"].unique() == ["erp"]
    assert late["reason"].fillna("").tolist() == [
        *[""] * 3,
        "its window is not within the recording",
    ]
    assert late["trial_type"].tolist() == ["target", "2", "target", "2"]
    assert late["channels"].isna().all()
    assert (late["region"] == "visual").all() and (late["eeg_class"] == "good").all()
    assert_allclose(late["localisation_error"], 9.5)
    assert_allclose(late["crosstalk_max"], 0.3)


def test_band_power_is_the_variance_per_hertz() -> None:
    # White noise of one pA·m: its variance spread over all frequencies to the half of the rate.
    course = np.random.default_rng(0).standard_normal(100_000) * 1e-12
    rows = trials(series(course), list(np.arange(1.0, 381.0)))
    alpha = rows[rows["feature"] == "alpha"]
    assert alpha["unit"].unique() == ["(pA·m)^2/Hz"]
    assert alpha["estimate"].mean() == pytest.approx(1 / (SFREQ / 2), rel=0.05)
    high = rows[rows["feature"] == "high"]
    assert high["estimate"].isna().all()
    assert set(high["reason"]) == {"the recording was sampled too slowly"}


def test_a_region_gives_what_a_channel_with_its_course_gives() -> None:
    course = np.random.default_rng(1).standard_normal(5000)
    onsets = [2.0, 5.0, 8.0, 11.0]
    region = trials(series(course * 1e-12), onsets)
    events = pd.DataFrame({"onset": onsets, "duration": 0.0})
    stored = (course * 1e-12).astype(np.float32).astype(np.float64)[np.newaxis] * 1e6
    recording = SensorRecording(KEY, events, stored, ("Pz",), SFREQ, {})
    sensor = derive_sensor_trials(recording, PARAMETERS, EventMapping()).to_pandas()
    assert region["feature"].tolist() == sensor["feature"].tolist()
    # pA·m of one, µV of the other: the same numbers.
    assert_allclose(region["estimate"], sensor["estimate"], rtol=1e-4)


def test_what_is_not_claimed_is_null_with_the_reason_of_the_series() -> None:
    table = series(None, reason="fair: 30 mm", eeg_class="not_claimed", unit="A·m")
    rows = trials(table, [1.0, 2.0])
    assert rows["feature"].unique().tolist() == ["late", "alpha", "high", "aperiodic_exponent"]
    assert rows["estimate"].isna().all() and set(rows["reason"]) == {"fair: 30 mm"}
    assert set(rows["eeg_class"]) == {"not_claimed"}


def test_rejected_trials_are_null() -> None:
    rows = trials(series(np.zeros(5000)), [4.0, 7.0], {"1": "autoreject rejected its epoch"})
    late = rows[rows["feature"] == "late"]
    assert late["reason"].fillna("").tolist() == ["", "autoreject rejected its epoch"]
    flat = rows[rows["feature"] == "aperiodic_exponent"]
    assert flat["reason"].tolist()[0] == "its spectrum fits no aperiodic model"


def test_standardised_courses_have_no_unit() -> None:
    rows = trials(series(np.random.default_rng(2).standard_normal(5000), "1"), [4.0, 7.0])
    assert dict(zip(rows["feature"], rows["unit"], strict=True)) == {
        "late": "1",
        "alpha": "1/Hz",
        "high": "1/Hz",
        "aperiodic_exponent": "1",
    }


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_the_aperiodic_exponent_of_trials_is_that_of_the_noise(exponent: float) -> None:
    rng, n = np.random.default_rng(4), 60_000
    freqs = np.fft.rfftfreq(n, 1 / SFREQ)
    spectrum = rng.standard_normal(len(freqs)) + 1j * rng.standard_normal(len(freqs))
    spectrum[1:] *= freqs[1:] ** (-exponent / 2)
    data = np.fft.irfft(spectrum, n)[np.newaxis]
    onsets = np.arange(1.0, 201.0)
    found, within = aperiodic_exponents(data, SFREQ, onsets, (0.0, 0.8))
    assert within.all()
    assert np.nanmedian(found) == pytest.approx(exponent, abs=0.2)
    outside, within = aperiodic_exponents(data, SFREQ, np.array([-5.0, np.nan]), (0.0, 0.8))
    assert np.isnan(outside).all() and not within.any()
