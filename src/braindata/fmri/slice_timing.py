"""Slice timing: each slice of a run as it would have been seen at one moment of the volume.

In time as in space the interpolation is a cubic B-spline. Its prefilter has an impulse response
that falls by 0.268 from volume to volume, so that eight volumes on each side give it to 3e-5: the
run is streamed, however long it is. Linear interpolation would smooth each slice by another amount.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.fmri.images import FloatArray, Series, Volume

# Volumes on each side that take part.
_REACH = 8
_POLE = math.sqrt(3.0) - 2.0
_AXES = {"i": 0, "j": 1, "k": 2}
# Below this share of the repetition time, the slices were seen at the same time.
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class SliceTimes:
    """When the slices of a volume were acquired.

    Attributes
    ----------
    times : ndarray of float64, shape (n_slices,)
        In s from the start of the volume, in the order of the slices in the image.
    axis : int
        Along which axis of the image the slices are stacked.
    reference : float
        The moment in s to which they are corrected: the middle of the acquisition, as fMRIPrep
        has it; its ``StartTime``.
    """

    times: FloatArray
    axis: int
    reference: float


def slice_times(
    stated: object, direction: object, shape: tuple[int, int, int], tr: float
) -> SliceTimes | str:
    """Read the slice times of a sidecar.

    Parameters
    ----------
    stated : object
        Its ``SliceTiming``; None where it has none.
    direction : object
        Its ``SliceEncodingDirection``; None means ``k``.
    shape : tuple of int
        Voxels along each axis.
    tr : float
        Repetition time in s.

    Returns
    -------
    SliceTimes or str
        Why they are not corrected, when they are not: a wrong time is worse than none.
    """
    if stated is None or stated == []:
        return "the sidecars state no SliceTiming"
    if not isinstance(stated, Sequence) or isinstance(stated, str) or not all(map(_number, stated)):
        return "SliceTiming is no list of numbers"
    axis = _AXES.get(str(direction or "k")[0])
    if axis is None or str(direction or "k")[1:] not in ("", "-"):
        return f"SliceEncodingDirection is {direction}, not one of i, j, k"
    times = np.array(stated, np.float64)
    if len(times) != shape[axis]:
        return f"SliceTiming has {len(times)} times, the image {shape[axis]} slices"
    if times.min() < 0:
        return f"SliceTiming has a negative time, {times.min():g} s"
    if times.max() > tr:
        hint = ": are they in milliseconds?" if times.max() > 20 * tr else ""
        return f"SliceTiming has times up to {times.max():g} s in a TR of {tr:g} s{hint}"
    if np.ptp(times) < _NEGLIGIBLE * tr:
        return "all slices were acquired at once"
    if str(direction or "k").endswith("-"):
        times = times[::-1].copy()
    reference = round(float(times.min() + times.max()) / 2, 3)
    return SliceTimes(times, axis, reference)


def _number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # JSON has integers that no float holds.
        return False


@dataclass(frozen=True)
class CorrectedSeries:
    """A run whose slices are brought to one moment, read one volume at a time.

    Attributes
    ----------
    series : Series
        As acquired.
    slices : SliceTimes
        When its slices were acquired.
    tr : float
        Repetition time in s.
    skip : int
        How many first volumes are not in a steady state: they stay as they are and lend nothing
        to the others.
    """

    series: Series
    slices: SliceTimes
    tr: float
    skip: int

    @property
    def n_volumes(self) -> int:
        """Number of volumes."""
        return self.series.n_volumes

    def volumes(self) -> Iterator[Volume]:
        """Yield each volume as float32; beyond its ends the run is mirrored in a point.

        Raises
        ------
        DataError
            As `Series.volumes`.
        """
        shift = (self.slices.reference - self.slices.times) / self.tr
        shape = [1, 1, 1]
        shape[self.slices.axis] = len(shift)
        weights = [one.reshape(shape) for one in _weights(shift)]
        last = self.n_volumes - 1
        held: dict[int, Volume] = {}
        due = 0
        for number, volume in enumerate(self.series.volumes()):
            held[number] = volume
            while due <= last and (number == last or number >= due + _REACH):
                yield held[due] if due < self.skip else self._at(due, held, weights)
                due += 1
                held.pop(due - _REACH - 1, None)

    def _at(self, number: int, held: dict[int, Volume], weights: list[Volume]) -> Volume:
        shares: dict[int, Volume] = {}
        for offset, weight in zip(range(-_REACH, _REACH + 1), weights, strict=True):
            for where, factor in _beyond(number + offset, self.skip, self.n_volumes - 1):
                shares[where] = shares.get(where, np.float32(0)) + np.float32(factor) * weight
        result = np.zeros_like(held[number])
        for where in sorted(shares):
            result += shares[where] * held[where]
        return result


def _beyond(number: int, first: int, last: int) -> list[tuple[int, int]]:
    """Return which volumes, how many times each, make up one that may lie beyond a run's ends.

    Mirrored in the point at the end, so that a slope goes on: in a mirror alone it would turn, and
    the outermost volumes with it.
    """
    if first <= number <= last:
        return [(number, 1)]
    end = first if number < first else last
    if first == last:
        return [(end, 1)]
    within = _beyond(2 * end - number, first, last)
    return [(end, 2), *((where, -factor) for where, factor in within)]


def _weights(shift: FloatArray) -> NDArray[np.float32]:
    """Return what each volume around one contributes at `shift` volumes after it.

    Returns
    -------
    ndarray of float32, shape (2 * _REACH + 1, n_slices)
        The cardinal cubic spline at the distances (Unser 1999, doi:10.1109/79.799930).
    """
    steps = np.arange(-_REACH, _REACH + 1)
    # Impulse response of the prefilter, and the spline itself.
    inner = np.arange(-_REACH - 2, _REACH + 3)
    response = -6.0 * _POLE / (1.0 - _POLE**2) * _POLE ** np.abs(inner)
    distance = shift[None, None, :] - steps[:, None, None] - inner[None, :, None]
    weights = (response[None, :, None] * _cubic_spline(distance)).sum(axis=1)
    # What is cut off is shared out: a constant stays itself.
    normalised: NDArray[np.float32] = (weights / weights.sum(axis=0)).astype(np.float32)
    return normalised


def _cubic_spline(x: FloatArray) -> FloatArray:
    away = np.abs(x)
    near = 2.0 / 3.0 - away**2 + 0.5 * away**3
    far = np.maximum(2.0 - away, 0.0) ** 3 / 6.0
    return np.where(away < 1.0, near, far)
