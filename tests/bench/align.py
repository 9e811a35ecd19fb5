"""Alignment against fmralign and FastSRM, in one run: CPU time, peak memory, held-out scores.

    make bench-align

One BLAS thread. Simulated: a response of 60 dimensions that all share, brought to voxels by bases
that agree in part, and noise. Half of the volumes is fitted on, the other half scored: time-segment
matching, and the correlation of voxels with what the others' mean says of them.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braindata.align import DeterministicSRM, Piecewise, ResponseHyperalignment
from braindata.align.scores import matching, prediction_r, segment_similarities

RANK = 60
PLAIN: dict[str, Any] = {"shrinkage": 1.0, "weighting": False, "center": False}
SMALL = ((16, 600, 500), (10, 600, 2000))
CORTEX = (20, 600)
PARCELS = 200
PARCEL_SIZE = 250
SEGMENT = 9
# So that few segments are found, and methods can differ.
NOISE = 1.5


@dataclass
class Fitted:
    """How a fitted model brings series to the common space, and back."""

    transform: Callable[[str, np.ndarray], np.ndarray]
    back: Callable[[str, np.ndarray], np.ndarray]


Data = dict[str, np.ndarray]


def simulate(n_subjects: int, n_times: int, n_voxels: int, seed: int) -> tuple[Data, Data]:
    """Return what is fitted on and what is scored, (time, voxels) per person."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((2, n_times, RANK), dtype=np.float32)
    agreed = rng.standard_normal((n_voxels, RANK), dtype=np.float32)
    fit, score = {}, {}
    for number in range(n_subjects):
        own = rng.standard_normal((n_voxels, RANK), dtype=np.float32)
        basis = np.linalg.qr(0.5 * agreed + own)[0]
        noise = rng.standard_normal((2, n_times, n_voxels), dtype=np.float32)
        series = shared @ basis.T + NOISE * noise
        fit[f"{number:02d}"], score[f"{number:02d}"] = series[0], series[1]
    return fit, score


def scores(fitted: Fitted, data: Data) -> tuple[float, float]:
    """Return time-segment matching and r of each person with the mean of the others."""
    common = {subject: fitted.transform(subject, series) for subject, series in data.items()}
    total = sum(common.values())
    matched, r = [], []
    for subject, own in common.items():
        others = (total - own) / (len(common) - 1)
        matched.append(matching(segment_similarities(own, others, SEGMENT), SEGMENT))
        r.append(prediction_r(fitted.back(subject, others), data[subject]))
    return float(np.mean(matched)), float(np.mean(r))


def ours(model: Any) -> Callable[[Data], Fitted]:
    """Return how one of our estimators is fitted."""

    def fit(data: Data) -> Fitted:
        model.fit({subject: {"run": series} for subject, series in data.items()})
        return Fitted(model.transform, model.inverse_transform)

    return fit


def fmralign(data: Data, labels: Any = None) -> Fitted:
    """Fit fmralign's Procrustes."""
    group = importlib.import_module("fmralign").GroupAlignment
    method = importlib.import_module("fmralign.methods").Procrustes(scaling=False)
    model = group(method=method, labels=labels).fit(data)
    found = model.fitted_estimators
    return Fitted(lambda s, x: found[s].transform(x), lambda s, z: z @ found[s].R.T)


def fast_srm(module: str, **settings: Any) -> Callable[[Data], Fitted]:
    """Return how FastSRM of brainiak is fitted, or of its authors' own package."""

    def fit(data: Data) -> Fitted:
        names = sorted(data)
        series = [data[name].T for name in names]
        if module == "brainiak.funcalign.fastsrm":
            model = importlib.import_module(module).FastSRM(
                n_components=RANK, seed=0, verbose=False, **settings
            )
            bases = model.fit(series).basis_list
        else:
            found = importlib.import_module(module).fastsrm(
                series, RANK, method="det", random_state=0, **settings
            )
            bases = [basis.T for basis in found[0]]
        basis = dict(zip(names, bases, strict=True))
        return Fitted(lambda s, x: x @ basis[s].T, lambda s, z: z @ basis[s])

    return fit


