"""Mean and standard deviation over time of every stored voxel, made while the image is open.

One number each per voxel: from them come the temporal signal-to-noise ratio and where signal is
lost, of the brain, of any region, and as pictures, without the samples being read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    """What each voxel is like over time.

    Attributes
    ----------
    mean, sd : ndarray of float32, shape (n_voxels,)
        Mean and standard deviation (divided by the number of volumes) over the volumes in a steady
        state, in image units. Both are 0 where a voxel holds no data.
    """

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]

    @property
    def has_data(self) -> NDArray[np.bool_]:
        """Whether each voxel is finite throughout and changes."""
        changes: NDArray[np.bool_] = self.sd > 0
        return changes


class MomentSums:
    """Sums over volumes from which `Moments` are made, in one pass and with two numbers a voxel.

    Parameters
    ----------
    n_voxels : int
        Number of voxels.
    dtype : dtype
        Of their numbers.
    counted : sequence of bool, shape (n_volumes,)
        Which volumes count: those in a steady state.
    """

    def __init__(self, n_voxels: int, dtype: np.dtype[Any], counted: Sequence[bool]):
        # 16-bit integers and their differences are exact in float32; wider ones are not.
        narrow = dtype.itemsize <= 2 or dtype == np.dtype(np.float32)
        self._work = np.dtype(np.float32 if narrow else np.float64)
        self._first: NDArray[Any] | None = None
        self._sum = np.zeros(n_voxels)
        self._squares = np.zeros(n_voxels)
        self._n = 0
        self._counted = iter(counted)

    def add(self, volume: NDArray[Any]) -> None:
        """Take in the next volume, shape (n_voxels,), as the file holds it."""
        if not next(self._counted):
            return
        values = volume.astype(self._work)
        if self._first is None:
            self._first = values.copy()
        # About the first volume: the squares of raw intensities would swallow the fluctuations.
        with np.errstate(invalid="ignore", over="ignore"):
            values -= self._first
            self._sum += values
            np.multiply(values, values, out=values)
            self._squares += values
        self._n += 1

    def moments(self, slope: float, intercept: float) -> Moments:
        """Return the moments in image units.

        Parameters
        ----------
        slope, intercept : float
            From the numbers of the file to image units.
        """
        if self._first is None:
            nothing = np.zeros(len(self._sum), np.float32)
            return Moments(nothing, nothing)
        with np.errstate(invalid="ignore", over="ignore"):
            shift = self._sum / self._n
            variance = self._squares / self._n - shift**2
            mean = ((self._first + shift) * slope + intercept).astype(np.float32)
            sd = (np.sqrt(np.maximum(variance, 0)) * abs(slope)).astype(np.float32)
        good = np.isfinite(mean) & np.isfinite(sd) & (sd > 0)
        return Moments(np.where(good, mean, np.float32(0)), np.where(good, sd, np.float32(0)))
