"""Bench: what an inventory costs, against pybids' index with metadata.

    python -m tests.bench.curate [--subjects 1000] [--keys 50] [--keep FOLDER]

Writes a BIDS tree of people with a T1w image, two tiny runs, events, and a sidecar of each image
with as many keys as converters write (``--keys``). Prints CPU seconds (user and system, of a fresh
process and its children, so imports count on both sides): pybids' `BIDSLayout` with metadata;
bids2table's index alone; our inventory, which opens every header and every events file besides; and
apart from both the official validator, which `curate` runs too and which pybids, asked not to
validate, does not.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

PYBIDS = """
import sys, warnings
warnings.simplefilter("ignore")
from bids import BIDSLayout
layout = BIDSLayout(sys.argv[1], validate=False, derivatives=False)
print(len(layout.get(suffix="bold", extension=".nii.gz")))
"""
BIDS2TABLE = """
import sys
from braindata.curate.recording_files import index_images
print(sum("_bold." in path for path in index_images(sys.argv[1])))
"""
OURS = """
import os, sys
from pathlib import Path
from braindata.curate.inventory import Source, build_inventory
from braindata.curate.parameters import CurateParameters
from braindata.curate.validator import Verdict
root = Path(sys.argv[1])
# What `pull` has listed: no part of what is measured, so as cheap as it gets.
files = {
    f"{folder[len(sys.argv[1]) + 1:]}/{name}".lstrip("/"): ""
    for folder, _, names in os.walk(sys.argv[1])
    for name in names
}
found = build_inventory(Source("ds", "v", root, files), Verdict(), CurateParameters())
assert not found.left_out, found.left_out
print(found.table.num_rows)
"""
VALIDATOR = """
import sys
from pathlib import Path
from braindata.curate.validator import validate
validate(Path(sys.argv[1]))
print("done")
"""


def write_tree(root: Path, n_subjects: int, n_keys: int) -> None:
    """Write the tree: metadata at the top, beside the people's folders and beside the images."""
    root.mkdir(parents=True, exist_ok=True)
    description = {"Name": "bench", "BIDSVersion": "1.9.0", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    sidecar = {"RepetitionTime": 2.0, "TaskName": "a", "Manufacturer": "Siemens", "EchoTime": 0.03}
    (root / "task-a_bold.json").write_text(json.dumps(sidecar))
    keys = {f"ConversionKey{number}": number for number in range(n_keys)}
    times = [round(2.0 * number / 4, 3) for number in range(4)]
    images = {}
    for suffix, shape in (("T1w", (4, 4, 4)), ("bold", (4, 4, 4, 60))):
        image = nib.Nifti1Image(np.ones(shape, np.int16), np.diag([3.0, 3.0, 3.0, 1.0]))
        image.header.set_xyzt_units("mm", "sec")
        if len(shape) == 4:
            image.header.set_zooms((3, 3, 3, 2.0))
        path = root / f"one_{suffix}.nii.gz"
        nib.save(image, path)
        images[suffix] = path.read_bytes()
        path.unlink()
    events = "onset\tduration\ttrial_type\tresponse_time\n"
    events += "".join(f"{3 * n}\t1\t{'ab'[n % 2]}\t0.{n + 10}\n" for n in range(30))
    people = ["participant_id\tage\tsex\n"]
    for number in range(n_subjects):
        label = f"sub-{number + 1:04}"
        people.append(f"{label}\t{20 + number % 50}\t{'MF'[number % 2]}\n")
        for folder in ("anat", "func"):
            (root / label / folder).mkdir(parents=True)
        (root / label / f"anat/{label}_T1w.nii.gz").write_bytes(images["T1w"])
        (root / label / f"anat/{label}_T1w.json").write_text(json.dumps(keys))
        for run in (1, 2):
            stem = root / label / f"func/{label}_task-a_run-{run}"
            Path(f"{stem}_bold.nii.gz").write_bytes(images["bold"])
            Path(f"{stem}_bold.json").write_text(json.dumps(keys | {"SliceTiming": times}))
            Path(f"{stem}_events.tsv").write_text(events)
    (root / "participants.tsv").write_text("".join(people))


def cpu_seconds(code: str, root: Path) -> tuple[float, str]:
    """Run code in a process of its own; return its CPU seconds and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [sys.executable, "-c", code, str(root)], check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, run.stdout.strip()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--keep", type=Path, help="write the tree here and leave it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.keep or Path(scratch) / "bids"
        if not root.is_dir():
            write_tree(root, arguments.subjects, arguments.keys)
        found = {
            name: cpu_seconds(code, root)
            for name, code in (
                ("pybids, with metadata", PYBIDS),
                ("bids2table, index alone", BIDS2TABLE),
                ("our inventory", OURS),
                ("official validator", VALIDATOR),
            )
        }
    for name, (seconds, printed) in found.items():
        print(f"{name:26} {seconds:7.1f} CPU s   ({printed})")
    ratio = found["pybids, with metadata"][0] / found["our inventory"][0]
    print(f"pybids / our inventory: {ratio:.1f} ×")


if __name__ == "__main__":
    main()
