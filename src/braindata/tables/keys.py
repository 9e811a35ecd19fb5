"""What identifies a recording and a stimulus in every table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from braindata.receipts import content_hash


@dataclass(frozen=True)
class RecordingKey:
    """The columns by which tables name a recording.

    Attributes
    ----------
    dataset : str
        Identifier of the data set in the configuration.
    recording : str
        File name of the raw recording without its extension.
    subject : str
        Label of the person (BIDS `sub`), leading zeros kept.
    session, task, run : str or None
        Labels of session, task and run; None where the file name has none.
    """

    dataset: str
    recording: str
    subject: str
    session: str | None = None
    task: str | None = None
    run: str | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> RecordingKey:
        """Return the key of a row of the `recordings` table, or of any other with its columns.

        Raises
        ------
        KeyError
            When the row lacks one of the columns.
        """
        return cls(**{field.name: row[field.name] for field in fields(cls)})


def stimulus_id(dataset: str, stim_file: str) -> str:
    """Return the identifier of a stimulus: a hash of its data set and its path.

    Parameters
    ----------
    dataset : str
        Identifier of the data set in the configuration.
    stim_file : str
        Path as the events file names it, below `stimuli/`.
    """
    return content_hash([dataset, stim_file])[:16]
