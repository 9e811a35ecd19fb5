"""Alignment on real film data: eight people, one region, halves exchanged, all left out in turn.

    make bench-align

Maps are fitted on one half of the film, time segments of nine volumes of the other half matched
between the person left out, who enters the others' template, and the mean of the others. Settings
called "inner" are chosen within the half that is fitted on. Skips where the data are not.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from braindata.align import DeterministicSRM, ResponseHyperalignment
from braindata.align.evaluation import MATCHING, PREDICTION, evaluate
from braindata.align.scores import matching, prediction_r, segment_similarities
from braindata.align.whitening import fit_whitening

FOLDER = Path(__file__).parents[3] / "shared/data/fmri-movie-pmc"
HALVES = ("first", "second")
PLAIN: dict[str, Any] = {"shrinkage": 1.0, "weighting": False}
METRICS = (MATCHING, PREDICTION)
Runs = dict[str, dict[str, np.ndarray]]
# One row per half and person: matching and r.
Table = np.ndarray


def film() -> Runs:
    """Return subjects → halves → (time, voxels). Subject 5's last 50 volumes are constant."""
    data = {}
    for path in sorted(FOLDER.glob("sub-*.mat")):
        series = loadmat(path)["rdata"].T.astype(np.float32)
        parts = np.array_split(series, 2)
        data[path.name[4:6]] = {
            half: part - part.mean(axis=0) for half, part in zip(HALVES, parts, strict=True)
        }
    return data


