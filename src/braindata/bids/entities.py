"""Names of BIDS files: entities as strings, recordings and their stems."""

from __future__ import annotations

from functools import lru_cache

from bids2table import parse_bids_entities

# BIDS key in file names -> name of the column in our tables (the entity's name in the schema).
ENTITY_COLUMNS = {
    "sub": "subject",
    "ses": "session",
    "task": "task",
    "acq": "acquisition",
    "ce": "ceagent",
    "rec": "reconstruction",
    "dir": "direction",
    "run": "run",
    "echo": "echo",
    "part": "part",
}

# Of several files of one EEG recording the one that is opened.
EEG_EXTENSIONS = (".vhdr", ".edf", ".bdf", ".set", ".cnt", ".mff", ".fif")


def entities(path: str) -> dict[str, str]:
    """Return the entities, `suffix` and `ext` of a BIDS file name, all as written.

    bids2table's index turns indices such as `run` into numbers, by which ``run-01`` and ``run-1``
    become one; its parser of names does not, so this is the one that we use.
    """
    return dict(_parsed(path.rpartition("/")[2]))


@lru_cache(maxsize=2**16)
def _parsed(name: str) -> tuple[tuple[str, str], ...]:
    # The same names are asked for again and again: each file of the top level by each recording.
    return tuple((key, str(value)) for key, value in parse_bids_entities(name).items())


def entity_columns(path: str) -> dict[str, str | None]:
    """Return the entities of a file name under our column names; None where it has none."""
    found = entities(path)
    return {column: found.get(key) for key, column in ENTITY_COLUMNS.items()}


def stem(path: str) -> str:
    """Return a BIDS file name without folder and extension: ``sub-01_task-x_bold``."""
    return path.rpartition("/")[2].split(".", 1)[0]


def unit_of(subject: str, session: str | None) -> str:
    """Return the name of a preprocessing job: a subject, or one session of a subject."""
    return f"sub-{subject}" if session is None else f"sub-{subject}_ses-{session}"
