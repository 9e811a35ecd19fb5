"""Which field maps a data set has for a recording."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from braindata.bids.entities import entities
from braindata.bids.inheritance import Tree
from braindata.bids.sidecars import sidecar
from braindata.errors import DataError


class FieldMaps:
    """The field maps of a data set, by the images that they say they are for.

    Parameters
    ----------
    tree : Tree
        The BIDS folder.
    images : iterable of str
        Paths of its images, of which those in `fmap/` are looked at.
    """

    def __init__(self, tree: Tree, images: Iterable[str]):
        self._intended: dict[str, list[str]] = {}
        self._named: dict[tuple[str, str], list[str]] = {}
        for path in images:
            if "/fmap/" not in path:
                continue
            try:
                metadata = sidecar(tree, path)
            except DataError:
                # It says nothing that can be used; the validator names it.
                continue
            subject = entities(path).get("sub", "")
            for target in _texts(metadata.get("IntendedFor")):
                self._intended.setdefault(_below_root(target, subject), []).append(path)
            for name in _texts(metadata.get("B0FieldIdentifier")):
                self._named.setdefault((subject, name), []).append(path)

    def of(self, recording: str, metadata: dict[str, object]) -> list[str]:
        """Return the paths of the field maps of a recording, sorted."""
        subject = entities(recording).get("sub", "")
        found = set(self._intended.get(recording, ()))
        for name in _texts(metadata.get("B0FieldSource")):
            found.update(self._named.get((subject, name), ()))
        return sorted(found)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _below_root(target: str, subject: str) -> str:
    """Return the path of what `IntendedFor` names: a BIDS address, or a path below the subject."""
    if target.startswith("bids:"):
        return target.split(":", 2)[-1].lstrip("/")
    path = target.removeprefix("./").lstrip("/")
    if path.startswith(f"sub-{subject}/"):
        # BIDS means a path below the subject, but data sets have this too.
        return path
    return (PurePosixPath(f"sub-{subject}") / path).as_posix()
