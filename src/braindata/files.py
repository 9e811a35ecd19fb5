"""Writing files so that nobody ever reads half of one."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART_PREFIX = ".part-"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block succeeds.

    The temporary name keeps the file's extension, as nibabel and others choose the format by it.
    It is this process' own, as two jobs may write the same file with the same contents. What a
    killed job leaves behind is removed by `remove_parts`.

    Parameters
    ----------
    path : Path
        The final name. Its folder is made if it is not there.

    Yields
    ------
    Path
        Where to write. It is removed when the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{PART_PREFIX}{os.getpid()}-{path.name}")
    try:
        try:
            yield part
        except OSError as error:
            # A write that fails, on a full disk for one, does not say which file it was.
            error.filename = error.filename or str(path)
            raise
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(folder: Path) -> list[Path]:
    """Remove the temporary files below `folder` that killed jobs left, and return their paths.

    Only for a folder in which no job is at work.
    """
    left = sorted(folder.rglob(f"{PART_PREFIX}*"))
    for path in left:
        path.unlink(missing_ok=True)
    return left


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder for temporary files, outside the output folder, and remove it afterwards.

    It bears the host's and the process' name: what a killed process could not remove is removed by
    `remove_dead_scratch`.

    Yields
    ------
    Path
        An empty folder.
    """
    with tempfile.TemporaryDirectory(prefix=f"{_scratch_prefix()}{os.getpid()}-") as folder:
        yield Path(folder)


def remove_dead_scratch() -> list[Path]:
    """Remove the scratch folders of this user's dead processes on this host; return their paths."""
    prefix = _scratch_prefix()
    dead = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        try:
            ours = folder.lstat().st_uid == os.getuid()
        except FileNotFoundError:
            # Its process has just ended and removed it.
            continue
        if ours and pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
            dead.append(folder)
    return dead


def _is_alive(pid: int) -> bool:
    # Only the run itself looks, not each of its jobs.
    import psutil

    try:
        # A killed process that nobody has collected still has its number, but is dead.
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _scratch_prefix() -> str:
    # Temporary folders of several hosts may be one; a process is looked for on its own host only.
    return f"braindata-{socket.gethostname()}-"


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, in UTF-8 with Unix line ends."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def read_end(path: Path, n_bytes: int) -> str:
    """Return the end of a text file, which may be written to at this moment.

    Raises
    ------
    OSError
        When it cannot be read.
    """
    with path.open("rb") as handle:
        handle.seek(max(0, handle.seek(0, os.SEEK_END) - n_bytes))
        return handle.read().decode("utf-8", errors="replace")


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's contents, in hexadecimal.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    """
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
