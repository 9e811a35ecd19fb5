"""The lock of an output folder: a kernel lock, which dies with its process."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from braindata.errors import BraindataError

NAME = ".lock"
# Somebody who looks whether the lock is held has it for a moment: a new run waits for that.
ATTEMPTS = 10
PAUSE = 0.02


@dataclass(frozen=True)
class Holder:
    """Who works on an output folder.

    Attributes
    ----------
    process : str
        Process number of the Snakemake that holds the lock.
    since : float
        When it took the lock, on the clock of the file system.
    """

    process: str
    since: float


def lock(output: Path) -> int:
    """Hold the output folder until this process ends, however it ends.

    A kernel lock, because it dies with its process: nothing has to be unlocked after a kill.

    Returns
    -------
    int
        The file descriptor that holds the lock.

    Raises
    ------
    BraindataError
        When another process holds it.
    """
    output.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(output / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    for attempt in range(ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if attempt < ATTEMPTS - 1:
                time.sleep(PAUSE)
                continue
            process = _process(descriptor)
            os.close(descriptor)
            raise BraindataError(
                f"another Snakemake (process {process}) is working on this output folder",
                file=output,
                hint="wait until it is done, or stop it",
            ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def holder(output: Path) -> Holder | None:
    """Return who holds an output folder, if anybody does; nothing is changed.

    Parameters
    ----------
    output : Path
        The output folder; it need not be writable.
    """
    try:
        descriptor = os.open(output / NAME, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Holder(_process(descriptor), os.fstat(descriptor).st_mtime)
    finally:
        os.close(descriptor)
    return None


def _process(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
