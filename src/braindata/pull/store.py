"""The contents of annexed files, each once, whichever data sets and names share them."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from braindata.errors import BraindataError
from braindata.files import atomic_path
from braindata.pull.annex import Key

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Content:
    """Contents that were read and found to be what their key says.

    Attributes
    ----------
    size : int
        In bytes.
    sha256 : str
        Their hash, whatever the key's is.
    """

    size: int
    sha256: str


class Store:
    """Verified contents by key, and unfinished ones beside them.

    Parameters
    ----------
    folder : Path
        Where they lie; on the same disk as what is linked to them.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, key: Key) -> Path:
        """Where the contents of a key lie, once they are there in full."""
        return self.folder / "contents" / key.folder[:2] / key.name

    def part(self, key: Key) -> Path:
        """Where contents lie that are not there in full yet; a later download resumes them."""
        return self.folder / "unfinished" / key.folder[:2] / key.name

    @contextmanager
    def claimed(self, key: Key) -> Iterator[IO[bytes]]:
        """Yield the unfinished file of a key, which no other process or thread has then.

        The lock is the kernel's: it dies with a killed process, and the file is resumed.
        """
        path = self.part(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with path.open("ab+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                try:
                    ours = path.stat().st_ino == os.fstat(handle.fileno()).st_ino
                except FileNotFoundError:
                    ours = False
                # Whoever had it before may have finished, and so renamed, the file.
                if ours:
                    yield handle
                    return

    def finish(self, key: Key, handle: IO[bytes]) -> Content | None:
        """Check unfinished contents and give them their name, or empty them when they are wrong."""
        handle.flush()
        part, path = self.part(key), self.path(key)
        content = verify(key, part)
        if content is None:
            handle.truncate(0)
            return None
        os.fsync(handle.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several names share the file: nobody should change it through one of them.
        part.chmod(0o444)
        part.replace(path)
        return content

    def check(self, key: Key) -> Content | None:
        """Read the contents of a key again; what is not what the key says is removed."""
        path = self.path(key)
        content = verify(key, path)
        if content is None:
            path.unlink(missing_ok=True)
        return content

    def place(self, key: Key, image: Path) -> None:
        """Give the contents of a key one more name."""
        path = self.path(key)
        if image.is_file() and not image.is_symlink() and image.samefile(path):
            return
        with atomic_path(image) as part:
            try:
                part.hardlink_to(path)
            except OSError as error:
                # A file system without hard links, or too many of one file.
                if error.errno is None or not path.is_file():
                    raise
                part.symlink_to(os.path.relpath(path, image.parent))


def verify(key: Key, path: Path) -> Content | None:
    """Return what a file holds if that is what `key` says, or None.

    Raises
    ------
    BraindataError
        When the file cannot be read.
    """
    if key.algorithm is None:
        return None
    try:
        size = path.stat().st_size
        if key.size is not None and size != key.size:
            return None
        sha256 = hashlib.sha256()
        own = hashlib.new(key.algorithm, usedforsecurity=False)
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                sha256.update(chunk)
                if key.algorithm != "sha256":
                    own.update(chunk)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BraindataError(
            f"this file cannot be read ({error.strerror})", file=path, hint="check the disk"
        ) from error
    digest = sha256.hexdigest() if key.algorithm == "sha256" else own.hexdigest()
    return Content(size, sha256.hexdigest()) if digest == key.digest else None
