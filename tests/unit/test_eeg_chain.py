"""The cleaning of EEG, on recordings whose truth is known."""

from __future__ import annotations

import json
import time
from pathlib import Path

import mne
import numpy as np
import pyprep
import pytest

from braindata.eeg.bad_channels import find_bad_channels
from braindata.eeg.chain import Cleaned, TooShortError, preprocess_recording
from braindata.eeg.epochs import MARKED, OUTSIDE, REJECTED, REPEATED, judge_epochs
from braindata.eeg.line_noise import find_line_frequency, line_noise_ratio, remove_line_noise
from braindata.eeg.montage import TEN_FIVE
from braindata.eeg.outputs import write_derivatives
from braindata.eeg.parameters import EegParameters
from braindata.eeg.quality import evoked_snr, split_half_correlation
from braindata.eeg.reading import EegFiles
from braindata.errors import DataError
from tests.unit.eeg_recordings import SFREQ, cap, files_of, noise, write_brainvision

SECONDS = 60.0
PARAMETERS = EegParameters(ransac=False, h_freq=80)
METADATA = {"PowerLineFrequency": 50}


def _step(cleaned: Cleaned, name: str):
    (found,) = [step for step in cleaned.steps if step.name == name]
    return found


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory):
    """32 channels: 20 sources, blinks, line noise, one noisy and one flat channel."""
    rng = np.random.default_rng(3)
    names = cap(32)
    info = mne.create_info(names, SFREQ, "eeg").set_montage(TEN_FIVE)
    places = np.array([one["loc"][:3] for one in info["chs"]])
    n, times = round(SECONDS * SFREQ), np.arange(round(SECONDS * SFREQ)) / SFREQ
    frequencies = np.maximum(np.fft.rfftfreq(n, 1 / SFREQ), 0.5)
    sources = []
    for _ in range(20):
        spectrum = rng.normal(size=frequencies.size) + 1j * rng.normal(size=frequencies.size)
        course = np.fft.irfft(spectrum / frequencies ** rng.uniform(0.5, 0.9), n)
        sources.append(course / course.std() * rng.gamma(2.0, 0.5, n))
    centre = rng.normal(size=(20, 3))
    centre = centre / np.linalg.norm(centre, axis=1)[:, None] * 0.06 + [0, 0, 0.04]
    offset = places[:, None] - centre[None]
    lead = (offset * rng.normal(size=(20, 3))).sum(-1) / np.linalg.norm(offset, axis=-1) ** 3
    brain = 6e-6 * (lead / np.abs(lead).max(axis=0)) @ np.array(sources)
    blink = np.zeros(n)
    shape = np.exp(-0.5 * (np.arange(-0.25, 0.25, 1 / SFREQ) / 0.06) ** 2)
    for onset in np.arange(1.3, SECONDS - 2, 3.1):
        at = round(onset * SFREQ)
        blink[at : at + shape.size] += shape * rng.uniform(0.8, 1.2)
    eyes = np.exp(-np.linalg.norm(places - [0, 0.1, -0.01], axis=1) / 0.03)
    eyes /= eyes.max()
    data = brain + 150e-6 * eyes[:, None] * blink + rng.normal(0, 5e-7, brain.shape)
    data += 4e-6 * np.sin(2 * np.pi * 50 * times)
    data[12] += rng.normal(0, 80e-6, n)
    data[25] = 1e-5
    folder = tmp_path_factory.mktemp("eeg")
    header = write_brainvision(folder, "sub-01_task-x_eeg", data, names)
    onsets = np.arange(2.0, SECONDS - 2, 1.5)
    files = files_of(header, metadata=METADATA)
    cleaned = preprocess_recording(files, PARAMETERS, onsets, ["a", "b"] * (len(onsets) // 2))
    truth = mne.filter.filter_data(brain, SFREQ, 0.1, 80, verbose="ERROR")
    return cleaned, truth - truth.mean(axis=0), blink


def test_artefacts_go_and_the_brain_stays(simulated) -> None:
    cleaned, truth, blink = simulated
    data = cleaned.raw.get_data()
    good = [i for i in range(32) if i not in (12, 25)]
    inner = slice(400, -400)
    matches = [np.corrcoef(data[i, inner], truth[i, inner])[0, 1] for i in good]
    assert np.median(matches) > 0.95
    # Of a blink of 150 µV less than a tenth is left at the forehead.
    left = np.polyfit(blink[inner], data[0, inner] - truth[0, inner], 1)[0]
    assert abs(left) < 15e-6
    line = _step(cleaned, "line noise").details
    assert line["removed"] == [50.0]
    assert line["ratio_before"][0] > 10 > 1 > line["ratio_after"][0]
    # Bad channels come from their neighbours.
    for i in (12, 25):
        assert np.corrcoef(data[i, inner], truth[i, inner])[0, 1] > 0.7
    np.testing.assert_allclose(data.mean(axis=0), 0, atol=1e-12)


def test_each_step_is_on_record(simulated) -> None:
    cleaned, _, _ = simulated
    names = cap(32)
    bad = _step(cleaned, "bad channels").details["bad"]
    assert bad[names[25]] == ["flat"]
    assert "deviation" in bad[names[12]]
    assert set(bad) == set(_step(cleaned, "interpolation").details["interpolated"])
    kinds = [one.kind for one in cleaned.components if one.removed]
    assert "eye blink" in kinds
    assert cleaned.quality["n_components_removed"] == len(kinds)
    assert all(abs(sum(c.probabilities.values()) - 1) < 1e-3 for c in cleaned.components)
    assert cleaned.reference == "average"
    assert cleaned.placement.source == "standard"
    assert _step(cleaned, "resample").reason == "it was sampled at 200 Hz, not more than 250 Hz"
    assert not cleaned.raw.info["bads"]


def test_derivatives_have_the_same_bytes_later(simulated, tmp_path: Path) -> None:
    cleaned, _, _ = simulated
    name, path = "sub-01_task-x_eeg", "sub-01/eeg/sub-01_task-x_eeg.vhdr"
    first = write_derivatives(cleaned, tmp_path / "a", name, path, PARAMETERS)
    time.sleep(1.1)
    second = write_derivatives(cleaned, tmp_path / "b", name, path, PARAMETERS)
    assert [p.name for p in first] == [
        "sub-01_task-x_desc-preproc_eeg.fif",
        "sub-01_task-x_desc-clean_epo.fif",
        "sub-01_task-x_desc-preproc_eeg.json",
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    raw = mne.io.read_raw_fif(first[0], verbose="ERROR")
    np.testing.assert_allclose(raw.get_data(), cleaned.raw.get_data(), atol=1e-10)
    epochs = mne.read_epochs(first[1], verbose="ERROR")
    assert len(epochs) == sum(reason is None for reason in cleaned.judged.reasons)
    import mne_bids

    where = mne_bids.BIDSPath(
        root=tmp_path / "a",
        subject="01",
        task="x",
        description="preproc",
        suffix="eeg",
        extension=".fif",
        datatype="eeg",
        check=False,
    )
    assert mne_bids.read_raw_bids(where, verbose="ERROR").n_times == raw.n_times


def _recording(folder: Path, names: list[str], seconds: float = 40, **more: object) -> EegFiles:
    data = noise(len(names), seconds)
    header = write_brainvision(folder, "sub-01_task-x_eeg", data, names)
    return files_of(header, **more)


def test_four_channels_are_cleaned_as_far_as_that_goes(tmp_path: Path) -> None:
    files = _recording(tmp_path, ["TP9", "AF7", "AF8", "TP10"], metadata={"EEGReference": "Fpz"})
    cleaned = preprocess_recording(files, PARAMETERS, np.arange(1.0, 39, 1.0), ["a"] * 38)
    few = "4 good channels have positions, it needs 16"
    for name in ("bad channels", "ica", "average reference"):
        assert _step(cleaned, name).reason == few
    assert _step(cleaned, "interpolation").reason == "no channel is bad"
    said = "no sidecar states the line frequency, and the spectrum shows none"
    assert _step(cleaned, "line noise").reason == said
    assert cleaned.reference == "Fpz"
    assert cleaned.placement.source == "standard"
    assert _step(cleaned, "epochs").details["method"] == "global"
    assert cleaned.quality["n_components_removed"] is None


def test_a_line_frequency_that_the_sidecar_does_not_state(tmp_path: Path) -> None:
    data = noise(4, 40)
    data += 20e-6 * np.sin(2 * np.pi * 50 * np.arange(data.shape[1]) / SFREQ)
    header = write_brainvision(tmp_path, "sub-01_task-x_eeg", data, ["TP9", "AF7", "AF8", "TP10"])
    for metadata, known in (
        ({}, "spectrum"),
        ({"PowerLineFrequency": 50}, "sidecar"),
        ({"PowerLineFrequency": 60}, "sidecar and spectrum"),
    ):
        cleaned = preprocess_recording(files_of(header, metadata=metadata), PARAMETERS)
        step = _step(cleaned, "line noise").details
        assert step["known_from"] == known
        assert 50.0 in step["removed"]
        assert cleaned.quality["line_noise_ratio"] > 10
        assert line_noise_ratio(cleaned.raw.get_data(), SFREQ, 50) < 0.5
        told = [one for one in cleaned.warnings if "states a line frequency of 60 Hz" in one]
        assert bool(told) == (known == "sidecar and spectrum")


def test_names_that_no_montage_has(tmp_path: Path) -> None:
    cleaned = preprocess_recording(_recording(tmp_path, [f"x{i}" for i in range(20)]), PARAMETERS)
    assert cleaned.placement.source == "none"
    assert np.isnan(cleaned.placement.positions).all()
    assert _step(cleaned, "ica").reason == "0 good channels have positions, it needs 16"
    assert _step(cleaned, "epochs").reason == "the recording has no events"
    assert cleaned.judged is None


def test_three_seconds_are_too_short(tmp_path: Path) -> None:
    with pytest.raises(TooShortError, match=r"it has 3\.0 s, fewer than"):
        preprocess_recording(_recording(tmp_path, ["Fz", "Cz"], seconds=3), PARAMETERS)


def test_mostly_dead_channels(tmp_path: Path) -> None:
    names = cap(8)
    data = noise(8, 40)
    data[:4] = 0
    header = write_brainvision(tmp_path, "sub-01_task-x_eeg", data, names)
    with pytest.raises(DataError, match="4 of 8 channels are bad"):
        preprocess_recording(files_of(header), PARAMETERS)


def _raw(n_channels: int = 4, seconds: float = 60) -> mne.io.RawArray:
    info = mne.create_info(cap(n_channels), SFREQ, "eeg", verbose="ERROR")
    return mne.io.RawArray(noise(n_channels, seconds), info, verbose="ERROR")


def test_channels_that_have_nothing_in_common(tmp_path: Path) -> None:
    # Of one head they would: RANSAC, which is on by default, has no good channel to start from.
    header = write_brainvision(tmp_path, "sub-01_task-x_eeg", noise(20, 40.0), cap(20))
    with pytest.raises(DataError, match="20 of 20 channels are bad"):
        preprocess_recording(files_of(header), EegParameters(h_freq=80))


def test_a_source_makes_no_channel_bad() -> None:
    names = cap(32)
    info = mne.create_info(names, SFREQ, "eeg", verbose="ERROR").set_montage(TEN_FIVE)
    places = np.array([one["loc"][:3] for one in info["chs"]])
    distance = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    data = np.exp(-distance / 0.08) @ noise(32, 60.0)
    strength = np.random.default_rng(5).uniform(0.6, 1.4, (32, 1))
    data *= 10e-6 * strength / data.std(axis=1).mean()
    # Beta of 12 µV beneath one electrode, which none of the others shows as much.
    beta = mne.filter.filter_data(noise(1, 60.0, seed=9)[0], SFREQ, 13, 30, verbose="ERROR")
    where = names.index("F3")
    data += np.outer(np.exp(-distance[where] / 0.03), 12e-6 * beta / beta.std())
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    finder = pyprep.NoisyChannels(raw.copy(), random_state=0, ransac=False)
    finder.find_bad_by_PSD()
    assert finder.bad_by_psd == ["F3"]
    assert find_bad_channels(raw, ransac=True, seed=0) == ({}, True)
    # A noisy and a loose one are bad.
    raw._data[3] += np.random.default_rng(0).normal(0, 60e-6, data.shape[1])
    raw._data[20] = np.random.default_rng(1).normal(0, 10e-6, data.shape[1])
    assert set(find_bad_channels(raw, ransac=True, seed=0)[0]) == {names[3], names[20]}
    # A channel without a position, such as one of the eyes in a cap: not for RANSAC, which goes on
    # for the others; its own noise is found all the same.
    raw.info["chs"][20]["loc"][:3] = np.nan
    raw.info["chs"][8]["loc"][:3] = np.nan
    found, done = find_bad_channels(raw, ransac=True, seed=0)
    assert done
    assert set(found) == {names[3], names[20]}
    assert "ransac" not in found[names[20]]


def test_what_becomes_of_each_event() -> None:
    raw = _raw()
    raw._data[:, 2000:2100] += 500e-6 * np.hanning(100)
    raw.set_annotations(mne.Annotations([20.0], [1.0], ["BAD_moved"]))
    onsets = np.array([0.1, 5.0, 5.0, 5.0, 10.2, 20.5, *np.arange(25.0, 45.0), 59.9])
    labels = ["a", "a", "a", "b", *["a"] * 23]
    judged = judge_epochs(raw, onsets, labels, PARAMETERS, has_positions=False)
    lost = {row: reason for row, reason in enumerate(judged.reasons) if reason is not None}
    expected = {0: OUTSIDE, 2: REPEATED, 4: REJECTED, 5: MARKED, 26: OUTSIDE}
    assert expected.items() <= lost.items()
    assert judged.reasons[1] is None and judged.reasons[3] is None
    assert len(judged.epochs) == len(onsets) - len(lost)
    # Epochs hold the samples around their event, less the baseline.
    epoch = judged.epochs.get_data(copy=False)[0]
    cut = raw.get_data()[:, 960:1161]
    np.testing.assert_allclose(epoch, cut - cut[:, :41].mean(axis=1, keepdims=True), atol=1e-15)


def test_no_epoch_is_left() -> None:
    raw = _raw()
    raw.set_annotations(mne.Annotations([0.0], [60.0], ["bad"]))
    judged = judge_epochs(raw, np.array([5.0, 9.0]), ["a", "a"], PARAMETERS, has_positions=False)
    assert judged.epochs is None
    assert judged.reasons == (MARKED, MARKED)


def test_line_noise_is_measured_found_and_removed() -> None:
    data = noise(3, 30)
    assert line_noise_ratio(data, SFREQ, 60) == pytest.approx(1, rel=0.3)
    assert find_line_frequency(data, SFREQ) is None
    clean = data.copy()
    data += 3e-6 * np.sin(2 * np.pi * 60 * np.arange(data.shape[1]) / SFREQ)
    assert find_line_frequency(data, SFREQ) == 60
    assert remove_line_noise(data, SFREQ, 60.0, 80) == [60.0]
    assert line_noise_ratio(data, SFREQ, 60) < 0.2
    # What is left is the rest: 2 of 100 Hz are gone.
    assert np.corrcoef(data[0, 400:-400], clean[0, 400:-400])[0, 1] > 0.98
    assert line_noise_ratio(data, 110.0, 60) is None


def test_the_evoked_snr_is_that_of_the_simulation() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(-0.2, 0.8, 0.005)
    response = np.where(times >= 0, np.sin(2 * np.pi * times), 0.0)
    # 100 epochs of noise with variance 25: 0.25 in their average; a response of variance 0.5.
    epochs = response + 5 * rng.normal(size=(100, 30, len(times)))
    power = (response[times >= 0] ** 2).mean()
    labels = np.zeros(100)
    assert evoked_snr(epochs, labels, times) == pytest.approx(power / 0.25, rel=0.05)
    assert evoked_snr(epochs - response, labels, times) == pytest.approx(0, abs=0.05)
    assert evoked_snr(epochs[:3], labels[:3], times) is None
    # Halves of 50: signal 0.5 and noise 0.5 each.
    halves = split_half_correlation(epochs, times)
    assert halves == pytest.approx(power / (power + 0.5), abs=0.06)


def test_the_record_of_channels_that_have_no_place_is_json(tmp_path: Path) -> None:
    # Noise would be bad throughout.
    chosen = PARAMETERS.model_copy(update={"bad_channels": False})
    cleaned = preprocess_recording(_recording(tmp_path, [*cap(19), "EOG1"]), chosen)
    assert list(cleaned.placement.known).count(True) == 19
    json.dumps([step.details for step in cleaned.steps])
