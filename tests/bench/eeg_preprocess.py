"""Bench: what the cleaning of EEG costs, and what is left of the truth.

    python -m tests.bench.eeg_preprocess [--minutes 10] [--channels 64] [--rate 500] [--seed 0]

Simulates a recording with blinks, line noise, two bad channels and a muscle burst, cleans it, and
prints CPU seconds and memory of the whole process of cleaning (imports included, simulation not),
and the correlation of the cleaned channels with the true ones.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mne
import numpy as np

from braindata.eeg.parameters import EegParameters
from tests.bench.eeg_simulation import Simulation, simulate, write_bids

CLEAN = """
import json, re, resource, sys
from pathlib import Path
from braindata.bids.events import read_events
from braindata.eeg.chain import preprocess_recording
from braindata.eeg.outputs import write_derivatives
from braindata.eeg.parameters import EegParameters
from braindata.eeg.reading import EegFiles
header, out = map(Path, sys.argv[1:])
stem = header.name.removesuffix("_eeg.vhdr")
events = read_events(header.with_name(f"{stem}_events.tsv"))
metadata = json.loads(header.with_suffix(".json").read_text())
tables = [header.with_name(f"{stem}_channels.tsv")]
for table in ("*_electrodes.tsv", "*_coordsystem.json"):
    tables.append(next(header.parent.glob(table), None))
files = EegFiles(header.stem, header, *tables, metadata=metadata)
parameters = EegParameters()
labels = events["trial_type"].tolist()
cleaned = preprocess_recording(files, parameters, events["onset"].to_numpy(), labels)
made = write_derivatives(cleaned, out, header.stem, "x", parameters)
used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss: that is never below the parent's.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
steps = {step.name: step.as_json() for step in cleaned.steps}
print(json.dumps({
    "cpu": used.ru_utime + used.ru_stime,
    "gib": int(peak) / 2**20,
    "file": str(made[0]),
    "bad": list(steps["bad channels"]["bad"]),
    "removed": [one.kind for one in cleaned.components if one.removed],
    "rejected": cleaned.quality["share_rejected"],
    "kept": [row for row, reason in enumerate(cleaned.judged.reasons) if reason is None],
}))
"""
EDGE = 5.0


def clean(header: Path, out: Path) -> dict:
    """Clean a recording in a process of its own, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", CLEAN, str(header), str(out)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    found: dict = json.loads(done.stdout.splitlines()[-1])
    return found


def agreement(path: Path, simulation: Simulation, sfreq: float) -> float:
    """Return the median over channels of the correlation with the truth, at average reference.

    The truth is resampled and filtered as the default does; the first and last seconds, where
    filters start, do not count.
    """
    raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
    rate, parameters = raw.info["sfreq"], EegParameters()
    info = mne.create_info(simulation.names, sfreq, "eeg", verbose="ERROR")
    truth = mne.io.RawArray(simulation.brain, info, verbose="ERROR")
    truth.resample(rate, verbose="ERROR")
    truth.filter(parameters.l_freq, min(parameters.h_freq, 0.45 * rate), verbose="ERROR")
    names = [name for name in simulation.names if name in raw.ch_names]
    one, other = raw.get_data(picks=names), truth.get_data(picks=names)
    inner = slice(round(EDGE * rate), min(one.shape[1], other.shape[1]) - round(EDGE * rate))
    pairs = ((x[:, inner] - x[:, inner].mean(axis=0)) for x in (one, other))
    return float(np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(*pairs, strict=True)]))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    made = simulate(chosen.channels, chosen.rate, chosen.minutes * 60, chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        header = write_bids(made, Path(folder) / "bids", chosen.rate)
        found = clean(header, Path(folder) / "out")
        match = agreement(Path(found["file"]), made, chosen.rate)
    print(f"{chosen.channels} channels, {chosen.minutes:g} min at {chosen.rate:g} Hz")
    print(f"CPU {found['cpu']:.0f} s, memory {found['gib']:.2f} GiB")
    print(f"bad {', '.join(found['bad'])} (put in: {', '.join(made.bad)})")
    print(f"removed {', '.join(found['removed'])}; {found['rejected']:.0%} of epochs rejected")
    print(f"correlation with the truth, median over channels: {match:.3f}")


if __name__ == "__main__":
    main()
