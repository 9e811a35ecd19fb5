"""People under other names: a keyed hash instead of their labels, wherever a text has one.

The key is read whenever a run is planned, so this imports little.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from braindata.errors import UsageError

KEY_VARIABLE = "BRAINDATA_PSEUDONYM_KEY"
# 50 bits: among 10,000 people two share one with a probability of 4e-8, and that is refused.
LENGTH = 10
_KEY_BYTES = 32
# Labels as BIDS has them, and those that it does not allow as far as they can be told.
_LABEL = re.compile(r"(?<![A-Za-z0-9])sub-([A-Za-z0-9]+(?:[.+-][A-Za-z0-9]+)*)")
# A label of letters and digits is nobody's word for anything else.
_DISTINCTIVE = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])[A-Za-z0-9]{3,}")
_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ][^\"]*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}"
_DATE_IN_JSON = re.compile(rf'(?<=[:\[,]) ?"(?:{_DATE})"')
# What holds the columns of the events as JSON.
_JSON_COLUMNS = ("columns",)


def read_key(path: Path) -> bytes:
    """Return the secret key of a file; where there is none, make one that only its owner may read.

    Raises
    ------
    UsageError
        When it is no key, others may read it, or it cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(
            f"the key of the pseudonyms cannot be written ({error.strerror})",
            file=path,
            hint=f"name another file in `pseudonym_key` or in {KEY_VARIABLE}",
        ) from error
    else:
        with os.fdopen(descriptor, "w") as handle:
            handle.write(f"{os.urandom(_KEY_BYTES).hex()}\n")
            handle.flush()
            os.fsync(handle.fileno())
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii")
        key = bytes.fromhex(text)
    except (OSError, ValueError) as error:
        # Not the error's own words, which would show of the file what they stumbled over.
        raise UsageError(
            "this is no key of pseudonyms that can be read",
            file=path,
            hint="it holds 64 hexadecimal digits; of another key, everybody gets another name",
        ) from error
    if mode & 0o077:
        raise UsageError(
            "others may read the key of the pseudonyms", file=path, hint="chmod 600 FILE, run again"
        )
    if len(key) < _KEY_BYTES:
        raise UsageError(
            "the key of the pseudonyms is too short to be secret",
            file=path,
            hint="delete the file: a new one is made, and everybody gets another name",
        )
    return key


def fingerprint(key: bytes) -> str:
    """Return what tells one key from another, and nothing about it."""
    return hmac.new(key, b"braindata: which key", hashlib.sha256).hexdigest()[:16]


class Pseudonyms:
    """The pseudonyms of the people of one data set.

    Parameters
    ----------
    key : bytes
        The secret.
    dataset : str
        Identifier of the data set: the same label in two of them is two people.
    labels : iterable of str
        Labels of its people. Wherever a text has ``sub-<label>``, the label is replaced, listed
        here or not; a label of letters and digits (``NDAR01``) that is listed also where it stands
        alone.

    Raises
    ------
    UsageError
        When two people would get the same pseudonym.
    """

    def __init__(self, key: bytes, dataset: str, labels: Iterable[str] = ()):
        self._key = key
        self._dataset = dataset
        known = sorted(set(labels))
        if len({self.of(label) for label in known}) < len(known):
            raise UsageError(
                f"two people of {dataset} would get the same pseudonym",
                hint="take another key: delete its file, and everybody gets another name",
            )
        alone = [re.escape(label) for label in known if _DISTINCTIVE.fullmatch(label)]
        self._alone = (
            re.compile(rf"(?<![A-Za-z0-9])({'|'.join(alone)})(?![A-Za-z0-9])") if alone else None
        )

    def of(self, label: str) -> str:
        """Return the pseudonym of a label: a label of BIDS."""
        text = f"{self._dataset}\0{label}".encode()
        digest = hmac.new(self._key, text, hashlib.sha256).digest()
        return base64.b32encode(digest).decode().lower()[:LENGTH]

    def text(self, text: str) -> str:
        """Return a text in which people have their pseudonyms."""
        found = _LABEL.sub(lambda match: f"sub-{self.of(match[1])}", text)
        if self._alone is not None:
            found = self._alone.sub(lambda match: self.of(match[1]), found)
        return found

    def value(self, value: Any, name: str | None = None) -> Any:
        """Return a value of JSON, with all that is in it, in which people have their pseudonyms.

        Parameters
        ----------
        value : object
            Such as a row of a table.
        name : str, optional
            Under which key it stands; what stands under `subject` is a label.
        """
        if isinstance(value, str):
            if name == "subject":
                return self.of(value)
            return self.text(without_dates(value) if name in _JSON_COLUMNS else value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(one, key) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value


def without_dates(text: str) -> str:
    """Return a text of JSON in which dates are null."""
    return _DATE_IN_JSON.sub(" null", text)
