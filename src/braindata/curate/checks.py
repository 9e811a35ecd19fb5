"""Our own checks beside the official validator: what is odd, but not fatal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braindata.bids.events import EventTimes

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# People answer within this time (s) where it is of use; medians beyond are in milliseconds.
LONGEST_RESPONSE = 60.0


def check_text(path: Path) -> list[str]:
    """Return what is odd in the bytes of a text file that is read all the same."""
    with path.open("rb") as handle:
        start = handle.read(4096)
    odd = []
    if start.startswith(BYTE_ORDER_MARK):
        odd.append(f"{path.name} begins with a byte-order mark")
    if b"\r" in start:
        odd.append(f"{path.name} has line ends of Windows or of an old Mac")
    return odd


def check_events(events: EventTimes, name: str, end: float, tr: float) -> list[str]:
    """Return what is odd in the events of a run.

    Parameters
    ----------
    events : EventTimes
        As `read_event_times` returns them.
    name : str
        Name of the file.
    end : float
        End of the run in s.
    tr : float
        Its repetition time in s.
    """
    onsets, durations = events.onset, events.duration
    n_events = len(onsets)
    odd = []
    beyond = int((onsets >= end).sum())
    if beyond:
        odd.append(f"{beyond} of {n_events} events start after the end of the run at {end:g} s")
    # A comparison with what is missing is false: such an event lasts no longer than its onset.
    over = int(((onsets < end) & (onsets + durations > end + tr)).sum())
    if over:
        odd.append(f"{_events(over)} last{'s' if over == 1 else ''} longer than the run")
    before = int((onsets < 0).sum())
    if before:
        odd.append(f"{_events(before)} start{'s' if before == 1 else ''} before the run")
    negative = int((durations < 0).sum())
    if negative:
        odd.append(f"{_events(negative)} {'has' if negative == 1 else 'have'} a negative duration")
    doubles = events.n_doubles
    if doubles:
        odd.append(f"{_events(doubles)} {'is' if doubles == 1 else 'are'} there twice")
    at_once = n_events - len(np.unique(onsets)) - doubles
    if at_once > 0:
        odd.append(f"{_events(at_once)} share{'s' if at_once == 1 else ''} an onset with another")
    if (np.diff(onsets) < 0).any():
        odd.append("the events are not in the order of their onsets")
    for column, longest in (("response_time", LONGEST_RESPONSE), ("duration", end)):
        values: NDArray[np.float64] | None = getattr(events, column)
        positive = np.empty(0) if values is None else values[values > 0]
        median = float(np.median(positive)) if len(positive) else 0.0
        if median > longest:
            odd.append(f"{column} has a median of {median:g} s: is it in milliseconds?")
    return [f"{name}: {one}" for one in odd]


def same_bytes(sha256: Mapping[str, str], paths: Iterable[str]) -> dict[str, list[str]]:
    """Return, for each path, the other paths whose files hold the same bytes, where there are any.

    Parameters
    ----------
    sha256 : mapping of str to str
        Hash of each file; empty where its contents are not there.
    paths : iterable of str
        The files to compare.
    """
    by_hash: dict[str, list[str]] = {}
    for path in sorted(paths):
        if sha256.get(path):
            by_hash.setdefault(sha256[path], []).append(path)
    return {
        path: [other for other in group if other != path]
        for group in by_hash.values()
        if len(group) > 1
        for path in group
    }


def _events(number: int) -> str:
    return f"{number} event{'' if number == 1 else 's'}"
