"""What a group shares in a few dimensions, found in matrices as small as these are few.

The group's principal time courses by a randomised range finder: Halko et al. 2011,
doi:10.1137/090771806. From there, the alternation of Chen et al. 2015 (NeurIPS 28), each round with
some of the last one's step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import linalg

from braindata.align.procrustes import Array, Person, mean_of_rows, polar_tall

# Dimensions beyond those asked for, and passes over the data, of the range finder.
OVERSAMPLING = 10
POWER_ITERATIONS = 2
# How much of its last step a round adds. Rounds creep where noise is strong: with this, twenty
# reach what takes forty without (16 people x 600 volumes x 500 voxels, 60 dimensions).
MOMENTUM = 0.8
# Rounds end when the response changes by less than this part of itself.
TOLERANCE = 1e-3
# Rounds after which a response that stands still is taken. Else two thirds of the others are done
# in WIDER times the dimensions: what people share is then less likely to be left outside (in three
# such simulations r was higher by .0002 to .0005).
QUICK = 4
WIDER = 1.5
WIDE_FROM = 10

Step = Callable[[Array], tuple[list[Array], Array]]


def shared_bases(
    people: list[Person], n_rows: int, rank: int, n_iter: int, seed: int
) -> list[Array]:
    """Return an orthonormal basis per person in which their responses agree.

    Parameters
    ----------
    people : list of Person
    n_rows, rank, n_iter : int
    seed : int
        Of the range finder.

    Returns
    -------
    list of array, shape (n_voxels, rank)
    """
    step = _step_together(people) if _alike(people, n_rows) else _step_apart(people, n_rows)
    wider = min(round(WIDER * rank), n_rows, *(p.series.shape[1] for p in people))
    if n_iter < WIDE_FROM or wider <= rank:
        return _rounds(step, principal_times(people, n_rows, rank, seed), n_iter).bases
    times = principal_times(people, n_rows, wider, seed)
    # Where the response is clear it stands still at once, and nothing is gained by more.
    quick = _rounds(step, np.ascontiguousarray(times[:, :rank]), QUICK)
    if quick.settled:
        return quick.bases
    first = (n_iter - QUICK) * 2 // 3
    mean = _rounds(step, times, first).mean
    _, vectors = np.linalg.eigh(mean.T @ mean)
    found = np.ascontiguousarray(mean @ vectors[:, ::-1][:, :rank])
    return _rounds(step, found, n_iter - QUICK - first).bases


class _Rounds(NamedTuple):
    """Everybody's basis after some rounds, the mean of people in them, and whether it settled."""

    bases: list[Array]
    mean: Array
    settled: bool


def _rounds(step: Step, response: Array, n_iter: int) -> _Rounds:
    """Go through rounds that begin with a response."""
    before: Array | None = None
    settled = False
    for _ in range(n_iter):
        bases, mean = step(response)
        if before is None:
            response = mean
        else:
            change = mean - before
            if np.linalg.norm(change) < TOLERANCE * np.linalg.norm(mean):
                settled = True
                break
            response = mean + MOMENTUM * change
        before = mean
    return _Rounds(bases, mean, settled)


def _alike(people: list[Person], n_rows: int) -> bool:
    return all(len(person.rows) == n_rows for person in people)


def _step_apart(people: list[Person], n_rows: int) -> Step:
    """Return a round: everybody's basis for a response, and the mean of the people in them."""

    def step(response: Array) -> tuple[list[Array], Array]:
        bases = [polar_tall(p.series.T @ response[p.rows]) for p in people]
        return bases, mean_response(people, bases, n_rows)

    return step


def _step_together(people: list[Person]) -> Step:
    """Return what `_step_apart` does for people with the same rows, all at once."""
    together = np.concatenate([person.series for person in people], axis=1)
    ends = np.cumsum([person.series.shape[1] for person in people])[:-1]

    def step(response: Array) -> tuple[list[Array], Array]:
        bases = [polar_tall(cross) for cross in np.split(together.T @ response, ends)]
        mean = together @ np.concatenate(bases)
        mean /= mean.dtype.type(len(people))
        return bases, mean

    return step


def mean_response(people: list[Person], bases: list[Array], n_rows: int) -> Array:
    """Return the mean of people in the common dimensions, shape (n_rows, rank)."""
    return mean_of_rows(
        ((p.rows, p.series @ basis) for p, basis in zip(people, bases, strict=True)),
        (n_rows, bases[0].shape[1]),
        bases[0].dtype,
    )


def principal_times(people: list[Person], n_rows: int, rank: int, seed: int) -> Array:
    """Return the group's first principal time courses, over all voxels of all people.

    Parameters
    ----------
    people : list of Person
    n_rows : int
    rank : int
    seed : int

    Returns
    -------
    array, shape (n_rows, rank)
        Orthonormal.
    """
    dtype = people[0].series.dtype
    width = min(rank + OVERSAMPLING, n_rows)
    rng = np.random.default_rng(seed)
    times = rng.standard_normal((n_rows, width)).astype(dtype)
    for _ in range(POWER_ITERATIONS):
        times = linalg.qr(_through(people, times), mode="economic", check_finite=False)[0]
    projected = [person.series.T @ times[person.rows] for person in people]
    gram = sum((part.T @ part for part in projected), np.zeros((width, width), dtype))
    _, vectors = linalg.eigh(gram, check_finite=False)
    found: Array = np.ascontiguousarray(times @ vectors[:, ::-1][:, :rank])
    return found


def _through(people: list[Person], times: Array) -> Array:
    total = np.zeros_like(times)
    for person in people:
        total[person.rows] += person.series @ (person.series.T @ times[person.rows])
    return total
