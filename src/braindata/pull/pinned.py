"""Pulling one version of a repository: git for its texts, downloads for what is annexed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from braindata.errors import BraindataError, UsageError
from braindata.faults import MIN_FREE_MB
from braindata.files import atomic_path, sha256_file
from braindata.pull.derivatives import select_derivatives
from braindata.pull.fetch import Fetcher, FetchError, Stopped
from braindata.pull.git import BlobReader, Repository, fetch_commit
from braindata.pull.local import (
    SKIPPED_FOLDERS,
    PulledFile,
    is_image,
    remove_others,
    rest_of,
    write_rest,
)
from braindata.pull.parameters import Download, Published, Subset
from braindata.pull.repository import RemoteFile, Version, read_version
from braindata.pull.source import Pin, Remote
from braindata.pull.store import Store, verify
from braindata.pull.subset import select
from braindata.withdrawn import MAX_TEXT, Gone, is_of_all, without_people

log = logging.getLogger("braindata")
# After so many files in a row that a network or server failed to give, it is down.
_GIVE_UP_AFTER = 8
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


@dataclass
class Pulled:
    """What was pulled.

    Attributes
    ----------
    files : list of PulledFile
        Sorted by path; without a hash where contents are not there.
    absent : dict of str to str
        Paths whose contents nobody has, and why.
    refused : dict of str to str
        Paths of the repository that are not written, and why.
    """

    files: list[PulledFile]
    absent: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Mirror:
    """Where repositories and contents of all data sets lie.

    Parameters
    ----------
    folder : Path
        The store's folder.
    repositories : Path, optional
        Where repositories lie, if not there.
    """

    def __init__(self, folder: Path, repositories: Path | None = None):
        self.folder = repositories or folder
        self.store = Store(folder)

    def repository(self, dataset: str, pin: Pin) -> Path:
        """The bare repository of one version."""
        return self.folder / "repositories" / f"{dataset}-{pin.commit}.git"

    def fetch(self, dataset: str, remote: Remote, pin: Pin) -> Path:
        """Bring a version's repository here, unless it is, and return where it lies."""
        target = self.repository(dataset, pin)
        refs = [] if pin.tag is None else [f"refs/tags/{pin.tag}"]
        fetch_commit(remote.address, pin.commit, refs, target)
        return target

    def remove_others(self, dataset: str, pin: Pin) -> None:
        """Remove the repositories of the data set's other versions."""
        keep = self.repository(dataset, pin)
        for other in keep.parent.glob(f"{dataset}-*.git"):
            if other != keep and len(other.stem) == len(keep.stem):
                shutil.rmtree(other, ignore_errors=True)


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


def require_disk(wanted: Wanted, folder: Path) -> None:
    """Check that what has to be downloaded fits on the disk.

    Raises
    ------
    BraindataError
        When it does not.
    """
    texts = sum(file.size or 0 for file in wanted.files if file.blob is not None)
    needed = sum(wanted.missing.values()) + texts
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed + MIN_FREE_MB * 1e6 > free:
        raise BraindataError(
            f"{needed / 1e9:.1f} GB are to be downloaded, the disk has {free / 1e9:.1f} GB free",
            file=folder,
            hint="free some space, choose another output folder, or ask for less (subset:)",
        )


def pull_pinned(
    repository: Path,
    wanted: Wanted,
    target: Path,
    store: Store,
    settings: Download,
    progress: Callable[[int], object] | None = None,
    gone: Gone | None = None,
) -> Pulled:
    """Bring what is wanted of a version to `target`, and remove from there what it does not have.

    Contents come into the store first, and only when all of them are there the folder changes. What
    is there is read and verified each time; only what is missing or damaged is downloaded.

    Parameters
    ----------
    repository : Path
        The bare repository.
    wanted : Wanted
        What of it.
    target : Path
        The folder that becomes its image.
    store : Store
        Where contents lie.
    settings : Download
        How they are downloaded.
    progress : callable, optional
        Called with the number of bytes that are there now, too.
    gone : Gone, optional
        Who was withdrawn: texts about all people are written without what they say of them.

    Returns
    -------
    Pulled
        Contents that cannot be had are named in it.

    Raises
    ------
    BraindataError
        When the network or a server fails; what is there by then is kept.
    """
    require_disk(wanted, store.folder)
    annexed = [f for f in wanted.files if f.key is not None and f.path not in wanted.left]
    hashes, absent = _fetch_all(annexed, store, settings, progress)
    remove_others(target, {file.path for file in wanted.files})
    files = []
    with Repository(repository).reader() as reader:
        for file in wanted.files:
            image = target / file.path
            rest = None if not gone else _rest_of(reader, store, file, gone)
            if rest is not None:
                files.append(write_rest(file.path, rest, image))
            elif file.blob is not None:
                sha256 = _write_text_file(reader, file, image)
                files.append(PulledFile(file.path, file.size or 0, sha256))
            elif file.path in absent or file.path in wanted.left:
                _leave_open(file, image, store)
                files.append(PulledFile(file.path, 0, ""))
            else:
                assert file.key is not None
                store.place(file.key, image)
                size, sha256 = hashes[file.path]
                files.append(PulledFile(file.path, size, sha256))
    return Pulled(files, absent, wanted.version.refused)


