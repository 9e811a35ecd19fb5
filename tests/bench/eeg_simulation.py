"""A simulated EEG recording whose truth is known, for benches."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray

from tests.unit.eeg_recordings import write_brainvision, write_channels

Floats = NDArray[np.float64]

LINE = 50.0
N_SOURCES = 40
EVERY = 2.5


@dataclass(frozen=True)
class Simulation:
    """What was put in.

    Attributes
    ----------
    names : list of str
        Channels.
    brain, recorded : ndarray, shape (n_channels, n_samples)
        Without and with artefacts, in V.
    onsets : ndarray
        Of the events, in s.
    bad : tuple of str
        Channels that are noisy or dead.
    """

    names: list[str]
    brain: Floats
    recorded: Floats
    onsets: Floats
    bad: tuple[str, ...]


def simulate(n_channels: int, sfreq: float, seconds: float, seed: int) -> Simulation:
    """Simulate dipolar sources, a response to events, and artefacts.

    Sources are 1/f noise whose strength changes from second to second; on top come blinks, line
    noise, a noisy and a dead channel, and a burst of muscle at the temples.
    """
    rng = np.random.default_rng(seed)
    names = mne.channels.make_standard_montage("biosemi64").ch_names[:n_channels]
    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(names, sfreq, "eeg", verbose="ERROR").set_montage(montage)
    places = np.array([one["loc"][:3] for one in info["chs"]])
    n = round(seconds * sfreq)
    freqs = np.maximum(np.fft.rfftfreq(n, 1 / sfreq), 0.5)
    brain = np.zeros((n_channels, n))
    for _ in range(N_SOURCES):
        spectrum = rng.normal(size=freqs.size) + 1j * rng.normal(size=freqs.size)
        course = np.fft.irfft(spectrum / freqs ** rng.uniform(0.4, 0.8), n)
        strength = np.exp(0.5 * np.repeat(rng.normal(size=int(seconds) + 1), round(sfreq))[:n])
        course *= strength / course.std()
        centre = rng.normal(size=3)
        centre = centre / np.linalg.norm(centre) * rng.uniform(0.03, 0.07) + [0, 0, 0.04]
        offset = places - centre
        lead = (offset @ rng.normal(size=3)) / np.linalg.norm(offset, axis=1) ** 3
        brain += 8e-6 * np.outer(lead / np.abs(lead).max(), course)
    onsets = np.arange(2.0, seconds - 2, EVERY)
    response = 6e-6 * np.exp(-0.5 * ((np.arange(round(0.6 * sfreq)) / sfreq - 0.35) / 0.06) ** 2)
    parietal = np.exp(-np.linalg.norm(places - places[names.index("Pz")], axis=1) / 0.05)
    for onset in onsets:
        at = round(onset * sfreq)
        brain[:, at : at + response.size] += np.outer(parietal, response)
    recorded = brain + rng.normal(0, 1e-6, brain.shape)
    bad = n_channels // 5, 3 * n_channels // 4
    add_artefacts(recorded, places, sfreq, rng, bad)
    return Simulation(names, brain, recorded, onsets, (names[bad[0]], names[bad[1]]))


def add_artefacts(
    recorded: Floats,
    places: Floats,
    sfreq: float,
    rng: np.random.Generator,
    bad: tuple[int, int],
    line: float = LINE,
) -> None:
    """Add blinks, line noise, a burst of muscle, a noisy and a dead channel, in place.

    Parameters
    ----------
    recorded : ndarray, shape (n_channels, n_samples)
        In V.
    places : ndarray, shape (n_channels, 3)
        Electrodes in head coordinates in m.
    sfreq : float
        Samples per second.
    rng : numpy.random.Generator
        Of the artefacts.
    bad : (int, int)
        The channel that becomes noisy, and the one that dies.
    line : float
        The line frequency in Hz.
    """
    n_channels, n = recorded.shape
    eyes = np.exp(-np.linalg.norm(places - [0, 0.1, 0], axis=1) / 0.04)
    lid = np.exp(-0.5 * (np.arange(-0.25, 0.25, 1 / sfreq) / 0.06) ** 2)
    seconds = n / sfreq
    for onset in rng.uniform(1, seconds - 2, int(seconds / 5)):
        at = round(onset * sfreq)
        height = 150e-6 * rng.uniform(0.8, 1.2)
        recorded[:, at : at + lid.size] += np.outer(eyes / eyes.max(), height * lid)
    hum = np.sin(2 * np.pi * line * np.arange(n) / sfreq)
    recorded += 5e-6 * np.outer(rng.uniform(0.5, 1.5, n_channels), hum)
    temples = np.exp(-np.linalg.norm(np.abs(places) - [0.07, 0.02, 0.0], axis=1) / 0.03)
    start, length = round(0.4 * n), round(10 * sfreq)
    white = rng.normal(size=(1, length))
    burst = mne.filter.filter_data(white, sfreq, 30, None, verbose="ERROR")[0]
    recorded[:, start : start + length] += 40e-6 * np.outer(temples, burst)
    noisy, dead = bad
    recorded[noisy] += rng.normal(0, 60e-6, n)
    recorded[dead] = 1e-5


def write_bids(
    simulation: Simulation,
    root: Path,
    sfreq: float,
    line: float = LINE,
    positions: Floats | None = None,
    *,
    told: bool = False,
) -> Path:
    """Write a simulation as a BIDS data set of one recording, and return its header.

    With `positions` (n_channels, 3) in head coordinates in m there are electrodes.tsv and
    coordsystem.json, too; `told` says which channels are bad.
    """
    folder, stem = root / "sub-01" / "eeg", "sub-01_task-sim"
    header = write_brainvision(folder, f"{stem}_eeg", simulation.recorded, simulation.names, sfreq)
    status = ["bad" if told and name in simulation.bad else "good" for name in simulation.names]
    write_channels(header, simulation.names, status=status)
    seconds = simulation.recorded.shape[1] / sfreq
    facts = {
        "TaskName": "sim",
        "SamplingFrequency": sfreq,
        "PowerLineFrequency": line,
        "EEGReference": "n/a",
        "SoftwareFilters": "n/a",
        "RecordingDuration": seconds,
        "RecordingType": "continuous",
    }
    header.with_suffix(".json").write_text(json.dumps(facts))
    lines = ["onset\tduration\ttrial_type"]
    lines += [f"{onset:.4f}\t0\tstim" for onset in simulation.onsets]
    (folder / f"{stem}_events.tsv").write_text("\n".join(lines) + "\n")
    if positions is not None:
        rows = ["name\tx\ty\tz"]
        rows += [
            f"{name}\t{x:.6f}\t{y:.6f}\t{z:.6f}"
            for name, (x, y, z) in zip(simulation.names, positions, strict=True)
        ]
        base = folder / "sub-01_space-CapTrak"
        base.with_name(f"{base.name}_electrodes.tsv").write_text("\n".join(rows) + "\n")
        # The axes of CapTrak are those of mne's head coordinates, whatever the landmarks are.
        landmarks = {"NAS": [0.0, 0.1, 0.0], "LPA": [-0.08, 0.0, 0.0], "RPA": [0.08, 0.0, 0.0]}
        system = {
            "EEGCoordinateSystem": "CapTrak",
            "EEGCoordinateUnits": "m",
            "AnatomicalLandmarkCoordinates": landmarks,
            "AnatomicalLandmarkCoordinateSystem": "CapTrak",
            "AnatomicalLandmarkCoordinateUnits": "m",
        }
        base.with_name(f"{base.name}_coordsystem.json").write_text(json.dumps(system))
    description = {"Name": "sim", "BIDSVersion": "1.9.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    return header
