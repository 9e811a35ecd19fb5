"""What the report shows of EEG recordings, gathered from derivatives and the release."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from braindata.errors import DamageError
from braindata.layout import Layout
from braindata.receipts import Receipt
from braindata.report.eeg_page import EegPage, eeg_page
from braindata.report.pictures import Shelf
from braindata.stages import STEP_VERSION
from braindata.tables.reading import Tables

CONTINUOUS = "_desc-preproc_eeg.fif"
SIDECAR = "_desc-preproc_eeg.json"
EPOCHS = "_desc-clean_epo.fif"
_SERIES = [
    "region",
    "eeg_class",
    "localisation_error",
    "point_spread",
    "crosstalk_max",
    "crosstalk_region",
    "reason",
]


def eeg_series(tables: Tables) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the rows of `series` of each recording, by data set and recording, without values."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    columns = ["dataset", "recording", *_SERIES]
    table = tables["series"].to_pyarrow(columns, where={"strategy": "none"})
    for row in table.to_pylist():
        found.setdefault((row["dataset"], row["recording"]), []).append(row)
    return found


def recording_page(
    layout: Layout,
    row: Mapping[str, Any],
    preprocessed: Receipt,
    series: list[dict[str, Any]],
    shelf: Shelf,
) -> EegPage | None:
    """Return what the page of an EEG recording shows; None where it was not preprocessed.

    Parameters
    ----------
    layout : Layout
        The output folder.
    row : mapping
        Of the inventory, people with their labels.
    preprocessed : Receipt
        Of the preprocessing of its unit.
    series : list of dict
        Its rows of `series`.
    shelf : Shelf
        The pictures; those that are not there are drawn.
    """
    own = preprocessed.notes["files"].get(row["recording"], [])
    files = {
        ending: next((path for path in own if path.endswith(ending)), None)
        for ending in (CONTINUOUS, SIDECAR, EPOCHS)
    }
    paths = {
        ending: layout.output / path if path and (layout.output / path).is_file() else None
        for ending, path in files.items()
    }
    if files[SIDECAR] is None:
        return None
    key = {
        "pictures": "eeg",
        "version": STEP_VERSION["report"],
        **{ending: preprocessed.outputs[path] for ending, path in files.items() if path},
    }
    missing = [ending for ending, path in files.items() if path and paths[ending] is None]

    def draw() -> tuple[dict[str, bytes], Any]:
        # mne takes a second to import, which a report of images need not.
        from braindata.report.eeg_pictures import eeg_pictures

        sidecar, continuous = paths[SIDECAR], paths[CONTINUOUS]
        if sidecar is None or continuous is None:
            return {}, None
        try:
            body = json.loads(sidecar.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DamageError(
                "the sidecar of the cleaned EEG cannot be read",
                file=sidecar,
                hint="delete the receipt of its preprocessing (derivatives/…receipt.json), "
                "run again",
            ) from error
        return eeg_pictures(body, continuous, paths[EPOCHS])

    pictures = shelf.get(key, draw, missing)
    # Somebody removed the derivatives before there was a report.
    return None if pictures.data is None else eeg_page(pictures, series)
