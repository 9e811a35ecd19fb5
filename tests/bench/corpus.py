"""A corpus of many recordings that looks preprocessed, for benches of what comes after.

The data set is real BIDS, with raw images of a few voxels. Its preprocessed images have the size
of real ones; a few different ones are shared by all recordings (hard links), so that the disk
holds them. Receipts are those of the stages themselves: only the work of `preprocess` is replaced.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from braindata.bids.confounds import MOTION_24, TISSUES
from braindata.bids.entities import stem
from braindata.config import Config, parse_config
from braindata.layout import Layout
from braindata.receipts import Outcome
from braindata.stages import curate, preprocess, preprocess_native, pull
from braindata.stages.job import Result, read_inventory
from tests.bench.images import N_VOLUMES, write_bold

TR = 2.0
N_TRIALS = 40
N_IMAGES = 4
SPACE = "MNI152NLin2009aSym"
BOLD = "_space-MNI152NLin2009aSym_res-2_desc-preproc_bold.nii.gz"
CONFOUNDS = "_desc-confounds_timeseries.tsv"


def write_bids(folder: Path, n_recordings: int) -> None:
    """Write the raw data set: one person and one run per recording, tiny images."""
    folder.mkdir(parents=True)
    description = {"Name": "A corpus for benches", "BIDSVersion": "1.10.0", "License": "CC0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    rng = np.random.default_rng(0)
    bold = nib.Nifti1Image(np.zeros((4, 4, 4, N_VOLUMES), np.int16), np.diag([3.0, 3, 3, 1]))
    bold.header.set_zooms((3, 3, 3, TR))
    bold.header.set_xyzt_units("mm", "sec")
    t1w = nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4))
    for number in range(1, n_recordings + 1):
        person = f"sub-{number:04d}"
        name = f"{person}_task-gambles"
        for kind in ("func", "anat"):
            (folder / person / kind).mkdir(parents=True)
        bold.to_filename(folder / person / "func" / f"{name}_bold.nii.gz")
        t1w.to_filename(folder / person / "anat" / f"{person}_T1w.nii.gz")
        sidecar = {"RepetitionTime": TR, "TaskName": "gambles"}
        (folder / person / "func" / f"{name}_bold.json").write_text(json.dumps(sidecar))
        onsets = np.sort(rng.choice(int(TR * N_VOLUMES) - 20, N_TRIALS, replace=False))
        events = pd.DataFrame({"onset": onsets.astype(float), "duration": 2.0})
        events["trial_type"] = np.where(rng.random(N_TRIALS) < 0.5, "gain", "loss")
        events.to_csv(folder / person / "func" / f"{name}_events.tsv", sep="\t", index=False)


def preprocess_all(output: Path, source: Path, config: Path) -> None:
    """Bring a data set as far as preprocessed derivatives with their receipts.

    Parameters
    ----------
    output : Path
        The output folder.
    source : Path
        The raw data set.
    config : Path
        Where to write the configuration.
    """
    values = {
        "output": str(output),
        "datasets": [{"id": "corpus", "source": str(source), "modalities": ["fmri"]}],
    }
    config.write_text(json.dumps(values))
    parsed: Config = parse_config(values)
    layout = Layout(output)
    pull.run(layout, "corpus", source, parsed.pull)
    curate.run(layout, "corpus", curate.Parameters(curate=parsed.curate))
    images = [
        write_bold(output.parent / f"{output.name}-bold-{n}.nii.gz", "int16", n)
        for n in range(N_IMAGES)
    ]
    real = preprocess_native.preprocess
    try:
        for number, row in enumerate(read_inventory(layout, "corpus")):
            image = images[number % N_IMAGES]
            preprocess_native.preprocess = _pretend(image, number)  # type: ignore[assignment]
            chosen = preprocess.Parameters(fmri=parsed.preprocess.fmri)
            preprocess.run(layout, "corpus", row["unit"], chosen)
    finally:
        preprocess_native.preprocess = real


def _pretend(image: Path, seed: int) -> Any:
    def work(layout: Layout, dataset: str, rows: list[dict[str, Any]], parameters: Any) -> Result:
        (row,) = rows
        folder = layout.derivatives(dataset) / Path(row["path"]).parent
        folder.mkdir(parents=True, exist_ok=True)
        name = stem(row["path"]).removesuffix("_bold")
        bold, confounds = folder / f"{name}{BOLD}", folder / f"{name}{CONFOUNDS}"
        bold.hardlink_to(image)
        _confounds(seed).to_csv(confounds, sep="\t", index=False, na_rep="n/a")
        outputs = [bold, confounds]
        notes = {
            "quality": {row["recording"]: {"fd_mean": 0.1, "fd_max": 0.4}},
            "files": {
                row["recording"]: [path.relative_to(layout.output).as_posix() for path in outputs]
            },
            "space": {row["recording"]: SPACE},
            "backend": {row["recording"]: "native"},
            "distortion_corrected": {row["recording"]: False},
        }
        return Result(outputs, {row["recording"]: Outcome("done")}, notes)

    return work


def _confounds(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = [*MOTION_24, *TISSUES, "framewise_displacement", "std_dvars"]
    table = pd.DataFrame(rng.standard_normal((N_VOLUMES, len(names))) * 0.1, columns=names)
    time = np.arange(N_VOLUMES) + 0.5
    for number in range(3):
        table[f"cosine{number:02d}"] = np.cos(np.pi * (number + 1) * time / N_VOLUMES)
    undefined = [n for n in names if "derivative1" in n or n.startswith(("frame", "std"))]
    table.loc[0, undefined] = np.nan
    table[["framewise_displacement", "std_dvars"]] = table[
        ["framewise_displacement", "std_dvars"]
    ].abs()
    return table
