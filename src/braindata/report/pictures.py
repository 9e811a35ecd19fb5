"""Pictures on disk, kept by the hash of what they were drawn from.

A picture's name holds the hash of its contents: a person's T1w image lies there once for all of
the person's recordings, and no page ever shows half of an old and half of a new set. Beside the
pictures lies one small JSON per set, which says what it was drawn from; it is written last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from braindata.files import atomic_path, sha256_file, write_text
from braindata.receipts import content_hash

FOLDER = "pictures"
_NAME_LENGTH = 16


@dataclass(frozen=True)
class PictureSet:
    """The pictures of one thing.

    Attributes
    ----------
    files : dict of str to str
        Name of each picture (``carpet.webp``) and its path below the report's folder.
    data : object
        Further results that are kept with them, as JSON gives them back.
    """

    files: dict[str, str] = field(default_factory=dict)
    data: Any = None


@dataclass
class Shelf:
    """The pictures below a report's folder.

    Attributes
    ----------
    report : Path
        The report's folder.
    paths : set of Path
        Every file that was asked for, so that the others can be removed.
    n_drawn : int
        How many sets were not there yet.
    """

    report: Path
    paths: set[Path] = field(default_factory=set)
    n_drawn: int = 0

    def get(
        self,
        key: Mapping[str, Any],
        draw: Callable[[], tuple[Mapping[str, bytes], Any]],
        missing: Collection[str] = (),
    ) -> PictureSet:
        """Return a set of pictures, drawn only when it is not there.

        Parameters
        ----------
        key : mapping
            What it is drawn from: hashes and parameters, as JSON.
        draw : callable
            Makes the pictures, as name and contents, and the data to keep with them.
        missing : collection of str
            Inputs that are gone now. A set that was drawn with them stays as it is; one that was
            drawn without an input that is there now is drawn again.
        """
        base = self.report / FOLDER
        note = base / f"{content_hash(key)[:_NAME_LENGTH]}.json"
        kept = self._kept(note, missing)
        if kept is None:
            pictures, data = draw()
            kept = {"files": {}, "missing": sorted(missing), "data": data}
            for name, contents in sorted(pictures.items()):
                digest = hashlib.sha256(contents).hexdigest()
                path = base / _file_name(name, digest)
                if not path.is_file() or sha256_file(path) != digest:
                    with atomic_path(path) as part:
                        part.write_bytes(contents)
                kept["files"][name] = digest
            write_text(note, json.dumps(kept, sort_keys=True, ensure_ascii=False) + "\n")
            self.n_drawn += 1
        names = {name: _file_name(name, digest) for name, digest in kept["files"].items()}
        self.paths |= {note, *(base / name for name in names.values())}
        # Through JSON in both cases: a kept set and a new one make the same page.
        data = json.loads(json.dumps(kept["data"]))
        return PictureSet({name: f"{FOLDER}/{file}" for name, file in names.items()}, data)

    def _kept(self, note: Path, missing: Collection[str]) -> dict[str, Any] | None:
        try:
            kept: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
            found_since = set(kept["missing"]) - set(missing)
            whole = all(
                sha256_file(note.with_name(_file_name(name, digest))) == digest
                for name, digest in kept["files"].items()
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            # Not there, or damaged: it is drawn again.
            return None
        return kept if whole and not found_since else None


def _file_name(name: str, digest: str) -> str:
    plain = PurePosixPath(name)
    return f"{plain.stem}-{digest[:_NAME_LENGTH]}{plain.suffix}"
