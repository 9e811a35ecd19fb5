"""How a column is described: its type, unit and meaning; and the columns that many tables share."""

from __future__ import annotations

import pyarrow as pa

COUNTS = pa.list_(pa.field("element", pa.int64()))
NUMBERS = pa.list_(pa.field("element", pa.float64()))
STRINGS = pa.list_(pa.field("element", pa.string()))


def column(name: str, kind: pa.DataType, description: str, unit: str | None = None) -> pa.Field:
    """Return a column, which may be null, with what it means and, of a quantity, its unit."""
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=True, metadata=metadata)


def text(name: str, description: str) -> pa.Field:
    """Return a column of strings."""
    return column(name, pa.string(), description)


def number(name: str, description: str, unit: str | None = None) -> pa.Field:
    """Return a column of numbers; without a unit where none applies."""
    return column(name, pa.float64(), description, unit)


def count(name: str, description: str) -> pa.Field:
    """Return a column of integers that count or index."""
    return column(name, pa.int64(), description, "1")


WHO = [
    text("dataset", "Identifier of the data set in the configuration."),
    text("recording", "File name of the raw recording without its extension."),
    text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
    text("session", "Label of the session (BIDS `ses`)."),
    text("task", "Label of the task (BIDS `task`)."),
    text("run", "Index of the run (BIDS `run`), as written in the file name."),
]

REGION = [
    text("region", "Name of the region, see `regions`."),
    text("definition_hash", "Hash of the definition that was used, see `regions`."),
]
