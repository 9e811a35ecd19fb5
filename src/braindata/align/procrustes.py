"""Orthogonal Procrustes problems: one person to a target, and many people to their mean.

Schönemann 1966, doi:10.1007/BF02289451; generalised: Gower 1975, doi:10.1007/BF02291478;
hyperalignment: Haxby et al. 2011, doi:10.1016/j.neuron.2011.08.026.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[Any]

# Singular values below this many roundings of the largest one are zeros, as those of centred
# series are that have fewer volumes than voxels.
ROUNDINGS = 10
# The smallest eigenvalue of a squared matrix, in parts of the largest, whose root can be trusted.
SQUARED = 1e-8


@dataclass(frozen=True)
class Person:
    """One person's series, and which rows of the template they are.

    Parameters
    ----------
    series : array, shape (n_rows_of_person, n_voxels)
        Centred within runs.
    rows : array of int, shape (n_rows_of_person,)
        The template's row of each.
    """

    series: Array
    rows: NDArray[np.intp]


@dataclass(frozen=True)
class Rotation:
    """An orthogonal map from voxels to the common dimensions, as factors, and its scaling.

    Parameters
    ----------
    factors : tuple of array
        Their product has shape (n_voxels, n_dimensions).
    scale : float
        The map is `scale` times the product.
    """

    factors: tuple[Array, ...]
    scale: float = 1.0

    def apply(self, series: Array) -> Array:
        """Return the common dimensions of `series`, shape (n, n_voxels)."""
        for factor in self.factors:
            series = series @ factor
        return series if self.scale == 1 else series * series.dtype.type(self.scale)


def polar(cross: Array, *, reflection: bool = True) -> tuple[Array, float]:
    """Return the orthogonal factor of a matrix, and the sum of its singular values.

    Directions that the matrix does not hold (its null space) are left out: for a matrix without
    full rank the factor is a partial isometry, and nothing arbitrary is added.

    Parameters
    ----------
    cross : array, shape (m, n)
    reflection : bool
        Whether the factor of a square matrix may mirror (determinant -1).

    Returns
    -------
    factor : array, shape (m, n)
    total : float
    """
    try:
        left, values, right = linalg.svd(cross, full_matrices=False, check_finite=False)
    except linalg.LinAlgError:
        # Divide and conquer fails on rare matrices; the QR iteration does not.
        left, values, right = linalg.svd(
            cross, full_matrices=False, check_finite=False, lapack_driver="gesvd"
        )
    held = values > ROUNDINGS * np.finfo(cross.dtype).eps * values[0]
    if not held.all():
        left, values, right = left[:, held], values[held], right[held]
    elif not reflection and left.shape == right.shape and _mirrors(left, right):
        left[:, -1] *= -1
        values[-1] *= -1
    return left @ right, float(values.sum(dtype=np.float64))


def polar_tall(cross: Array) -> Array:
    """Return the orthogonal factor of a matrix with few columns, by a decomposition of their size.

    Parameters
    ----------
    cross : array, shape (m, n)
        Of m well above n.

    Returns
    -------
    array, shape (m, n)
        See `polar`, which is used where columns are nearly dependent.
    """
    wide = cross.astype(np.float64)
    values, vectors = np.linalg.eigh(wide.T @ wide)
    if values[0] <= SQUARED * values[-1]:
        return polar(cross)[0]
    found: Array = cross @ ((vectors / np.sqrt(values)) @ vectors.T).astype(cross.dtype)
    return found


def fit_rotation(
    series: Array,
    target: Array,
    *,
    scaling: bool = False,
    reflection: bool = True,
    prior: float = 0.0,
    anchor: Array | None = None,
) -> Rotation:
    """Return the rotation that brings `series` nearest to `target` in squared error.

    Parameters
    ----------
    series : array, shape (n, n_voxels)
    target : array, shape (n, n_dimensions)
    scaling, reflection : bool
        Whether the map may scale, and mirror.
    prior : float
        How much the map is drawn to `anchor`, in units of the mean singular value of what the data
        say: at 1 the anchor has the weight of the data.
    anchor : array, shape (n_voxels, n_dimensions), optional
        The map to expect before any data; None is the identity, each voxel its own dimension.

    Returns
    -------
    Rotation
    """
    n, n_voxels = series.shape
    if n < min(n_voxels, target.shape[1]) and prior == 0:
        # Both lie in n dimensions: the decomposition is of an n by n matrix.
        basis, weights = linalg.qr(series.T, mode="economic", check_finite=False)
        to, target_weights = linalg.qr(target.T, mode="economic", check_finite=False)
        small, total = polar(weights @ target_weights.T, reflection=reflection)
        factors: tuple[Array, ...] = (basis @ small, np.ascontiguousarray(to.T))
    else:
        cross = series.T @ target
        if prior:
            cross = _anchored(cross, prior, anchor)
        factor, total = polar(cross, reflection=reflection)
        factors = (factor,)
    return Rotation(factors, _scale(total, series) if scaling else 1.0)


def generalised(
    people: Sequence[Person],
    start: Array,
    *,
    n_iter: int,
    scaling: bool = False,
    reflection: bool = True,
    prior: float = 0.0,
) -> tuple[Array, list[Rotation]]:
    """Rotate all people to their mean, `n_iter` times over.

    Each round fits everybody to the mean of the round before. With fewer rows than voxels the
    rounds are done in the space of the rows: each person is decomposed once, before the first.

    Parameters
    ----------
    people : sequence of Person
    start : array, shape (n_rows, n_dimensions)
        The mean to begin with.
    n_iter : int
        Rounds.
    scaling, reflection, prior
        See `fit_rotation`.

    Returns
    -------
    template : array, shape (n_rows, n_dimensions)
        The mean of the rotated people.
    rotations : list of Rotation
        One per person.
    """
    n_rows, n_dimensions = start.shape
    smallest = min(person.series.shape[1] for person in people)
    if n_rows < min(n_dimensions, smallest) and prior == 0:
        return _generalised_thin(people, start, n_iter, scaling, reflection)
    template = start
    rotations: list[Rotation] = []
    for _ in range(n_iter):
        rotations = [
            fit_rotation(
                person.series,
                template if len(person.rows) == n_rows else template[person.rows],
                scaling=scaling,
                reflection=reflection,
                prior=prior,
            )
            for person in people
        ]
        template = mean_of_rows(
            ((p.rows, r.apply(p.series)) for p, r in zip(people, rotations, strict=True)),
            (n_rows, n_dimensions),
            start.dtype,
        )
    return template, rotations


def _generalised_thin(
    people: Sequence[Person], start: Array, n_iter: int, scaling: bool, reflection: bool
) -> tuple[Array, list[Rotation]]:
    # The template never leaves the span of its first rows, since each map ends in it.
    to, weights = linalg.qr(start.T, mode="economic", check_finite=False)
    template = np.ascontiguousarray(weights.T)
    bases, own = [], []
    for person in people:
        basis, triangle = linalg.qr(person.series.T, mode="economic", check_finite=False)
        bases.append(basis)
        own.append(triangle)
    found: list[tuple[Array, float]] = []
    for _ in range(n_iter):
        found = [
            polar(triangle @ template[person.rows], reflection=reflection)
            for person, triangle in zip(people, own, strict=True)
        ]
        scales = [
            _scale(total, triangle) if scaling else 1.0
            for (_, total), triangle in zip(found, own, strict=True)
        ]
        template = mean_of_rows(
            (
                (person.rows, Rotation((small,), scale).apply(triangle.T))
                for person, (small, _), triangle, scale in zip(
                    people, found, own, scales, strict=True
                )
            ),
            template.shape,
            start.dtype,
        )
    end = np.ascontiguousarray(to.T)
    rotations = [
        Rotation((basis @ small, end), scale)
        for basis, (small, _), scale in zip(bases, found, scales, strict=True)
    ]
    return template @ end, rotations


def mean_of_rows(parts: Any, shape: tuple[int, int], dtype: Any) -> Array:
    """Return the mean over people of rows, each row over those who have it.

    Parameters
    ----------
    parts : iterable of (rows, values)
        One per person; consumed one by one, so that one is in memory at a time.
    shape : (n_rows, n_dimensions)
    dtype : dtype
    """
    total = np.zeros(shape, dtype)
    count = np.zeros(shape[0], np.int64)
    for rows, values in parts:
        if len(rows) == shape[0]:
            total += values
        else:
            total[rows] += values
        count[rows] += 1
    total /= np.maximum(count, 1)[:, None].astype(dtype)
    return total


def _mirrors(left: Array, right: Array) -> bool:
    return bool(np.linalg.slogdet(left)[0] * np.linalg.slogdet(right)[0] < 0)


def _anchored(cross: Array, prior: float, anchor: Array | None) -> Array:
    strength = prior * linalg.svdvals(cross, check_finite=False).mean()
    towards = np.eye(*cross.shape, dtype=cross.dtype) if anchor is None else anchor
    found: Array = (cross + strength * towards).astype(cross.dtype)
    return found


def _scale(total: float, series: Array) -> float:
    return total / float(np.square(series, dtype=np.float64).sum())
