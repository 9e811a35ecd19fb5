"""The inheritance principle: which files apply to a recording."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from braindata.bids.entities import entities
from braindata.errors import DataError

# A sidecar says in words how an image was made; even one with the slice times of every volume is
# far smaller.
MAX_JSON = 32 * 1024**2


class Tree:
    """A BIDS folder whose listings and JSON files are read once, when somebody asks for them.

    Parameters
    ----------
    root : Path
        The BIDS folder. It must not change meanwhile.
    """

    def __init__(self, root: Path):
        self.root = root
        self._folders: dict[str, dict[tuple[str, str], list[tuple[str, dict[str, str]]]]] = {}
        self._objects: dict[str, dict[str, Any] | DataError] = {}

    def inherited(
        self, recording: str, suffix: str, extension: str, ignored: tuple[str, ...] = ()
    ) -> list[str]:
        """Return the files of one kind that apply to a recording (see `inherited`).

        Entities that are `ignored` may differ: tables of electrodes have a `space`, of which
        recordings know nothing.
        """
        own = entities(recording)
        found = []
        folder = recording
        while folder:
            # Texts, not paths: this is done for each file of each data set.
            folder = folder.rpartition("/")[0]
            matches = [
                (-len(named), f"{folder}/{name}" if folder else name)
                for name, named in self._listing(folder).get((suffix, extension), ())
                if all(own.get(k) == value for k, value in named.items() if k not in ignored)
            ]
            found += [path for _, path in sorted(matches)]
        return found

    def read_object(self, path: str) -> dict[str, Any]:
        """Return what a JSON file below the root says; not to be changed.

        Raises
        ------
        DataError
            When it is no valid JSON object, too large to be a sidecar, or cannot be read.
        """
        if path not in self._objects:
            try:
                self._objects[path] = read_object(self.root / path)
            except DataError as error:
                self._objects[path] = error
        found = self._objects[path]
        if isinstance(found, DataError):
            raise found
        return found

    def _listing(self, folder: str) -> dict[tuple[str, str], list[tuple[str, dict[str, str]]]]:
        """Return the files of a folder by suffix and extension, with their other entities."""
        if folder not in self._folders:
            kinds = self._folders.setdefault(folder, {})
            for name in _names(self.root / folder):
                named = entities(name)
                kind = (named.pop("suffix", ""), named.pop("ext", ""))
                kinds.setdefault(kind, []).append((name, named))
        return self._folders[folder]


def inherited(root: Path, recording: str, suffix: str, extension: str) -> list[str]:
    """Return the files of one kind that apply to a recording.

    bids2table resolves JSON sidecars, not tables, and its index holds no file of the top level.

    Parameters
    ----------
    root : Path
        The BIDS folder.
    recording : str
        Path of the recording below `root`.
    suffix, extension : str
        The kind of file: ``events`` and ``.tsv``.

    Returns
    -------
    list of str
        Paths below `root`, the one that counts most first: nearest to the recording, and in one
        folder the one that shares most entities.
    """
    return Tree(root).inherited(recording, suffix, extension)


def read_object(path: Path) -> dict[str, Any]:
    """Return what a JSON file says.

    Raises
    ------
    DataError
        When it is no valid JSON object, too large to be a sidecar, or cannot be read.
    """
    try:
        facts = path.stat()
        if stat.S_ISFIFO(facts.st_mode) or stat.S_ISSOCK(facts.st_mode):
            # Whoever reads a pipe waits for ever.
            raise DataError("this is a pipe, where a sidecar is due", file=path, hint="delete it")
        size = facts.st_size
        if size > MAX_JSON:
            raise DataError(
                f"the sidecar has {size / 1024**2:,.0f} MiB, which no sidecar has",
                file=path,
                hint="delete it, or write into it what belongs there",
            )
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(
            f"the sidecar cannot be read ({error.strerror})",
            file=path,
            hint="fetch it (git annex get, datalad get), or delete it if it says nothing",
        ) from error
    # ValueError: no JSON, no UTF-8, a number of too many digits. RecursionError: endless nesting.
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"the sidecar is no valid JSON ({error})",
            file=path,
            hint="correct it, or delete it if it says nothing",
        ) from error
    if not isinstance(values, dict):
        raise DataError(
            "the sidecar is no JSON object",
            file=path,
            hint='it must be of the form {"key": value}; delete it if it says nothing',
        )
    return values


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith((".json", ".tsv")))
    except OSError:
        # It is not there, or nobody may look into it: it holds nothing that applies.
        return []
