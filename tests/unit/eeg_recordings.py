"""Small EEG recordings for tests."""

from __future__ import annotations

import json
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray

from braindata.eeg.reading import EegFiles

SFREQ = 200.0


def noise(n_channels: int, seconds: float, sfreq: float = SFREQ, seed: int = 0) -> NDArray:
    """Return 10 µV of noise, with drifts, shape (n_channels, n_samples)."""
    rng = np.random.default_rng(seed)
    white = rng.normal(0, 8e-6, (n_channels, round(seconds * sfreq)))
    slow = np.cumsum(rng.normal(0, 2e-7, white.shape), axis=1)
    return white + slow


def write_brainvision(
    folder: Path, name: str, data: NDArray, channels: list[str], sfreq: float = SFREQ
) -> Path:
    """Write `data` (V) as BrainVision, in µV, and return the path of the header."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.eeg").write_bytes((data.T * 1e6).astype("<f4").tobytes())
    listed = "\n".join(f"Ch{i}={one},,1,µV" for i, one in enumerate(channels, start=1))
    common = f"[Common Infos]\nCodepage=UTF-8\nDataFile={name}.eeg\n"
    header = folder / f"{name}.vhdr"
    header.write_text(
        f"Brain Vision Data Exchange Header File Version 1.0\n{common}MarkerFile={name}.vmrk\n"
        f"DataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels={len(channels)}\n"
        f"SamplingInterval={1e6 / sfreq:g}\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        f"[Channel Infos]\n{listed}\n",
        encoding="utf-8",
    )
    (folder / f"{name}.vmrk").write_text(
        f"Brain Vision Data Exchange Marker File, Version 1.0\n{common}"
        "[Marker Infos]\nMk1=New Segment,,1,1,0\n",
        encoding="utf-8",
    )
    return header


def write_channels(header: Path, channels: list[str], **columns: list[str]) -> Path:
    """Write channels.tsv beside a recording; types are EEG and units µV unless given."""
    columns = {"type": ["EEG"] * len(channels), "units": ["µV"] * len(channels), **columns}
    lines = ["\t".join(["name", *columns])]
    lines += ["\t".join(row) for row in zip(channels, *columns.values(), strict=True)]
    path = header.with_name(header.stem.removesuffix("eeg") + "channels.tsv")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def files_of(header: Path, **more: object) -> EegFiles:
    """Return the files of a recording that lies in one folder."""
    channels = header.with_name(header.stem.removesuffix("eeg") + "channels.tsv")
    return EegFiles(header.stem, header, channels if channels.is_file() else None, **more)


def cap(n_channels: int) -> list[str]:
    """Return names of the 10-20 system, spread over the head."""
    return mne.channels.make_standard_montage("biosemi32").ch_names[:n_channels]


def write_two_kinds(header: Path, seconds: float) -> None:
    """Write a sidecar that states mains of 50 Hz, and each second a trial of one of two kinds."""
    facts = {"TaskName": "x", "SamplingFrequency": SFREQ, "PowerLineFrequency": 50}
    header.with_suffix(".json").write_text(json.dumps(facts))
    rows = [f"{at:g}\t0\t{'odd' if at % 2 else 'even'}" for at in np.arange(1, seconds - 2)]
    lines = "\n".join(["onset\tduration\ttrial_type", *rows])
    header.with_name(header.name.replace("_eeg.vhdr", "_events.tsv")).write_text(lines + "\n")
