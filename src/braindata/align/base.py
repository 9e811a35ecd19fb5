"""What the three kinds of hyperalignment have in common."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from braindata.align.maps import SubjectMap
from braindata.align.procrustes import Array, Person, Rotation, mean_of_rows
from braindata.align.runs import MINIMUM_PEOPLE, Rows, Runs, Subjects, check_runs, check_subjects
from braindata.align.selection import choose
from braindata.align.template import Template
from braindata.align.whitening import Whitening, fit_whitening
from braindata.errors import DataError, UsageError
from braindata.receipts import library_versions

# Below, a map has more free numbers than anything could hold it to.
MINIMUM_VOLUMES = 10
AUTO = "auto"
# What 'auto' chooses from. The first is what others are chosen with, and wins ties.
SHRINKAGES = (0.5, 0.3, 0.7, 0.9, 1.0)
PRIORS = (0.0, 0.1, 0.3, 1.0, 3.0)


class Hyperalignment:
    """Base of the estimators: checks, templates, and the maps of people.

    Attributes
    ----------
    template_ : Template
        Frozen by `fit`.
    maps_ : dict of str to SubjectMap
        One per person.
    left_out_ : dict of str to str
        People with too little data, and why they stay unaligned.
    shrinkage_, prior_ : float
        As given, or as chosen on inner runs.
    """

    needs_shared_runs: ClassVar[bool] = True
    choices: ClassVar[Mapping[str, Sequence[Any]]] = {"shrinkage": SHRINKAGES, "prior": PRIORS}
    shrinkage_: float
    prior_: float
    template_: Template
    maps_: dict[str, SubjectMap]
    left_out_: dict[str, str]

    def __init__(
        self,
        *,
        shrinkage: float | str,
        weighting: bool,
        prior: float | str,
        center: bool,
        dtype: str,
        seed: int,
        parcellation: str,
    ):
        if shrinkage != AUTO and (isinstance(shrinkage, str) or not 0 < shrinkage <= 1):
            raise UsageError(
                f"shrinkage is {shrinkage}, not above 0 and up to 1 (no whitening), or 'auto'"
            )
        if prior != AUTO and (isinstance(prior, str) or prior < 0):
            raise UsageError(f"the weight of the prior is {prior}, not 0, positive or 'auto'")
        if dtype not in ("float32", "float64"):
            raise UsageError(f"dtype is {dtype!r}, not float32 or float64")
        self.shrinkage = shrinkage
        self.weighting = weighting
        self.prior = prior
        self.center = center
        self.dtype = dtype
        self.seed = seed
        self.parcellation = parcellation

    def fit(self, data: Subjects) -> Self:
        """Make the template and the maps of all people in `data`.

        Parameters
        ----------
        data : mapping of subject to mapping of run to array, shape (time, voxels)
            People may differ in voxels, lack runs and stop early.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Fewer than two people, none with enough volumes, no shared runs, non-finite values, all
            constant.
        """
        check_subjects(data)
        self._choose(data)
        checked = {subject: self._check(subject, data[subject]) for subject in sorted(data)}
        rows, people, self.left_out_ = self._gather(checked)
        whitenings = {subject: self._whiten(person) for subject, person in people.items()}
        whitened = [_whitened(person, whitenings[s]) for s, person in people.items()]
        response, rotations, anchor = self._fit_group(whitened, rows)
        found = dict(zip(people, rotations, strict=True))
        slices = rows.slices()
        self.maps_ = {
            subject: SubjectMap(
                found[subject],
                whitenings[subject],
                people[subject].series.shape[1],
                tuple(run for run in checked[subject] if run in slices),
            )
            for subject in people
        }
        finish = (
            principal_weights(whitened, rotations)
            if self.weighting
            else np.eye(response.shape[1], dtype=self.dtype)
        )
        self.template_ = Template(
            response=response,
            finish=finish,
            anchor=anchor,
            rows=rows,
            members=tuple(people),
            fitted_on=tuple((subject, self.maps_[subject].runs) for subject in people),
            method=type(self).__name__,
            parameters=self.parameters(),
            seed=self.seed,
            parcellation=self.parcellation,
            versions=library_versions("numpy", "scipy"),
        )
        return self

    def fit_subject(self, subject: str, runs: Runs) -> Self:
        """Add a person to the frozen template, and touch nobody else.

        Parameters
        ----------
        subject : str
            A new name.
        runs : mapping of run to array, shape (time, voxels)
            Runs that the template knows.

        Returns
        -------
        self

        Raises
        ------
        DataError
            The person is there already, the runs contradict the template's, or are too short.
        """
        template = self._fitted()
        if subject in self.maps_:
            raise DataError(f"subject {subject!r} has a map already", hint="add each person once")
        person = self._place(subject, self._check(subject, runs), template.rows)
        reason = self._too_little(person)
        if reason:
            raise DataError(f"subject {subject!r} has too little data: {reason}")
        whitening = self._whiten(person)
        rotation = self._fit_person(_whitened(person, whitening), template)
        self.maps_[subject] = SubjectMap(
            rotation, whitening, person.series.shape[1], tuple(sorted(runs))
        )
        return self

    def transform(self, subject: str, series: Any) -> Array:
        """Return a person's series, or patterns, in the common space.

        Parameters
        ----------
        subject : str
        series : array, shape (n, n_voxels)
            Taken as they are: a linear map, no centring.

        Returns
        -------
        array, shape (n, n_common)
        """
        of_person = self._map(subject)
        values = np.asarray(series, dtype=self.dtype)
        if values.ndim != 2 or values.shape[1] != of_person.n_voxels:
            raise DataError(
                f"series of shape {values.shape}, but the map of subject {subject!r} is for"
                f" {of_person.n_voxels} voxels",
                hint="sample the voxels that the map was fitted on, in their order",
            )
        common = of_person.forward(values)
        return common @ self.template_.finish if self.weighting else common

    def inverse_transform(self, subject: str, common: Any) -> Array:
        """Return what of a person's voxels the common space says.

        Parameters
        ----------
        subject : str
        common : array, shape (n, n_common)

        Returns
        -------
        array, shape (n, n_voxels)
        """
        of_person = self._map(subject)
        values = np.asarray(common, dtype=self.dtype)
        if values.ndim != 2 or values.shape[1] != self.template_.rank:
            raise DataError(
                f"an array of shape {values.shape}, but the template has {self.template_.rank}"
                " dimensions"
            )
        if self.weighting:
            values = values @ np.linalg.pinv(self.template_.finish)
        return of_person.backward(values)

    def known(self, runs: Runs) -> dict[str, Any]:
        """Return those of a person's runs that the template can be entered by."""
        rows = self._fitted().rows.slices()
        return {
            run: series for run, series in runs.items() if run in rows or not self.needs_shared_runs
        }

    def parameters(self) -> dict[str, Any]:
        """Return what the template is made with."""
        return {
            **{f"{name}_chosen": getattr(self, f"{name}_") for name in self.choices},
            **{name: getattr(self, name) for name in self.choices},
            "weighting": self.weighting,
            "center": self.center,
            "dtype": self.dtype,
        }

    def _choose(self, data: Subjects) -> None:
        """Set what is to be used: as given, or one after the other as inner runs have it."""
        trial = copy.copy(self)
        open_names = [name for name in self.choices if getattr(self, name) == AUTO]
        for name in open_names:
            setattr(trial, name, self.choices[name][0])
        for name in open_names:
            setattr(trial, name, choose(data, self.choices[name], trial._with(name)))
        for name in self.choices:
            setattr(self, f"{name}_", getattr(trial, name))

    def _with(self, name: str) -> Any:
        def make(value: Any) -> Hyperalignment:
            other = copy.copy(self)
            setattr(other, name, value)
            return other

        return make

    def _check(self, subject: str, runs: Runs) -> Mapping[str, Array]:
        return check_runs(subject, runs, dtype=self.dtype, center=self.center)

    def _gather(
        self, checked: Mapping[str, Mapping[str, Array]]
    ) -> tuple[Rows, dict[str, Person], dict[str, str]]:
        rows = self._rows(checked)
        known = rows.slices()
        people, left_out = {}, {}
        for subject, runs in checked.items():
            shared = {run: series for run, series in runs.items() if run in known}
            person = self._place(subject, shared, rows)
            reason = self._too_little(person)
            if reason:
                left_out[subject] = reason
            else:
                people[subject] = person
        if len(people) < MINIMUM_PEOPLE:
            reasons = "; ".join(f"{subject}: {why}" for subject, why in left_out.items())
            raise DataError(
                f"fewer than two people have enough data ({reasons})",
                hint="take more runs, or a lower rank",
            )
        return rows, people, left_out

    def _whiten(self, person: Person) -> Whitening | None:
        return None if self.shrinkage_ == 1 else fit_whitening(person.series, self.shrinkage_)

    def _fitted(self) -> Template:
        if not hasattr(self, "template_"):
            raise UsageError("there is no template yet", hint="call fit first")
        return self.template_

    def _map(self, subject: str) -> SubjectMap:
        self._fitted()
        if subject not in self.maps_:
            why = self.left_out_.get(subject)
            raise DataError(
                f"subject {subject!r} has no map" + (f": {why}" if why else ""),
                hint=None if why else "add the person with fit_subject",
            )
        return self.maps_[subject]

    def _rows(self, checked: Mapping[str, Mapping[str, Array]]) -> Rows:
        raise NotImplementedError

    def _place(self, subject: str, runs: Mapping[str, Array], rows: Rows) -> Person:
        raise NotImplementedError

    def _too_little(self, person: Person) -> str | None:
        if len(person.rows) < MINIMUM_VOLUMES:
            return f"{len(person.rows)} volumes, and {MINIMUM_VOLUMES} are needed"
        return None

    def _fit_group(
        self, people: list[Person], rows: Rows
    ) -> tuple[Array, list[Rotation], Array | None]:
        raise NotImplementedError

    def _fit_person(self, person: Person, template: Template) -> Rotation:
        raise NotImplementedError


