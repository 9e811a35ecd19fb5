"""EEG through Snakemake, as a user runs it: the same bytes on one core and on two."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pytest

import braindata
from tests.unit.eeg_recordings import (
    SFREQ,
    cap,
    noise,
    write_brainvision,
    write_channels,
    write_two_kinds,
)

from .conftest import Project
from .counting import files_of_person

N_CHANNELS, SECONDS = 20, 40.0


@pytest.fixture(scope="module")
def eeg_bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, 20 channels: alpha behind, blinks in front, one noisy channel."""
    root = tmp_path_factory.mktemp("eeg")
    description = {"Name": "x", "BIDSVersion": "1.9.0", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    names = cap(N_CHANNELS)
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(names, SFREQ, "eeg").set_montage(montage)
    places = np.array([one["loc"][:3] for one in info["chs"]])
    times = np.arange(round(SECONDS * SFREQ)) / SFREQ
    # Neighbours are alike, or pyprep takes all channels for bad.
    distance = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    mixed = np.exp(-distance / 0.08)
    for number, label in enumerate(("01", "02")):
        data = mixed @ noise(N_CHANNELS, SECONDS, seed=number) / 2
        behind = np.exp(-np.linalg.norm(places - [0, -0.09, 0.05], axis=1) / 0.05)
        data += 2e-5 * np.outer(behind, np.sin(2 * np.pi * 10 * times) * np.sin(times / 3))
        front = np.exp(-np.linalg.norm(places - [0, 0.1, 0], axis=1) / 0.03)
        data += 2e-4 * np.outer(front, np.exp(-0.5 * (((times + number) % 4 - 2) / 0.06) ** 2))
        data[7] += 3e-4 * np.random.default_rng(9 + number).standard_normal(times.size)
        header = write_brainvision(
            root / f"sub-{label}" / "eeg", f"sub-{label}_task-x_eeg", data, names
        )
        write_channels(header, names)
        write_two_kinds(header, SECONDS)
    return root


def _shards(project: Project) -> dict[str, str]:
    """Return the sha256 of each Parquet file and store that a run made."""
    made = project.files("packed", "series", "derived", "tables")
    kinds = (".parquet", ".h5")
    return {name: sha256 for name, (_, sha256) in made.items() if name.endswith(kinds)}


@pytest.mark.slow
def test_eeg_has_the_same_bytes_on_one_core_and_on_two(
    eeg_bids: Path, new_project: Callable[[Path], Project]
) -> None:
    found = []
    for cores in ("1", "2"):
        project = new_project(eeg_bids)
        project.configure(
            datasets=[{"id": "tiny", "source": str(eeg_bids), "modalities": ["eeg"]}],
            # Boundary elements take two CPU minutes.
            head={"model": "sphere", "spacing": 12},
            preprocess={"eeg": {"h_freq": 80}},
        )
        run = project.run("--cores", cores, "--until", "publish")
        assert run.returncode == 0, run.text
        assert run.jobs["preprocess"] == 2
        found.append(_shards(project))
    # One recording each, without the report, which adds a page of it and one of the person.
    files = files_of_person(project, "01")
    assert len(files) + 2 <= 8, files
    assert found[0] == found[1]
    tables = braindata.open_tables(project.results)
    series = tables["series"].to_pandas().set_index(["subject", "region"])
    assert all(len(series.loc[(one, "visual"), "values"]) for one in ("01", "02"))
    recordings = tables["recordings"].to_pandas()
    # All steps were done: bad channels, ICA, autoreject.
    assert (recordings["n_bad_channels"] >= 1).all()
    assert recordings[["n_components_removed", "share_rejected"]].notna().all(axis=None)
    assert tables["trials"].to_pandas()["estimate"].notna().any()
