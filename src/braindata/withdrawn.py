"""Who was withdrawn from an output folder: hashes of labels, and what names one of them.

The list lies in the folder from which a person's label has to vanish, so it holds keyed hashes.
From these no label can be read; whoever has the list can test whether a label that he knows is on
it, which is what every later run does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from braindata.errors import BraindataError
from braindata.files import write_text

NAME = "withdrawn.json"
FORMAT = "braindata-withdrawn"
# What stands in a text in place of a person.
INSTEAD = "withdrawn"
_SALT_BYTES = 32
# Keys under which labels stand without ``sub-``.
_ONE = ("subject", "participant_id")
_LISTS = ("subject", "subjects", "members")
_LABEL = re.compile(r"(?<![A-Za-z0-9])sub-([A-Za-z0-9]+(?:[.+-][A-Za-z0-9]+)*)")
# A label of letters and digits is nobody's word for anything else.
_DISTINCTIVE = re.compile(r"(?<![A-Za-z0-9])(?=[0-9]*[A-Za-z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{3,}")


class Gone:
    """The people of one data set who were withdrawn.

    Parameters
    ----------
    salt : bytes
        The key of the hashes.
    dataset : str
        Identifier of the data set: the same label in another one is another person.
    hashes : frozenset of str
        What their labels, and the pseudonyms that they had, hash to.
    """

    def __init__(self, salt: bytes, dataset: str, hashes: frozenset[str]):
        self._salt = salt
        self._dataset = dataset
        self._hashes = hashes
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __len__(self) -> int:
        return len(self._hashes)

    def has(self, label: str) -> bool:
        """Whether a label, with or without ``sub-``, is that of somebody withdrawn."""
        if not self._hashes:
            return False
        label = label.removeprefix("sub-")
        if label not in self._known:
            self._known[label] = label_hash(self._salt, self._dataset, label) in self._hashes
        return self._known[label]

    def named_in(self, text: str) -> bool:
        """Whether a text or a path names somebody withdrawn."""
        return next(self._found(text), None) is not None

    def without(self, text: str) -> str:
        """Return a text in which a word stands in place of those who were withdrawn."""
        spans = sorted(self._found(text), reverse=True)
        for start, end in spans:
            text = text[:start] + INSTEAD + text[end:]
        return text

    def value(self, value: Any) -> Any:
        """Return a value of JSON without the entries that name somebody withdrawn.

        A key or an element of a list that does is dropped, and so is a mapping that is about such a
        person; in other texts a word stands in their place.
        """
        if isinstance(value, str):
            return self.without(value)
        if isinstance(value, dict):
            return {
                key: self._labels(one) if key in _LISTS else self.value(one)
                for key, one in value.items()
                if not self.named_in(str(key)) and (isinstance(one, str) or not self._is_about(one))
            }
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value if not self._is_about(one)]
        return value

    def _labels(self, value: Any) -> Any:
        """Return what stands under a key of people: elsewhere, 01 may be a run."""
        if not isinstance(value, list | tuple):
            return self.value(value)
        return [one for one in self.value(value) if not (isinstance(one, str) and self.has(one))]

    def _is_about(self, value: Any) -> bool:
        if isinstance(value, str):
            return self.named_in(value)
        if isinstance(value, dict):
            labels = [value.get(key) for key in _ONE]
            return any(isinstance(one, str) and self.has(one) for one in labels) or any(
                isinstance(one, str) and self.named_in(one) for one in (value.get("recording"),)
            )
        return False

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where labels of people who were withdrawn stand, none of them within another."""
        if not self._hashes:
            return
        end = 0
        for match in _LABEL.finditer(text):
            # Of `sub-01.html`, the label is 01; of a label that BIDS does not allow, all of it.
            for length in _ends(match[1]):
                if self.has(match[1][:length]):
                    end = match.start(1) + length
                    yield match.start(), end
                    break
        labelled = {match.span(1) for match in _LABEL.finditer(text)}
        for match in _DISTINCTIVE.finditer(text):
            inside = any(start <= match.start() < stop for start, stop in labelled)
            if not inside and self.has(match[0]):
                yield match.span()


def _ends(label: str) -> list[int]:
    """Return how long a label may be: to its end, or up to a character that BIDS does not allow."""
    return sorted({len(label), *(m.start() for m in re.finditer(r"[.+-]", label))}, reverse=True)


