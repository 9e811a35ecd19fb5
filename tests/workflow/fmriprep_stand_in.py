"""A container engine that runs no container: it records its call and writes what it is told to.

Called as `docker` or `apptainer` by the jobs of test_fmriprep.py, with the person's label as the
part to play.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

SPACE = "space-MNI152NLin2009cAsym_res-2"
CRASH = """\
Node: fmriprep_25_2_wf.sub_{subject}_wf.{workflow}.some_node
Working directory: /scratch/fmriprep_25_2_wf

Node inputs:

in_file = /data/x.nii.gz

Traceback (most recent call last):
  File "/x/nipype/pipeline/plugins/multiproc.py", line 66, in run_node
    result["result"] = node.run(updatehash=updatehash)
{error}
"""


def mounts(arguments: list[str]) -> dict[str, Path]:
    """Return what is mounted: places in the container, and here."""
    found = {}
    for number, word in enumerate(arguments):
        if word in ("-v", "--bind"):
            here, there = arguments[number + 1].split(":")[:2]
            found[there] = Path(here)
    return found


def write_run(data: Path, out: Path, image: Path) -> None:
    """Write the derivatives of one run."""
    folder = out / image.parent.relative_to(data)
    folder.mkdir(parents=True, exist_ok=True)
    stem = image.name.removesuffix("_bold.nii.gz")
    loaded = nib.load(image)
    nib.save(loaded, folder / f"{stem}_{SPACE}_desc-preproc_bold.nii.gz")
    brain = np.ones(loaded.shape[:3], np.uint8)
    mask = nib.Nifti1Image(brain, loaded.affine)
    nib.save(mask, folder / f"{stem}_{SPACE}_desc-brain_mask.nii.gz")
    rows = "\n".join(str(number / 7) for number in range(loaded.shape[3]))
    (folder / f"{stem}_desc-confounds_timeseries.tsv").write_text(f"global_signal\n{rows}\n")
    (folder / f"{stem}_desc-confounds_timeseries.json").write_text("{}")
    (folder / f"{stem}_from-boldref_to-auto00000_mode-image_xfm.txt").write_text("#Insight")


def crash(out: Path, subject: str, workflow: str, error: str) -> None:
    """Write a crash file as nipype does."""
    folder = out / f"sub-{subject}" / "log" / "20260101-000000_uuid"
    folder.mkdir(parents=True, exist_ok=True)
    text = CRASH.format(subject=subject, workflow=workflow, error=error)
    (folder / "crash-20260101-000000-root-some_node-uuid.txt").write_text(text)


def main(arguments: list[str]) -> int:
    """Play the part of the person's label."""
    if "--entrypoint=free" in arguments:
        print("Mem: 4000 1 1")
        return 0
    if arguments[0] != "run":
        print("27.0")
        return 0
    there = mounts(arguments)
    data, out, work = (there[name] for name in ("/data", "/out", "/scratch"))
    subject = arguments[arguments.index("--participant-label") + 1]
    images = sorted((data / f"sub-{subject}").rglob("func/*_bold.nii.gz"))
    filters = [path for place, path in there.items() if place.endswith("bids_filter.json")]
    given = {
        "arguments": arguments,
        "files": sorted(p.relative_to(data).as_posix() for p in data.rglob("*") if p.is_file()),
        "links": [str(path) for path in data.rglob("*") if path.is_symlink()],
        "filter": json.loads(filters[0].read_text()),
        "templates": sorted(
            path.relative_to(place).as_posix()
            for place in (there.get("/templateflow"), out / ".templateflow")
            if place is not None
            for path in place.rglob("*.nii.gz")
        ),
    }
    record = Path(os.environ["STAND_IN_RECORD"])
    with record.open("a") as file:
        file.write(json.dumps(given) + "\n")
    (work / "intermediate").write_text("x")
    out.mkdir(exist_ok=True)
    description = {"GeneratedBy": [{"Name": "fMRIPrep", "Version": "25.2.7"}]}
    (out / "dataset_description.json").write_text(json.dumps(description))
    memory = int(arguments[arguments.index("--mem_mb") + 1])
    match subject:
        case "crash":
            # The second run alone: the first is done.
            write_run(data, out, images[0])
            crash(out, subject, "bold_task_x_run_02_wf", "ValueError: zero-size array")
            return 1
        case "silent":
            return 0
        case "grumpy":
            for image in images:
                write_run(data, out, image)
            return 1
        case "hungry" if memory < 20_000:
            crash(out, subject, "anat_fit_wf", "numpy.exceptions._ArrayMemoryError: MemoryError")
            return 1
        case "mystery":
            return 1
        case _:
            for image in images:
                write_run(data, out, image)
            anatomical = out / f"sub-{subject}" / "anat"
            anatomical.mkdir(parents=True)
            (anatomical / f"sub-{subject}_{SPACE}_desc-preproc_T1w.nii.gz").write_bytes(b"T1w")
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
