"""One group of regions: who can be aligned, the templates, and scores nested over people."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from braindata.align.base import AUTO, Hyperalignment
from braindata.align.connectivity import ConnectivityHyperalignment
from braindata.align.evaluation import MATCHING, PREDICTION, Score, decode_subject, score_subject
from braindata.align.parameters import AlignSettings
from braindata.align.parcels import Piecewise
from braindata.align.procrustes import Array
from braindata.align.response import ResponseHyperalignment
from braindata.align.runs import MINIMUM_PEOPLE, Subjects, check_runs, connected
from braindata.align.srm import DeterministicSRM
from braindata.errors import DataError

Kind = Literal["procrustes", "srm", "connectivity"]
# With more people than this, they are left out in as many folds as below rather than one by one.
ONE_BY_ONE = 20
N_FOLDS = 10

TOO_FEW = "alignment needs at least two people whose data allow it"
NO_OTHERS = "without the person, fewer than two people are left to make a template"


@dataclass(frozen=True)
class Fitted:
    """What became of a group.

    Attributes
    ----------
    model : Piecewise or None
        None when nobody could be aligned.
    left_out : dict of str to str
        Everybody who is not aligned, and why.
    """

    model: Piecewise | None
    left_out: dict[str, str]

    @property
    def aligned(self) -> list[str]:
        """The people who have a map, sorted."""
        return [] if self.model is None else list(self.model.maps_)


def estimator(kind: Kind, settings: AlignSettings, parcellation: str) -> Hyperalignment:
    """Return the unfitted estimator of one parcel.

    Parameters
    ----------
    kind : {'procrustes', 'srm', 'connectivity'}
        Of `connectivity`, runs are connectomes.
    settings : AlignSettings
    parcellation : str
        Hash of the parcel's voxels.
    """
    shrinkage, prior, weighting = settings.shrinkage, settings.prior, settings.weighting
    seed = settings.seed
    if kind == "srm":
        return DeterministicSRM(
            settings.rank,
            shrinkage=shrinkage,
            prior=prior,
            weighting=weighting,
            seed=seed,
            parcellation=parcellation,
        )
    if kind == "procrustes":
        return ResponseHyperalignment(
            shrinkage=shrinkage,
            prior=prior,
            weighting=weighting,
            seed=seed,
            parcellation=parcellation,
        )
    # Nothing is chosen by comparing people in time who share none.
    defaults = AlignSettings()
    return ConnectivityHyperalignment(
        precomputed=True,
        shrinkage=defaults.shrinkage if shrinkage == AUTO else shrinkage,
        prior=defaults.prior if prior == AUTO else prior,
        weighting=weighting,
        seed=seed,
        parcellation=parcellation,
    )


def fit_group(
    make: Callable[[], Piecewise],
    fit: Subjects,
    labels: NDArray[np.int64],
    members: Collection[str] = (),
    *,
    shared: bool,
) -> Fitted:
    """Fit a group's templates, and the maps of all whose data allow it.

    Parameters
    ----------
    make : callable
        Returns an unfitted `Piecewise` over `labels`.
    fit : mapping of subject to mapping of run to array, shape (time, voxels)
        What maps are fitted on; somebody may have nothing.
    labels : array of int, shape (n_voxels,)
        Parcel of each voxel.
    members : collection of str
        From whom the templates are made; the others enter them as they are. Empty: from all.
    shared : bool
        Whether rows are matched by run: people must share some.

    Returns
    -------
    Fitted
    """
    left_out = {
        subject: reason
        for subject in sorted(fit)
        if (reason := _unfit(subject, fit[subject], labels, center=shared))
    }
    usable = {subject: fit[subject] for subject in sorted(fit) if subject not in left_out}
    if shared:
        runs = {subject: set(own) for subject, own in usable.items()}
        groups = connected(runs)
        largest = max(groups, key=lambda group: (len(group), -_place(group, usable)), default=set())
        for subject in sorted(set(usable) - largest):
            left_out[subject] = "no run in common with the other people"
            del usable[subject]
    chosen = {s: runs for s, runs in usable.items() if not members or s in members}
    if len(chosen) < MINIMUM_PEOPLE:
        return Fitted(None, left_out | dict.fromkeys(usable, TOO_FEW))
    try:
        model = make().fit(chosen)
    except DataError as error:
        return Fitted(None, left_out | dict.fromkeys(usable, error.problem))
    left_out |= model.left_out_
    left_out |= _enter(model, usable, set(usable) - set(chosen))
    return Fitted(model, left_out)


def score_group(
    make: Callable[[], Piecewise],
    fit: Subjects,
    aligned: Sequence[str],
    members: Collection[str] = (),
    *,
    score: Subjects,
    patterns: Mapping[str, Mapping[str, Array]],
    labels: Mapping[str, Mapping[str, NDArray[np.str_]]],
    fold: Sequence[str],
    metrics: Sequence[str] = (MATCHING, PREDICTION),
    n_permutations: int = 100,
    seed: int = 0,
) -> list[Score]:
    """Score each aligned person by templates of which the person is no part.

    With up to `ONE_BY_ONE` people each is left out alone, else in one of `N_FOLDS` folds; who is
    left out enters by `fit_subject`, on what maps are fitted on and never on what is scored.

    Parameters
    ----------
    make, fit, members
        As for `fit_group`.
    aligned : sequence of str
        Who is scored.
    score : mapping of subject to mapping of run to array, shape (time, voxels)
        Runs that people share and that nothing was fitted on.
    patterns : mapping of subject to mapping of run to array, shape (n_trials, n_voxels)
        Response estimates; of runs beside `fold`, only for the ceiling.
    labels : mapping of subject to mapping of run to array of str, shape (n_trials,)
    fold : sequence of str
        The runs that are scored.
    metrics : sequence of str
        Of `score`.
    n_permutations, seed : int

    Returns
    -------
    list of Score
    """
    rng = np.random.default_rng(seed)
    scores: list[Score] = []
    for left in _folds(sorted(aligned)):
        model = _template_without(make, fit, aligned, members, left)
        for subject in left:
            entered: Piecewise | str
            if isinstance(model, str) or subject in model.maps_:
                entered = model
            else:
                entered = "the person cannot enter the others' template"
            scores += score_subject(
                entered, score, subject, fold, rng, n_permutations=n_permutations, metrics=metrics
            )
            if subject in patterns:
                scores.append(
                    decode_subject(
                        entered,
                        patterns,
                        labels,
                        subject,
                        fold,
                        rng,
                        n_permutations=n_permutations,
                    )
                )
    return scores


def _template_without(
    make: Callable[[], Piecewise],
    fit: Subjects,
    aligned: Sequence[str],
    members: Collection[str],
    left: Sequence[str],
) -> Piecewise | str:
    base = [s for s in sorted(aligned) if s not in left and (not members or s in members)]
    if len(base) < MINIMUM_PEOPLE:
        return NO_OTHERS
    try:
        model = make().fit({subject: fit[subject] for subject in base})
    except DataError as error:
        return error.problem
    _enter(model, fit, set(aligned) - set(base))
    return model


def _enter(model: Piecewise, fit: Subjects, subjects: Collection[str]) -> dict[str, str]:
    refused = {}
    for subject in sorted(subjects):
        try:
            model.fit_subject(subject, model.known(fit[subject]))
        except DataError as error:
            refused[subject] = error.problem
    return refused


def _folds(people: list[str]) -> Iterator[list[str]]:
    n = len(people) if len(people) <= ONE_BY_ONE else N_FOLDS
    for number in range(n):
        yield people[number::n]


def _unfit(
    subject: str, runs: Mapping[str, Array], labels: NDArray[np.int64], *, center: bool
) -> str | None:
    if not runs:
        return "no recording that maps are fitted on can be used"
    try:
        for label in np.unique(labels[labels > 0]):
            part = {run: series[:, labels == label] for run, series in runs.items()}
            check_runs(subject, part, dtype="float32", center=center)
    except DataError as error:
        return error.problem
    return None


def _place(group: set[str], people: Mapping[str, object]) -> int:
    return min(list(people).index(subject) for subject in group)
