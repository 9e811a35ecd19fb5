"""One version of a repository as a folder: its files written there, and compared with it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from braindata.errors import BraindataError
from braindata.faults import MIN_FREE_MB
from braindata.files import atomic_path, sha256_file
from braindata.pull.downloads import download_all
from braindata.pull.git import BlobReader, Repository
from braindata.pull.local import PulledFile, remove_others, rest_of, write_rest
from braindata.pull.parameters import Download
from braindata.pull.repository import RemoteFile
from braindata.pull.store import Store, verify
from braindata.pull.wanted import Wanted
from braindata.withdrawn import MAX_TEXT, Gone, is_of_all, without_people


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
    hashes, absent = download_all(annexed, store, settings, progress)
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
