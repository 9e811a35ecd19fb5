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
