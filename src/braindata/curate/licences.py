"""Licences as data sets state them, classed."""

from __future__ import annotations

import re
from typing import Literal, get_args

LicenceClass = Literal[
    "CC0",
    "PDDL",
    "ODC-By",
    "ODbL",
    "CC-BY",
    "CC-BY-SA",
    "CC-BY-ND",
    "CC-BY-NC",
    "CC-BY-NC-SA",
    "CC-BY-NC-ND",
    "open source",
    "unknown",
]
CLASSES: tuple[str, ...] = get_args(LicenceClass)

# The whole statement must be one of these: "CC0 where not stated otherwise" is not CC0.
_NAMES: dict[LicenceClass, str] = {
    "CC0": r"cc ?0( 1 0)?( universal)?|cc zero( 1 0)?|creative commons( zero| cc0| 0)( 1 0)?"
    r"( universal)?( public domain dedication)?|cc0( 1 0)?( universal)? public domain dedication",
    # The sentence of OpenfMRI goes on with where the text is, and what its authors hope for.
    "PDDL": r"pddl( 1 0)?|(open data commons )?public domain dedication (and|&) licen[cs]e( 1 0)?"
    r"|this data ?set is made available under public domain dedication and license( 1 0)?"
    r"( whose full text can be found at .*)?",
    "ODC-By": r"odc by( 1 0)?|open data commons attribution( licen[cs]e)?( 1 0)?",
    "ODbL": r"odbl( 1 0)?|(open data commons )?open database licen[cs]e( 1 0)?",
    "open source": r"mit|apache 2 0|bsd( [23] clause)?|gpl ?[23](?: 0)?( only| or later)?",
}
_CC = re.compile(
    r"(cc|creative commons) ?(by|attribution)"
    r"(?P<nc> ?(nc|non ?commercial))?(?P<last> ?(sa|share ?alike|nd|no ?deriv(ative)?s?))?"
    r"( \d 0)?( (international|unported|generic|deed))?"
)
_ADDRESSES = re.compile(
    r"https?://(?:www )?creativecommons org/(publicdomain/zero|licenses/(?P<by>[a-z-]+))/\S*"
)
_PDDL_ADDRESS = re.compile(r"https?://(?:www )?opendatacommons org/licenses/pddl/?\S*")


def licence_class(stated: str | None) -> LicenceClass:
    """Return the class of a licence; `unknown` where it is none that is known, or not stated.

    Parameters
    ----------
    stated : str or None
        What `dataset_description.json` has as `License`.
    """
    text = (stated or "").strip().casefold()
    address = _class_of_address(text)
    if address is not None:
        return address
    text = re.sub(r"\(.*?\)", " ", text)
    text = re.sub(r"[-_.,;:/]|\bversion\b|\bthe\b|\bv(?=\d)", " ", text)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" licen[cs]e( agreement)?$", "", text)
    for name, pattern in _NAMES.items():
        if re.fullmatch(pattern, text) or re.fullmatch(pattern, f"{text} license"):
            return name
    match = _CC.fullmatch(text)
    if match is None:
        return "unknown"
    last = (match["last"] or "").strip()
    parts = ["CC-BY", *(["NC"] if match["nc"] else [])]
    if last:
        parts.append("SA" if last.startswith("s") else "ND")
    return _known("-".join(parts))


def _class_of_address(text: str) -> LicenceClass | None:
    plain = text.replace("www.", "www ").replace("commons.org", "commons org")
    match = _ADDRESSES.fullmatch(plain)
    if match is not None:
        return "CC0" if match["by"] is None else _known(f"CC-{match['by'].upper()}")
    return "PDDL" if _PDDL_ADDRESS.fullmatch(plain) else None


def _known(name: str) -> LicenceClass:
    return next((one for one in get_args(LicenceClass) if one == name), "unknown")
