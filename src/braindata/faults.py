"""What an exception that nobody foresaw means to a user: a full disk, too little memory, our fault.

Libraries tell of a full disk in many ways (an errno, a sentence, an error of their own that was
caused by one), so the whole chain of causes is looked at.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from braindata.errors import BraindataError

DEBUG_VARIABLE = "BRAINDATA_DEBUG"
# With less free space than this on its disk nothing is begun in an output folder: the disk would
# be full before the first person is done.
MIN_FREE_MB = 200

_FULL = (errno.ENOSPC, errno.EDQUOT)
# h5py, deltalake (Rust) and greedy (ITK) have no errno, or only in their text.
_FULL_TEXTS = (
    "no space left on device",
    "disk quota exceeded",
    *(f"errno = {number}" for number in _FULL),
    *(f"os error {number}" for number in _FULL),
)


def is_full_disk(error: BaseException) -> bool:
    """Whether an exception, or one that led to it, says that a disk is full."""
    return any(
        getattr(one, "errno", None) in _FULL
        or any(text in str(one).lower() for text in _FULL_TEXTS)
        for one in _chain(error)
    )


def full_disk(error: BaseException, *folders: Path) -> BraindataError:
    """Return what a user is told of a full disk.

    Parameters
    ----------
    error : BaseException
        One for which `is_full_disk` holds.
    *folders : Path
        Where the job writes. The disk is that of the file which the exception names; where it
        names none, that of the folder with the least free space.
    """
    # Of a link, the second name is the one that is written.
    named = [
        str(one.filename2 or one.filename)
        for one in _chain(error)
        if isinstance(one, OSError) and one.filename
    ]
    scratch = Path(tempfile.gettempdir())
    where = _existing(Path(named[0])) if named else min((*folders, scratch), key=_free)
    # An output folder may lie below the folder for temporary files.
    disk = next((folder for folder in (*folders, scratch) if where.is_relative_to(folder)), where)
    how = "free some space"
    if disk == scratch:
        how += " there, or set TMPDIR to a folder on another disk"
    return BraindataError(
        f"the disk of {disk} is full",
        hint=f"{how}, then run the same command again: what is done is kept",
    )


class naming_a_full_disk:
    """Turn whatever leaves the block because of a full disk into an error that says so.

    Parameters
    ----------
    *folders : Path
        Where the block writes.

    Raises
    ------
    BraindataError
        Naming the disk.
    """

    def __init__(self, *folders: Path):
        self._folders = folders

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """End the block; other errors pass."""
        if isinstance(error, Exception) and is_full_disk(error):
            raise full_disk(error, *self._folders) from error


def require_space(folder: Path, megabytes: int = MIN_FREE_MB) -> None:
    """Check that the disk of a folder has some room, before anything is begun.

    Parameters
    ----------
    folder : Path
        The output folder; it need not be there yet.
    megabytes : int
        How much must be free.

    Raises
    ------
    BraindataError
        When it has less.
    """
    free = _free(folder) / 1e6
    if free < megabytes:
        raise BraindataError(
            f"the disk of {folder} has {free:.0f} MB free, at least {megabytes} MB are needed",
            hint="free some space, or choose another folder for `output`",
        )


def explain(error: Exception) -> BraindataError:
    """Return what a user is told of an exception that came up to the command line."""
    if isinstance(error, BraindataError):
        return error
    if is_full_disk(error):
        return full_disk(error)
    if isinstance(error, MemoryError):
        return BraindataError(
            f"there is not enough memory for this job ({error or 'none is left'})",
            hint="run fewer jobs at once (snakemake --cores 1), close other programs, or use a "
            "larger machine; what is done is kept",
        )
    if isinstance(error, OSError) and error.strerror:
        return BraindataError(
            error.strerror,
            file=error.filename,
            hint="check the disk, and who may read and write there; then run again",
        )
    text = " ".join(str(error).split())
    return BraindataError(
        f"unexpected {type(error).__name__}: {text}"
        if text
        else f"unexpected {type(error).__name__}",
        hint=f"this is a fault of braindata, not of yours: {DEBUG_VARIABLE}=1 before the same "
        "command (or braindata --debug …) shows where it arose; please report that",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _existing(path: Path) -> Path:
    """Return the nearest folder of a path that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())


def _free(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free
