"""A packed data set of people with scrambled fine topography, for the stage `align`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from braindata.bids.confounds import MOTION_24, TISSUES
from braindata.config_regions import load_regions
from braindata.derive.design import frame_times, trial_regressors
from braindata.files import sha256_file, write_text
from braindata.layout import Layout
from braindata.pack.store import Grid, write_store
from braindata.pull.local import PulledFile, write_manifest
from braindata.receipts import Outcome, Receipt, hash_outputs
from braindata.regions.definition import Region
from braindata.regions.resolve import resolve
from braindata.regions.template import grey_matter
from braindata.tables.schemas.recordings import RECORDINGS

SPHERES = Path(__file__).parents[2] / "config" / "regions" / "spheres"
SPACE = "MNI152NLin2009aSym"
TR = 2.0
CODES = 10


@dataclass(frozen=True)
class Phantom:
    """What the people did, and how much of it is seen.

    A film that all saw (without events), and runs of a task in which gain and loss differ in fine
    patterns whose mean over the region is 0, in an own topography each. Every trial raises the
    region's mean, gains and losses alike.
    """

    regions: tuple[Region, ...]
    n_people: int = 8
    n_film: int = 200
    n_trials: int = 20
    n_runs: int = 2
    voxel: float = 4.0
    amplitude: float = 6.0
    noise: float = 8.0
    mean_response: float = 5.0
    # Whether the film has events, the same in everybody.
    film_events: bool = False
    seed: int = 0
    # What is different in somebody: the person's samples of the film, or None for no recording.
    broken: Mapping[str, str] = field(default_factory=dict)


def region(name: str) -> Region:
    """Return a region of the set that comes along."""
    return next(one for one in load_regions(str(SPHERES)) if one.name == name)


def grid_of(voxel: float) -> Grid:
    """Return a grid over the front of the brain."""
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = (-40, 0, -30)
    shape = tuple(int(size / voxel) for size in (80, 72, 60))
    return Grid((shape[0], shape[1], shape[2]), affine, SPACE)


def write_phantom(layout: Layout, chosen: Phantom, dataset: str = "ds") -> None:
    """Write the data set as `curate` and `pack` leave it."""
    rng = np.random.default_rng(chosen.seed)
    grid = grid_of(chosen.voxel)
    grey = grey_matter(grid.affine, grid.shape)
    inside = [resolve(r, grid.affine, grid.shape, grey, SPACE).voxels for r in chosen.regions]
    film = rng.standard_normal((chosen.n_film, CODES))
    codes = {label: rng.standard_normal(CODES) for label in ("gain", "loss")}
    rows, files = [], []
    for number in range(chosen.n_people):
        label = f"{number + 1:02d}"
        what = chosen.broken.get(label, "")
        bases = [_basis(len(voxels), rng) for voxels in inside]
        for name in ("film", *(f"task_run-{n + 1}" for n in range(chosen.n_runs))):
            recording = f"sub-{label}_task-{name}_bold"
            shared = np.zeros(chosen.n_film)
            if name == "film":
                common = film
                kinds, onsets = ["scene"] * 4, np.arange(4) * 90.0
            else:
                kinds = rng.permutation(np.repeat(["gain", "loss"], chosen.n_trials // 2)).tolist()
                onsets = 10.0 + 10.0 * np.arange(chosen.n_trials) + rng.uniform(0, 2, len(kinds))
                responses = _responses(onsets)
                common = responses @ np.array([codes[kind] for kind in kinds])
                # All trials alike, whatever they are of.
                shared = chosen.mean_response * responses.sum(axis=1)
            n_volumes = len(common)
            n_voxels = int(np.prod(grid.shape))
            samples = 1000 + chosen.noise * rng.standard_normal((n_voxels, n_volumes))
            for voxels, basis in zip(inside, bases, strict=True):
                samples[voxels] += chosen.amplitude * (common @ basis.T).T * len(voxels) ** 0.5 / 3
                samples[voxels] += shared
            if what == "short" and name == "film":
                samples = samples[:, :60]
            if what == "constant" and name == "film":
                samples[:] = 1000.0
            if what == "nan" and name == "film":
                samples[np.concatenate(inside)[3], 5] = np.nan
            covered = np.ones(n_voxels, bool)
            if what == "uncovered" and name == "film":
                covered[np.concatenate(inside)[: len(np.concatenate(inside)) * 2 // 3]] = False
                samples[~covered] = 0
            if what == "absent" and name == "film":
                continue
            events = None
            if name != "film" or chosen.film_events:
                events = f"sub-{label}/func/{recording.removesuffix('_bold')}_events.tsv"
                lines = [f"{o:.3f}\t1.0\t{k}" for o, k in zip(onsets, kinds, strict=True)]
                path = layout.raw(dataset) / events
                write_text(path, "\n".join(["onset\tduration\ttrial_type", *lines]) + "\n")
                files.append(PulledFile(events, path.stat().st_size, sha256_file(path)))
            confounds = {n: rng.standard_normal(samples.shape[1]) for n in (*MOTION_24, *TISSUES)}
            write_store(
                layout.store(dataset, recording),
                samples.astype(np.float32),
                grid,
                np.arange(n_voxels),
                covered,
                TR,
                pd.DataFrame(confounds),
                {},
            )
            rows.append(
                {
                    "dataset": dataset,
                    "recording": recording,
                    "modality": "fmri",
                    "subject": label,
                    "task": name.split("_")[0],
                    "run": name[-1] if name != "film" else None,
                    "unit": f"sub-{label}",
                    "events": events,
                    "fits_alignment": name == "film",
                    "status": "used",
                }
            )
    write_manifest(layout.manifest(dataset), files)
    write_inventory(layout, rows, dataset)


def write_inventory(layout: Layout, rows: list[dict], dataset: str = "ds") -> None:
    """Write the inventory and the receipts of `curate` and `pack`."""
    layout.inventory(dataset).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, RECORDINGS), layout.inventory(dataset))
    units = sorted({row["unit"] for row in rows})
    Receipt("curate", dataset, 1, {}, {}, notes={"units": dict.fromkeys(units, 1)}).write(
        layout.receipt("curated", dataset)
    )
    for unit in units:
        here = [row["recording"] for row in rows if row["unit"] == unit]
        outputs = hash_outputs([layout.store(dataset, name) for name in here], layout.output)
        done = {name: Outcome("done") for name in here}
        Receipt("pack", f"{dataset}/{unit}", 1, {}, {}, outputs, recordings=done).write(
            layout.receipt("packed", dataset, unit)
        )


def _basis(n_voxels: int, rng: np.random.Generator) -> np.ndarray:
    """Return an own topography: orthonormal, and without a mean over the region."""
    basis = rng.standard_normal((n_voxels, CODES))
    return np.linalg.qr(basis - basis.mean(axis=0))[0]


def _responses(onsets: np.ndarray) -> np.ndarray:
    """Return the response to each trial, shape (n_volumes, n_trials), with a height of 1."""
    n_volumes = int((onsets[-1] + 20) / TR)
    times = frame_times(n_volumes, TR, 0.5)
    regressors, heights = trial_regressors(onsets, np.ones(len(onsets)), times, "spm")
    return regressors / heights
