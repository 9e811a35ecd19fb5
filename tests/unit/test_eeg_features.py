"""Features of EEG at sensors."""

from __future__ import annotations

import json

import mne
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from braindata.derive.eeg_rows import OUTSIDE, TOO_SLOW
from braindata.derive.parameters import EventMapping
from braindata.derive.sensor_parameters import ErpWindow, SensorParameters
from braindata.derive.sensor_trials import (
    NO_CHANNEL,
    SensorRecording,
    derive_sensor_trials,
)
from braindata.eeg.features import aperiodic_exponent, band_powers, cut_trials, erp_amplitudes
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.trials import TRIALS

SFREQ = 200.0
ONSETS = np.array([2.0, 5.0, 8.0])


def test_trials_are_cut_at_their_samples() -> None:
    data = np.arange(2000.0)[None]
    cut = cut_trials(data, SFREQ, np.array([1.0, 0.1, 9.9, np.nan]), -0.2, 0.3)
    assert cut.shape == (4, 1, 101)
    np.testing.assert_array_equal(cut[0, 0], np.arange(160, 261))
    assert np.isnan(cut[1:]).all()


def test_amplitudes_are_those_that_were_put_in() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(2000) / SFREQ
    heights = np.array([1.0, -2.0, 3.0]) * 1e-6
    # A plateau on an offset, and noise above the low-pass.
    data = np.full((2, 2000), 7e-6)
    for onset, height in zip(ONSETS, heights, strict=True):
        data[:, (times >= onset + 0.15) & (times < onset + 0.75)] += height
    data += 20e-6 * np.sin(2 * np.pi * 60 * times) + rng.normal(0, 1e-9, data.shape)
    found = erp_amplitudes(data, SFREQ, ONSETS, (0.3, 0.5), (-0.2, 0.0), 30.0)
    np.testing.assert_allclose(found, heights, atol=2e-8)


def test_band_power_is_that_of_mne_and_of_the_simulation() -> None:
    rng = np.random.default_rng(1)
    # White noise of 1 V² at 200 Hz: 0.01 V²/Hz everywhere.
    data = rng.normal(size=(30, 20_000))
    onsets = np.arange(1.0, 98.0, 1.0)
    bands = [(4.0, 8.0), (8.0, 13.0), (30.0, 80.0), (60.0, 95.0)]
    found = band_powers(data, SFREQ, onsets, (0.0, 0.8), bands)
    np.testing.assert_allclose(found[:, :3].mean(axis=0), 0.01, rtol=0.03)
    assert np.isnan(found[:, 3]).all()
    epochs = cut_trials(data, SFREQ, onsets, 0.0, 0.8)
    info = mne.create_info(30, SFREQ, "eeg", verbose="ERROR")
    mnes = mne.EpochsArray(epochs - epochs.mean(axis=2, keepdims=True), info, verbose="ERROR")
    spectrum = mnes.compute_psd("multitaper", normalization="full", verbose="ERROR")
    inside = (spectrum.freqs >= 8) & (spectrum.freqs <= 13)
    expected = spectrum.get_data()[:, :, inside].mean(axis=(1, 2))
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-10)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_aperiodic_exponent(exponent: float) -> None:
    rng = np.random.default_rng(2)
    n = 40_000
    freqs = np.fft.rfftfreq(n, 1 / SFREQ)
    phase = rng.normal(size=(8, freqs.size)) + 1j * rng.normal(size=(8, freqs.size))
    data = np.fft.irfft(phase / np.maximum(freqs, 0.5) ** (exponent / 2), n)
    # An alpha rhythm is no part of it.
    data += 2 * data.std() * np.sin(2 * np.pi * 10 * np.arange(n) / SFREQ)
    assert aperiodic_exponent(data, SFREQ) == pytest.approx(exponent, abs=0.1)
    assert aperiodic_exponent(np.zeros((2, 1000)), SFREQ) is None


def _recording(**changes: object) -> SensorRecording:
    events = pd.DataFrame(
        {"onset": [2.0, 5.0, 9.5], "duration": [0.0, 0.0, 0.0], "value": [1, 2, 1]}
    )
    values: dict = {
        "key": RecordingKey("ds", "sub-01_task-x_eeg", "01", None, "x", None),
        "events": events,
        "data": np.random.default_rng(0).normal(0, 1e-5, (3, 2000)).astype(np.float32),
        "names": ("Fz", "Pz", "TP9"),
        "sfreq": SFREQ,
        "rejected": {"1": "autoreject rejected its epoch"},
    }
    return SensorRecording(**(values | changes))


def test_trials_have_a_value_or_a_reason() -> None:
    parameters = SensorParameters(
        erp=(
            ErpWindow(name="P300", tmin=0.3, tmax=0.5, channels=("Pz", "POz")),
            ErpWindow(name="RewP", tmin=0.24, tmax=0.34, channels=("FCz",)),
        )
    )
    recording = _recording()
    table = derive_sensor_trials(recording, parameters, EventMapping())
    assert table.schema.equals(TRIALS)
    rows = table.to_pandas()
    features = ["P300", "RewP", "theta", "alpha", "beta", "gamma", "broadband"]
    features.append("aperiodic_exponent")
    assert rows["feature"].tolist() == [name for name in features for _ in range(3)]
    p300 = rows[rows["feature"] == "P300"]
    expected = 1e6 * erp_amplitudes(
        recording.data[1:2].astype(float), SFREQ, ONSETS[:1], (0.3, 0.5), (-0.2, 0), 30.0
    )
    assert p300["estimate"].iloc[0] == pytest.approx(expected[0])
    assert p300["reason"].fillna("").tolist() == ["", "autoreject rejected its epoch", OUTSIDE]
    assert p300["channels"].iloc[0].tolist() == ["Pz"]
    assert set(p300["unit"]) == {"uV"} and set(p300["model"]) == {"erp"}
    assert set(rows[rows["feature"] == "RewP"]["reason"]) == {NO_CHANNEL}
    assert (rows["estimate"].notna() == rows["reason"].isna()).all()
    # Without a column trial_type, `value` is the kind.
    assert p300["trial_type"].tolist() == ["1", "2", "1"]
    assert rows["region"].isna().all()
    assert json.loads(rows["columns"].iloc[2]) == {"onset": 9.5, "duration": 0.0, "value": 1}


def test_bands_that_the_sampling_does_not_show() -> None:
    rows = derive_sensor_trials(_recording(sfreq=100.0), SensorParameters(), EventMapping())
    table = rows.to_pandas()
    assert set(table[table["feature"] == "gamma"]["reason"]) == {TOO_SLOW}
    alpha = table[table["feature"] == "alpha"]
    # At 100 Hz the third event lies within the recording.
    assert alpha["reason"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize(
    "wrong",
    [
        {"baseline": (0.0, -0.1)},
        {"erp": [{"name": "a", "tmin": 0.3, "tmax": 0.2, "channels": ["Pz"]}]},
        {"bands": [{"name": "P300", "fmin": 1, "fmax": 2}]},
        {"bands": [{"name": "x", "fmin": 3, "fmax": 2}]},
    ],
)
def test_parameters_that_make_no_sense(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        SensorParameters(**wrong)
