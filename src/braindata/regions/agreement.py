"""How far two sets of regions agree: overlap, and distance between centres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.regions.resolve import ResolvedRegion
from braindata.regions.template import TemplateGrid

_HEADER = (
    "| region | voxels, first | voxels, second | Dice | of the first in the second | "
    "distance, left | distance, right |\n|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Agreement:
    """How far two definitions of one region agree on a grid.

    Attributes
    ----------
    name : str
        The region.
    n_voxels : tuple of int
        Size of both.
    dice : float
        Twice the number of shared voxels over the sum of both sizes.
    within : float
        Share of the first one's voxels that are in the second: how far the smaller is a part of
        the larger, which Dice does not tell where sizes differ.
    left, right : float or None
        Distance between the centres of mass in mm, left and right of the midline; None where one
        of them has no voxel there.
    """

    name: str
    n_voxels: tuple[int, int]
    dice: float
    within: float
    left: float | None
    right: float | None


def agreement(first: ResolvedRegion, second: ResolvedRegion, grid: TemplateGrid) -> Agreement:
    """Compare two regions on one grid; weights do not count."""
    shared = len(np.intersect1d(first.voxels, second.voxels))
    sides = [_distance(_centre(first, grid, side), _centre(second, grid, side)) for side in (-1, 1)]
    return Agreement(
        name=first.name,
        n_voxels=(first.n_voxels, second.n_voxels),
        dice=2 * shared / (first.n_voxels + second.n_voxels),
        within=shared / first.n_voxels,
        left=sides[0],
        right=sides[1],
    )


def agreement_table(
    first: Mapping[str, ResolvedRegion],
    second: Mapping[str, ResolvedRegion],
    names: Sequence[str],
    grid: TemplateGrid,
) -> str:
    """Return how far two sets agree, as a table in Markdown: a row for each of `names`."""
    rows = []
    for name in names:
        one = agreement(first[name], second[name], grid)
        cells = [
            name,
            *map(str, one.n_voxels),
            f"{one.dice:.2f}",
            f"{one.within:.2f}",
            *("" if mm is None else f"{mm:.1f}" for mm in (one.left, one.right)),
        ]
        rows.append(f"| {' | '.join(cells)} |\n")
    return _HEADER + "".join(rows)


def _centre(region: ResolvedRegion, grid: TemplateGrid, side: int) -> NDArray[np.float64] | None:
    indices = np.column_stack(np.unravel_index(region.voxels, grid.shape))
    places = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    own = places[places[:, 0] * side > 0]
    centre: NDArray[np.float64] = own.mean(axis=0) if len(own) else np.array([])
    return centre if len(own) else None


def _distance(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> float | None:
    return None if one is None or other is None else float(np.linalg.norm(one - other))
