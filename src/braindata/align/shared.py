"""What a group shares in a few dimensions, found in matrices as small as these are few.

The group's principal time courses by a randomised range finder: Halko et al. 2011,
doi:10.1137/090771806. The alternation is that of Chen et al. 2015 (NeurIPS 28), with the response
sought among these time courses.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from braindata.align.procrustes import Array, Person, polar

# Dimensions beyond those asked for, and passes over the data, of the range finder.
OVERSAMPLING = 10
POWER_ITERATIONS = 2


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
    times = principal_times(people, n_rows, rank, seed)
    bases, small = [], []
    for person in people:
        basis, triangle = linalg.qr(
            person.series.T @ times[person.rows], mode="economic", check_finite=False
        )
        bases.append(basis)
        small.append(triangle)
    shared = np.eye(times.shape[1], dtype=times.dtype)
    turns: list[Array] = []
    for _ in range(n_iter):
        turns = [polar(triangle @ shared)[0] for triangle in small]
        shared = sum(
            (triangle.T @ turn for triangle, turn in zip(small, turns, strict=True)),
            np.zeros_like(shared),
        ) / len(people)
    return [basis @ turn for basis, turn in zip(bases, turns, strict=True)]


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