def _fetch_all(
    files: list[RemoteFile],
    store: Store,
    settings: Download,
    progress: Callable[[int], object] | None,
) -> tuple[dict[str, tuple[int, str]], dict[str, str]]:
    hashes: dict[str, tuple[int, str]] = {}
    absent: dict[str, str] = {}
    failed: list[FetchError] = []
    in_a_row = 0
    report = progress or _LogProgress(sum(file.size or 0 for file in files))
    fetcher = Fetcher(store, settings, progress=report)
    pool = ThreadPoolExecutor(settings.connections, thread_name_prefix="pull")
    try:
        running: dict[Future[Any], RemoteFile] = {}
        for file in [*files, None]:
            if file is not None:
                running[pool.submit(fetcher.fetch, file)] = file
            # Not more than a few wait: a list of a million would have to be taken back.
            while running and (file is None or len(running) >= 2 * settings.connections):
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    one = running.pop(future)
                    try:
                        content = future.result()
                        hashes[one.path] = (content.size, content.sha256)
                        in_a_row = 0
                    except FetchError as error:
                        if error.lasting:
                            absent[one.path] = error.problem
                        else:
                            failed.append(error)
                            in_a_row += 1
                    except Stopped:
                        pass
                if in_a_row >= _GIVE_UP_AFTER:
                    raise _incomplete(len(hashes), len(files), failed)
    finally:
        fetcher.stopped.set()
        pool.shutdown(cancel_futures=True)
        fetcher.close()
    if failed:
        raise _incomplete(len(hashes), len(files), failed)
    return hashes, absent


def _incomplete(n_here: int, n_all: int, failed: list[FetchError]) -> BraindataError:
    first = failed[0]
    return BraindataError(
        f"{n_here} of {n_all} annexed files are here and verified; the others could not be "
        f"downloaded: {first.problem}",
        file=first.file,
        hint="run the same command again: it goes on from here",
    )


class _LogProgress:
    """Says in a log every half minute how far it is."""

    def __init__(self, n_bytes: int):
        self._total, self._done = n_bytes, 0
        self._began = self._said = time.monotonic()

    def __call__(self, n_bytes: int) -> None:
        self._done += n_bytes
        now = time.monotonic()
        if now - self._said >= 30:
            self._said = now
            rate = self._done / (now - self._began)
            left = (self._total - self._done) / rate / 60 if rate > 0 else float("inf")
            log.info(
                "%.2f of %.2f GB, %.1f MB/s, %.0f min left",
                self._done / 1e9, self._total / 1e9, rate / 1e6, left,
            )  # fmt: skip


def _rest_of(reader: BlobReader, store: Store, file: RemoteFile, gone: Gone) -> bytes | None:
    """Return a text without people who were withdrawn; None where there is nothing to leave out."""
    if file.key is not None:
        path = store.path(file.key)
        rest = rest_of(file.path, path, gone) if path.is_file() else None
        if rest is not None:
            # It names them; the next pull fetches it again for as long as it is asked for.
            path.unlink()
        return rest
    if file.blob is None or not is_of_all(file.path) or (file.size or 0) > MAX_TEXT:
        return None
    return without_people(file.path, b"".join(reader.chunks(file.blob)), gone)


def _write_text_file(reader: BlobReader, file: RemoteFile, image: Path) -> str:
    """Write a file that git holds, unless it is there, and return its sha256."""
    assert file.blob is not None
    whole = image.is_file() and not image.is_symlink() and image.stat().st_size == file.size
    if whole and blob_of(image, len(file.blob)) == file.blob:
        return sha256_file(image)
    digest = hashlib.sha256()
    with atomic_path(image) as part, part.open("wb") as handle:
        for chunk in reader.chunks(file.blob):
            digest.update(chunk)
            handle.write(chunk)
    return digest.hexdigest()


def blob_of(path: Path, length: int = 40) -> str:
    """Return the name that git has for a file's contents, of a given length."""
    digest = hashlib.new("sha1" if length == 40 else "sha256", usedforsecurity=False)
    digest.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _leave_open(file: RemoteFile, image: Path, store: Store) -> None:
    """Make a link that leads nowhere, as git-annex has for what was not fetched."""
    assert file.key is not None
    leads_to = os.path.relpath(store.folder / "absent" / file.key.name, image.parent)
    if image.is_symlink() and str(image.readlink()) == leads_to:
        return
    image.parent.mkdir(parents=True, exist_ok=True)
    image.unlink(missing_ok=True)
    image.symlink_to(leads_to)


def damaged(files: Iterable[RemoteFile], target: Path) -> dict[str, str]:
    """Compare a pulled folder with what git says of a version: path and what is wrong with it."""
    found = {}
    for file in files:
        image = target / file.path
        if not image.is_file():
            found[file.path] = "it is not here"
        elif file.key is not None and file.key.digest is not None:
            if verify(file.key, image) is None:
                found[file.path] = "its contents are not what its key says"
        elif file.blob is not None and blob_of(image, len(file.blob)) != file.blob:
            found[file.path] = "its contents are not those of the version"
    return found
