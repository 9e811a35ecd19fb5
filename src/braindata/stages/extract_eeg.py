"""`extract`, EEG: the series of one region in the packed EEG of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from braindata.eeg.extraction import EegRegions, extract_eeg
from braindata.eeg.forward import read_lead_fields
from braindata.eeg.source_parameters import SourceParameters
from braindata.errors import DataError
from braindata.layout import Layout
from braindata.pack.eeg_store import open_eeg_store
from braindata.receipts import Outcome, Receipt
from braindata.regions.definition import Region
from braindata.regions.files import Placing
from braindata.stages.head import MODEL, TRUTH
from braindata.stages.head import Parameters as HeadJob
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import SERIES


def head_receipt(layout: Layout) -> Receipt:
    """Return the receipt of the heads.

    Raises
    ------
    BraindataError
        When they are not made yet.
    """
    return Receipt.read(layout.receipt("head", "head"))


def extract_recordings(
    layout: Layout,
    region: Region,
    stores: Sequence[tuple[RecordingKey, Path]],
    parameters: SourceParameters,
    placing: Placing,
) -> tuple[pa.Table, dict[str, Outcome]]:
    """Make the courses of a region in EEG recordings.

    Parameters
    ----------
    layout : Layout
        The output folder, with the heads.
    region : Region
        The region.
    stores : sequence of (RecordingKey, Path)
        The recordings and their stores, in any order.
    parameters : SourceParameters
        How courses are made, and what is claimed.
    placing : Placing
        Where the files of the region lie, and how it gets into the space of the template.

    Returns
    -------
    table : pyarrow.Table
        With the schema `SERIES`: a row for each recording, sorted.
    outcomes : dict of str to Outcome
        By recording: done, or quarantined because its positions or samples are unfit.
    """
    if not stores:
        return SERIES.empty_table(), {}
    others = HeadJob.model_validate(head_receipt(layout).parameters).others
    # One for all recordings: it keeps what it found out about a montage.
    on_sources = EegRegions(
        read_lead_fields(layout.head(MODEL)),
        read_lead_fields(layout.head(TRUTH)),
        others,
        parameters,
        placing,
    )
    rows: list[dict[str, Any]] = []
    outcomes: dict[str, Outcome] = {}
    for key, path in sorted(stores, key=lambda item: item[0].recording):
        try:
            with open_eeg_store(path) as store:
                rows += extract_eeg(key, store, [region], on_sources)
        except DataError as error:
            error.file = error.file or str(path)
            outcomes[key.recording] = Outcome.quarantine(error)
        else:
            outcomes[key.recording] = Outcome("done")
    return pa.Table.from_pylist(rows, schema=SERIES), outcomes
