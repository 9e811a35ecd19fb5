"""What can be said of channels before anything is done to them: units, flat and saturated ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braindata.errors import DataError

Floats = NDArray[np.float64]

# What a channel varies within a second (standard deviation, V): in EEG some 1e-6 to 1e-4, with
# bad electrodes 1e-3. Outside of these the unit is not V.
AMPLITUDES = (2e-8, 5e-3)
# Below this a channel is flat (V): the noise of the best amplifiers is ten times as much.
FLAT = 5e-9
# A channel is saturated when it is at its largest or smallest value for this share of the time.
MAX_AT_RAIL = 0.01


def unusable_channels(
    data: Floats, names: Sequence[str], sfreq: float, path: Path | None = None
) -> dict[str, str]:
    """Find channels that hold no signal, and check that the others are in V.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        As it was recorded, in V.
    names : sequence of str
        Names of the channels.
    sfreq : float
        Samples per second.
    path : Path, optional
        The recording.

    Returns
    -------
    dict of str to str
        Why, by name: `not finite`, `flat` or `saturated`.

    Raises
    ------
    DataError
        When no channel holds a signal, or their amplitudes are no potentials in V.
    """
    bad: dict[str, str] = {}
    amplitude = {}
    for name, values in zip(names, data, strict=True):
        if not np.isfinite(values).all():
            bad[name] = "not finite"
            continue
        spread = _spread(values, sfreq)
        if spread < FLAT and np.ptp(values) < 1e3 * FLAT:
            bad[name] = "flat"
        elif _is_saturated(values):
            bad[name] = "saturated"
        else:
            amplitude[name] = spread
    if not amplitude:
        kinds = ", ".join(f"{n} {kind}" for kind, n in _counts(bad).items())
        # A recording in kV, stored as V, is flat too.
        raise DataError(
            f"none of its {len(names)} channels holds a signal ({kinds})",
            file=path,
            hint="was the amplifier off, or is the unit of the channels wrong?",
        )
    typical = float(np.median(list(amplitude.values())))
    if not AMPLITUDES[0] <= typical <= AMPLITUDES[1]:
        raise DataError(
            f"its channels vary by {typical:.2g} V within a second, which EEG does not",
            file=path,
            hint="is the unit of the channels wrong, by 1e6 or 1e3? correct the header",
        )
    return bad


def _spread(values: Floats, sfreq: float) -> float:
    """Return the median over seconds of the standard deviation within a second."""
    n = max(2, round(sfreq))
    if len(values) < n:
        return float(values.std())
    seconds = values[: len(values) // n * n].reshape(-1, n)
    return float(np.median(seconds.std(axis=1)))


def _is_saturated(values: Floats) -> bool:
    at_rail = max((values == rail).mean() for rail in (values.min(), values.max()))
    return bool(at_rail > MAX_AT_RAIL)


def _counts(bad: dict[str, str]) -> dict[str, int]:
    kinds = sorted(set(bad.values()))
    return {kind: sum(one == kind for one in bad.values()) for kind in kinds}
