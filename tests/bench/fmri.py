"""Bench: the native fMRI chain on simulated runs whose transforms are known.

    python -m tests.bench.fmri

For each seed, plain and with signal lost above sinuses and ear canals: head motion, EPI to T1w from
starts 15 mm and 10° off, normalisation, resampling; once, a run of 300 volumes from raw images to
all outputs, in a process of its own. CPU seconds are of one thread, compiled kernels warm. antspyx
and itk-elastix align some of the same volumes, where they are installed; `make bench-fmri` brings
them. Ends with code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braindata.fmri.anatomy import Anatomy, Normalisation, analyse_anatomy
from braindata.fmri.coregistration import register_to_t1w, white_matter_boundary
from braindata.fmri.epi_normalisation import normalise_epi
from braindata.fmri.images import Image, load_volume, open_series
from braindata.fmri.motion import Motion, estimate_motion, make_reference
from braindata.fmri.native import AnatomicalImage, BoldRun, preprocess_unit
from braindata.fmri.parameters import NativeParameters
from braindata.fmri.reference import epi_brain, survey
from braindata.fmri.resampling import find_target, resample_run
from braindata.fmri.template import load_template
from tests.bench.fmri_peers import peers, timed
from tests.bench.fmri_simulation import TR, Simulation, simulate, true_grey

Array = NDArray[np.float64]

# What must not be exceeded, or for the Dice coefficient, must be reached.
TARGETS = {
    "motion_rms": ("head motion, RMS", "mm", 0.02),
    "motion_cpu": ("head motion, with its reference", "CPU s a volume", 0.06),
    "coregistration": ("EPI to T1w, RMS, farthest of all starts", "mm", 0.4),
    "dice": ("grey matter after normalisation, Dice", "", 0.95),
    "normalisation_p95": ("normalisation, 95th percentile", "mm", 3.0),
    "resampling_cpu": ("resampling at 2 mm, written", "CPU s a volume", 0.05),
    "whole_cpu": ("a run of 64×64×36×300 whole", "CPU s", 120.0),
    "whole_peak": ("its peak of memory", "GiB", 2.5),
}
AT_LEAST = {"dice"}
# No targets: what people without a T1w image have to do with.
EXTRA = {"epi_dice": "by the EPI alone: Dice", "epi_p95": "by the EPI alone: 95th percentile (mm)"}
WHOLE_VOLUMES = 300
PARAMETERS = NativeParameters()


@dataclass
class Figures:
    """What was measured of one simulated run."""

    values: dict[str, float] = field(default_factory=dict)
    peers: dict[str, tuple[float, float]] = field(default_factory=dict)


def _apply(matrix: Array, points: Array) -> Array:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def motion_error(found: Array, poses: Array, points: Array) -> float:
    """Return the RMS in mm of head motion, whatever the reference's own position.

    Parameters
    ----------
    found : ndarray, shape (n, 4, 4)
        Reference to volume.
    poses : ndarray, shape (n, 4, 4)
        T1w to volume: the truth.
    points : ndarray, shape (m, 3)
        Of the brain, in the reference.
    """
    # Where each volume says that the reference's points are in the head: always the same, ideally.
    in_head = np.stack(
        [_apply(np.linalg.inv(p) @ f, points) for f, p in zip(found, poses, strict=True)]
    )
    away = in_head - in_head.mean(axis=0)
    return float(np.sqrt((away**2).sum(axis=-1).mean()))


def _starts(seed: int, centre: Array, count: int) -> list[Array]:
    """Return moves by 15 mm and 10° in random directions about a centre."""
    rng = np.random.default_rng([seed, 15])
    moves = []
    for _ in range(count):
        shift, axis = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
        cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        angle = np.deg2rad(10.0)
        move = np.eye(4)
        move[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
        move[:3, 3] = centre + 15.0 * shift - move[:3, :3] @ centre
        moves.append(move)
    return moves


def coregistration_error(
    reference: Image, anatomy: Anatomy, pose: Array, seed: int, starts: int, scratch: Path
) -> float:
    """Return the largest RMS error in mm over several starts."""
    boundary = white_matter_boundary(anatomy)
    brain = epi_brain(reference)
    centre = _apply(pose, boundary.points).mean(axis=0)
    errors = []
    for move in _starts(seed, centre, starts):
        # The header is what is wrong: the same voxels, elsewhere.
        moved = Image(reference.data, move @ reference.affine)
        found = register_to_t1w(moved, brain, anatomy, boundary, 0, scratch)
        away = _apply(found, boundary.points) - _apply(move @ pose, boundary.points)
        errors.append(float(np.sqrt((away**2).sum(axis=1).mean())))
        print(f"    start: {errors[-1]:.3f} mm", flush=True)
    return max(errors)


def normalisation_error(
    normalisation: Normalisation, simulation: Simulation, pose: Array
) -> tuple[float, float]:
    """Return the Dice coefficient of grey matter and the 95th percentile of the error in mm.

    Parameters
    ----------
    normalisation : Normalisation
        Template to an image.
    simulation : Simulation
        The truth.
    pose : ndarray, shape (4, 4)
        T1w image to that image.
    """
    template = load_template(2)
    where = np.argwhere(template.brain) @ template.affine[:3, :3].T + template.affine[:3, 3]
    in_head = _apply(np.linalg.inv(pose), normalisation.to_t1w(where))
    truth = simulation.warp(in_head.T.astype(np.float32)).T.astype(np.float64)
    away = np.linalg.norm(truth - where, axis=1)
    ours, due = true_grey(truth) > 0.5, true_grey(where) > 0.5
    dice = 2 * (ours & due).sum() / (ours.sum() + due.sum())
    return float(dice), float(np.quantile(away, 0.95))


def measure(simulation: Simulation, seed: int, starts: int, scratch: Path) -> Figures:
    """Measure each step on one run."""
    figures = Figures()
    values = figures.values
    series = open_series(simulation.bold)
    begin = time.process_time()
    typical, non_steady = survey(series)
    reference = make_reference(series, typical, non_steady, PARAMETERS.motion_fwhm)
    motion = estimate_motion(series, reference, PARAMETERS.motion_fwhm)
    values["motion_cpu"] = (time.process_time() - begin) / series.n_volumes
    brain = epi_brain(reference)
    points = np.argwhere(brain)[::7] @ reference.affine[:3, :3].T + reference.affine[:3, 3]
    values["motion_rms"] = motion_error(motion.transforms, simulation.poses, points)
    print(f"    motion: {values['motion_rms']:.4f} mm", flush=True)
    some = list(range(0, series.n_volumes, max(1, series.n_volumes // 20)))
    volumes = [v for n, v in enumerate(series.volumes()) if n in some]
    for name, aligner in peers(reference).items():
        found, cpu = timed(aligner, volumes)
        figures.peers[name] = (motion_error(found, simulation.poses[some], points), cpu)
        print(f"    {name}: {figures.peers[name][0]:.4f} mm", flush=True)
    template = load_template(2)
    anatomy = analyse_anatomy(load_volume(simulation.t1w), template, 0, scratch)
    values["dice"], values["normalisation_p95"] = normalisation_error(
        anatomy.normalisation, simulation, np.eye(4)
    )
    direct = normalise_epi(reference, template, 0, scratch)
    values["epi_dice"], values["epi_p95"] = normalisation_error(
        direct, simulation, simulation.poses[typical]
    )
    print(f"    normalisation: {values['normalisation_p95']:.2f} mm", flush=True)
    pose = simulation.poses[typical]
    values["coregistration"] = coregistration_error(reference, anatomy, pose, seed, starts, scratch)
    values["resampling_cpu"] = _resampling(simulation, anatomy, motion, reference, pose, scratch)
    return figures


def _resampling(
    simulation: Simulation,
    anatomy: Anatomy,
    motion: Motion,
    reference: Image,
    pose: Array,
    scratch: Path,
) -> float:
    series = open_series(simulation.bold)
    target = find_target(load_template(2), anatomy.normalisation, pose, motion, reference)
    begin = time.process_time()
    resample_run(series, motion, reference, target, TR, scratch / "bold.nii.gz")
    return (time.process_time() - begin) / series.n_volumes


def whole(bold: Path, t1w: Path, output: Path) -> None:
    """Preprocess a person with one run; leave CPU seconds and peak memory as JSON."""
    name = bold.name.removesuffix(".nii.gz")
    output.mkdir(parents=True)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = before.ru_utime + before.ru_stime
    _, results = preprocess_unit(
        [BoldRun(name, bold, TR)],
        AnatomicalImage("sub-01_T1w", t1w),
        output / "derivatives",
        PARAMETERS,
        output,
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    outcome = results[name].outcome
    if outcome.state != "done":
        raise SystemExit(f"the run was not preprocessed: {outcome}")
    found = {"cpu": used.ru_utime + used.ru_stime - began, "peak": used.ru_maxrss / 2**20}
    (output / "figures.json").write_text(json.dumps(found))


def _whole_apart(simulation: Simulation, output: Path) -> dict[str, float]:
    """Run `whole` in a process of its own, which has no memory of the bench's."""
    command = [sys.executable, "-m", "tests.bench.fmri", "--whole"]
    command += [str(simulation.bold), str(simulation.t1w), str(output)]
    subprocess.run(command, check=True)
    found: dict[str, float] = json.loads((output / "figures.json").read_text())
    return found


