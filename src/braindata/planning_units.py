"""The units of data sets, and what they would be made from, by the receipts of curation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from braindata.layout import Layout
from braindata.receipts import MADE_FROM, Receipt, read_or_none


class CuratedUnits:
    """What is known of units once their data set is curated: the one file read while planning.

    Asked for by every job of a data set, so it is kept until the file changes, which it does when
    the data set is curated anew in this very run.

    Parameters
    ----------
    layout : Layout
        The output folder.
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        self._notes: dict[str, tuple[int | None, dict[str, Any]]] = {}

    def units(self, dataset: str) -> list[str]:
        """Return the units of a curated data set, sorted.

        Raises
        ------
        BraindataError
            When it is not curated.
        """
        return sorted(self._of(dataset)["units"])

    def n_recordings(self, dataset: str) -> int:
        """Return how many recordings of a data set are used; 0 while it is not curated."""
        if _date(self._layout.receipt("curated", dataset)) is None:
            return 0
        return sum(self._of(dataset)["units"].values())

    def marks(self, dataset: str) -> dict[str, str]:
        """Return what each unit of a curated data set would be made from now, by unit."""
        found: dict[str, str] = self._of(dataset).get(MADE_FROM, {})
        return found

    def is_made_from_the_same(self, dataset: str, unit: str) -> bool:
        """Whether what was packed of a unit was made from what it would be made from now.

        Then its job need not run, although the data set was curated since: another person is new.
        By the receipts, so that it holds whatever Snakemake's own notes say.
        """
        path = self._layout.receipt("packed", dataset, unit)
        packed, curated = _date(path), _date(self._layout.receipt("curated", dataset))
        # Somebody may name a unit's file as the target while the data set is to be curated anew.
        if packed is None or curated is None:
            return False
        # Of a unit that is newer than the data set's curation, no receipt need be read.
        if packed > curated:
            return True
        receipt, now = read_or_none(path), self.marks(dataset).get(unit)
        return receipt is not None and now is not None and receipt.notes.get(MADE_FROM) == now

    def _of(self, dataset: str) -> dict[str, Any]:
        """Return the notes of a data set's curation."""
        path = self._layout.receipt("curated", dataset)
        date = _date(path)
        if dataset not in self._notes or self._notes[dataset][0] != date:
            self._notes[dataset] = (date, Receipt.read(path).notes)
        return self._notes[dataset][1]


def _date(path: Path) -> int | None:
    """Return when a file was changed (ns); None where there is none."""
    return path.stat().st_mtime_ns if path.is_file() else None
