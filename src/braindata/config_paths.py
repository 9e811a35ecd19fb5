"""How paths in a configuration are found: relative to the file that states them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from braindata.config_lines import Document


def base_folder(key: str, value: object, documents: Sequence[Document]) -> Path:
    """Return the folder to which the paths of a key are relative that has a value."""
    for document in reversed(documents):
        body = document.value
        if isinstance(body, dict) and key in body and body[key] == value:
            return project(document)
    return Path.cwd()


def project(document: Document) -> Path:
    """Return the folder of the project that a file speaks for."""
    folder = document.path.resolve().parent
    return folder.parent if folder.name == "config" else folder


def looked_in(*folders: Path) -> str:
    """Return where `existing` has looked, each folder once."""
    return "looked in " + " and in ".join(map(str, dict.fromkeys(folders)))


def existing(path: str, *folders: Path) -> Path | None:
    """Return the first of some folders' paths that is there, absolute; None where none is."""
    for folder in folders:
        candidate: Path = (folder / Path(path).expanduser()).resolve()
        if candidate.exists():
            return candidate
    return None
