"""How well people agree: the metrics by which alignments are compared, each with its chance.

None changes when the common space is rotated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.align.procrustes import Array
from braindata.errors import DataError

SEGMENT = 9
# The strength of the ridge in units of the mean variance of a dimension.
RIDGE = 1.0


@dataclass(frozen=True)
class Chance:
    """What a metric gives when there is nothing to find.

    Parameters
    ----------
    mean, std : float
        Over permutations.
    """

    mean: float
    std: float


def segment_similarities(one: Array, other: Array, length: int = SEGMENT) -> Array:
    """Return the cosine of each segment of one series with each of the other.

    Segments are all windows of `length` volumes, their dimensions side by side. Each dimension is
    centred over time and not scaled.

    Parameters
    ----------
    one, other : array, shape (n_volumes, n_dimensions)
    length : int

    Returns
    -------
    array, shape (n_segments, n_segments)

    Raises
    ------
    DataError
        There are so few segments that each overlaps all others.
    """
    n = len(one) - length + 1
    if n <= length or one.shape != other.shape:
        raise DataError(
            f"series of shapes {one.shape} and {other.shape} hold no segments of {length} volumes"
            " to tell apart"
        )
    one = one - one.mean(axis=0)
    other = other - other.mean(axis=0)
    product = one @ other.T
    total = product[:n, :n].copy()
    for lag in range(1, length):
        total += product[lag : lag + n, lag : lag + n]
    size = _segment_norms(one, length)[:, None] * _segment_norms(other, length)[None, :]
    found: Array = total / np.where(size > 0, size, 1)
    return found


def matching(similarities: Array, length: int = SEGMENT, shift: int = 0) -> float:
    """Return how often a segment's best match is the segment of the same time.

    Competitors that overlap the right one are left out. Ties are misses.

    Parameters
    ----------
    similarities : array, shape (n_segments, n_segments)
    length : int
        Of the segments.
    shift : int
        By how much the right answers are moved around, for what chance gives.

    Returns
    -------
    float
    """
    n = len(similarities)
    index = np.arange(n)
    right = (index + shift) % n
    at_right = similarities[index, right]
    beaten = similarities >= at_right[:, None]
    for lag in range(-length + 1, length):
        column = right + lag
        inside = (column >= 0) & (column < n)
        beaten[index[inside], column[inside]] = False
    return float((~beaten.any(axis=1)).mean())


def matching_chance(
    similarities: Array, length: int, n_permutations: int, rng: np.random.Generator
) -> Chance:
    """Return what `matching` gives when time is shifted by at least a segment.

    Parameters
    ----------
    similarities : array, shape (n_segments, n_segments)
    length, n_permutations : int
    rng : numpy Generator
    """
    n = len(similarities)
    shifts = rng.integers(min(length, n // 2), max(n - length, n // 2) + 1, n_permutations)
    return _chance([matching(similarities, length, int(shift)) for shift in shifts])


def prediction_r(predicted: Array, measured: Array, shift: int = 0) -> float:
    """Return the correlation over time of predicted and measured voxels, their mean.

    Parameters
    ----------
    predicted, measured : array, shape (n_volumes, n_voxels)
        A constant voxel counts as 0 when predicted, and not at all when measured.
    shift : int
        By how many volumes the prediction is moved around.

    Returns
    -------
    float
    """
    r = _standard(np.roll(predicted, shift, axis=0)) * _standard(measured)
    varies = np.ptp(measured, axis=0) > 0
    return float(r.sum(axis=0)[varies].mean()) if varies.any() else 0.0


def prediction_chance(
    predicted: Array, measured: Array, n_permutations: int, rng: np.random.Generator
) -> Chance:
    """Return what `prediction_r` gives when time is shifted."""
    n = len(predicted)
    shifts = rng.integers(min(SEGMENT, n // 2), max(n - SEGMENT, n // 2) + 1, n_permutations)
    return _chance([prediction_r(predicted, measured, int(shift)) for shift in shifts])


def decode(
    train: Array, train_labels: NDArray[np.str_], test: Array, test_labels: NDArray[np.str_]
) -> float:
    """Return the balanced accuracy of labels decoded from patterns by ridge regression.

    Parameters
    ----------
    train, test : array, shape (n_trials, n_dimensions)
        Each person's trials centred beforehand.
    train_labels, test_labels : array of str, shape (n_trials,)

    Returns
    -------
    float
    """
    return balanced_accuracy(test_labels, predict_labels(train, train_labels, test))


def predict_labels(train: Array, train_labels: NDArray[np.str_], test: Array) -> NDArray[np.str_]:
    """Return the labels of `test`, see `decode`."""
    names = np.unique(train_labels)
    wanted = (train_labels[:, None] == names[None, :]).astype(np.float64)
    wanted -= wanted.mean(axis=0)
    patterns = train.astype(np.float64)
    mean = patterns.mean(axis=0)
    patterns = patterns - mean
    # The dual form: trials are fewer than dimensions, and no dimension is scaled by itself.
    gram = patterns @ patterns.T
    strength = RIDGE * max(np.trace(gram) / len(gram), np.finfo(np.float64).tiny)
    dual = np.linalg.solve(gram + strength * np.eye(len(gram)), wanted)
    said = (test.astype(np.float64) - mean) @ (patterns.T @ dual)
    found: NDArray[np.str_] = names[said.argmax(axis=1)]
    return found


def balanced_accuracy(labels: NDArray[np.str_], predicted: NDArray[np.str_]) -> float:
    """Return the mean over labels of how many of their trials are right."""
    right = predicted == labels
    return float(np.mean([right[labels == name].mean() for name in np.unique(labels)]))


def decoding_chance(
    predicted: NDArray[np.str_],
    labels: NDArray[np.str_],
    n_permutations: int,
    rng: np.random.Generator,
) -> Chance:
    """Return the balanced accuracy when trials' labels are shuffled."""
    return _chance(
        [balanced_accuracy(rng.permutation(labels), predicted) for _ in range(n_permutations)]
    )


def _segment_norms(series: Array, length: int) -> Array:
    power = np.square(series, dtype=np.float64).sum(axis=1)
    edges = np.concatenate([[0.0], np.cumsum(power)])
    norms: Array = np.sqrt(np.maximum(edges[length:] - edges[:-length], 0)).astype(series.dtype)
    return norms


def _standard(series: Array) -> Array:
    centred = series - series.mean(axis=0)
    size = np.linalg.norm(centred, axis=0)
    unit: Array = centred / np.where(size > 0, size, 1)
    return unit


def _chance(values: list[float]) -> Chance:
    return Chance(float(np.mean(values)), float(np.std(values)))
