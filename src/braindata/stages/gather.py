"""`gather`: one small file for all units of a data set, that others wait for.

Each region's job needs every recording of its data set. In a graph that says so for each of them,
thousands of recordings times regions are looked at before anything starts.
"""

from __future__ import annotations

import json

from braindata.files import sha256_file, write_text
from braindata.layout import UNIT_FOLDERS, Layout
from braindata.receipts import Receipt, merkle


def run(layout: Layout, dataset: str) -> bool:
    """Write what the units of a data set are by now: their number, and one hash of their receipts.

    Returns
    -------
    bool
        Whether that differs from what was there.

    Raises
    ------
    BraindataError
        When the data set is not curated.
    OSError
        When the receipt of a unit is missing.
    """
    units = sorted(Receipt.read(layout.receipt("curated", dataset)).notes["units"])
    receipts = {
        f"{folder}/{unit}": sha256_file(layout.receipt(folder, dataset, unit))
        for folder in UNIT_FOLDERS
        for unit in units
    }
    text = json.dumps({"units": len(units), "receipts": merkle(receipts)}) + "\n"
    path = layout.units(dataset)
    if path.is_file() and path.read_text() == text:
        return False
    write_text(path, text)
    return True
