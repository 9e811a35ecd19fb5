"""Reading EEG: formats, and everything that is wrong with files."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from braindata.eeg.events import check_onsets, event_labels
from braindata.eeg.reading import open_recording, read_recording, require_agreement
from braindata.eeg.signal import unusable_channels
from braindata.errors import DataError
from tests.unit.eeg_recordings import (
    SFREQ,
    files_of,
    noise,
    write_brainvision,
    write_channels,
)

NAMES = ["Fz", "Cz", "Pz", "Oz"]


@pytest.fixture
def header(tmp_path: Path) -> Path:
    return write_brainvision(tmp_path, "sub-01_task-x_eeg", noise(4, 10), NAMES)


def test_values_names_and_types_are_read(header: Path) -> None:
    # The table is in another order than the recording: names count.
    write_channels(
        header,
        NAMES[::-1],
        type=["EOG", "EEG", "EEG", "EEG"],
        status=["good", "bad", "good", "good"],
    )
    raw, warnings = read_recording(files_of(header))
    np.testing.assert_allclose(raw.get_data(), noise(4, 10), rtol=1e-6, atol=1e-12)
    assert raw.ch_names == NAMES
    assert raw.get_channel_types() == ["eeg", "eeg", "eeg", "eog"]
    assert raw.info["bads"] == ["Pz"]
    assert warnings == []


def test_names_tell_types_where_no_table_does(tmp_path: Path) -> None:
    names = ["Fz", "HEOG", "EKG1", "EMG chin", "EOG ROC-LOC", "Geogr"]
    header = write_brainvision(tmp_path, "sub-01_task-x_eeg", noise(6, 10), names)
    files = files_of(header)
    assert files.channels is None
    raw, warnings = read_recording(files)
    assert raw.get_channel_types() == ["eeg", "eog", "ecg", "emg", "eog", "eeg"]
    assert warnings == [
        "there is no channels.tsv: by their names no EEG are HEOG (EOG), EKG1 (ECG), "
        "EMG chin (EMG), EOG ROC-LOC (EOG)"
    ]
    # A table is believed, whatever names say.
    write_channels(header, names, type=["EEG"] * 6)
    raw, warnings = read_recording(files_of(header))
    assert raw.get_channel_types() == ["eeg"] * 6
    assert warnings == []


def _edf(path: Path, data: np.ndarray, kind: str) -> Path:
    """Write EDF or BDF with one record a second."""
    n_bytes, sfreq = (3 if kind == "bdf" else 2), int(SFREQ)
    n_channels, n_records = len(data), data.shape[1] // sfreq
    top = 2 ** (8 * n_bytes - 1)

    def field(text: object, width: int) -> bytes:
        return str(text).ljust(width).encode()

    head = (b"\xffBIOSEMI" if kind == "bdf" else field(0, 8)) + field("X", 80) + field("X", 80)
    head += field("01.01.20", 8) + field("00.00.00", 8) + field(256 * (n_channels + 1), 8)
    head += field("", 44) + field(n_records, 8) + field(1, 8) + field(n_channels, 4)
    for width, values in (
        (16, NAMES[:n_channels]),
        (80, [""] * n_channels),
        (8, ["uV"] * n_channels),
        (8, [-1000] * n_channels),
        (8, [1000] * n_channels),
        (8, [-top] * n_channels),
        (8, [top - 1] * n_channels),
        (80, [""] * n_channels),
        (8, [sfreq] * n_channels),
        (32, [""] * n_channels),
    ):
        head += b"".join(field(value, width) for value in values)
    digital = np.round(data * 1e6 / 2000 * (2 * top - 1) - 0.5).astype("<i4")
    body = b""
    for record in range(n_records):
        block = digital[:, record * sfreq : (record + 1) * sfreq]
        body += np.ascontiguousarray(block).view("u1").reshape(-1, 4)[:, :n_bytes].tobytes()
    path.write_bytes(head + body)
    return path


@pytest.mark.parametrize("kind", ["edf", "bdf"])
def test_edf_and_bdf_are_read_whole_or_not_at_all(tmp_path: Path, kind: str) -> None:
    data = noise(4, 10)
    path = _edf(tmp_path / f"sub-01_task-x_eeg.{kind}", data, kind)
    raw, _ = read_recording(files_of(path))
    np.testing.assert_allclose(raw.get_data(), data, atol=2e-8 if kind == "edf" else 2e-10)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(DataError, match="its header says"):
        open_recording(path)


def test_eeglab_and_fif_are_read(tmp_path: Path) -> None:
    from scipy.io import savemat

    data = noise(4, 10)
    chanlocs = np.array([(name,) for name in NAMES], dtype=[("labels", object)])
    eeg = {
        "setname": "x",
        "nbchan": 4,
        "trials": 1,
        "pnts": data.shape[1],
        "srate": SFREQ,
        "xmin": 0.0,
        "xmax": 10.0,
        "chanlocs": chanlocs,
        "data": "sub-01_task-x_eeg.fdt",
        "event": [],
        "epoch": [],
    }
    header = tmp_path / "sub-01_task-x_eeg.set"
    savemat(header, {"EEG": eeg}, appendmat=False)
    samples = header.with_suffix(".fdt")
    samples.write_bytes((data.T * 1e6).astype("<f4").tobytes())
    raw, _ = read_recording(files_of(header))
    np.testing.assert_allclose(raw.get_data(), data, rtol=1e-5, atol=1e-11)
    # Half of the samples: MNE reads them without a word.
    samples.write_bytes(samples.read_bytes()[: samples.stat().st_size // 2])
    with pytest.raises(DataError, match=r"fdt has \d+ bytes, its header says"):
        open_recording(header)
    samples.unlink()
    with pytest.raises(DataError, match=r"is not there .*\(File sub-01_task-x_eeg\.fdt not found"):
        open_recording(header)

    info = mne.create_info(NAMES, SFREQ, "eeg")
    path = tmp_path / "sub-01_task-y_eeg.fif"
    mne.io.RawArray(data, info, verbose="ERROR").save(path, verbose="ERROR")
    raw, _ = read_recording(files_of(path))
    np.testing.assert_allclose(raw.get_data(), data, rtol=1e-5, atol=1e-11)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_task-x_eeg.edf"
    path.write_bytes(b"no header at all")
    with pytest.raises(DataError, match="no EDF or BDF header"):
        open_recording(path)
    path = tmp_path / "sub-01_task-x_eeg.fif"
    path.write_bytes(b"nor here")
    with pytest.raises(DataError, match="cannot be read"):
        open_recording(path)
    with pytest.raises(DataError, match=r"EEG in \.csv cannot be read"):
        open_recording(tmp_path / "sub-01_task-x_eeg.csv")


def test_a_truncated_recording_is_told_by_its_length(header: Path) -> None:
    data = header.with_suffix(".eeg")
    whole = data.read_bytes()
    data.write_bytes(whole[:-3])
    with pytest.raises(DataError, match="no whole number of samples of 4 channels"):
        open_recording(header)
    # Cut between two samples: the header does not say how many there are, its sidecar does.
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"has 5\.0 s, its sidecar says 10\.0 s"):
        read_recording(files_of(header, metadata={"RecordingDuration": 10.0}))
    text = header.read_text(encoding="utf-8")
    header.write_text(text.replace("SamplingI", "DataPoints=2000\nSamplingI"), encoding="utf-8")
    with pytest.raises(DataError, match="has 1000 samples, its header says 2000"):
        open_recording(header)
    data.unlink()
    with pytest.raises(DataError, match=r"its samples, sub-01_task-x_eeg\.eeg, are not there"):
        open_recording(header)


def test_the_markers_of_another_recording_are_noticed(header: Path) -> None:
    other = write_brainvision(header.parent, "sub-02_task-x_eeg", noise(4, 10, seed=1), NAMES)
    text = header.read_text(encoding="utf-8")
    header.write_text(text.replace("MarkerFile=sub-01", "MarkerFile=sub-02"), encoding="utf-8")
    with pytest.raises(DataError, match="the markers of another recording"):
        open_recording(header)
    other.with_suffix(".vmrk").unlink()
    with pytest.raises(DataError, match=r"sub-02_task-x_eeg\.vmrk, are not there"):
        open_recording(header)


@pytest.mark.parametrize(
    ("channels", "columns", "said"),
    [
        (["Fz", "Cz", "Pz", "O9"], {}, "1 of 4 channels .* are not in the recording: O9"),
        (
            NAMES,
            {"sampling_frequency": ["500"] * 4},
            "a sampling rate of 500 Hz, the recording 200",
        ),
    ],
)
def test_a_table_of_channels_that_disagrees(
    header: Path, channels: list[str], columns: dict[str, list[str]], said: str
) -> None:
    write_channels(header, channels, **columns)
    with pytest.raises(DataError, match=said):
        read_recording(files_of(header))


def test_channels_that_no_table_lists_are_not_used(header: Path) -> None:
    write_channels(header, NAMES[:3])
    raw, warnings = read_recording(files_of(header))
    assert raw.get_channel_types() == ["eeg", "eeg", "eeg", "misc"]
    assert warnings == ["sub-01_task-x_channels.tsv lacks Oz: not used"]


def test_a_sidecar_that_disagrees() -> None:
    with pytest.raises(DataError, match="states a sampling rate of 512 Hz, the recording 200 Hz"):
        require_agreement(200.0, 2000, {"SamplingFrequency": 512}, Path("x"))
    longer = require_agreement(200.0, 4000, {"RecordingDuration": 10}, Path("x"))
    assert longer == ["it lasts 20.0 s, its sidecar says 10.0 s"]
    assert require_agreement(200.0, 2000, {"SamplingFrequency": "n/a"}, Path("x")) == []


def test_channels_without_a_signal_are_told_from_the_others() -> None:
    data = noise(6, 20)
    data[1] = 3e-5
    data[2, 50] = np.nan
    data[3] = np.clip(data[3], -1e-5, 1e-5)
    found = unusable_channels(data, list("abcdef"), SFREQ)
    assert found == {"b": "flat", "c": "not finite", "d": "saturated"}


@pytest.mark.parametrize("factor", [1e6, 1e3, 1e-3])
def test_units_that_are_off(factor: float) -> None:
    with pytest.raises(DataError, match="which EEG does not"):
        unusable_channels(noise(4, 10) * factor, NAMES, SFREQ)


def test_units_that_are_off_by_1e6_downwards_look_flat() -> None:
    with pytest.raises(DataError, match="none of its 4 channels holds a signal"):
        unusable_channels(noise(4, 10) * 1e-6, NAMES, SFREQ)


def test_dead_recordings_are_refused() -> None:
    for data in (np.zeros((4, 2000)), np.full((4, 2000), np.nan)):
        with pytest.raises(DataError, match="none of its 4 channels holds a signal"):
            unusable_channels(data, NAMES, SFREQ)


def _events(onsets: list[float], samples: list[float] | None = None) -> pd.DataFrame:
    table = pd.DataFrame({"onset": onsets, "duration": 0.0})
    return table if samples is None else table.assign(sample=samples)


EVENTS = Path("sub-01_task-x_events.tsv")


def test_onsets_are_held_against_samples() -> None:
    onsets = [1.0, 2.5, 4.0, 7.25]
    # From 0 and from 1 both are right.
    for first in (0, 1):
        samples = [onset * SFREQ + first for onset in onsets]
        assert check_onsets(_events(onsets, samples), SFREQ, 2000, EVENTS) == []
    older = [onset * 1000 for onset in onsets]
    (said,) = check_onsets(_events(onsets, older), SFREQ, 2000, EVENTS)
    assert "`sample` counts 1000 samples per second, the recording has 200" in said
    with pytest.raises(DataError, match="milliseconds, as the column `sample` shows"):
        check_onsets(_events(older, [o * SFREQ for o in onsets]), SFREQ, 2000, EVENTS)
    with pytest.raises(DataError, match="contradict each other"):
        check_onsets(_events(onsets, [900, 100, 1500, 20]), SFREQ, 2000, EVENTS)


def test_onsets_behind_the_end() -> None:
    assert check_onsets(_events([1.0, 5.0, 10.5]), SFREQ, 2000, EVENTS) == []
    with pytest.raises(DataError) as caught:
        check_onsets(_events([1.0, 5.0, 11, 12, 13]), SFREQ, 2000, EVENTS)
    assert "is the recording truncated" in str(caught.value)
    with pytest.raises(DataError) as caught:
        check_onsets(_events([100.0, 5000, 6000, 9000]), SFREQ, 2000, EVENTS)
    assert "the onsets are in milliseconds" in str(caught.value)


def test_the_kind_of_an_event() -> None:
    table = _events([1, 2, 3]).assign(value=[2.0, np.nan, 7.0])
    assert event_labels(table) == ["2", "n/a", "7"]
    assert event_labels(table.assign(trial_type=["face", "house", None])) == [
        "face",
        "house",
        "n/a",
    ]
    assert event_labels(table.assign(code=["a", "b", "c"]), "code") == ["a", "b", "c"]
    assert event_labels(_events([1, 2])) == ["n/a", "n/a"]
