"""Errors as a part of the interface: what is wrong, in which file, what to do.

Exit codes of the command line (after nipoppy's example): 0 all done, 1 failed,
2 wrong use or configuration, 3 done, but some recordings are quarantined; 130 interrupted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_QUARANTINED = 3
# As a shell has it for a process that was interrupted.
EXIT_STOPPED = 130


class BraindataError(Exception):
    """Something that a user can understand and mend.

    Parameters
    ----------
    problem : str
        What is wrong, in one sentence.
    file : path-like, optional
        The file in which it is wrong.
    hint : str, optional
        What to do about it.
    """

    exit_code = EXIT_FAILED

    def __init__(self, problem: str, *, file: Path | str | None = None, hint: str | None = None):
        self.problem = problem
        self.file = None if file is None else str(file)
        self.hint = hint
        super().__init__(problem)

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        what_to_do = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{where}{self.problem}{what_to_do}"


class UsageError(BraindataError):
    """A wrong command line or configuration: nothing has been computed."""

    exit_code = EXIT_USAGE


class DamageError(BraindataError):
    """An intermediate file of ours is damaged or gone: the job fails, until it is made anew."""


class DataError(BraindataError):
    """A file that is corrupt, contradictory or incomplete: its recording is quarantined.

    Raised by compute modules, caught by the stage that loops over recordings. Every other
    exception is a fault of ours and fails the job.
    """


def nearest(name: str, names: Iterable[str], otherwise: str | None = None) -> str:
    """Return what to say of a name that is not known: the nearest one that is.

    Parameters
    ----------
    name : str
        The name.
    names : iterable of str
        The known ones, in the order in which they are told.
    otherwise : str, optional
        What to say where none is near; all known names, if not given.
    """
    known = list(names)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(known)}" if otherwise is None else otherwise


def first_line(error: BaseException) -> str:
    """Return what an error of a library says, without what it adds about its own code."""
    return str(error).strip().partition("\n")[0]


class EmptyRegionError(DataError):
    """A region holds no voxel of a grid: recordings on that grid go without it, others have it."""


class DoubtfulError(DataError):
    """Data that contradict each other, but could be used: a person may say that they are right."""
