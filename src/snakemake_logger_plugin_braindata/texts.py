"""What is said about a run, in plain text."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from braindata.files import read_end

if TYPE_CHECKING:
    from .progress import Progress

# Where our commands' own words begin in a log. A log may be long; its end is what counts.
_ERROR = re.compile(r"^(error|ERROR|CRITICAL)\b", re.MULTILINE)
# At the end it counts wherever it begins: registration leaves lines of its own unended.
_LAST_ERROR = re.compile(r"error: [^\n]*(?:\n {2}[^\n]*)*\s*\Z")
_HOW_IT_ENDED = re.compile(r"returned non-zero exit status (\d+)|died with <Signals\.(\w+): \d+>")
_TRACEBACK = "Traceback (most recent call last):"
_WHERE_IN_RULES = re.compile(r"\nTraceback:(\n  File .*)+")
_TAIL_BYTES = 20_000
_LITTLE_BYTES = 1_000_000
_SHELLS_SIGNAL_0 = 128


def duration(seconds: float) -> str:
    """Return a duration in the two units that matter: ``38 s``, ``4 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def clock(seconds: float) -> str:
    """Return a duration as ``h:mm:ss``."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def jobs(number: int) -> str:
    """Return ``1 job`` or ``2 jobs``."""
    return f"{number} job" if number == 1 else f"{number} jobs"


def failure(stage: str, name: str, logs: Sequence[str], ended: str) -> str:
    """Return what is said when a job failed: which one, what its log says, where the log is.

    Parameters
    ----------
    stage, name : str
        The job.
    logs : sequence of str
        Paths of its logs.
    ended : str
        Snakemake's message about how its command ended, or an empty text.
    """
    lines = [f"error: {stage} {name} failed".replace("  ", " ")]
    killed_by = _signal(ended)
    for log in logs:
        lines += [f"  {line}" for line in last_words(Path(log), errors_only=killed_by is not None)]
    if killed_by is not None:
        lines.append(f"  its process was killed ({killed_by}); often that is too little memory")
    return "\n".join([*lines, *(f"  log: {log}" for log in logs)])


def _signal(ended: str) -> str | None:
    """Return the name of the signal that ended a command; None when none did.

    Where the shell was not killed with it, it tells the signal by its exit status.
    """
    how = _HOW_IT_ENDED.search(ended)
    if how is None or how[2]:
        return how and how[2]
    try:
        return signal.Signals(int(how[1]) - _SHELLS_SIGNAL_0).name
    except ValueError:
        return None


def last_words(log: Path, *, errors_only: bool = False) -> list[str]:
    """Return the last error of a log with its hint, or else its last line; no traceback.

    Parameters
    ----------
    log : Path
        The log.
    errors_only : bool
        Whether a last line that is no error is left out: it says nothing of why a process was
        killed.
    """
    try:
        text = read_end(log, _TAIL_BYTES)
    except OSError:
        return ["(its log cannot be read)"]
    ours = _LAST_ERROR.search(text)
    if ours:
        return ours[0].rstrip().splitlines()
    found = list(_ERROR.finditer(text))
    if found:
        words = text[found[-1].start() :].partition("Traceback (most recent call last)")[0]
        return words.rstrip().splitlines()
    if errors_only:
        return []
    return text.rstrip().splitlines()[-1:] or [_empty(log)]


def _empty(log: Path) -> str:
    # On a full disk nothing can be written, the reason neither.
    full = shutil.disk_usage(log.parent).free < _LITTLE_BYTES
    return f"(its log is empty{', and the disk that holds it is full' if full else ''})"


def without_traceback(text: str) -> str:
    """Return a message of Snakemake without the lines of code that led to it.

    Of an exception that it did not expect, such as a configuration file that is not there, it
    prints the traceback alone; of one in an input function it appends where that arose.
    """
    if text.startswith(_TRACEBACK):
        lines = text.rstrip().splitlines()
        # What the exception says begins in the last line that is not indented.
        first = max(number for number, line in enumerate(lines) if line[:1].strip())
        said = "\n".join(lines[first:])
        return f"error: {said}\n  hint: --verbose shows where in the code it arose"
    return _WHERE_IN_RULES.sub("", text)


def summary(progress: Progress, now: float, whole: bool = False) -> str:
    """Return the closing block: what ran, how long it took, and what did not.

    Parameters
    ----------
    progress : Progress
        The run.
    now : float
        The time in seconds.
    whole : bool, default=False
        The run came to its end without an error. Jobs that were planned and did not run had
        nothing to do then: what they rest on was made anew and is as before.
    """
    total, done, failed = progress.sums()
    rows = [
        (
            stage.name,
            jobs(stage.done),
            duration(stage.elapsed(now)),
            f"{stage.failed} failed" if stage.failed else "",
        )
        for stage in progress.stages.values()
        if stage.done or stage.failed
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    took = duration(now - (progress.started if progress.started is not None else now))
    if total == done:
        return "\n".join([*lines, f"Done: {jobs(done)} in {took}."])
    if whole and not failed:
        rest = f"{jobs(total - done)} had nothing to do"
        return "\n".join([*lines, f"Done: {jobs(done)} in {took}; {rest}."])
    last = f"{done} of {jobs(total)} done in {took}"
    if failed:
        names = ", ".join(f"{job.stage} {job.name}".strip() for job in progress.failed.values())
        last += f"; {failed} failed ({names}), {total - done - failed} did not run"
    return "\n".join([*lines, f"{last}."])
