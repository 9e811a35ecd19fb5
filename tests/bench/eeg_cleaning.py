"""Bench: the courses of regions after cleaning, ours and mne-bids-pipeline's, against the truth.

    uv run --with mne-bids-pipeline==1.10.1 python -m tests.bench.eeg_cleaning

Sources of known course are put into the regions that the montage resolves, in real noise (the 32
channels of `../shared/data/eeg-visualattention`, whose own blinks and bad channels stay in it) or,
with `--noise simulated`, in 64 channels of simulated noise. On top come blinks, line noise, a noisy
and a dead channel and a burst of muscle. Both chains clean the same files; one inverse makes
courses of both. What is simulated comes from another head than that of the inverse: another grid,
other conductivities, electrodes displaced by 3 mm.

Two numbers each, means over regions of the correlation with the true course: over the whole
recording but its first and last 5 s (ours: what is packed; theirs: `proc-clean_raw`), and over the
epochs that both chains kept, at one baseline (ours: cut from what is packed; theirs:
`proc-clean_epo`, repaired by autoreject).

mne-bids-pipeline does not look for bad channels of EEG; with `--told` both chains are told.

Ends with code 1 when ours is lower in either for any seed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne
import numpy as np

from braindata.config_regions import load_regions
from braindata.eeg.extraction import EegRegions
from braindata.eeg.forward import SIMULATED, SIMULATED_SHIFT, make_lead_fields
from braindata.eeg.head import Floats
from braindata.eeg.inverse import average_reference
from braindata.eeg.montage import own_positions
from braindata.eeg.parameters import EegParameters
from braindata.eeg.regions import place_region
from braindata.eeg.scalp import fit_positions
from braindata.eeg.source_parameters import SourceParameters
from braindata.regions.definition import Region
from tests.bench.eeg_preprocess import CLEAN, EDGE
from tests.bench.eeg_simulation import Simulation, add_artefacts, simulate, write_bids

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared/data/eeg-visualattention/sub-01/eeg"
SFREQ, LINE, SECONDS = 256.0, 60.0, 240.0
EVERY = 1.5
JITTER = 0.003
# The sources together over the noise above 1 Hz, standard deviations of the median channel.
SNR = 1.0
# V, of an amplifier; the real recording has nothing above its 64 Hz.
AMPLIFIER = 0.5e-6

# As alike to ours as its options allow: band, epochs, baseline, ICA, kinds of artefacts.
CONFIG = """
bids_root, deriv_root = {bids!r}, {out!r}
task, ch_types, data_type = "sim", ["eeg"], "eeg"
eeg_reference = "average"
raw_resample_sfreq = {rate}
l_freq, h_freq = {l_freq}, {h_freq}
notch_freq = {line}
conditions = ["stim"]
epochs_tmin, epochs_tmax, baseline = {tmin}, {tmax}, {baseline}
spatial_filter = "ica"
ica_algorithm = "picard-extended_infomax"
ica_l_freq, ica_h_freq = 1, 100
ica_use_icalabel = True
ica_use_ecg_detection = ica_use_eog_detection = False
ica_reject = reject = "autoreject_local"
random_state = 0
n_jobs = 1
"""
# It has no `python -m`.
PIPELINE = """
import re, sys
from pathlib import Path
from mne_bids_pipeline._main import main
main()
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@dataclass(frozen=True)
class Inverse:
    """The one inverse, and the head that is simulated with."""

    regions: list[Region]
    rows: Floats
    lead: Floats
    positions: Floats


@dataclass(frozen=True)
class Course:
    """Courses of regions (n_regions, n_samples) at a rate, or of epochs by their event."""

    values: Floats
    rate: float


def make_inverse(positions: Floats) -> Inverse:
    """Return the inverse of a montage, for the regions that are `good` there."""
    listed = load_regions([str(ROOT / "config/regions/spheres")])
    # Coarser than the package's; the two differ in all that they differ in there.
    fields = EegRegions(
        make_lead_fields(ico=3),
        make_lead_fields(ico=3, shift=SIMULATED_SHIFT, conductivity=SIMULATED),
        listed,
        SourceParameters(),
    )
    good = [one for one in listed if fields.resolution(one, positions).eeg_class == "good"]
    on_scalp = fit_positions(fields.truth.scalp, positions)
    rng = np.random.default_rng(0)
    there = average_reference(fields.truth.at(on_scalp + rng.normal(0, JITTER, on_scalp.shape)))
    columns = []
    for region in good:
        placed = place_region(region, fields.truth)
        moments = placed.moments(fields.truth.sources[placed.sources])
        columns.append(np.einsum("cso,so,s->c", there[:, placed.sources], moments, placed.shares))
    rows = fields.operators(good, positions).operators
    return Inverse(good, rows, np.array(columns).T, positions)


