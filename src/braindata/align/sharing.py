"""Whether people saw or heard the same at the same time, as far as their events say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

# Clocks and screens differ by less; people who answer at their own pace by more.
TOLERANCE = 0.25
TR_TOLERANCE = 1e-3
# The columns of events that say what was shown.
SHOWN = ("trial_type", "stim_file")


@dataclass(frozen=True)
class Shown:
    """What one person was shown in one run.

    Attributes
    ----------
    subject, name : str
        The person, and what the run is called in everybody.
    tr : float
        Repetition time in s.
    events : pandas.DataFrame or None
        `onset` in s, and those of `SHOWN` that are known; None where there are no events.
    """

    subject: str
    name: str
    tr: float
    events: pd.DataFrame | None


def why_not_shared(runs: Sequence[Shown]) -> str | None:
    """Return why people cannot be said to have been shown the same; None where they were.

    All people who have a run of a name must agree in when what was shown in it. In doubt they are
    not said to: aligned by time without a shared stimulus, people are aligned to noise.

    Parameters
    ----------
    runs : sequence of Shown
        What maps are to be fitted on.
    """
    named: dict[str, list[Shown]] = {}
    for run in sorted(runs, key=lambda one: (one.name, one.subject)):
        named.setdefault(run.name, []).append(run)
    several = {name: members for name, members in named.items() if len(members) > 1}
    if not several:
        return "no two people have a run of the same name"
    for name, members in several.items():
        first = members[0]
        for other in members:
            if other.events is None or not len(other.events):
                return f"{name} has no events in {other.subject}, which would say what was shown"
        for other in members[1:]:
            difference = _difference(first, other)
            if difference:
                return (
                    f"{name} is not the same in {first.subject} and {other.subject}: {difference}"
                )
    return None


def _difference(one: Shown, other: Shown) -> str | None:
    if abs(one.tr - other.tr) > TR_TOLERANCE:
        return f"repetition times of {one.tr:g} s and {other.tr:g} s"
    assert one.events is not None
    assert other.events is not None
    if len(one.events) != len(other.events):
        return f"{len(one.events)} and {len(other.events)} events"
    onsets = [_numbers(run.events) for run in (one, other)]
    if not np.isfinite(onsets).all():
        return "an onset is not known"
    apart = float(np.abs(onsets[0] - onsets[1]).max())
    if apart > TOLERANCE:
        return f"onsets are up to {apart:.2f} s apart"
    columns = [name for name in SHOWN if name in one.events and name in other.events]
    if not columns:
        return f"no column {' or '.join(SHOWN)} says what was shown"
    for name in columns:
        if one.events[name].astype(str).tolist() != other.events[name].astype(str).tolist():
            return f"other values of {name}"
    return None


def _numbers(events: pd.DataFrame | None) -> np.ndarray:
    assert events is not None
    return pd.to_numeric(events["onset"], errors="coerce").to_numpy(np.float64)