def find_mpi() -> None:
    """Tell mpi4py, which brainiak imports, where the library of the mpich wheel is."""
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return
    libraries = [Path(str(f.locate())) for f in files if f.name.startswith("libmpi.so")]
    # One of the names is a link that the wheel holds as a text of a few bytes.
    if libraries:
        largest = max(libraries, key=lambda path: path.stat().st_size)
        os.environ["MPI4PY_LIBMPI"] = str(largest.resolve())


def srm_competitor() -> tuple[str, str]:
    """Return the name and module of the FastSRM that can be imported here."""
    find_mpi()
    try:
        importlib.import_module("brainiak.funcalign.fastsrm")
    except (ImportError, RuntimeError) as error:
        print(f"brainiak cannot be imported ({error}); its authors' fastsrm instead")
        return f"fastsrm {importlib.metadata.version('fastsrm')}", "fastsrm.fastsrm"
    return f"brainiak {importlib.metadata.version('brainiak')}", "brainiak.funcalign.fastsrm"


def timed(fit: Callable[[Data], Fitted], data: Data) -> tuple[float, Fitted]:
    """Return CPU seconds and the fitted model."""
    gc.collect()
    start = time.process_time()
    fitted = fit(data)
    return time.process_time() - start, fitted


def small(seeds: list[int]) -> None:
    """Compare on one region."""
    name, module = srm_competitor()
    methods: dict[str, Callable[[Data], Fitted]] = {
        "fmralign procrustes": fmralign,
        "ours exact": ours(ResponseHyperalignment(**PLAIN)),
        "ours exact, shared start": ours(ResponseHyperalignment(start="shared", n_iter=1, **PLAIN)),
        f"FastSRM ({name})": fast_srm(module),
        f"FastSRM ({name}), 10 rounds": fast_srm(module, n_iter=10),
        "ours SRM": ours(DeterministicSRM(RANK, **PLAIN)),
    }
    # What is imported and compiled at first use is not timed.
    warm = simulate(3, 150, 140, 0)[0]
    for fit in methods.values():
        fit(warm)
    for shape in SMALL:
        print(f"\n{shape[0]} people x {shape[1]} volumes x {shape[2]} voxels, seeds {seeds}")
        print(f"{'':42s}{'CPU s':>8s}{'matching':>10s}{'r':>8s}")
        taken: dict[str, list[tuple[float, float, float]]] = {label: [] for label in methods}
        for seed in seeds:
            fit_on, score_on = simulate(*shape, seed)
            for label, fit in methods.items():
                seconds, fitted = timed(fit, fit_on)
                taken[label].append((seconds, *scores(fitted, score_on)))
            if seed == seeds[0]:
                equal_maps(fit_on)
                new_person(fit_on)
        mean = {label: np.mean(rows, axis=0) for label, rows in taken.items()}
        for label, row in mean.items():
            print(f"{label:42s}{row[0]:8.2f}{row[1]:10.4f}{row[2]:8.4f}")
        for own, other in (
            ("ours exact", "fmralign procrustes"),
            ("ours exact, shared start", "fmralign procrustes"),
            ("ours SRM", f"FastSRM ({name})"),
            ("ours SRM", f"FastSRM ({name}), 10 rounds"),
        ):
            print(f"  {own} vs {other}: {mean[other][0] / mean[own][0]:.1f} x", flush=True)


def equal_maps(data: Data) -> None:
    """Print the largest difference between our exact maps and fmralign's."""
    names = sorted(data)[:3]
    few = {name: data[name].astype(np.float64) for name in names}
    theirs = fmralign(few)
    model = ResponseHyperalignment(**PLAIN, dtype="float64")
    ours(model)(few)
    eye = np.eye(next(iter(few.values())).shape[1])
    largest = max(
        np.abs(theirs.transform(name, eye) - model.maps_[name].matrix()).max() for name in names
    )
    print(f"  exact maps differ from fmralign's by at most {largest:.1e}")


def new_person(data: Data) -> None:
    """Print how long a new person takes, and whether anybody else's map changed."""
    *members, new = sorted(data)
    for label, model in (
        ("Procrustes", ResponseHyperalignment(**PLAIN)),
        ("Procrustes, whitened", ResponseHyperalignment()),
        ("SRM", DeterministicSRM(RANK, **PLAIN)),
    ):
        model.fit({s: {"run": data[s]} for s in members})
        before = [model.maps_[s].matrix().tobytes() for s in members[:3]]
        taken = []
        for number in range(5):
            start = time.process_time()
            model.fit_subject(f"new-{number}", {"run": data[new]})
            taken.append(time.process_time() - start)
        after = [model.maps_[s].matrix().tobytes() for s in members[:3]]
        print(f"  a new person, {label}: {1000 * min(taken):.1f} ms; others: {before == after}")


