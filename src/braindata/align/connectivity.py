"""Connectivity hyperalignment: for people who did not see the same.

What a voxel is, is said by how it goes with the rest of the brain: its correlations with the mean
series of parcels take the place of responses (Guntupalli et al. 2018,
doi:10.1371/journal.pcbi.1006120).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from braindata.align.base import AUTO, MINIMUM_VOLUMES
from braindata.align.procrustes import Array, Person
from braindata.align.response import ResponseHyperalignment
from braindata.align.runs import Rows, Runs, Subjects, check_runs
from braindata.errors import DataError, UsageError

ROWS = "targets"
# Fisher's z of a voxel that is its own target would be infinite.
LARGEST_R = 0.9999


class ConnectivityHyperalignment(ResponseHyperalignment):
    """Procrustes on connectomes, voxels by target parcels.

    Parameters
    ----------
    labels : array of int, shape (n_voxels,), optional
        Which parcel each voxel is in, 0 for none: their mean series are the targets. Without it,
        `fit` and `fit_subject` must be given the targets' series.
    precomputed : bool
        Whether runs are connectomes, shape (targets, voxels), as `connectome` returns them; of
        several the mean counts.
    **settings
        As `ResponseHyperalignment` has them.
    """

    needs_shared_runs = False

    def __init__(self, labels: Any = None, *, precomputed: bool = False, **settings: Any):
        super().__init__(**settings)
        if AUTO in (self.shrinkage, self.prior):
            raise UsageError(
                "'auto' compares inner runs between people, who need not share any here",
                hint="give shrinkage and prior as numbers",
            )
        self.labels = None if labels is None else np.asarray(labels)
        self.precomputed = precomputed
        self._targets: Subjects = {}

    def fit(self, data: Subjects, targets: Subjects | None = None) -> Self:
        """Make the template and the maps; see `Hyperalignment.fit`.

        Parameters
        ----------
        data : mapping of subject to mapping of run to array, shape (time, voxels)
            The runs' names need not be shared.
        targets : mapping of subject to mapping of run to array, shape (time, targets), optional
            The same targets in everybody, for instance parcels of the whole brain.
        """
        self._targets = targets or {}
        try:
            return super().fit(data)
        finally:
            self._targets = {}

    def fit_subject(self, subject: str, runs: Runs, targets: Runs | None = None) -> Self:
        """Add a person; see `Hyperalignment.fit_subject`."""
        self._targets = {} if targets is None else {subject: targets}
        try:
            return super().fit_subject(subject, runs)
        finally:
            self._targets = {}

    def _check(self, subject: str, runs: Runs) -> Mapping[str, Array]:
        if self.precomputed:
            given_runs = check_runs(subject, runs, dtype=self.dtype, center=False)
            return {ROWS: _mean(subject, given_runs)}
        checked = super()._check(subject, runs)
        given = self._targets.get(subject)
        if given is not None:
            targets = check_runs(subject, given, dtype=self.dtype, center=True)
        elif self.labels is not None:
            targets = {run: parcel_means(series, self.labels) for run, series in checked.items()}
        else:
            raise UsageError(
                f"there are no targets for subject {subject!r}",
                hint="give labels of parcels, or the targets' series to fit and fit_subject",
            )
        missing = sorted(set(checked) ^ set(targets))
        if missing:
            raise DataError(
                f"runs {missing} of subject {subject!r} are not in both voxels and targets"
            )
        return {ROWS: connectome(checked, targets)}

    def _rows(self, checked: Mapping[str, Mapping[str, Array]]) -> Rows:
        counts = {subject: len(found[ROWS]) for subject, found in checked.items()}
        if len(set(counts.values())) > 1:
            raise DataError(
                f"people differ in their numbers of targets: {counts}",
                hint="take the same parcels in everybody",
            )
        return Rows(((ROWS, next(iter(counts.values()))),))

    def _place(self, subject: str, runs: Mapping[str, Array], rows: Rows) -> Person:
        if len(runs[ROWS]) != rows.n_rows:
            raise DataError(
                f"subject {subject!r} has {len(runs[ROWS])} targets, and the template {rows.n_rows}"
            )
        return super()._place(subject, runs, rows)

    def _too_little(self, person: Person) -> str | None:
        if len(person.rows) < MINIMUM_VOLUMES:
            return f"{len(person.rows)} targets, and {MINIMUM_VOLUMES} are needed"
        return None


def _mean(subject: str, connectomes: Mapping[str, Array]) -> Array:
    shapes = {run: one.shape for run, one in connectomes.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"the connectomes of subject {subject!r} differ in shape: {shapes}")
    mean: Array = np.mean(list(connectomes.values()), axis=0)
    return mean


def parcel_means(series: Array, labels: Array) -> Array:
    """Return the mean series of each parcel, in the order of labels.

    Parameters
    ----------
    series : array, shape (time, voxels)
    labels : array of int, shape (voxels,)
        0 for none.

    Returns
    -------
    array, shape (time, parcels)
    """
    if len(labels) != series.shape[1]:
        raise DataError(f"{len(labels)} labels for {series.shape[1]} voxels")
    names = [label for label in np.unique(labels) if label != 0]
    return np.stack([series[:, labels == label].mean(axis=1) for label in names], axis=1)


def connectome(series: Mapping[str, Array], targets: Mapping[str, Array]) -> Array:
    """Return Fisher's z of each voxel with each target: the mean over runs, weighted by volumes.

    Parameters
    ----------
    series : mapping of run to array, shape (time, voxels)
    targets : mapping of run to array, shape (time, targets)

    Returns
    -------
    array, shape (targets, voxels)
        0 where one of both is constant.
    """
    total: Any = 0
    volumes = 0
    for run in sorted(series):
        if len(series[run]) != len(targets[run]):
            raise DataError(
                f"run {run!r} has {len(series[run])} volumes of voxels and"
                f" {len(targets[run])} of targets"
            )
        r = _standard(targets[run]).T @ _standard(series[run])
        total = total + len(series[run]) * np.arctanh(np.clip(r, -LARGEST_R, LARGEST_R))
        volumes += len(series[run])
    mean: Array = total / volumes
    return mean.astype(next(iter(series.values())).dtype)


def _standard(series: Array) -> Array:
    centred = series - series.mean(axis=0)
    size = np.linalg.norm(centred, axis=0)
    unit: Array = centred / np.where(size > 0, size, 1)
    return unit
