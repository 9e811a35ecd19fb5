"""Who is meant by ``<data set>/<subject>``, by label or by pseudonym."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from braindata.errors import BraindataError, UsageError
from braindata.layout import Layout
from braindata.tables.pseudonyms import Pseudonyms, fingerprint, read_key
from braindata.tables.releases import NewerError, Release, list_releases, read_release
from braindata.withdrawn import Gone, Withdrawn


@dataclass(frozen=True)
class Person:
    """Somebody who is to be withdrawn.

    Attributes
    ----------
    dataset : str
        Identifier of the data set.
    labels : tuple of str
        What the person is called: the label, and the pseudonym where there are pseudonyms.
    withdrawn : Withdrawn
        Everybody who is withdrawn then.
    """

    dataset: str
    labels: tuple[str, ...]
    withdrawn: Withdrawn

    @property
    def gone(self) -> Gone:
        """The people of the data set who are withdrawn then."""
        return self.withdrawn.of(self.dataset)


def find_person(layout: Layout, named: str, key: Path | None = None) -> Person:
    """Return who is meant.

    Parameters
    ----------
    layout : Layout
        The output folder.
    named : str
        ``<data set>/<subject>``: the label, with or without ``sub-``, or the pseudonym.
    key : Path, optional
        The file of the pseudonyms' key, where people have pseudonyms.

    Raises
    ------
    UsageError
        When there is nobody of that name, who was not withdrawn before either, or the key is
        missing.
    """
    dataset, slash, subject = named.partition("/")
    subject = subject.removeprefix("sub-")
    if not slash or not subject or "/" in subject or not dataset:
        raise UsageError(f"{named} is no person", hint="name one as DATASET/SUBJECT: localizer/01")
    withdrawn = Withdrawn.read(layout.output)
    pseudonyms = _pseudonyms(layout, dataset, key)
    known = known_labels(layout, dataset)
    if pseudonyms is not None and subject not in known:
        subject = next((label for label in known if pseudonyms.of(label) == subject), subject)
    if subject not in known and not withdrawn.of(dataset).has(subject):
        raise UsageError(
            f"there is no person {subject} of {dataset} in this folder",
            file=layout.output,
            hint=_nearest(layout, dataset, subject, known),
        )
    labels = (subject,) if pseudonyms is None else (subject, pseudonyms.of(subject))
    return Person(dataset, labels, withdrawn.adding(dataset, *labels))


def known_labels(layout: Layout, dataset: str) -> set[str]:
    """Return the labels of the people of a data set of whom anything is in the folder."""
    folders = (
        layout.raw(dataset),
        layout.published(dataset),
        layout.derivatives(dataset),
        layout.output / "fmriprep" / dataset,
    )
    found = {
        path.name.removeprefix("sub-").split("_")[0].split(".")[0]
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.name.startswith("sub-")
    }
    inventory = layout.inventory(dataset)
    if inventory.is_file():
        column = pq.read_table(inventory, columns=["subject"], partitioning=None)["subject"]
        found |= set(column.to_pylist()) - {None}
    release = newest_release(layout)
    if release is not None and "recordings" in release.tables:
        for file in release.tables["recordings"].files:
            path = release.folder / "recordings" / file.path
            if path.is_file():
                rows = pq.read_table(path, columns=["dataset", "subject"], partitioning=None)
                found |= {
                    row["subject"] for row in rows.to_pylist() if row["dataset"] == dataset
                } - {None}
    return found


def newest_release(layout: Layout) -> Release | None:
    """Return the newest release that can be opened; None where there is none."""
    for number in reversed(list_releases(layout.tables())):
        try:
            release = read_release(layout.tables(), number, ended=True)
        except NewerError:
            raise
        except BraindataError:
            continue
        if release.state is None:
            return release
    return None


def _pseudonyms(layout: Layout, dataset: str, key: Path | None) -> Pseudonyms | None:
    release = newest_release(layout)
    chosen = {} if release is None else release.provenance.get("parameters", {})
    which = chosen.get("pseudonyms") or ""
    if not which and key is None:
        return None
    if key is None:
        raise UsageError(
            "people have pseudonyms in these tables, which only the key can tell",
            file=layout.tables(),
            hint="give `--key` the file that `pseudonym_key` of the configuration names",
        )
    if not key.is_file():
        raise UsageError("there is no such key", file=key)
    secret = read_key(key)
    if which and fingerprint(secret) != which:
        raise UsageError("this is not the key of the pseudonyms in these tables", file=key)
    return Pseudonyms(secret, dataset)


def _nearest(layout: Layout, dataset: str, subject: str, known: set[str]) -> str:
    if known:
        near = difflib.get_close_matches(subject, sorted(known), n=3) or sorted(known)[:10]
        return f"nearest: {', '.join(near)}"
    raw = layout.output / "raw"
    names = sorted(path.name for path in raw.iterdir() if path.is_dir()) if raw.is_dir() else []
    names = [name for name in names if not name.startswith(".")]
    near = difflib.get_close_matches(dataset, names, n=1)
    return f"did you mean {near[0]}/{subject}?" if near else f"data sets: {', '.join(names)}"