def parcelled(folder: Path, n_parcels: int) -> None:
    """Write the whole cortex: each parcel a simulation of its own."""
    n_subjects, n_times = CORTEX
    size, n_voxels = PARCEL_SIZE, PARCEL_SIZE * n_parcels
    series = [
        np.lib.format.open_memmap(
            folder / f"{number:02d}.npy", "w+", np.float32, (n_times, n_voxels)
        )
        for number in range(n_subjects)
    ]
    rng = np.random.default_rng(0)
    rank = 20
    for parcel in range(n_parcels):
        shared = rng.standard_normal((n_times, rank), dtype=np.float32)
        agreed = rng.standard_normal((size, rank), dtype=np.float32)
        for one in series:
            own = rng.standard_normal((size, rank), dtype=np.float32)
            basis = np.linalg.qr(0.5 * agreed + own)[0]
            noise = rng.standard_normal((n_times, size), dtype=np.float32)
            one[:, parcel * size : (parcel + 1) * size] = shared @ basis.T + 0.35 * noise


CORTEX_METHODS = {
    "fmralign procrustes": None,
    "ours exact": lambda h: ResponseHyperalignment(**PLAIN, parcellation=h),
    "ours exact, shared start": lambda h: ResponseHyperalignment(
        start="shared", n_iter=1, **PLAIN, parcellation=h
    ),
    # As many as the parcels were made with, and the default.
    "ours SRM, 20 dimensions": lambda h: DeterministicSRM(20, **PLAIN, parcellation=h),
    "ours SRM, 60 dimensions": lambda h: DeterministicSRM(RANK, **PLAIN, parcellation=h),
}


def cortex_child(label: str, folder: Path) -> None:
    """Fit one method on the whole cortex and print its time and peak memory as JSON."""
    make = CORTEX_METHODS[label]
    if make is None:
        importlib.import_module("fmralign")
    data = {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}
    n_voxels = next(iter(data.values())).shape[1]
    labels = np.repeat(np.arange(1, n_voxels // PARCEL_SIZE + 1), PARCEL_SIZE)
    start = time.process_time()
    if make is None:
        kept: Any = fmralign(data, labels)
    else:
        kept = Piecewise(make, labels).fit({s: {"run": x} for s, x in data.items()})
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak": peak, "kept": kept is not None}))


def cortex(n_parcels: int) -> None:
    """Compare on the whole cortex, each method in a process of its own."""
    shape = f"{CORTEX[0]} people x {CORTEX[1]} volumes x {n_parcels * PARCEL_SIZE} voxels"
    print(f"\n{shape} in {n_parcels} parcels")
    print(f"{'':42s}{'CPU s':>8s}{'peak GiB':>10s}")
    with tempfile.TemporaryDirectory() as name:
        parcelled(Path(name), n_parcels)
        found = {}
        for label in CORTEX_METHODS:
            command = [sys.executable, "-m", "tests.bench.align", "--child", label, name]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[label] = json.loads(output.splitlines()[-1])
            one = found[label]
            print(f"{label:42s}{one['seconds']:8.1f}{one['peak']:10.2f}", flush=True)
    theirs = found.pop("fmralign procrustes")
    for label, one in found.items():
        faster, memory = theirs["seconds"] / one["seconds"], one["peak"] / theirs["peak"]
        print(f"  {label}: {faster:.1f} x faster, {100 * memory:.0f} % of its memory")


def main() -> None:
    """Run what the command line asks for."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--part", choices=["small", "cortex"])
    parser.add_argument("--parcels", type=int, default=PARCELS, help="fewer for a quick look")
    parser.add_argument("--child", nargs=2, metavar=("METHOD", "FOLDER"))
    given = parser.parse_args()
    if given.child:
        cortex_child(given.child[0], Path(given.child[1]))
        return
    if given.part != "cortex":
        small(given.seeds)
    if given.part != "small":
        cortex(given.parcels)


if __name__ == "__main__":
    main()