def real_noise() -> tuple[list[str], Floats, Floats]:
    """Return names, positions and samples at `SFREQ` of the real recording."""
    header = REAL / "sub-01_task-visualattention_eeg.vhdr"
    raw = mne.io.read_raw_brainvision(header, preload=True).pick("eeg")
    rows = [
        line.split("\t") for line in next(REAL.glob("*_electrodes.tsv")).read_text().split("\n")
    ]
    places = {row[0]: [float(one) for one in row[1:4]] for row in rows[1:] if len(row) > 3}
    data = raw.resample(SFREQ).get_data()
    return raw.ch_names, np.array([places[name] for name in raw.ch_names]), data


def simulated_noise(seed: int) -> tuple[list[str], Floats, Floats]:
    """Return names, positions and samples of the 64 channels of the bench's simulation."""
    made = simulate(64, SFREQ, SECONDS, 1000 + seed)
    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(made.names, SFREQ, "eeg").set_montage(montage)
    places = own_positions(mne.io.RawArray(made.brain, info))
    return made.names, np.array([places[name] for name in made.names]), made.brain


def put_in(
    names: list[str], noise: Floats, inverse: Inverse, seed: int
) -> tuple[Simulation, Floats]:
    """Return a recording with sources and artefacts, and the true courses (n_regions, n)."""
    rng = np.random.default_rng(seed)
    n = noise.shape[1]
    freqs = np.maximum(np.fft.rfftfreq(n, 1 / SFREQ), 0.5)
    onsets = np.arange(2.0, n / SFREQ - 2, EVERY)
    bump = np.exp(-0.5 * ((np.arange(round(0.6 * SFREQ)) / SFREQ - 0.3) / 0.06) ** 2)
    courses = np.empty((len(inverse.regions), n))
    for course in courses:
        spectrum = rng.normal(size=freqs.size) + 1j * rng.normal(size=freqs.size)
        course[:] = np.fft.irfft(spectrum / freqs ** rng.uniform(0.4, 0.8), n)
        # From second to second a source is stronger or weaker, as the brain's are.
        steps = np.exp(0.5 * rng.normal(size=n // round(SFREQ) + 1))
        course *= np.repeat(steps, round(SFREQ))[:n] / course.std()
        for onset in onsets:
            at = round(onset * SFREQ)
            course[at : at + bump.size] += 2 * bump
    scalp = inverse.lead @ (courses / np.sqrt((inverse.lead**2).mean(axis=0))[:, np.newaxis])
    others = mne.filter.filter_data(average_reference(noise), SFREQ, 1.0, None)
    brain = scalp * (SNR * np.median(others.std(axis=1)) / np.median(scalp.std(axis=1)))
    recorded = brain + noise + rng.normal(0, AMPLIFIER, noise.shape)
    bad = rng.permutation(len(names))[:2]
    add_artefacts(recorded, inverse.positions, SFREQ, rng, (int(bad[0]), int(bad[1])), LINE)
    bads = (names[bad[0]], names[bad[1]])
    return Simulation(names, brain, recorded, onsets, bads), courses


def run(command: list[str], log: Path) -> tuple[str, float]:
    """Run a command, and return the last line that it printed, and its CPU s."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with log.open("w+") as handle:
        process = subprocess.Popen(
            command, stdout=handle, stderr=subprocess.STDOUT, env=os.environ | threads
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        handle.seek(0)
        text = handle.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:3])} failed:\n{text[-3000:]}")
    return text.splitlines()[-1], used.ru_utime + used.ru_stime


def ours(header: Path, folder: Path) -> tuple[Any, list[int], dict[str, Any]]:
    """Return our cleaned recording, the events with a clean epoch, and what it cost."""
    command = [sys.executable, "-W", "ignore", "-c", CLEAN, str(header), str(folder)]
    line, cpu = run(command, folder.with_suffix(".log"))
    found = json.loads(line)
    raw = mne.io.read_raw_fif(found["file"], preload=True)
    return raw, found["kept"], found | {"cpu": cpu}


def theirs(root: Path, folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """Return mne-bids-pipeline's cleaned recording, its clean epochs, and what it cost."""
    own = EegParameters()
    config = folder.with_suffix(".py")
    config.write_text(
        CONFIG.format(
            bids=str(root),
            out=str(folder),
            rate=own.sampling_frequency,
            l_freq=own.l_freq,
            h_freq=own.h_freq,
            line=LINE,
            tmin=own.tmin,
            tmax=own.tmax,
            baseline=own.baseline,
        )
    )
    command = [sys.executable, "-W", "ignore", "-c", PIPELINE]
    command += [f"--config={config}", "--steps=init,preprocessing"]
    peak, cpu = run(command, folder.with_suffix(".log"))
    made = folder / "sub-01" / "eeg"
    raw = mne.io.read_raw_fif(made / "sub-01_task-sim_proc-clean_raw.fif", preload=True)
    epochs = mne.read_epochs(made / "sub-01_task-sim_proc-clean_epo.fif")
    # It leaves to its later steps to interpolate what it was told is bad.
    for one in (raw, epochs):
        if one.info["bads"]:
            one.interpolate_bads().set_eeg_reference("average")
    return raw, epochs, {"cpu": cpu, "gib": int(peak) / 2**20}


def correlation(found: Floats, true: Floats) -> Floats:
    """Return the correlation of each region's course with the true one."""
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(found, true, strict=True)])


