"""Piecewise alignment: a region or a brain in parcels, each with its own template."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from braindata.align.base import Hyperalignment
from braindata.align.procrustes import Array
from braindata.align.runs import Runs, Subjects
from braindata.errors import DataError, UsageError

PARCEL_SIZE = 250


def balanced_parcels(coordinates: Any, size: int = PARCEL_SIZE) -> NDArray[np.int64]:
    """Return compact parcels of nearly equal size, by halving along the longest axis.

    Parameters
    ----------
    coordinates : array, shape (n_voxels, 3)
        In mm.
    size : int
        The number of voxels to aim at: parcels have between 2/3 and 4/3 of it, or are all there is.

    Returns
    -------
    array of int, shape (n_voxels,)
        From 1.
    """
    points = np.asarray(coordinates, dtype=np.float64)
    if points.ndim != 2 or not len(points) or not np.isfinite(points).all():
        raise DataError(f"coordinates of shape {points.shape}, not finite (voxels, 3)")
    if size < 1:
        raise UsageError(f"the size of parcels is {size}, and must be at least 1")
    labels = np.zeros(len(points), dtype=np.int64)
    _halve(points, np.arange(len(points)), max(1, round(len(points) / size)), 1, labels)
    return labels


def _halve(
    points: Array, index: NDArray[np.intp], n_parcels: int, first: int, labels: NDArray[np.int64]
) -> None:
    if n_parcels == 1:
        labels[index] = first
        return
    centred = points[index] - points[index].mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    # Ties, which a grid is full of, go by the voxels' order; rounded, lest noise decide.
    along = np.round(centred @ axes[0] * np.sign(axes[0][np.abs(axes[0]).argmax()]), 6)
    order = index[np.argsort(along, kind="stable")]
    lower = n_parcels // 2
    cut = round(len(index) * lower / n_parcels)
    _halve(points, order[:cut], lower, first, labels)
    _halve(points, order[cut:], n_parcels - lower, first + lower, labels)


def parcel_hash(voxels: Any) -> str:
    """Return a hash of which voxels, or where, a parcel is: what its template depends on."""
    values = np.ascontiguousarray(voxels)
    head = f"{values.dtype.str}{values.shape}".encode()
    return hashlib.sha256(head + values.tobytes()).hexdigest()


class Piecewise:
    """One estimator per parcel.

    Series may be arrays or anything that gives columns by `series[:, index]`, such as a memory
    map: one parcel at a time is read.

    Parameters
    ----------
    make : callable
        Takes the parcel's hash as `parcellation` and returns an unfitted estimator.
    labels : array of int, shape (n_voxels,), or mapping of subject to such arrays
        0 for voxels in no parcel.
    hashes : mapping of int to str, optional
        Each parcel's hash: by default that of where its voxels are among those that are given.

    Attributes
    ----------
    models_ : dict of int to Hyperalignment
        By parcel.
    left_out_ : dict of str to str
        People with too little data in some parcel, and why they stay unaligned in all.
    """

    def __init__(
        self,
        make: Callable[[str], Hyperalignment],
        labels: Any,
        hashes: Mapping[int, str] | None = None,
    ):
        self.make = make
        self.labels = labels
        self.hashes = hashes
        self.models_: dict[int, Hyperalignment] = {}
        self.left_out_: dict[str, str] = {}

    @property
    def maps_(self) -> list[str]:
        """The people who have a map in each of their parcels."""
        return sorted(self._where)

    @property
    def needs_shared_runs(self) -> bool:
        """Whether people must share runs; see `Hyperalignment`."""
        return self._first().needs_shared_runs

    @property
    def dtype(self) -> str:
        """Type of the numbers."""
        return self._first().dtype

    def known(self, runs: Runs) -> dict[str, Any]:
        """Return those of a person's runs that the templates can be entered by."""
        return self._first().known(runs)

    def fit(self, data: Subjects) -> Self:
        """Fit all parcels; see `Hyperalignment.fit`."""
        self._where = {subject: self._index(subject) for subject in sorted(data)}
        names = sorted(set().union(*self._where.values()))
        self.models_, self.left_out_ = {}, {}
        for label in names:
            part = {
                subject: _columns(data[subject], where[label])
                for subject, where in self._where.items()
                if label in where
            }
            voxels = [where[label] for where in self._where.values() if label in where]
            same = all(np.array_equal(one, voxels[0]) for one in voxels)
            if self.hashes is not None:
                name = self.hashes[label]
            else:
                name = parcel_hash(voxels[0]) if same else ""
            model = self.make(name).fit(part)
            self.models_[label] = model
            for subject, why in model.left_out_.items():
                self.left_out_.setdefault(subject, why)
        for subject in self.left_out_:
            del self._where[subject]
        return self

    def fit_subject(self, subject: str, runs: Runs) -> Self:
        """Add a person to all parcels; see `Hyperalignment.fit_subject`."""
        where = self._index(subject)
        entered: list[Hyperalignment] = []
        try:
            for label, model in self._in(where):
                model.fit_subject(subject, _columns(runs, where[label]))
                entered.append(model)
        except DataError:
            # In all parcels or in none.
            for model in entered:
                del model.maps_[subject]
            raise
        self._where[subject] = where
        return self

    def transform(self, subject: str, series: Any) -> Array:
        """Return a person's series in the common spaces, parcel by parcel.

        Parameters
        ----------
        subject : str
        series : array, shape (n, n_voxels)

        Returns
        -------
        array, shape (n, sum of the parcels' dimensions)
        """
        where = self._of(subject)
        return np.concatenate(
            [model.transform(subject, series[:, where[label]]) for label, model in self._in(where)],
            axis=1,
        )

    def inverse_transform(self, subject: str, common: Any) -> Array:
        """Return voxels of what `transform` returns; 0 in no parcel."""
        where = self._of(subject)
        values = np.asarray(common)
        found: Array = np.zeros((len(values), self._n_voxels(subject)), values.dtype)
        start = 0
        for label, model in self._in(where):
            stop = start + model.template_.rank
            found[:, where[label]] = model.inverse_transform(subject, values[:, start:stop])
            start = stop
        return found

    def _of(self, subject: str) -> dict[int, NDArray[np.intp]]:
        if subject not in getattr(self, "_where", {}):
            why = self.left_out_.get(subject)
            raise DataError(
                f"subject {subject!r} has no map" + (f": {why}" if why else ""),
                hint=None if why else "add the person with fit_subject",
            )
        return self._where[subject]

    def _first(self) -> Hyperalignment:
        if not self.models_:
            raise UsageError("there is no template yet", hint="call fit first")
        return next(iter(self.models_.values()))

    def _in(self, where: Mapping[int, Any]) -> list[tuple[int, Hyperalignment]]:
        return [(label, model) for label, model in self.models_.items() if label in where]

    def _labels_of(self, subject: str) -> Array:
        if isinstance(self.labels, Mapping):
            return np.asarray(self.labels[subject])
        return np.asarray(self.labels)

    def _n_voxels(self, subject: str) -> int:
        return len(self._labels_of(subject))

    def _index(self, subject: str) -> dict[int, NDArray[np.intp]]:
        labels = self._labels_of(subject)
        order = np.argsort(labels, kind="stable")
        names, starts = np.unique(labels[order], return_index=True)
        parts = np.split(order, starts[1:])
        return {int(n): part for n, part in zip(names, parts, strict=True) if n != 0}


def _columns(runs: Runs, index: NDArray[np.intp]) -> dict[str, Any]:
    return {run: series[:, index] for run, series in runs.items()}
