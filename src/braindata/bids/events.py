"""Events files: which one belongs to a recording, and what is in it."""

from __future__ import annotations

import csv
import io
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from braindata.bids.inheritance import Tree
from braindata.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# pandas is imported by what needs it: the inventory of most data sets does not.

# BIDS writes a missing value as n/a; the others are what data sets have instead.
MISSING = ["n/a", "N/A", "NA", "NaN", "nan", ""]
# A million events of a hundred letters are no events of a person in a scanner.
MAX_TABLE = 100 * 1024**2
# File names, also where they look like numbers.
TEXT = ("stim_file",)
# A number whose text says nothing beyond its value: 7, -1.5, 1e-3, but not 007, which is a label.
_PLAIN_NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_MISSING = frozenset(MISSING)
_CELL = re.compile(f"{_PLAIN_NUMBER.pattern}|{'|'.join(map(re.escape, MISSING))}")


def find_events(root: Path | Tree, recording: str) -> str | None:
    """Return the events file that applies to a recording by the inheritance principle.

    Parameters
    ----------
    root : Path or Tree
        The BIDS folder.
    recording : str
        Path of the recording below `root`.

    Returns
    -------
    str or None
        Path below `root` of the file that lies nearest to the recording, and among those the one
        that shares most entities; None when there is none.
    """
    tree = root if isinstance(root, Tree) else Tree(root)
    return next(iter(tree.inherited(recording, "events", ".tsv")), None)


def read_events(path: Path) -> pd.DataFrame:
    """Read an events file.

    Columns whose values are all plain numbers become numbers; all others stay text, so that
    labels keep their leading zeros. ``n/a`` becomes missing. A cell that opens with a quotation
    mark and does not close it is taken as it stands.

    Returns
    -------
    pandas.DataFrame
        All columns, with `onset` and `duration` as float64 seconds, in file order.

    Raises
    ------
    DataError
        When the file cannot be read, is empty, lacks `onset` or `duration`, or has text in them.
    """
    import pandas as pd

    try:
        require_table_size(path)
        # utf-8-sig: real data sets have byte-order marks.
        text = path.read_text(encoding="utf-8-sig")
        table = _parse_quoted(text)
        if table is None or len(table) != sum(bool(line.strip()) for line in text.splitlines()) - 1:
            # A field that opens with a quotation mark and does not close it swallows lines.
            table = _parse(text, csv.QUOTE_NONE)
    except (
        OSError,
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
    ) as error:
        raise DataError(
            f"the events file cannot be read ({str(error).strip()})",
            file=path,
            hint="it must be a table with tabs between the columns, in UTF-8",
        ) from error
    absent = [name for name in ("onset", "duration") if name not in table.columns]
    if absent:
        raise DataError(
            f"the events file has no column {' and no column '.join(absent)}",
            file=path,
            hint="BIDS requires onset and duration, in seconds; the separator is a tab",
        )
    if table.empty:
        raise DataError(
            "the events file has a header and no rows",
            file=path,
            hint="complete it, or delete it if the recording has no events",
        )
    for name in table.columns:
        if name in ("onset", "duration"):
            table[name] = _seconds(table[name], name, path)
        elif name in TEXT:
            table[name] = table[name].str.strip().astype(object).where(table[name].notna(), None)
        else:
            table[name] = _typed(table[name])
    if table["onset"].isna().any():
        raise DataError(
            f"the onset is missing in row {int(table['onset'].isna().to_numpy().argmax()) + 2}",
            file=path,
            hint="each event needs an onset in seconds",
        )
    return table


def _parse_quoted(text: str) -> pd.DataFrame | None:
    """Parse a table with quotation marks; None where one is still open at its end."""
    import pandas as pd

    try:
        return _parse(text, csv.QUOTE_MINIMAL)
    except pd.errors.ParserError:
        return None