def principal_weights(people: list[Person], rotations: list[Rotation]) -> Array:
    """Return the template's principal dimensions, each weighted by how reliable it is.

    A dimension's weight is the mean correlation of each person with the mean of the others, on the
    rows of the fit; one that people do not share has none.

    Parameters
    ----------
    people : list of Person
        As the rotations take them.
    rotations : list of Rotation

    Returns
    -------
    array, shape (n_dimensions, n_dimensions)
    """
    n_rows = max(int(person.rows.max()) for person in people) + 1
    common = [r.apply(person.series) for person, r in zip(people, rotations, strict=True)]
    shape = (n_rows, common[0].shape[1])
    rows = [person.rows for person in people]
    mean = mean_of_rows(zip(rows, common, strict=True), shape, common[0].dtype)
    _, vectors = np.linalg.eigh(mean.T @ mean)
    vectors = _signed(vectors[:, ::-1])
    count = np.bincount(np.concatenate(rows), minlength=n_rows).astype(mean.dtype)
    weights = np.zeros(shape[1])
    for where, series in zip(rows, common, strict=True):
        held = count[where] >= MINIMUM_PEOPLE
        at = where[held]
        own = series[held] @ vectors
        others = (mean[at] @ vectors * count[at, None] - own) / (count[at, None] - 1)
        size = np.sqrt((own**2).sum(axis=0) * (others**2).sum(axis=0))
        weights += (own * others).sum(axis=0) / np.where(size > 0, size, 1)
    weights = np.clip(weights / len(people), 0, 1)
    finish: Array = vectors * weights.astype(vectors.dtype)
    return finish


def _signed(vectors: Array) -> Array:
    # Of a vector and its mirror image, the one whose largest entry is positive.
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    signed: Array = vectors * np.where(largest < 0, -1, 1).astype(vectors.dtype)
    return signed


def _whitened(person: Person, whitening: Whitening | None) -> Person:
    if whitening is None:
        return person
    return Person(person.series @ whitening.forward, person.rows)
