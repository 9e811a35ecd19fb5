"""Consent and terms of re-use, as a data set states them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# Fields of BIDS's `dataset_description.json`, and one that data sets have besides.
FIELDS = (
    "License",
    "DataUseAgreement",
    "HowToAcknowledge",
    "Acknowledgements",
    "EthicsApprovals",
    "ReferencesAndLinks",
    "DatasetDOI",
)
# What may lie at the top of a data set and holds words about consent or re-use.
_FILES = re.compile(
    r"(readme|licen[cs]e|consent|dua|data_?use_?agreement|terms(_?of_?use)?)(\.\w+)?", re.IGNORECASE
)
MAX_LENGTH = 2000


def terms(description: Mapping[str, Any], files: Iterable[str]) -> dict[str, Any]:
    """Return what a data set states of consent and re-use.

    Nothing of it is interpreted: free text such as a README's is named, for people to read.

    Parameters
    ----------
    description : mapping
        Its `dataset_description.json`.
    files : iterable of str
        Paths of its files.

    Returns
    -------
    dict
        `stated`, the fields' texts by name, and `files`, those at its top that may say more.
    """
    stated = {}
    for name in FIELDS:
        value = description.get(name)
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        said = "; ".join(one.strip() for one in texts if isinstance(one, str) and one.strip())
        if said:
            stated[name] = said if len(said) <= MAX_LENGTH else f"{said[:MAX_LENGTH]}…"
    named = sorted(path for path in files if _FILES.fullmatch(path))
    return {"stated": stated, "files": named}