def smoothed(data: Runs) -> Runs:
    """Return the series with each volume averaged with its two neighbours, by 1:2:1."""
    found: Runs = {}
    for subject, runs in data.items():
        found[subject] = {}
        for run, series in runs.items():
            wide = np.pad(series, ((1, 1), (0, 0)), mode="edge")
            found[subject][run] = (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4
    return found


def ours(make: Callable[[], Any]) -> Callable[[Runs], Table]:
    """Return how one of our estimators is scored."""

    def score(data: Runs) -> Table:
        found = evaluate(make, data, n_permutations=1)
        return np.array(
            [
                [next(s.after for s in found if key(s) == (half, subject, m)) for m in METRICS]
                for half in HALVES
                for subject in sorted(data)
            ],
            dtype=float,
        )

    def key(one: Any) -> tuple[str, str, str]:
        return one.held_out, one.subject, one.metric

    return score


def in_voxels(data: Runs, shrinkage: float = 1.0) -> Table:
    """Score anatomy: voxel by voxel, whitened on the other half or as they are."""
    rows = []
    for half, other in (HALVES, HALVES[::-1]):
        here = {subject: runs[half] for subject, runs in data.items()}
        if shrinkage < 1:
            here = {
                s: x @ fit_whitening(data[s][other], shrinkage).forward for s, x in here.items()
            }
        for subject in sorted(data):
            others = np.mean([x for s, x in here.items() if s != subject], axis=0)
            rows.append(both(here[subject], others, others, here[subject]))
    return np.array(rows)


def fmralign(data: Runs, shrinkage: float = 1.0) -> Table:
    """Score fmralign's Procrustes, the left-out person fitted to the template of the others."""
    group = importlib.import_module("fmralign").GroupAlignment
    procrustes = importlib.import_module("fmralign.methods").Procrustes
    rows = []
    for half, other in (HALVES, HALVES[::-1]):
        fit = {subject: runs[other] for subject, runs in data.items()}
        here = {subject: runs[half] for subject, runs in data.items()}
        if shrinkage < 1:
            white = {s: fit_whitening(x, shrinkage).forward for s, x in fit.items()}
            fit = {s: x @ white[s] for s, x in fit.items()}
            here = {s: x @ white[s] for s, x in here.items()}
        for subject in sorted(data):
            others = [s for s in sorted(data) if s != subject]
            model = group(method="procrustes").fit({s: fit[s] for s in others})
            own = procrustes().fit(fit[subject], model.template)
            mean = np.mean(list(model.transform({s: here[s] for s in others}).values()), axis=0)
            back = mean @ own.R.T
            rows.append(both(own.transform(here[subject]), mean, back, here[subject]))
    return np.array(rows)


def both(
    own: np.ndarray, others: np.ndarray, back: np.ndarray, measured: np.ndarray
) -> list[float]:
    """Return matching of two series in a common space, and r of predicted voxels."""
    return [matching(segment_similarities(own, others)), prediction_r(back, measured)]


def methods(quick: bool) -> dict[str, Callable[[Runs], Table]]:
    """Return what is compared, by name."""
    found: dict[str, Callable[[Runs], Table]] = {"anatomical": in_voxels}
    if importlib.util.find_spec("fmralign"):
        found["fmralign"] = fmralign
    found |= {
        "Procrustes": ours(lambda: ResponseHyperalignment(**PLAIN)),
        "Procrustes, shared start": ours(
            lambda: ResponseHyperalignment(start="shared", n_iter=1, **PLAIN)
        ),
        "SRM 60": ours(lambda: DeterministicSRM(60, **PLAIN)),
        "SRM 160": ours(lambda: DeterministicSRM(160, **PLAIN)),
        "Procrustes, prior inner": ours(lambda: ResponseHyperalignment(prior="auto", **PLAIN)),
        "Procrustes, 1:2:1 in time": lambda data: ours(lambda: ResponseHyperalignment(**PLAIN))(
            smoothed(data)
        ),
        "Procrustes, weighted": ours(lambda: ResponseHyperalignment(shrinkage=1.0)),
        "anatomical, whitened 0.5": lambda data: in_voxels(data, 0.5),
        "Procrustes, whitened 0.5": ours(lambda: ResponseHyperalignment(weighting=False)),
        "Procrustes, whitened 0.5, weighted": ours(ResponseHyperalignment),
        "SRM 60, whitened 0.5, weighted": ours(lambda: DeterministicSRM(60)),
        "the same, 1:2:1 in time": lambda data: ours(ResponseHyperalignment)(smoothed(data)),
    }
    if importlib.util.find_spec("fmralign"):
        found["fmralign after our whitening 0.5"] = lambda data: fmralign(data, 0.5)
    if not quick:
        found["SRM, rank and whitening inner, weighted"] = ours(
            lambda: DeterministicSRM("auto", shrinkage="auto")
        )
        found["Procrustes, whitening inner, weighted"] = ours(
            lambda: ResponseHyperalignment(shrinkage="auto")
        )
    return found


def main() -> None:
    """Print one table."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="nothing chosen on inner runs")
    quick = parser.parse_args().quick
    if not FOLDER.is_dir():
        print(f"skipped: the film data are not at {FOLDER}")
        return
    data = film()
    print(f"{'':42s}{'matching of':>23s}{'x ana-':>8s}{'- fmralign':>18s}{'r of voxels':>20s}")
    print(f"{'':42s}{'2nd':>8s}{'1st':>8s}{'both':>7s}{'tomy':>8s}{'(paired SE)':>18s}")
    found: dict[str, Table] = {}
    for label, score in methods(quick).items():
        table = found[label] = score(data)
        # By half that is scored: `evaluate` and the others hold out the first half first.
        first, second = np.split(table[:, 0], 2)
        line = f"{label:42s}{second.mean():8.4f}{first.mean():8.4f}{table[:, 0].mean():7.4f}"
        line += f"{table[:, 0].mean() / found['anatomical'][:, 0].mean():8.2f}"
        if "fmralign" in found:
            # People are the units: both halves of one are one difference.
            difference = (table - found["fmralign"])[:, 0].reshape(2, -1).mean(axis=0)
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            line += f"{difference.mean():+10.4f} ({error:.4f})"
        first_r, second_r = np.split(table[:, 1], 2)
        print(f"{line}{second_r.mean():10.4f}{first_r.mean():8.4f}", flush=True)


if __name__ == "__main__":
    main()
