"""Real EEG: effects that are in the data are there after cleaning, and only with true labels."""

from __future__ import annotations

import json
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from braindata.bids.events import read_events
from braindata.eeg.chain import Cleaned, preprocess_recording
from braindata.eeg.events import event_labels
from braindata.eeg.features import cut_trials
from braindata.eeg.parameters import EegParameters
from braindata.eeg.quality import split_half_correlation
from braindata.eeg.reading import EegFiles
from braindata.errors import DataError

Floats = NDArray[np.float64]
N_PERMUTATIONS = 100
# The one recording of the faces whose four channels were at the rail for a tenth of the time.
SATURATED = "sub-03_ses-03_task-faces_run-02_eeg"


def _clean(header: Path) -> tuple[Cleaned, Floats, list[str]]:
    stem = header.name.removesuffix("_eeg.vhdr")
    events = read_events(header.with_name(f"{stem}_events.tsv"))
    folder = header.parent
    files = EegFiles(
        header.stem,
        header,
        folder / f"{stem}_channels.tsv",
        next(folder.glob("*_electrodes.tsv"), None),
        next(folder.glob("*_coordsystem.json"), None),
        json.loads(header.with_suffix(".json").read_text(encoding="utf-8")),
    )
    onsets, labels = events["onset"].to_numpy(), event_labels(events)
    return preprocess_recording(files, EegParameters(), onsets, labels), onsets, labels


def _trials(root: Path, subject: str) -> tuple[Floats, NDArray[np.str_], list[str], Floats]:
    """Return the clean trials of all recordings of a person, below 30 Hz, baseline removed."""
    cut, kinds = [], []
    for header in sorted((root / f"sub-{subject}").rglob("*_eeg.vhdr")):
        try:
            cleaned, onsets, labels = _clean(header)
        except DataError:
            assert header.stem == SATURATED
            continue
        raw, sfreq = cleaned.raw, cleaned.raw.info["sfreq"]
        data = mne.filter.filter_data(raw.get_data(), sfreq, None, 30, verbose="ERROR")
        kept = np.array([reason is None for reason in cleaned.judged.reasons])
        trials = cut_trials(data, sfreq, onsets[kept], -0.2, 0.78)
        there = np.isfinite(trials).all(axis=(1, 2))
        trials -= trials[:, :, : round(0.2 * sfreq)].mean(axis=2, keepdims=True)
        cut.append(trials[there])
        kinds.append(np.array(labels)[kept][there])
    times = np.arange(cut[0].shape[2]) / sfreq - 0.2
    return np.concatenate(cut), np.concatenate(kinds), raw.ch_names, times


def _largest(trials: Floats, first: NDArray[np.bool_]) -> tuple[float, int]:
    """Return the largest |t| of a difference over channels and times, and at which time."""
    t = np.abs(stats.ttest_ind(trials[first], trials[~first]).statistic)
    return float(t.max()), int(t.max(axis=0).argmax())


def _permuted(trials: Floats, first: NDArray[np.bool_]) -> Floats:
    rng = np.random.default_rng(0)
    return np.array([_largest(trials, rng.permutation(first))[0] for _ in range(N_PERMUTATIONS)])


def test_faces_differ_from_houses(shared_data: Path) -> None:
    found, chance = [], []
    for subject in ("01", "02", "03"):
        trials, kinds, names, times = _trials(shared_data / "eeg-muse-faces", subject)
        temporal = [names.index(name) for name in ("TP9", "TP10")]
        within = (times >= 0.14) & (times <= 0.43)
        window = trials[:, temporal][:, :, within]
        found.append(_largest(window, kinds == "face")[0])
        chance.append(_permuted(window, kinds == "face"))
    assert sum(one >= 5 for one in found) >= 2, found
    # With labels permuted none is as large: what is found is not found in noise.
    assert all(other.max() < 5 for other in chance)
    assert all(np.quantile(other, 0.95) < 4 for other in chance)


def test_targets_differ_from_the_others(shared_data: Path) -> None:
    trials, kinds, _, times = _trials(shared_data / "eeg-muse-oddball", "01")
    within = (times >= 0.25) & (times <= 0.4)
    found, at = _largest(trials[:, :, within], kinds == "target")
    assert found >= 10
    assert times[within][at] == pytest.approx(0.32, abs=0.03)
    assert _permuted(trials[:, :, within], kinds == "target").max() < 5


def test_blinks_and_bad_channels_of_a_cap(shared_data: Path) -> None:
    root = shared_data / "eeg-visualattention"
    cleaned, _, labels = _clean(root / "sub-01/eeg/sub-01_task-visualattention_eeg.vhdr")
    removed = [one for one in cleaned.components if one.removed]
    assert "eye blink" in {one.kind for one in removed}
    steps = {step.name: step for step in cleaned.steps}
    bad = set(steps["bad channels"].details["bad"])
    assert bad and bad == set(steps["interpolation"].details["interpolated"])
    assert cleaned.placement.source == "measured"
    assert any("128 Hz: muscle may be missed" in one for one in cleaned.warnings)
    epochs = cleaned.judged.epochs
    assert len(epochs) >= 0.9 * len(labels)
    for kind in ("square", "rt"):
        own = epochs[kind].copy().filter(None, 30, verbose="ERROR")
        assert split_half_correlation(own.get_data(copy=False), epochs.times) > 0.8
