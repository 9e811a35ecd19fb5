"""What became of a run of fMRIPrep: by what it wrote and by its crash files, not by its exit code.

fMRIPrep writes a text file ``crash-….txt`` for each node that failed, goes on with what does not
depend on it, and ends with an error; it may end without one and have written nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Said when the machine, not the data, is at fault: more memory or another node mends it.
MACHINE = re.compile(
    r"MemoryError|Cannot allocate memory|out of memory|BrokenProcessPool|No space left on device"
    r"|Disk quota exceeded|return code: (?:137|-9)\b|oom-kill",
    re.IGNORECASE,
)
# A shell's code of a process that was killed: by the kernel for its memory, mostly.
KILLED = frozenset({137, -9})
# Docker's and a shell's codes of a command that could not be run at all.
NOT_STARTED = frozenset({125, 126, 127})
_LONGEST = 300


@dataclass(frozen=True)
class Crash:
    """One crash file.

    Attributes
    ----------
    path : Path
        The file.
    node : str
        Which part of the workflow failed.
    error : str
        What it said last.
    is_machines : bool
        Whether it says so of the machine rather than of the data.
    """

    path: Path
    node: str
    error: str
    is_machines: bool


def find_crashes(output: Path) -> list[Crash]:
    """Return what the crash files below fMRIPrep's output say, sorted by path."""
    return [_read(path) for path in sorted(output.rglob("crash-*.txt"))]


def _read(path: Path) -> Crash:
    text = path.read_text(encoding="utf-8", errors="replace")
    node = next((x.partition(":")[2].strip() for x in text.splitlines() if x[:5] == "Node:"), "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "the crash file is empty"
    error = last if len(last) <= _LONGEST else f"{last[:_LONGEST]}…"
    return Crash(path, node, error, MACHINE.search(text) is not None)


def crash_of(recording: str, crashes: Sequence[Crash], recordings: Iterable[str]) -> Crash | None:
    """Return the crash that explains why a recording was not preprocessed.

    Parameters
    ----------
    recording : str
        Its name.
    crashes : sequence of Crash
        All of its person.
    recordings : iterable of str
        The names of all recordings of the job.

    Returns
    -------
    Crash or None
        The first one in the recording's own workflow, else the first one that is in no other
        recording's, such as of the anatomical image.
    """
    own = _workflow(recording)
    others = {_workflow(name) for name in recordings} - {own}
    for crash in crashes:
        if own in crash.node.split("."):
            return crash
    return next((c for c in crashes if not others & set(c.node.split("."))), None)


def _workflow(recording: str) -> str:
    """Return what fMRIPrep calls the workflow of a recording: ``bold_task_x_run_01_wf``."""
    middle = "_".join(recording.split("_")[1:-1])
    return f"bold_{re.sub('[-+]', '_', middle)}_wf"
