"""Where susceptibility removes signal that valuation needs: OFC and vmPFC, as fixed areas.

Air in the sinuses distorts the field above them: EPI loses signal there (Ojemann et al. 1997,
doi:10.1006/nimg.1997.0289). So that the figure can be compared between recordings and data sets,
it is taken in the same areas whatever regions a configuration has: those of the default set (a
test holds them against its files), whose sources are named there. Their coordinates are taken as
they are in every MNI152 space: a few mm matter little to spheres of 8 mm.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from braindata.regions.template import grey_matter

RADIUS_MM = 8.0
# Voxels count where the template's probability of grey matter exceeds this, as in the set.
GREY_MATTER = 0.2
AREAS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "ofc": (
        (-12.5, 47.5, -24.5),
        (11.5, 45.5, -24.5),
        (-26.5, 21.5, -22.5),
        (23.5, 21.5, -22.5),
    ),
    "vmpfc": ((2.0, 46.0, -8.0),),
}


def area_voxels(
    affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> dict[str, NDArray[np.int64]]:
    """Return the voxels of each area on a grid of MNI152 space.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.
    shape : tuple of int
        Number of voxels along x, y and z.

    Returns
    -------
    dict of str to ndarray of int64
        Flat C-order indices, ascending; none where the grid does not reach.
    """
    return _area_voxels(np.asarray(affine, np.float64).tobytes(), tuple(int(n) for n in shape))


@lru_cache(maxsize=4)
def _area_voxels(affine: bytes, shape: tuple[int, int, int]) -> dict[str, NDArray[np.int64]]:
    to_mm = np.frombuffer(affine, np.float64).reshape(4, 4)
    grey = grey_matter(to_mm, shape).ravel() > GREY_MATTER
    candidates = np.flatnonzero(grey)
    indices = np.column_stack(np.unravel_index(candidates, shape))
    places = indices @ to_mm[:3, :3].T + to_mm[:3, 3]
    found = {}
    for name, centers in AREAS.items():
        squares = [((places - center) ** 2).sum(axis=1) for center in centers]
        found[name] = candidates[np.min(squares, axis=0) <= RADIUS_MM**2]
    return found
