"""One event in two recordings: fMRI and EEG that were recorded at the same time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# s: a trigger's jitter and a sample of either recording, less than the time between two events.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Partner:
    """The recording of the other modality.

    Attributes
    ----------
    recording : str
        Its name.
    onsets : ndarray, shape (n_events,)
        Of its events in s, in the order of their file; NaN where one is not known.
    """

    recording: str
    onsets: Floats


def shared_events(
    recording: str, onsets: Floats, partner: Partner | None = None
) -> tuple[list[str], list[int]]:
    """Say by which recording and row each event is known in both modalities.

    Of two recordings the first by name gives an event its name: both come to the same. Events are
    paired in the order of time, each once, where their onsets agree to `TOLERANCE`.

    Parameters
    ----------
    recording : str
        Name of the recording.
    onsets : ndarray, shape (n_events,)
        Of its events in s, in the order of their file; NaN where one is not known.
    partner : Partner, optional
        What was recorded at the same time.

    Returns
    -------
    recordings : list of str, length n_events
        The recording that an event is known by: its own where the other has no such event.
    rows : list of int, length n_events
        Its row in the events file of that recording, from 0.
    """
    names, rows = [recording] * len(onsets), list(range(len(onsets)))
    if partner is None or recording < partner.recording:
        return names, rows
    for own, other in _paired(onsets, partner.onsets):
        names[own], rows[own] = partner.recording, other
    return names, rows


def _paired(one: Floats, other: Floats) -> list[tuple[int, int]]:
    # NaN sorts last and agrees with nothing.
    first, second = (np.argsort(onsets, kind="stable") for onsets in (one, other))
    pairs = []
    i = j = 0
    while i < len(first) and j < len(second):
        distance = one[first[i]] - other[second[j]]
        if np.isnan(distance):
            break
        if abs(distance) <= TOLERANCE:
            pairs.append((int(first[i]), int(second[j])))
            i, j = i + 1, j + 1
        elif distance < 0:
            i += 1
        else:
            j += 1
    return pairs
