"""The files that a part of a data set needs: its recordings, and what belongs to them."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from braindata.errors import UsageError
from braindata.pull.parameters import Subset

# Said of the data set as a whole.
_ABOUT_ALL = (
    "dataset_description.json", "participants.tsv", "participants.json", ".bidsignore", "README",
    "README.md", "README.rst", "README.txt", "CHANGES", "LICENSE", "LICENCE", "CITATION.cff",
    "samples.tsv", "samples.json", "scans.json", "sessions.json",
)  # fmt: skip
# Said of recordings that have another suffix.
_BESIDE = frozenset(
    ("events", "physio", "stim", "channels", "electrodes", "coordsystem", "headshape", "markers",
     "photo", "aslcontext", "scans", "sessions")
)  # fmt: skip
_PREFIXES = {"subject": "sub-", "session": "ses-", "task": "task-"}
_KEYS = {"subject": "sub", "session": "ses", "task": "task"}


@dataclass(frozen=True)
class _File:
    """A path, looked at as BIDS does."""

    path: str

    @cached_property
    def parts(self) -> tuple[str, ...]:
        return PurePosixPath(self.path).parts

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """The folders of subject, session and data type that it lies in."""
        n = 0
        if self.parts[0].startswith("sub-"):
            n = 2 if len(self.parts) > 2 and self.parts[1].startswith("ses-") else 1
            # Below the data type lie recordings that are folders (.ds, .mefd).
            n = min(n + 1, len(self.parts) - 1)
        return self.parts[:n]

    @cached_property
    def datatype(self) -> str:
        last = self.folders[-1] if self.folders else ""
        return "" if last.startswith(("sub-", "ses-")) else last

    @cached_property
    def _parsed(self) -> dict[str, str]:
        # Planning reads this module too, and its parser comes with numerical libraries.
        from braindata.bids.entities import entities

        return entities(self.parts[len(self.folders)])

    @cached_property
    def named(self) -> dict[str, str]:
        """Its entities, without what is no entity."""
        return {k: v for k, v in self._parsed.items() if k not in ("suffix", "ext", "datatype")}

    @cached_property
    def suffix(self) -> str:
        """The last part of its name before the extension."""
        return self._parsed.get("suffix", "")

    @property
    def is_recording(self) -> bool:
        """Whether it is, or belongs by name to, something that was recorded."""
        return bool(self.datatype) and self.suffix not in _BESIDE


def select(paths: Sequence[str], subset: Subset) -> list[str]:
    """Return the paths that a subset needs, in their order.

    Those are the recordings that were asked for, their sidecars and tables wherever the
    inheritance principle finds them, the T1w images of the subjects, and what is said of the data
    set as a whole. Other folders (`stimuli`, `code`, `phenotype`) are left out.

    Raises
    ------
    UsageError
        When the data set has nothing of what was asked for.
    """
    if not subset:
        return list(paths)
    files = [_File(path) for path in paths]
    recordings = [file for file in files if file.is_recording]
    asked = {key: _labels(key, values) for key, values in subset.model_dump().items() if values}
    for key, values in asked.items():
        known = {_value(file, key) for file in recordings} - {""}
        for value in sorted(values - known):
            near = difflib.get_close_matches(value, sorted(known), n=3)
            some = ", ".join(near or sorted(known)[:10])
            raise UsageError(
                f"subset.{key}: the data set has no {key} {value}",
                hint=f"{'nearest' if near else 'it has'}: {some or 'none at all'}",
            )
    chosen = [f for f in recordings if all(_value(f, k) in v for k, v in asked.items())]
    if not chosen:
        raise UsageError(
            "subset: no recording of the data set is all that was asked for at once",
            hint="leave one of its keys out",
        )
    images = chosen + _anatomy(recordings, chosen)
    wanted = {file.path for file in images} | set(_ABOUT_ALL)
    wanted |= _belonging(files, images)
    return [path for path in paths if path in wanted]


def _anatomy(recordings: Iterable[_File], chosen: Iterable[_File]) -> list[_File]:
    """Return the T1w images of subjects: those of the sessions asked for, or else all of them."""
    sessions = defaultdict(set)
    for file in chosen:
        sessions[_value(file, "subject")].add(_value(file, "session"))
    images = [f for f in recordings if f.suffix == "T1w" and _value(f, "subject") in sessions]
    near = [f for f in images if _value(f, "session") in sessions[_value(f, "subject")]]
    served = {_value(file, "subject") for file in near}
    return near + [f for f in images if _value(f, "subject") not in served]


def _belonging(files: Iterable[_File], images: Iterable[_File]) -> set[str]:
    """Return the sidecars and tables that apply to images."""
    by_folder: dict[tuple[str, ...], list[_File]] = defaultdict(list)
    for file in files:
        # What lies in other folders than those of BIDS has a folder of its own name.
        if len(file.parts) == len(file.folders) + 1:
            by_folder[file.folders].append(file)
    wanted = set()
    for image in images:
        for depth in range(len(image.folders) + 1):
            for file in by_folder[image.folders[:depth]]:
                if file.suffix not in (image.suffix, *_BESIDE) or file.path in wanted:
                    continue
                if all(image.named.get(key) == value for key, value in file.named.items()):
                    wanted.add(file.path)
    return wanted


def _value(file: _File, key: str) -> str:
    if key in ("datatype", "suffix"):
        return str(getattr(file, key))
    return file.named.get(_KEYS[key], "")


def _labels(key: str, values: Iterable[str]) -> set[str]:
    return {value.removeprefix(_PREFIXES.get(key, "")) for value in values}
