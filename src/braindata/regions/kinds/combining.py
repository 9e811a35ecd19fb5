"""Set operations on weighted voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def combine(
    kind: str, parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]], n_voxels: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Combine regions on one grid.

    Parameters
    ----------
    kind : {"union", "intersection", "difference"}
        The largest weight, the smallest, or the weight in the first part where all others have
        none.
    parts : sequence of (voxels, weights)
        As `Kind.evaluate` returns them.
    n_voxels : int
        Number of voxels of the grid.

    Returns
    -------
    voxels : ndarray of int64, shape (n,)
        Ascending; none where nothing is left.
    weights : ndarray of float64, shape (n,)
        Above 0.
    """
    maps = np.zeros((len(parts), n_voxels))
    for one, (voxels, weights) in zip(maps, parts, strict=True):
        one[voxels] = weights
    match kind:
        case "union":
            result = maps.max(axis=0)
        case "intersection":
            result = maps.min(axis=0)
        case "difference":
            result = np.where(maps[1:].any(axis=0), 0, maps[0])
        case _:
            raise ValueError(f"there is no set operation {kind}")
    kept = np.flatnonzero(result)
    return kept, result[kept]
