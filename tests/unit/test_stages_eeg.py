"""EEG through the stages: what is broken is left out with a reason, the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pyarrow.parquet as pq
import pytest

from braindata.curate.parameters import Choice
from braindata.eeg.epochs import MARKED, REPEATED
from braindata.eeg.parameters import EegParameters
from braindata.errors import DataError
from braindata.layout import SENSORS, Layout
from braindata.pack.eeg_store import open_eeg_store
from braindata.pack.parameters import PackParameters
from braindata.pull.local import read_manifest
from braindata.pull.parameters import PullParameters
from braindata.receipts import Receipt
from braindata.stages import curate, derive_sensors, pack, preprocess, pull
from braindata.stages.job import read_inventory
from braindata.stages.preprocess_eeg import input_hash
from tests.unit.eeg_recordings import SFREQ, noise, write_brainvision, write_channels

NAMES = ["TP9", "AF7", "AF8", "Pz"]
SECONDS = 20.0
PARAMETERS = preprocess.Parameters(eeg=EegParameters(min_duration=10, h_freq=80))


def _subject(root: Path, label: str, seconds: float = SECONDS, factor: float = 1.0) -> Path:
    """Write a recording with events every second, and return its header."""
    folder, name = root / f"sub-{label}" / "eeg", f"sub-{label}_task-x_eeg"
    data = noise(4, seconds, seed=int(label)) * factor
    header = write_brainvision(folder, name, data, NAMES)
    write_channels(header, NAMES)
    facts = {
        "TaskName": "x",
        "SamplingFrequency": SFREQ,
        "PowerLineFrequency": 50,
        "EEGReference": "Fpz",
        "RecordingDuration": seconds,
        "EEGChannelCount": 4,
        "SoftwareFilters": "n/a",
    }
    header.with_suffix(".json").write_text(json.dumps(facts))
    rows = [
        f"{second:g}\t0\t{'odd' if second % 2 else 'even'}\t{second * SFREQ:g}"
        for second in np.arange(1, seconds - 1)
    ]
    lines = "\n".join(["onset\tduration\ttrial_type\tsample", *rows])
    (folder / f"sub-{label}_task-x_events.tsv").write_text(lines + "\n")
    return header


def _cut(header: Path) -> None:
    data = header.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])


def _milliseconds(header: Path) -> None:
    path = header.with_name(header.name.replace("_eeg.vhdr", "_events.tsv"))
    top, *lines = path.read_text().splitlines()
    fields = [line.split("\t") for line in lines]
    later = ["\t".join([f"{float(one[0]) * 1000:g}", *one[1:]]) for one in fields]
    path.write_text("\n".join([top, *later]) + "\n")


def _no_numbers(header: Path) -> None:
    data = np.full((round(SECONDS * SFREQ), 4), np.nan, "<f4")
    header.with_suffix(".eeg").write_bytes(data.tobytes())


def _markers_of_another(header: Path) -> None:
    text = header.read_text(encoding="utf-8")
    other = "sub-01_task-x_eeg.vmrk"
    header.write_text(text.replace(f"MarkerFile={header.stem}.vmrk", f"MarkerFile={other}"))
    # As where somebody copied them, and they still say whose they are.
    whose = header.parents[2] / "sub-01" / "eeg" / other
    header.with_name(other).write_text(whose.read_text(encoding="utf-8"), encoding="utf-8")
    header.with_name("sub-01_task-x_eeg.eeg").write_bytes(b"")


def _microvolts_as_volts(header: Path) -> None:
    _change(header, lambda data: data * 1e-6)


def _one_channel_without_numbers(header: Path) -> None:
    def harm(data: np.ndarray) -> np.ndarray:
        data[100, 1] = np.nan
        return data

    _change(header, harm)


def _one_channel_saturated(header: Path) -> None:
    def harm(data: np.ndarray) -> np.ndarray:
        data[:, 2] = np.clip(data[:, 2], -5, 5)
        return data

    _change(header, harm)


def _change(header: Path, how: Callable[[np.ndarray], np.ndarray]) -> None:
    path = header.with_suffix(".eeg")
    data = np.frombuffer(path.read_bytes(), "<f4").reshape(-1, 4).copy()
    path.write_bytes(how(data).astype("<f4").tobytes())


def _events_twice(header: Path) -> None:
    path = header.with_name(header.name.replace("_eeg.vhdr", "_events.tsv"))
    top, *lines = path.read_text().splitlines()
    path.write_text("\n".join([top, *(line for line in lines for _ in range(2))]) + "\n")


def _marked_throughout(header: Path) -> None:
    path = header.with_suffix(".vmrk")
    samples = round(SECONDS * SFREQ)
    line = f"Mk2=Bad Interval,Moved,1,{samples},0\n"
    path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")


# What is odd in a part of it, and used all the same.
ODD: dict[str, Callable[[Path], object]] = {
    "11": _events_twice,
    "12": _one_channel_without_numbers,
    "13": _one_channel_saturated,
    "14": _marked_throughout,
}
BROKEN: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "03": (_cut, "quarantined", "curate", "10.0 s, its sidecar says 20.0 s"),
    "05": (lambda h: h.with_suffix(".eeg").unlink(), "quarantined", "curate", "are not there"),
    "06": (_milliseconds, "quarantined", "curate", "the onsets are in milliseconds"),
    "07": (
        lambda h: write_channels(h, ["A1", *NAMES[1:]]),
        "quarantined",
        "preprocess",
        "not in the recording: A1",
    ),
    "08": (_no_numbers, "quarantined", "preprocess", "4 not finite"),
    "09": (_markers_of_another, "quarantined", "curate", "the markers of another recording"),
    "10": (_microvolts_as_volts, "quarantined", "preprocess", "4 flat"),
}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp("bids")
    description = {"Name": "x", "BIDSVersion": "1.9.0", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    _subject(root, "01")
    _subject(root, "02", seconds=3)
    _subject(root, "04", factor=1e6)
    for label, (harm, *_) in BROKEN.items():
        harm(_subject(root, label))
    for label, change in ODD.items():
        change(_subject(root, label))
    layout = Layout(tmp_path_factory.mktemp("out"))
    pull.run(layout, "ds", root, PullParameters())
    curate.run(layout, "ds", curate.Parameters(choice=Choice(modalities=("eeg",))))
    for unit in Receipt.read(layout.receipt("curated", "ds")).notes["units"]:
        preprocess.run(layout, "ds", unit, PARAMETERS)
        pack.run(layout, "ds", unit, pack.Parameters(pack=PackParameters()))
    derive_sensors.run(layout, "ds", derive_sensors.Parameters())
    return layout


def test_a_data_set_of_other_modalities_only_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    _subject(root, "01")
    layout = Layout(tmp_path / "out")
    pull.run(layout, "ds", root, PullParameters())
    with pytest.raises(DataError, match="no recording of fmri in data set ds") as caught:
        curate.run(layout, "ds", curate.Parameters())
    assert "`modalities: [fmri, eeg]`" in str(caught.value.hint)
    assert not layout.inventory("ds").exists()


def test_the_inventory_knows_what_a_recording_is(output: Layout) -> None:
    rows = {row["subject"]: row for row in read_inventory(output, "ds")}
    assert sorted(rows) == sorted(["01", "02", "04", *BROKEN, *ODD])
    first = rows["01"]
    expected = {
        "modality": "eeg",
        "recording": "sub-01_task-x_eeg",
        "unit": "sub-01",
        "path": "sub-01/eeg/sub-01_task-x_eeg.vhdr",
        "events": "sub-01/eeg/sub-01_task-x_events.tsv",
        "sampling_frequency": 200.0,
        "n_samples": 4000,
        "duration": 20.0,
        "n_channels": 4,
        "n_events": 18,
        "status": "used",
        "tr": None,
        "t1w": None,
        "n_volumes": None,
    }
    assert {key: first[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("label", "state", "stage", "said"),
    [
        ("02", "excluded", "preprocess", "it has 3.0 s, fewer than"),
        ("04", "quarantined", "preprocess", "which EEG does not"),
        *((label, *told) for label, (_, *told) in BROKEN.items()),
    ],
)
def test_what_is_broken_is_left_out(
    output: Layout, label: str, state: str, stage: str, said: str
) -> None:
    (row,) = [one for one in read_inventory(output, "ds") if one["subject"] == label]
    if stage == "curate":
        assert (row["status"], row["stage"]) == (state, stage)
        assert said in row["reason"] and row["hint"]
        return
    assert row["status"] == "used"
    receipt = Receipt.read(output.receipt("derivatives", "ds", f"sub-{label}"))
    (outcome,) = receipt.recordings.values()
    assert outcome.state == state
    assert said in outcome.reason and outcome.hint


def test_the_store_holds_what_the_derivative_holds(output: Layout) -> None:
    receipt = Receipt.read(output.receipt("derivatives", "ds", "sub-01"))
    (name,) = receipt.recordings
    continuous = next(p for p in receipt.notes["files"][name] if p.endswith("preproc_eeg.fif"))
    raw = mne.io.read_raw_fif(output.output / continuous, verbose="ERROR")
    with open_eeg_store(output.store("ds", name)) as store:
        np.testing.assert_array_equal(store.read(), raw.get_data().astype(np.float32))
        assert store.names == tuple(NAMES)
        assert store.sfreq == 200.0
        assert store.montage.source == "standard"
        assert store.montage.reference == "Fpz"
        places = np.array([one["loc"][:3] for one in raw.info["chs"]])
        np.testing.assert_allclose(store.positions, places)
    quality = receipt.notes["quality"][name]
    assert quality["electrode_positions"] == "standard"
    assert quality["n_bad_channels"] == 0
    assert quality["n_components_removed"] is None
    assert 0 <= quality["share_rejected"] < 1
    assert quality["aperiodic_exponent"] == pytest.approx(0, abs=0.3)


def test_trials_come_from_the_clean_recording(output: Layout) -> None:
    rows = pq.read_table(output.trials("ds", SENSORS)).to_pandas()
    assert set(rows["subject"]) == {"01", *ODD}
    p300 = rows[(rows["feature"] == "P300") & (rows["subject"] == "01")]
    assert p300["onset"].tolist() == list(np.arange(1.0, 19.0))
    assert p300["trial_type"].tolist() == ["odd", "even"] * 9
    assert p300["estimate"].notna().sum() >= 9
    assert rows[rows["feature"] == "RewP"]["estimate"].isna().all()


def test_what_is_odd_in_a_part_is_used_without_it(output: Layout) -> None:
    rows = pq.read_table(output.trials("ds", SENSORS)).to_pandas()
    p300 = rows[rows["feature"] == "P300"].set_index("subject")
    # Of an event that is there twice the first one counts.
    assert (p300.loc["11", "reason"].iloc[1::2] == REPEATED).all()
    assert p300.loc["11", "estimate"].iloc[::2].notna().sum() >= 9
    # Without a clean epoch there is no trial, but a course.
    assert (p300.loc["14", "reason"] == MARKED).all()
    for label in ODD:
        receipt = Receipt.read(output.receipt("derivatives", "ds", f"sub-{label}"))
        ((name, outcome),) = receipt.recordings.items()
        assert outcome.state == "done"
        assert receipt.notes["quality"][name]["n_bad_channels"] == (label in ("12", "13"))
        assert (receipt.notes["quality"][name]["share_rejected"] == 1.0) == (label == "14")
        with open_eeg_store(output.store("ds", name)) as store:
            assert np.isfinite(store.read()).all()


def test_only_its_own_files_make_a_recording_anew(output: Layout) -> None:
    sha256 = {p: f.sha256 for p, f in read_manifest(output.manifest("ds")).items()}
    (row,) = [one for one in read_inventory(output, "ds") if one["subject"] == "01"]
    own = input_hash(row, sha256)
    folder = "sub-01/eeg/sub-01_task-x"
    for name in ("eeg.vhdr", "eeg.eeg", "eeg.vmrk", "eeg.json", "channels.tsv", "events.tsv"):
        assert input_hash(row, sha256 | {f"{folder}_{name}": "other"}) != own, name
    for inherited in ("task-x_eeg.json", "sub-01/eeg/sub-01_space-CapTrak_electrodes.tsv"):
        assert input_hash(row, sha256 | {inherited: "new"}) != own, inherited
    for foreign in ("sub-02/eeg/sub-02_task-x_eeg.eeg", "task-y_eeg.json", "README"):
        assert input_hash(row, sha256 | {foreign: "other"}) == own, foreign


def test_nothing_is_done_twice(output: Layout) -> None:
    assert not preprocess.run(output, "ds", "sub-01", PARAMETERS)
    assert not pack.run(output, "ds", "sub-01", pack.Parameters(pack=PackParameters()))
    assert not derive_sensors.run(output, "ds", derive_sensors.Parameters())
