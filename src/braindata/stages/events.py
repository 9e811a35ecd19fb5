"""What stages that read events have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from braindata.derive.parameters import EventMapping
from braindata.derive.trials import trial_types
from braindata.errors import UsageError, nearest


def require_columns(named: Mapping[str, str], events: Sequence[pd.DataFrame], dataset: str) -> None:
    """Check that each column that is named is in some events file, or there is a slip of the pen.

    Parameters
    ----------
    named : mapping of str to str
        Key of `event_mapping`, and the column that it names.
    events : sequence of pandas.DataFrame
        All events files of the data set.
    dataset : str
        Its identifier.

    Raises
    ------
    UsageError
        When one is in none.
    """
    there = sorted({str(name) for table in events for name in table.columns})
    for name, column in named.items():
        if events and column not in there:
            raise UsageError(
                f"event_mapping.{name}: no events file of {dataset} has a column {column}",
                hint=nearest(column, there, f"there are {', '.join(there)}"),
            )


def require_codes(mapping: EventMapping, events: Sequence[pd.DataFrame], dataset: str) -> None:
    """Check that each code that has a label is in some events file, or there is a slip of the pen.

    Parameters
    ----------
    mapping : EventMapping
        Which columns of the events hold what, and what codes stand for.
    events : sequence of pandas.DataFrame
        All events files of the data set.
    dataset : str
        Its identifier.

    Raises
    ------
    UsageError
        When one is in none.
    """
    if not mapping.labels or not events:
        return
    plain = mapping.model_copy(update={"labels": {}})
    # EEG without trial types has them from `value`.
    both = (plain, plain.model_copy(update={"trial_type": "value"}))
    codes = {code for table in events for one in both for code in trial_types(table, one)}
    for code in mapping.labels:
        if code not in codes:
            known = ", ".join(sorted(one for one in codes if one is not None)[:20])
            raise UsageError(
                f"event_mapping.labels: no trial of {dataset} has the code {code}",
                hint=f"there are {known}" if known else "no events file has trial types",
            )