def _anatomy_cpu(simulation: Simulation, scratch: Path) -> float:
    begin = time.process_time()
    anatomy = analyse_anatomy(load_volume(simulation.t1w), load_template(2), 0, scratch)
    white_matter_boundary(anatomy)
    return time.process_time() - begin


def report(measured: dict[str, Figures], single: dict[str, float]) -> bool:
    """Print the table; return whether every target is met."""
    good = True
    names = list(measured)
    print(f"\n{'':44}{'target':>10}{'worst':>10}  {'  '.join(f'{n:>10}' for n in names)}")
    for key, (text, unit, target) in TARGETS.items():
        values = [single[key]] if key in single else [m.values[key] for m in measured.values()]
        worst = min(values) if key in AT_LEAST else max(values)
        met = worst >= target if key in AT_LEAST else worst <= target
        good &= met
        sign = "≥" if key in AT_LEAST else "≤"
        label = f"{text} ({unit})" if unit else text
        each = "" if key in single else "  ".join(f"{v:10.4g}" for v in values)
        print(f"{label:44.44}{sign:>5}{target:5g}{worst:10.4g}{' ' if met else '!'} {each}")
    for key, text in EXTRA.items():
        each = "  ".join(f"{m.values[key]:10.4g}" for m in measured.values())
        print(f"{text:44}{'':20}  {each}")
    for peer in sorted({name for m in measured.values() for name in m.peers}):
        for index, unit in enumerate(("mm", "CPU s a volume")):
            values = [m.peers[peer][index] for m in measured.values()]
            each = "  ".join(f"{v:10.4g}" for v in values)
            print(f"{f'{peer}: head motion ({unit})':44}{'':10}{max(values):10.4g}  {each}")
    print(f"Of the whole run, the anatomy took {single['anatomy_cpu']:.1f} CPU s.")
    return good


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--volumes", type=int, default=200)
    parser.add_argument("--starts", type=int, default=2)
    parser.add_argument("--variants", nargs="+", default=["plain", "dropout"])
    parser.add_argument("--whole", type=Path, nargs=3, metavar=("BOLD", "T1W", "OUTPUT"))
    chosen = parser.parse_args()
    if chosen.whole:
        whole(*chosen.whole)
        return 0
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = "1"
    measured: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        small = simulate(folder / "warm-up", 99, 12, False)
        _whole_apart(small, folder / "warm-up" / "out")
        for seed in chosen.seeds:
            for variant in chosen.variants:
                print(f"seed {seed}, {variant}", flush=True)
                here = folder / f"{seed}-{variant}"
                one = simulate(here, seed, chosen.volumes, variant == "dropout")
                measured[f"{seed} {variant}"] = measure(one, seed, chosen.starts, here)
                for path in here.glob("*.nii.gz"):
                    path.unlink()
        print("a whole run", flush=True)
        one = simulate(folder / "whole", chosen.seeds[0], WHOLE_VOLUMES, False)
        found = _whole_apart(one, folder / "whole" / "out")
        single = {
            "whole_cpu": found["cpu"],
            "whole_peak": found["peak"],
            "anatomy_cpu": _anatomy_cpu(one, folder),
        }
    return 0 if report(measured, single) else 1


if __name__ == "__main__":
    sys.exit(main())