@dataclass(frozen=True)
class EventTimes:
    """When events happen, and what else a check of them needs.

    Attributes
    ----------
    columns : list of str
        Names of all columns.
    onset, duration : numpy.ndarray, shape (n_events,)
        In s, in file order; NaN where a duration is missing.
    response_time : numpy.ndarray or None
        As the file has it, NaN where it is missing; None where it is not there or no number.
    n_doubles : int
        Rows that are there already.
    """

    columns: list[str]
    onset: NDArray[np.float64]
    duration: NDArray[np.float64]
    response_time: NDArray[np.float64] | None
    n_doubles: int

    @classmethod
    def of(cls, events: pd.DataFrame) -> EventTimes:
        """Return those of a table as `read_events` returns it."""
        import pandas as pd

        times = events["response_time"] if "response_time" in events.columns else None
        if times is not None and not pd.api.types.is_numeric_dtype(times):
            times = None
        return cls(
            [str(name) for name in events.columns],
            events["onset"].to_numpy(np.float64),
            events["duration"].to_numpy(np.float64),
            None if times is None else times.to_numpy(np.float64),
            int(events.duplicated().sum()),
        )


def read_event_times(path: Path) -> EventTimes:
    """Read of an events file what a check of it needs; as `read_events`, whose errors it raises.

    A data set has thousands of them, and almost all are plain: those take a twentieth of the time.
    """
    try:
        require_table_size(path)
        plain = _plain_times(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        plain = None
    return EventTimes.of(read_events(path)) if plain is None else plain


def _plain_times(text: str) -> EventTimes | None:
    """Return the times of a table without any oddity; None of any other."""
    header, *lines = text.rstrip("\n").split("\n")
    names = header.split("\t")
    rows = [line.split("\t") for line in lines]
    if (
        '"' in text
        or not rows
        or len(set(names)) < len(names)
        or not {"onset", "duration"} <= set(names)
        or any(len(row) != len(names) for row in rows)
    ):
        return None
    numbers = {
        name: _plain_numbers([row[names.index(name)] for row in rows])
        for name in ("onset", "duration", "response_time")
        if name in names
    }
    onset, duration = numbers["onset"], numbers["duration"]
    if onset is None or duration is None or np.isnan(onset).any():
        return None
    doubles = len(lines) - len(set(lines))
    return EventTimes(names, onset, duration, numbers.get("response_time"), doubles)


def _plain_numbers(texts: list[str]) -> NDArray[np.float64] | None:
    if not all(map(_CELL.fullmatch, texts)):
        return None
    numbers = np.array([math.nan if text in _MISSING else float(text) for text in texts])
    return None if np.isinf(numbers).any() else numbers


def require_table_size(path: Path) -> None:
    """Check that a table of text is of a size that such tables have.

    Raises
    ------
    DataError
        When it is larger: it would fill the memory.
    OSError
        When it is not there.
    """
    size = path.stat().st_size
    if size > MAX_TABLE:
        raise DataError(
            f"the table has {size / 1024**2:,.0f} MiB, which no such table has",
            file=path,
            hint="is it another file under this name? fetch it again, or delete it",
        )


def _parse(text: str, quoting: Literal[0, 3]) -> pd.DataFrame:
    import pandas as pd

    with warnings.catch_warnings():
        # pandas warns when it drops fields of a row that is longer than the header.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            io.StringIO(text),
            sep="\t",
            dtype=str,
            keep_default_na=False,
            na_values=MISSING,
            index_col=False,
            quoting=quoting,
        )


def _seconds(column: pd.Series, name: str, path: Path) -> pd.Series:
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    wrong = (numbers.isna() | numbers.isin([np.inf, -np.inf])) & column.notna()
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise DataError(
            f"{name} in row {row + 2} is {column.iloc[row]!r}, not a number of seconds",
            file=path,
            hint="onsets and durations are seconds from the start of the recording",
        )
    return numbers.astype("float64")


def _typed(column: pd.Series) -> pd.Series:
    given = [str(value).strip() for value in column.dropna()]
    if not given or not all(_is_plain_number(value) for value in given):
        return column.astype(object).where(column.notna(), None)
    import pandas as pd

    numbers = pd.to_numeric(column)
    return numbers


def _is_plain_number(text: str) -> bool:
    return (
        any(char.isdigit() for char in text)
        and text == text.strip()
        and (_PLAIN_NUMBER.fullmatch(text) is not None)
    )
