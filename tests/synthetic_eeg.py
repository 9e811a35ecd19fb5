"""A made-up EEG recording as preprocessing leaves it, and the report's page of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mne
import numpy as np

from braindata.report.eeg_page import EegPage, eeg_page
from braindata.report.eeg_pictures import eeg_pictures
from braindata.report.pictures import Shelf
from braindata.report.site import Corpus, TrialCounts
from braindata.tables.schemas import TABLES

SFREQ = 100.0
PEAK = 0.3
BAD = {"Fp1": ["deviation", "ransac"], "O2": ["channels.tsv"]}
HOSTILE = '<script>alert("x")</script>'


def write_recording(folder: Path, n_epochs: int = 60) -> tuple[dict[str, Any], Path, Path]:
    """Write a cleaned recording and its epochs; return its sidecar and both paths.

    Odd events have a response of 5 µV at Pz after 300 ms, the others none.
    """
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, SFREQ, "eeg", verbose="ERROR")
    info.set_montage(montage, verbose="ERROR")
    rng = np.random.default_rng(0)
    raw = mne.io.RawArray(rng.standard_normal((32, 1000)) * 5e-6, info, verbose="ERROR")
    continuous = folder / "sub-01_task-x_desc-preproc_eeg.fif"
    raw.save(continuous, overwrite=True, verbose="ERROR")
    times = np.arange(-20, 81) / SFREQ
    data = rng.standard_normal((n_epochs, 32, len(times))) * 5e-6
    at = np.array([one["loc"][:3] for one in info["chs"]])
    near = np.exp(-((np.linalg.norm(at - at[info.ch_names.index("Pz")], axis=1) / 0.06) ** 2))
    wave = 8e-6 * np.exp(-(((times - PEAK) / 0.06) ** 2))
    kinds = np.arange(n_epochs) % 2
    data[kinds == 1] += near[:, None] * wave
    events = np.column_stack([np.arange(n_epochs) * 200, np.arange(n_epochs), kinds + 1])
    names = {HOSTILE: 1, "target": 2}
    clean = mne.EpochsArray(data, info, events, times[0], names, verbose="ERROR")
    epochs = folder / "sub-01_task-x_desc-clean_epo.fif"
    clean.save(epochs, overwrite=True, verbose="ERROR")
    return sidecar(info.ch_names, n_epochs), continuous, epochs


def sidecar(names: list[str], n_epochs: int = 60) -> dict[str, Any]:
    """Return what lies beside it."""
    frequencies = np.arange(1, 101) / 2
    before = 40 / frequencies + 50 * (frequencies == 50)
    probabilities = {"brain": 0.01, "eye blink": 0.97, "muscle artifact": 0.02}
    front = {name: round(1.0 if name.startswith("F") else 0.1, 4) for name in names}
    return {
        "Steps": [
            {"step": "bad channels", "done": True, "bad": BAD, "ransac": True},
            {
                "step": "ica",
                "done": True,
                "components": [
                    {"kind": "brain", "removed": False, "probabilities": {"brain": 0.99}},
                    {
                        "kind": "eye blink",
                        "removed": True,
                        "probabilities": probabilities,
                        "topography": front,
                    },
                ],
            },
            {"step": "interpolation", "done": True, "interpolated": ["Fp1", "O2"]},
        ],
        "Events": [None] * n_epochs + ["autoreject rejected its epoch"] * 20,
        "Spectrum": {
            "frequencies": frequencies.tolist(),
            "before": before.tolist(),
            "after": (30 / frequencies).tolist(),
        },
    }


def series_rows() -> list[dict[str, Any]]:
    """Return what `series` says of three regions."""
    values = (("ifg", "good", 6.4, 0.6), ("acc", "not_claimed", 16.1, 1.0), ("pcc", "fair", 13, 2))
    return [
        {
            "region": name,
            "eeg_class": kind,
            "localisation_error": error,
            "point_spread": 40.0,
            "crosstalk_max": crosstalk,
            "crosstalk_region": "dlpfc",
            "reason": None,
        }
        for name, kind, error, crosstalk in values
    ]


def page(folder: Path, shelf: Shelf) -> EegPage:
    """Return the page of the recording, its pictures on the shelf."""
    body, continuous, epochs = write_recording(folder)
    made = shelf.get({"eeg": 1}, lambda: eeg_pictures(body, continuous, epochs))
    return eeg_page(made, series_rows())


def recording(**more: Any) -> Mapping[str, Any]:
    """Return its row of `recordings`."""
    return dict.fromkeys(TABLES["recordings"].names) | {
        "dataset": "oddball",
        "dataset_version": "1.0.0",
        "recording": "sub-01_task-x_eeg",
        "modality": "eeg",
        "subject": "01",
        "task": "x",
        "status": "used",
        "sampling_frequency": SFREQ,
        "duration": 10.0,
        "n_channels": 32,
        "electrode_positions": "standard",
        "reference": "average",
        "n_bad_channels": 2.0,
        "n_components_removed": 1.0,
        "share_rejected": 0.25,
        "line_noise_ratio": 4.2,
        "evoked_snr": 0.8,
        "aperiodic_exponent": 1.1,
        "backend": "native",
        "licence_class": "CC0",
        **more,
    }


def corpus(folder: Path, shelf: Shelf) -> Corpus:
    """Return a corpus of EEG only: one recording with a page, one without positions."""
    folder.mkdir(parents=True, exist_ok=True)
    first = recording()
    second = recording(recording="sub-01_task-y_eeg", task="y", electrode_positions="none")
    return Corpus(
        release=1,
        recordings=[first, second],
        regions=[],
        trials=TrialCounts(60, 120, {}),
        coverage={},
        strategy="simple",
        responses={},
        recording_pictures={},
        region_pictures={},
        eeg={(first["dataset"], first["recording"]): page(folder, shelf)},
    )
