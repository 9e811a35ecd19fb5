"""Which regions and recordings have evidence that they say what they are taken to say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from braindata.errors import UsageError, nearest

if TYPE_CHECKING:
    from braindata.tables.reading import Tables

# A data set and a task: what evidence is of.
Place = tuple[str, str | None]
Recording = tuple[str, str]


def with_evidence(
    tables: Tables, regions: Sequence[str], evidence: float | Mapping[str, float]
) -> tuple[tuple[str, ...], set[Recording]]:
    """Return those regions whose processes have evidence, and the recordings in which they do.

    Evidence belongs to a process in a data set and task. A region has it there if it takes part in
    a process whose `evidence_r` exceeds what is asked for. The recordings are those with `signals`
    in the data sets and tasks in which every one of these regions has it.

    Parameters
    ----------
    tables : Tables
        The release.
    regions : sequence of str
        Names of regions.
    evidence : float or mapping of str to float
        What `evidence_r` of a process must exceed: of any process, or by process; then one of
        these is enough.

    Returns
    -------
    regions : tuple of str
        Those that have evidence somewhere, in the given order.
    recordings : set of (str, str)
        Data set and recording.

    Raises
    ------
    UsageError
        When there is no such process, nothing was ever compared, or no region or no recording is
        left.
    """
    found = _processes(tables)
    least = _least(evidence, sorted({process for _, process in found}))
    taking_part = _taking_part(tables)
    having: dict[str, set[Place]] = {}
    for (place, process), one in found.items():
        if process in least and one.r is not None and one.r > least[process]:
            for region in taking_part.get((place, process), ()):
                having.setdefault(region, set()).add(place)
    kept = tuple(region for region in regions if region in having)
    if not kept:
        raise UsageError(
            f"none of the regions {', '.join(regions)} takes part in a process whose evidence_r "
            f"exceeds what is asked for ({_asked(evidence)})",
            hint=_what_there_is(found, least, taking_part, regions),
        )
    places = set.intersection(*(having[region] for region in kept))
    if not places:
        listed = "; ".join(
            f"{region}: {', '.join(sorted(map(_told, having[region])))}" for region in kept
        )
        raise UsageError(
            f"in no data set and task there is evidence of all of {', '.join(kept)}",
            hint=f"name regions that have it together ({listed})",
        )
    recordings = {
        recording
        for (place, process), one in found.items()
        if place in places and process in least
        for recording in one.recordings
    }
    return kept, recordings


class _Found:
    """Evidence of one process in one data set and task."""

    def __init__(self, r: float | None, reason: str | None):
        self.r, self.reason = r, reason
        self.recordings: set[Recording] = set()


def _processes(tables: Tables) -> dict[tuple[Place, str], _Found]:
    """Return what is known of each process in each data set and task."""
    if "signals" not in tables or not len(tables["signals"]):
        raise UsageError(
            f"release {tables.release} has no signals: nothing was held against what people did",
            hint="see docs/signals.md, or leave `evidence` out",
        )
    names = ["dataset", "task", "process", "evidence_r", "evidence_reason", "recording"]
    rows = tables["signals"].to_pyarrow(names)
    found: dict[tuple[Place, str], _Found] = {}
    for row in sorted(rows.group_by(names).aggregate([]).to_pylist(), key=_in_order):
        key = ((row["dataset"], row["task"]), row["process"])
        one = found.setdefault(key, _Found(row["evidence_r"], row["evidence_reason"]))
        one.recordings.add((row["dataset"], row["recording"]))
    return found


def _in_order(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] or "" for name in ("dataset", "task", "process", "recording"))


def _least(evidence: float | Mapping[str, float], processes: Sequence[str]) -> dict[str, float]:
    """Return what evidence must exceed, by process."""
    asked = (
        dict(evidence)
        if isinstance(evidence, Mapping)
        else dict.fromkeys(processes, float(evidence))
    )
    for process, least in asked.items():
        if process not in processes:
            raise UsageError(f"no process {process} is in signals; {nearest(process, processes)}")
        if not -1 <= least < 1:
            raise UsageError(f"evidence is {least:g}: a correlation from -1 to 1 is exceeded")
    if not asked:
        raise UsageError("evidence names no process", hint=f"there are {', '.join(processes)}")
    return asked


def _taking_part(tables: Tables) -> dict[tuple[Place, str], list[str]]:
    names = ["dataset", "task", "process", "region"]
    rows = tables["signal_fits"].to_pyarrow(names)
    found: dict[tuple[Place, str], list[str]] = {}
    for row in rows.group_by(names).aggregate([]).to_pylist():
        found.setdefault(((row["dataset"], row["task"]), row["process"]), []).append(row["region"])
    return found


def _asked(evidence: float | Mapping[str, float]) -> str:
    if isinstance(evidence, Mapping):
        return ", ".join(f"{process} {least:g}" for process, least in evidence.items())
    return f"{evidence:g}"


def _what_there_is(
    found: Mapping[tuple[Place, str], _Found],
    least: Mapping[str, float],
    taking_part: Mapping[tuple[Place, str], Sequence[str]],
    regions: Sequence[str],
) -> str:
    """Return the most evidence that there is for these regions, or why there is none."""
    theirs = {
        key: one
        for key, one in found.items()
        if key[1] in least and not set(regions).isdisjoint(taking_part.get(key, ()))
    }
    if not theirs:
        return f"they take part in none of {', '.join(least)}"
    most = max(theirs, key=lambda key: -math.inf if (r := theirs[key].r) is None else r)
    (place, process), one = most, theirs[most]
    if one.r is None:
        return f"{process} in {_told(place)}: {one.reason}"
    return f"the most is {one.r:.2f}, of {process} in {_told(place)}"


def _told(place: Place) -> str:
    return place[0] if place[1] is None else f"{place[0]} (task {place[1]})"
