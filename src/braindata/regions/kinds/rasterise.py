"""From shapes to the voxels of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from braindata.errors import EmptyRegionError
from braindata.regions.kinds.shapes import Shape
from braindata.regions.points import Points


def union_of_voxels(shapes: Sequence[Shape], points: Points) -> NDArray[np.int64]:
    """Return the voxels whose centre lies in one of several shapes.

    Parameters
    ----------
    shapes : sequence of Shape
        At least one.
    points : Points
        The grid's voxel centres in the shapes' space.

    Returns
    -------
    ndarray of int64, shape (n_voxels,)
        Flat C-order indices, ascending, each once.

    Raises
    ------
    EmptyRegionError
        When one of the shapes holds no voxel.
    """
    parts = []
    for part in shapes:
        center, extent = np.array(part.center), np.array(part.extent)
        voxels, positions = points.within(center - extent, center + extent)
        inside = voxels[part.contains(positions - center)]
        if not len(inside):
            raise EmptyRegionError(
                f"the {part} holds no voxel of the image grid",
                hint="check its coordinates, or make it larger",
            )
        parts.append(inside)
    return np.unique(np.concatenate(parts))