def label_hash(salt: bytes, dataset: str, label: str) -> str:
    """Return the hash by which somebody withdrawn is known."""
    return hmac.new(salt, f"{dataset}\0{label}".encode(), hashlib.sha256).hexdigest()


class Withdrawn:
    """Everybody who was withdrawn from an output folder.

    Parameters
    ----------
    salt : bytes
        The key of the hashes; random, of this folder.
    people : mapping of str to frozenset of str
        By data set, hashes of labels.
    """

    def __init__(self, salt: bytes = b"", people: Mapping[str, frozenset[str]] | None = None):
        self._salt = salt or os.urandom(_SALT_BYTES)
        self._people = dict(people or {})

    def of(self, dataset: str) -> Gone:
        """Return those of one data set."""
        return Gone(self._salt, dataset, self._people.get(dataset, frozenset()))

    def adding(self, dataset: str, *labels: str) -> Withdrawn:
        """Return the list with one more person, who may have several labels."""
        hashes = {label_hash(self._salt, dataset, label) for label in labels}
        known = self._people.get(dataset, frozenset())
        return Withdrawn(self._salt, self._people | {dataset: known | hashes})

    @classmethod
    def read(cls, output: Path) -> Withdrawn:
        """Read the list of an output folder; where there is none, nobody is on it.

        Raises
        ------
        BraindataError
            When it cannot be read: who was withdrawn must not come back for that.
        """
        path = output / NAME
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            if body["format"] != FORMAT:
                raise ValueError(FORMAT)
            people = {name: frozenset(map(str, one)) for name, one in body["people"].items()}
            return cls(bytes.fromhex(body["salt"]), people)
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BraindataError(
                "this is no list of people who were withdrawn",
                file=path,
                hint="bring it back from a backup: without it, they would come back",
            ) from error

    def write(self, output: Path) -> None:
        """Write the list atomically."""
        people = {name: sorted(one) for name, one in sorted(self._people.items())}
        body = {"format": FORMAT, "salt": self._salt.hex(), "people": people}
        write_text(output / NAME, json.dumps(body, indent=1) + "\n")


def is_of_all(path: str) -> bool:
    """Whether a file of a data set is a text that may be about several people."""
    parts = PurePosixPath(path)
    if parts.parts[0].startswith("sub-"):
        return False
    return parts.suffix in _TEXTS or parts.name.split(".")[0] in _NAMED


_TEXTS = (".tsv", ".csv", ".json", ".txt", ".md", ".rst", ".bidsignore", ".cff", ".yaml", ".yml")
_NAMED = ("README", "CHANGES", "LICENSE", "LICENCE", "", "CITATION")
# A table of more bytes is nobody's list of people.
MAX_TEXT = 100_000_000


def without_people(path: str, content: bytes, gone: Gone) -> bytes | None:
    """Return a text of a data set without what it says of people who were withdrawn.

    Of a table, those rows go; of JSON, those entries; of other texts, those lines.

    Parameters
    ----------
    path : str
        Of the file, below the data set's root.
    content : bytes
        What it holds.
    gone : Gone
        Those of the data set who were withdrawn.

    Returns
    -------
    bytes or None
        None where it names nobody who was withdrawn.
    """
    text = content.decode("utf-8", "surrogateescape")
    suffix = PurePosixPath(path).suffix
    if suffix == ".json":
        try:
            body = json.loads(text.removeprefix("\ufeff"))
        except ValueError:
            body = None
        if body is not None:
            kept = gone.value(body)
            if kept == body:
                return None
            return (json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode()
    lines = text.splitlines(keepends=True)
    separator = {".tsv": "\t", ".csv": ","}.get(suffix)
    at = _people_column(lines[0], separator) if lines and separator else None
    kept_lines = [
        line
        for line in lines
        if not gone.named_in(line)
        and not (at is not None and separator and gone.has(_cell(line, separator, at)))
    ]
    if len(kept_lines) == len(lines):
        return None
    return "".join(kept_lines).encode("utf-8", "surrogateescape")


def _people_column(header: str, separator: str) -> int | None:
    names = [name.strip(' "\ufeff\r\n').lower() for name in header.split(separator)]
    known = ("participant_id", "participant", "subject", "subject_id", "sub")
    return next((names.index(name) for name in known if name in names), None)


def _cell(line: str, separator: str, at: int) -> str:
    cells = line.rstrip("\r\n").split(separator)
    return cells[at].strip(' "') if at < len(cells) else ""
