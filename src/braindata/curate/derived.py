"""Derivatives that others made of a data set, as far as curation looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from braindata.bids.derived import Derivatives
from braindata.curate.judging import require_contents
from braindata.errors import DataError
from braindata.fmri.backends import DerivativesParameters


@dataclass(frozen=True)
class Derived:
    """Derivatives that are used in place of raw images.

    Attributes
    ----------
    root : Path
        Their folder.
    files : Derivatives
        What is in it.
    chosen : DerivativesParameters
        What of it is used.
    """

    root: Path
    files: Derivatives
    chosen: DerivativesParameters

    def image(self, recording: str) -> Path:
        """Return the preprocessed image of a recording, which is there with its confounds.

        Raises
        ------
        DataError
            When it is not.
        """
        try:
            found = self.files.choose(recording, self.chosen.spaces, self.chosen.resolution)
        except DataError as error:
            file = self.root / error.file if error.file else None
            raise DataError(error.problem, file=file, hint=error.hint) from error
        for path in (found.bold, found.confounds):
            require_contents(self.root / path)
        return self.root / found.bold


def without_recording(derived: Derived | None, recordings: Sequence[str]) -> list[str]:
    """Say of which derivatives there is no raw recording: nobody knows their events."""
    names = [] if derived is None else derived.files.without_recording(recordings)
    return [f"the derivatives of {name} have no raw recording" for name in names]
