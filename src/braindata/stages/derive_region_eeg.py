"""`derive`, EEG in regions: what its trials are made from, besides the series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from braindata.bids.events import read_events
from braindata.derive.region_trials import CourseEvents
from braindata.errors import DataError
from braindata.layout import Layout
from braindata.pack.eeg_store import open_eeg_store
from braindata.receipts import Outcome
from braindata.stages.simultaneous import read_partner
from braindata.tables.keys import RecordingKey


def read_recordings(
    layout: Layout,
    dataset: str,
    rows: Sequence[Mapping[str, Any]],
    partners: Mapping[str, Mapping[str, Any]],
) -> tuple[list[CourseEvents], dict[str, Outcome]]:
    """Read what the trials of EEG recordings are made from, besides the series.

    Parameters
    ----------
    layout : Layout
        The output folder.
    dataset : str
        Identifier of the data set.
    rows : sequence of mapping
        Of the inventory: the EEG recordings with series and events.
    partners : mapping of str to mapping
        By recording, the row of what was recorded at the same time.

    Returns
    -------
    recordings : list of CourseEvents
        Those that can be read.
    outcomes : dict of str to Outcome
        Of the others.
    """
    recordings, faulty = [], {}
    for row in rows:
        name = row["recording"]
        try:
            with open_eeg_store(layout.store(dataset, name)) as store:
                recordings.append(
                    CourseEvents(
                        key=RecordingKey.from_row(row),
                        events=read_events(layout.raw(dataset) / row["events"]),
                        rejected=store.attributes["rejected"],
                        partner=read_partner(layout, dataset, partners.get(name)),
                    )
                )
        except DataError as error:
            faulty[name] = Outcome.quarantine(error)
    return recordings, faulty
