"""Which recordings of fMRI and EEG of a data set were made at the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from braindata.bids.events import read_event_times
from braindata.derive.simultaneous import Partner
from braindata.errors import DataError
from braindata.layout import Layout

Row = Mapping[str, Any]

ENTITIES = ("subject", "session", "task", "run")


def simultaneous(rows: Sequence[Row]) -> dict[str, Row]:
    """Return by recording the row of that of the other modality.

    Two are simultaneous when subject, session, task and run are the same: BIDS has no other sign of
    it. Of several of one modality (echoes, reconstructions) the first by name counts.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the inventory that are used.
    """
    groups: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in sorted(rows, key=lambda one: str(one["recording"])):
        if row["events"] is not None:
            group = groups.setdefault(tuple(row[name] for name in ENTITIES), {})
            group.setdefault(row["modality"], row)
    found: dict[str, Row] = {}
    for group in groups.values():
        if {"fmri", "eeg"} <= group.keys():
            found[group["fmri"]["recording"]] = group["eeg"]
            found[group["eeg"]["recording"]] = group["fmri"]
    return found


def read_partner(layout: Layout, dataset: str, row: Row | None) -> Partner | None:
    """Return the events of a simultaneous recording; None without one, or of broken events.

    These are reported where that recording's own trials are made.
    """
    if row is None:
        return None
    try:
        times = read_event_times(layout.raw(dataset) / row["events"])
    except DataError:
        return None
    return Partner(row["recording"], times.onset)
