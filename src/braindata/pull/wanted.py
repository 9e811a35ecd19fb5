"""What of a version is asked for, and what of that is not here yet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from braindata.errors import UsageError
from braindata.pull.derivatives import select_derivatives
from braindata.pull.git import Repository
from braindata.pull.local import SKIPPED_FOLDERS, is_image
from braindata.pull.parameters import Published, Subset
from braindata.pull.repository import RemoteFile, Version, read_version
from braindata.pull.store import Store
from braindata.pull.subset import select
from braindata.withdrawn import Gone

_MAX_DESCRIPTION = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """What of a version is asked for.

    Attributes
    ----------
    version : Version
        All that it holds.
    files : tuple of RemoteFile
        What is asked for, sorted by path.
    missing : dict of str to int
        Bytes that have to be downloaded, by key.
    left : frozenset of str
        Paths among them whose contents are not asked for: that they are there is.
    """

    version: Version
    files: tuple[RemoteFile, ...]
    missing: dict[str, int]
    left: frozenset[str] = frozenset()

    @property
    def n_bytes(self) -> int:
        """Size of the files asked for; contents under two names count twice."""
        return sum(file.size or 0 for file in self.files if file.path not in self.left)


def want(
    repository: Path,
    commit: str,
    subset: Subset,
    store: Store,
    *,
    raw: bool,
    images: bool = True,
    published: Published | None = None,
    gone: Gone | None = None,
) -> Wanted:
    """List what of a version is asked for.

    Parameters
    ----------
    repository : Path
        The bare repository.
    commit : str
        The version.
    subset : Subset
        What is asked for.
    store : Store
        What is here already.
    raw : bool
        Whether it must be a raw data set, and not derivatives.
    images : bool, default=True
        Whether the contents of MRI images are asked for.
    published : Published, optional
        What is asked for of derivatives of fMRIPrep; without, all of a data set.
    gone : Gone, optional
        Who was withdrawn: their files are not asked for.

    Raises
    ------
    UsageError
        When it is no BIDS data set, or has nothing of what is asked for.
    """
    version = read_version(repository, commit)
    by_path = {file.path: file for file in version.files if _is_part(file.path)}
    _require_bids(repository, by_path, raw=raw)
    if published is None:
        paths = select(list(by_path), subset)
        named = frozenset() if images else frozenset(filter(is_image, paths))
    else:
        chosen = select_derivatives(list(by_path), published, subset)
        paths, named = chosen.paths, chosen.named
    if gone:
        paths = [path for path in paths if not gone.named_in(path)]
        refused = {p: why for p, why in version.refused.items() if not gone.named_in(p)}
        version = replace(version, refused=refused)
    files = tuple(by_path[path] for path in paths)
    # What git itself holds is here already.
    left = frozenset(file.path for file in files if file.path in named and file.key is not None)
    fetched = [file for file in files if file.path not in left]
    return Wanted(version, files, _missing(store, fetched), left)


def _missing(store: Store, files: Iterable[RemoteFile]) -> dict[str, int]:
    """Return the sizes of the contents that are not in a store, by key; resumable bytes count not.

    Only sizes are looked at, so that nothing has to be read.
    """
    missing = {}
    for file in files:
        key = file.key
        if key is None or not file.addresses or key.name in missing:
            continue
        there = store.path(key)
        if there.is_file() and key.size in (None, there.stat().st_size):
            continue
        part = store.part(key)
        begun = part.stat().st_size if part.is_file() else 0
        missing[key.name] = max(0, (key.size or 0) - begun)
    return missing


def _is_part(path: str) -> bool:
    """Whether a file belongs to a data set, as for a local folder."""
    parts = path.split("/")
    hidden = any(part.startswith(".") for part in parts) and path != ".bidsignore"
    return not hidden and not (len(parts) > 1 and parts[0] in SKIPPED_FOLDERS)


def _require_bids(repository: Path, files: dict[str, RemoteFile], *, raw: bool) -> None:
    description = files.get("dataset_description.json")
    if description is None or not any(path.startswith("sub-") and "/" in path for path in files):
        lacks = "dataset_description.json" if description is None else "sub-… folder"
        raise UsageError(
            f"this version is no BIDS data set: it has no {lacks}",
            hint="check the id or address",
        )
    if not raw or description.blob is None or (description.size or 0) > _MAX_DESCRIPTION:
        return
    text = next(Repository(repository).read([description.blob])).decode("utf-8-sig", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        # Curation says what is wrong with it.
        return
    if isinstance(body, dict) and body.get("DatasetType") == "derivative":
        raise UsageError(
            "this version holds derivatives, not raw data (its DatasetType says so)",
            hint="give the raw data set that they were made from",
        )
