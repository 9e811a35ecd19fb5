"""Choosing a setting on inner runs alone: fitted on some, scored on those left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from braindata.align.procrustes import Array
from braindata.align.runs import Subjects
from braindata.align.scores import SEGMENT, matching, segment_similarities
from braindata.errors import DataError

if TYPE_CHECKING:
    # It chooses its own settings by what is here.
    from braindata.align.base import Hyperalignment

Choice = TypeVar("Choice")
# More inner folds cost more than they tell.
LARGEST_FOLDS = 4


def choose(
    data: Subjects,
    candidates: Sequence[Choice],
    make: Callable[[Choice], Hyperalignment],
) -> Choice:
    """Return the candidate whose held-out inner runs match best between people.

    Parameters
    ----------
    data : mapping of subject to mapping of run to array, shape (time, voxels)
        What may be fitted on. One run alone is halved.
    candidates : sequence
        Of equal scores the first wins: simplest first.
    make : callable
        From a candidate to an unfitted estimator.

    Raises
    ------
    DataError
        No candidate could be fitted and scored.
    """
    scores: list[tuple[float, int]] = []
    refused: list[str] = []
    folds = list(inner_folds(data))
    scored = [
        len(series) for _, score in folds for runs in score.values() for series in runs.values()
    ]
    # Short runs hold few segments: as long ones as leave several to tell apart.
    length = max(1, min(SEGMENT, min(scored, default=0) // 5))
    for number, candidate in enumerate(candidates):
        try:
            found = [
                held_out_matching(make(candidate).fit(fit), score, length) for fit, score in folds
            ]
        except DataError as error:
            refused.append(f"{candidate}: {error.problem}")
            continue
        if found:
            scores.append((float(np.mean(found)), -number))
    if not scores:
        raise DataError(
            f"no setting can be chosen on inner runs ({'; '.join(refused) or 'none was given'})",
            hint="give the setting, or more runs",
        )
    return candidates[-max(scores)[1]]


def inner_folds(data: Subjects) -> Iterator[tuple[Subjects, Subjects]]:
    """Yield what to fit on and what to score, run by run, or half by half of the only one.

    Parameters
    ----------
    data : mapping of subject to mapping of run to array
    """
    runs = sorted({run for person in data.values() for run in person})
    if len(runs) == 1:
        data = halved(data, runs[0])
        runs = sorted({run for person in data.values() for run in person})
    groups: list[list[str]] = [
        list(part) for part in np.array_split(np.array(runs), min(len(runs), LARGEST_FOLDS))
    ]
    for group in groups:
        fit = {s: {r: x for r, x in p.items() if r not in group} for s, p in data.items()}
        score = {s: {r: x for r, x in p.items() if r in group} for s, p in data.items()}
        yield {s: p for s, p in fit.items() if p}, score


def halved(data: Subjects, run: str) -> dict[str, dict[str, Any]]:
    """Return data whose one run is cut in two, at the same volume for everybody."""
    cut = sorted(len(person[run]) for person in data.values())[-1] // 2
    parts = {
        subject: {f"{run}:1": person[run][:cut], f"{run}:2": person[run][cut:]}
        for subject, person in data.items()
    }
    return {s: {r: x for r, x in p.items() if len(x)} for s, p in parts.items()}


def held_out_matching(model: Hyperalignment, data: Subjects, length: int = SEGMENT) -> float:
    """Return the time-segment matching of each member with the mean of the others, their mean.

    Parameters
    ----------
    model : Hyperalignment
        Fitted on other runs.
    data : mapping of subject to mapping of run to array
    length : int
    """
    found = []
    for run in sorted({run for person in data.values() for run in person}):
        common = {
            subject: model.transform(subject, person[run])
            for subject, person in data.items()
            if run in person and subject in model.maps_
        }
        if len(common) < 2:
            continue
        found += [
            matching(segment_similarities(*of_equal_length(common, subject), length), length)
            for subject in common
        ]
    if not found:
        raise DataError("no two people share a run to score")
    return float(np.mean(found))


def of_equal_length(common: Mapping[str, Array], subject: str) -> tuple[Array, Array]:
    """Return one person's series and the mean of the others', as long as all of them are.

    Parameters
    ----------
    common : mapping of subject to array, shape (time, n_common)
    subject : str
    """
    n = min(len(series) for series in common.values())
    others = [series[:n] for name, series in sorted(common.items()) if name != subject]
    return common[subject][:n], sum(others[1:], others[0]) / len(others)