def epochs_of(values: Floats, rate: float, onsets: Floats, events: list[int]) -> Floats:
    """Return epochs (n_regions, n_events, n_times) with the default's window and baseline."""
    own = EegParameters()
    before, after = round(own.tmin * rate), round(own.tmax * rate)
    starts = [round(onsets[event] * rate) for event in events]
    cut = np.stack([values[:, at + before : at + after + 1] for at in starts], axis=1)
    return cut - cut[:, :, : -before + 1].mean(axis=2, keepdims=True)


def continuous(courses: Floats, rate: float, *, filtered: bool) -> Floats:
    """Return courses at a rate, filtered as both chains filter."""
    own = EegParameters()
    info = mne.create_info(len(courses), SFREQ, "misc")
    raw = mne.io.RawArray(courses, info).resample(rate)
    if filtered:
        raw.filter(own.l_freq, own.h_freq, picks="all")
    return np.asarray(raw.get_data())


def compare(seed: int, inverse: Inverse, names: list[str], samples: Floats, *, told: bool) -> bool:
    """Clean one simulation with both, print a line, and return whether ours is no worse."""
    made, courses = put_in(names, samples, inverse, seed)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        header = write_bids(made, base / "bids", SFREQ, LINE, inverse.positions, told=told)
        mine, kept, cost = ours(header, base / "ours")
        other, epochs, dear = theirs(base / "bids", base / "pipeline")
    rate = float(mine.info["sfreq"])
    true = continuous(courses, rate, filtered=True)
    raw = inverse.rows @ continuous(made.recorded, rate, filtered=False)
    at = {
        name: inverse.rows @ one.get_data(picks=names)
        for name, one in (("ours", mine), ("pipeline", other))
    }
    inner = slice(round(EDGE * rate), true.shape[1] - round(EDGE * rate))
    at["raw"] = raw
    whole = {name: correlation(one[:, inner], true[:, inner]) for name, one in at.items()}
    # Its epochs know which event they are of.
    by_event = dict(zip(epochs.selection.tolist(), range(len(epochs)), strict=True))
    both = [event for event in kept if event in by_event]
    cut = epochs.get_data(picks=names, copy=True)[[by_event[event] for event in both]]
    pipeline = np.einsum("rc,nct->rnt", inverse.rows, cut)
    truth = epochs_of(true, rate, made.onsets, both)
    length = min(pipeline.shape[2], truth.shape[2])
    flat = {
        name: values[:, :, :length].reshape(len(values), -1)
        for name, values in (
            ("ours", epochs_of(at["ours"], rate, made.onsets, both)),
            ("pipeline", pipeline),
            ("raw", epochs_of(raw, rate, made.onsets, both)),
            ("truth", truth),
        )
    }
    parts = {name: correlation(flat[name], flat["truth"]) for name in at}
    print(
        f"{seed:4d}  "
        + "  ".join(f"{whole[name].mean():5.3f}" for name in ("ours", "pipeline", "raw"))
        + "   |  "
        + "  ".join(f"{parts[name].mean():5.3f}" for name in ("ours", "pipeline", "raw"))
        + f"   | {len(both):4d} {len(kept):4d} {len(epochs):4d} / {len(made.onsets)}"
        f"   | {cost['cpu']:5.0f} {cost['gib']:5.2f}  {dear['cpu']:5.0f} {dear['gib']:5.2f}"
        f"   | put in {','.join(made.bad)}; ours {','.join(cost['bad'])};"
        f" {', '.join(cost['removed'])}",
        flush=True,
    )
    for region, *values in zip(inverse.regions, *(whole[name] for name in at), strict=True):
        told_of = "  ".join(f"{value:5.3f}" for value in values)
        print(f"      {told_of}   |  {region.name}")
    return all(one["ours"].mean() >= one["pipeline"].mean() for one in (whole, parts))


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--noise", choices=["real", "simulated"], default="real")
    parser.add_argument(
        "--told", action="store_true", help="channels.tsv says which two channels are bad"
    )
    chosen = parser.parse_args()
    mne.set_log_level("ERROR")
    if chosen.noise == "real" and not REAL.is_dir():
        print(f"needs {REAL} for real noise, which is not here; simulated instead")
        chosen.noise = "simulated"
    get = (lambda _: real_noise()) if chosen.noise == "real" else simulated_noise
    names, positions, samples = get(chosen.seeds[0])
    inverse = make_inverse(positions)
    print(
        f"{len(names)} channels, {samples.shape[1] / SFREQ:.0f} s at {SFREQ:g} Hz, "
        f"{chosen.noise} noise; regions: {', '.join(one.name for one in inverse.regions)}\n"
        "      whole recording        |  epochs that both kept  | epochs kept           "
        "| CPU s, GiB\n"
        "seed  ours   pipel. raw      |  ours   pipel. raw      | both ours pipel.      "
        "| ours         pipeline"
    )
    well = True
    for seed in chosen.seeds:
        well &= compare(seed, inverse, *get(seed)[::2], told=chosen.told)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
