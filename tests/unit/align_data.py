"""People with a common response in scrambled voxels, for the tests of alignment."""

from __future__ import annotations

import numpy as np


def scrambled(
    *,
    n_subjects: int = 5,
    n_times: int = 120,
    n_voxels: int = 30,
    rank: int = 6,
    noise: float = 0.5,
    runs: tuple[str, ...] = ("run-1", "run-2"),
    seed: int = 0,
) -> dict[str, dict[str, np.ndarray]]:
    """Return subjects → runs → (time, voxels): one response, an own orthonormal basis each."""
    rng = np.random.default_rng(seed)
    shared = {run: rng.standard_normal((n_times, rank)) for run in runs}
    data = {}
    for number in range(n_subjects):
        basis = np.linalg.qr(rng.standard_normal((n_voxels, rank)))[0]
        data[f"{number + 1:02d}"] = {
            run: (series @ basis.T * 2 + noise * rng.standard_normal((n_times, n_voxels))).astype(
                np.float32
            )
            for run, series in shared.items()
        }
    return data


def gains_and_losses(
    *,
    n_subjects: int = 8,
    n_voxels: int = 80,
    n_trials: int = 20,
    film: int = 200,
    noise: float = 1.0,
    seed: int = 0,
) -> tuple[dict, dict, dict]:
    """Return a phantom of vmPFC: a film that all saw, and trials of gain and loss.

    Gain and loss differ in fine patterns that hold no mean, in an own topography each: a common
    code of ten dimensions, brought to voxels by an orthonormal basis whose columns sum to 0.

    Returns
    -------
    films : subjects → {'film': (time, voxels)}
    patterns : subjects → runs → (trials, voxels)
    labels : subjects → runs → (trials,)
    """
    rng = np.random.default_rng(seed)
    rank = 10
    moments = rng.standard_normal((film, rank))
    codes = {"gain": rng.standard_normal(rank), "loss": rng.standard_normal(rank)}
    films, patterns, labels = {}, {}, {}
    for number in range(n_subjects):
        basis = rng.standard_normal((n_voxels, rank))
        basis = np.linalg.qr(basis - basis.mean(axis=0))[0]
        name = f"{number + 1:02d}"
        rest = rng.standard_normal((film, n_voxels))
        films[name] = {"film": moments @ basis.T + 0.3 * noise * rest}
        patterns[name], labels[name] = {}, {}
        for run in ("task-1", "task-2"):
            said = rng.permutation(np.repeat(list(codes), n_trials // 2))
            trials = np.array([codes[label] for label in said]) @ basis.T
            patterns[name][run] = trials + noise * rng.standard_normal((n_trials, n_voxels))
            labels[name][run] = said
    return films, patterns, labels
