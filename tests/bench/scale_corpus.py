"""Corpora of many recordings of which nothing but names and receipts is real, for planning them.

    python -m tests.bench.scale_corpus curated FOLDER N_RECORDINGS N_DATASETS
    python -m tests.bench.scale_corpus done FOLDER

Raw data are BIDS with images of a few voxels, pulled and curated by the stages themselves. What
comes after is receipts with the parameters that Snakemake is going to ask for, and empty files for
what they name.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from braindata.layout import PER_UNIT
from braindata.planning import Plan
from braindata.receipts import MADE_FROM, Outcome, Receipt, receipt_beside
from braindata.stages import STEP_VERSION, curate, gather, pull
from braindata.stages.job import read_inventory

ROOT = Path(__file__).resolve().parents[2]
TR = 2.0
N_VOLUMES = 100
EVENTS = "onset\tduration\ttrial_type\n" + "".join(
    f"{4 * n}.0\t1.0\t{'gain' if n % 2 else 'loss'}\n" for n in range(10)
)


def write_corpus(folder: Path, n_recordings: int, n_datasets: int) -> dict[str, Any]:
    """Write raw data sets of equal size, one run per person, and return a configuration of them.

    Parameters
    ----------
    folder : Path
        Where to.
    n_recordings, n_datasets : int
        In all; the first data sets have one more where it does not divide.

    Returns
    -------
    dict
        With `output` in the same folder.
    """
    folder.mkdir(parents=True)
    bold = nib.Nifti1Image(np.zeros((4, 4, 4, N_VOLUMES), np.int16), np.diag([3.0, 3, 3, 1]))
    bold.header.set_zooms((3, 3, 3, TR))
    bold.header.set_xyzt_units("mm", "sec")
    images = {"bold": folder / "bold.nii.gz", "T1w": folder / "t1w.nii.gz"}
    bold.to_filename(images["bold"])
    nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4)).to_filename(images["T1w"])
    (folder / "events.tsv").write_text(EVENTS)
    sizes = [len(part) for part in np.array_split(np.arange(n_recordings), n_datasets)]
    for number, size in enumerate(sizes):
        _write_dataset(folder / "bids" / f"ds{number:02d}", size, images, folder / "events.tsv")
    return {
        "output": str(folder / "results"),
        "datasets": [
            {"id": f"ds{n:02d}", "source": str(folder / "bids" / f"ds{n:02d}")}
            | {"modalities": ["fmri"]}
            for n in range(n_datasets)
        ],
        "regions": [str(ROOT / "config/regions/spheres")],
    }


def _write_dataset(folder: Path, size: int, images: dict[str, Path], events: Path) -> None:
    folder.mkdir(parents=True)
    description = {"Name": folder.name, "BIDSVersion": "1.10.0", "License": "CC0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    sidecar = {"RepetitionTime": TR, "TaskName": "gambles"}
    (folder / "task-gambles_bold.json").write_text(json.dumps(sidecar))
    for number in range(size):
        add_person(folder, f"sub-{number:05d}", images, events)


def add_person(folder: Path, person: str, images: dict[str, Path], events: Path) -> None:
    """Add one person with one run to a data set."""
    for kind in ("func", "anat"):
        (folder / person / kind).mkdir(parents=True)
    name = folder / person / "func" / f"{person}_task-gambles"
    os.link(images["bold"], f"{name}_bold.nii.gz")
    os.link(events, f"{name}_events.tsv")
    os.link(images["T1w"], folder / person / "anat" / f"{person}_T1w.nii.gz")


def plan_of(config: Path) -> Plan:
    """Return what Snakemake would plan with."""
    return Plan(json.loads(config.read_text()), [config], home=ROOT)


def curate_all(plan: Plan) -> None:
    """Pull and curate all data sets, by the stages themselves."""
    for dataset in plan.datasets:
        source = Path(plan.source(dataset))
        pull.run(plan.layout, dataset, source, plan.config.pull, job=plan.pull_job(dataset))
        parameters = curate.Parameters(**json.loads(plan.parameters("curate", None, dataset)))
        curate.run(plan.layout, dataset, parameters)


def pretend_all(plan: Plan) -> None:
    """Write what all other jobs would have written: receipts, and files without contents."""
    layout = plan.layout
    for dataset in plan.datasets:
        for row in read_inventory(layout, dataset):
            unit, name = row["unit"], row["recording"]
            for folder, stage in (("derivatives", "preprocess"), ("packed", "pack")):
                made = layout.store(dataset, name) if stage == "pack" else None
                job = f"{dataset}/{unit}"
                path = layout.receipt(folder, dataset, unit)
                _pretend(plan, stage, job, path, made, (None, dataset), name)
        gather.run(layout, dataset)
        for region in plan.regions:
            for stage, lies in (("extract", layout.series), ("derive", layout.trials)):
                shard = lies(dataset, region)
                job = f"{dataset}/{region}"
                _pretend(plan, stage, job, receipt_beside(shard), shard, (region, dataset))
        latents = layout.latents(dataset)
        _pretend(plan, "latents", dataset, receipt_beside(latents), latents, (None, dataset))
        pairs = layout.connectivity(dataset)
        _pretend(plan, "connectivity", dataset, receipt_beside(pairs), pairs, (None, dataset))
        beside = [layout.latent_fits(dataset), layout.behaviour(dataset)]
        beside.append(layout.connectivity_parts(dataset))
        for process in plan.signals.processes:
            shard, job = layout.signals(dataset, process), f"{dataset}/{process}"
            _pretend(plan, "signals", job, receipt_beside(shard), shard, (process, dataset))
            beside.append(layout.signal_fits(dataset, process))
        for path in beside:
            path.parent.mkdir(exist_ok=True)
            path.touch()
    receipt = layout.receipt("tables", "publish")
    _pretend(plan, "publish", "publish", receipt, None, (None, None))
    page = layout.report()
    page.parent.mkdir(parents=True, exist_ok=True)
    page.touch()
    Receipt("report", "report", STEP_VERSION["report"], {}, {}).write(
        layout.receipt("report", "report")
    )


def _pretend(
    plan: Plan,
    stage: str,
    job: str,
    path: Path,
    made: Path | None,
    asked: tuple[str | None, str | None],
    recording: str | None = None,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    outputs = {}
    if made is not None:
        made.touch()
        outputs[made.relative_to(plan.layout.output).as_posix()] = "0" * 64
    told = json.loads(plan.parameters(stage, *asked))
    done = {recording: Outcome("done")} if recording else {}
    receipt = Receipt(stage, job, STEP_VERSION[stage], told, {}, outputs, done)
    if stage in PER_UNIT:
        dataset, unit = job.split("/")
        receipt.notes[MADE_FROM] = plan.curated.marks(dataset)[unit]
    receipt.write(path)


def main() -> None:
    """Make a curated corpus, or pretend that the rest of one is done too.

    A process of its own: what it holds would count as memory of the commands that a bench starts.
    """
    what, folder, *sizes = sys.argv[1:]
    config = Path(folder) / "config.json"
    if what == "curated":
        config.write_text(json.dumps(write_corpus(Path(folder), *map(int, sizes))))
        curate_all(plan_of(config))
    else:
        pretend_all(plan_of(config))


if __name__ == "__main__":
    main()
