"""Searchlight alignment: overlapping neighbourhoods, their maps merged into one per person.

Guntupalli et al. 2016, doi:10.1093/cercor/bhw068. A parcel's border cuts through what belongs
together; neighbourhoods overlap, at the price of one decomposition per centre.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from braindata.align.base import Hyperalignment
from braindata.align.parcels import parcel_hash
from braindata.align.procrustes import Array
from braindata.align.runs import Runs, Subjects
from braindata.errors import DataError, UsageError

MIN_VOXELS = 2


def neighbourhoods(
    coordinates: Any, radius: float, spacing: float = 0.0
) -> list[NDArray[np.int64]]:
    """Return the voxels around each of some centres, that together cover all voxels.

    Parameters
    ----------
    coordinates : array, shape (n_voxels, 3)
        In mm.
    radius : float
        In mm.
    spacing : float
        Least distance between centres in mm; 0 makes every voxel one.

    Returns
    -------
    list of array of int
        Sorted, one per centre, in the order of the voxels. The centres are voxels, the first and
        each further one that is no nearer than `spacing` to an earlier one.

    Raises
    ------
    UsageError
        `spacing` is larger than `radius`: some voxels would be in no neighbourhood.
    """
    points = np.asarray(coordinates, dtype=np.float64)
    if points.ndim != 2 or not len(points) or not np.isfinite(points).all():
        raise DataError(f"coordinates of shape {points.shape}, not finite (voxels, 3)")
    if radius <= 0 or not 0 <= spacing <= radius:
        raise UsageError(
            f"a radius of {radius} mm and a spacing of {spacing} mm",
            hint="the radius is positive, the spacing between 0 and the radius",
        )
    tree = cKDTree(points)
    free = np.ones(len(points), dtype=bool)
    found = []
    for voxel, point in enumerate(points):
        if not free[voxel]:
            continue
        free[voxel] = False
        if spacing:
            # Those at the spacing itself may be centres; of a grid they are.
            near = np.array(tree.query_ball_point(point, spacing), dtype=np.int64)
            free[near[np.linalg.norm(points[near] - point, axis=1) < spacing * (1 - 1e-9)]] = False
        found.append(np.array(sorted(tree.query_ball_point(point, radius)), dtype=np.int64))
    return found


class Searchlight:
    """One estimator per neighbourhood; a person's map is the mean of those that hold a voxel.

    The common space has as many dimensions as there are voxels, each the place of a voxel.

    Parameters
    ----------
    make : callable
        Takes the neighbourhood's hash as `parcellation` and returns an unfitted estimator, of a
        kind whose dimensions are voxels: `ResponseHyperalignment` or `ConnectivityHyperalignment`
        with `weighting=False`.
    places : list of array of int
        As `neighbourhoods` returns them; those of a single voxel are left out.
    n_voxels : int
        The same in everybody.
    """

    def __init__(
        self,
        make: Callable[[str], Hyperalignment],
        places: list[NDArray[np.int64]],
        n_voxels: int,
    ):
        self.make = make
        self.places = [place for place in places if len(place) >= MIN_VOXELS]
        self.n_voxels = n_voxels
        if len(np.unique(np.concatenate([*self.places, []]))) < n_voxels:
            raise UsageError(
                "some voxels are in no neighbourhood of two voxels or more",
                hint="take a larger radius, or leave lonely voxels out",
            )
        self.models_: list[Hyperalignment] = []
        self._maps: dict[str, tuple[Any, Any]] = {}

    def fit(self, data: Subjects) -> Self:
        """Fit all neighbourhoods; see `Hyperalignment.fit`.

        Raises
        ------
        DataError
            Somebody has too little data in a neighbourhood, or another number of voxels.
        UsageError
            The estimators' dimensions are not voxels.
        """
        self.models_ = []
        for place in self.places:
            model = self.make(parcel_hash(place)).fit(
                {subject: self._part(subject, runs, place) for subject, runs in data.items()}
            )
            if model.weighting or model.template_.rank != len(place):
                raise UsageError(
                    "the dimensions of these estimators are not voxels",
                    hint="use ResponseHyperalignment(weighting=False)",
                )
            if model.left_out_:
                subject, why = sorted(model.left_out_.items())[0]
                raise DataError(f"subject {subject!r} cannot be aligned: {why}")
            self.models_.append(model)
        self._maps = {subject: self._merged(subject) for subject in sorted(data)}
        return self

    def fit_subject(self, subject: str, runs: Runs) -> Self:
        """Add a person to all neighbourhoods; see `Hyperalignment.fit_subject`."""
        for place, model in zip(self.places, self.models_, strict=True):
            model.fit_subject(subject, self._part(subject, runs, place))
        self._maps[subject] = self._merged(subject)
        return self

    def transform(self, subject: str, series: Any) -> Array:
        """Return a person's series in the common space, shape (n, n_voxels)."""
        return self._apply(subject, series, 0)

    def inverse_transform(self, subject: str, common: Any) -> Array:
        """Return what of a person's voxels the common space says, shape (n, n_voxels)."""
        return self._apply(subject, common, 1)

    def _apply(self, subject: str, series: Any, way: int) -> Array:
        if subject not in self._maps:
            raise DataError(
                f"subject {subject!r} has no map", hint="add the person with fit_subject"
            )
        values = np.asarray(series, dtype=self.models_[0].dtype)
        if values.ndim != 2 or values.shape[1] != self.n_voxels:
            raise DataError(f"series of shape {values.shape}, not (n, {self.n_voxels})")
        found: Array = np.asarray((self._maps[subject][way].T @ values.T).T)
        return found

    def _part(self, subject: str, runs: Runs, place: NDArray[np.int64]) -> dict[str, Any]:
        for run, series in runs.items():
            if np.ndim(series) == 2 and np.shape(series)[1] != self.n_voxels:
                raise DataError(
                    f"run {run!r} of subject {subject!r} has {np.shape(series)[1]} voxels, not "
                    f"{self.n_voxels}",
                    hint="searchlights need everybody on one grid",
                )
        return {run: np.asarray(series)[:, place] for run, series in runs.items()}

    def _merged(self, subject: str) -> tuple[Any, Any]:
        """Return a person's map and the way back: means over the neighbourhoods of a voxel."""
        rows, columns, there, back = [], [], [], []
        for place, model in zip(self.places, self.models_, strict=True):
            one = model.maps_[subject]
            eye = np.eye(len(place), dtype=model.dtype)
            grid = np.meshgrid(place, place, indexing="ij")
            rows.append(grid[0].ravel())
            columns.append(grid[1].ravel())
            there.append(one.forward(eye).ravel())
            back.append(one.backward(eye).ravel())
        # How many neighbourhoods speak of each dimension.
        count = np.bincount(np.concatenate(self.places), minlength=self.n_voxels)
        at = (np.concatenate(rows), np.concatenate(columns))
        shape = (self.n_voxels, self.n_voxels)
        share = sparse.diags((1.0 / count).astype(there[0].dtype))
        forward, backward = (
            sparse.csr_array(sparse.coo_array((np.concatenate(values), at), shape=shape) @ share)
            for values in (there, back)
        )
        return forward, backward
