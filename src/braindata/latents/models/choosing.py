"""Choosing among options, for the models' loops."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def softmax(utilities: Floats, probabilities: Floats) -> None:
    """Write the probabilities of options whose log-odds are differences of `utilities`."""
    highest = utilities.max()
    total = 0.0
    for i in range(len(utilities)):
        probabilities[i] = np.exp(utilities[i] - highest)
        total += probabilities[i]
    for i in range(len(utilities)):
        probabilities[i] /= total


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def draw(probabilities: Floats, uniform: float) -> int:
    """Return the option that a number between 0 and 1 falls on."""
    cumulative = 0.0
    for i in range(len(probabilities) - 1):
        cumulative += probabilities[i]
        if uniform < cumulative:
            return i
    return len(probabilities) - 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def best_other(values: Floats, chosen: int) -> float:
    """Return the highest value among the options that were not chosen."""
    highest = -np.inf
    for i in range(len(values)):
        if i != chosen and values[i] > highest:
            highest = values[i]
    return highest
