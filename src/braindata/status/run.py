"""Snakemake with an exit code that tells whether recordings are quarantined."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from braindata.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, UsageError
from braindata.status.overview import overview
from braindata.status.planned import TOLD_VARIABLE

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(arguments: Sequence[str]) -> int:
    """Run Snakemake, and return the exit code of the whole.

    Parameters
    ----------
    arguments : sequence of str
        What Snakemake is called with.

    Returns
    -------
    int
        0 all done, 3 done but recordings are quarantined or used in part, 2 wrong configuration,
        1 failed.

    Raises
    ------
    UsageError
        When there is no Snakemake beside this Python or on the path.
    """
    with tempfile.TemporaryDirectory(prefix="braindata-") as folder:
        told = Path(folder) / "output"
        code = _snakemake(arguments, told)
        if code == EXIT_DONE:
            return _outcome(told)
    return EXIT_USAGE if code == EXIT_USAGE else EXIT_FAILED


def _snakemake(arguments: Sequence[str], told: Path) -> int:
    beside = Path(sys.executable).with_name("snakemake")
    program = str(beside) if beside.is_file() else "snakemake"
    environment = os.environ | {TOLD_VARIABLE: str(told)}
    try:
        process = subprocess.Popen([program, *arguments], env=environment)
    except FileNotFoundError as error:
        raise UsageError("there is no snakemake", hint="install braindata's environment") from error

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not (number == signal.SIGINT and _from_terminal()):
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outcome(told: Path) -> int:
    """Return 3 when recordings are quarantined, 0 otherwise: Snakemake did what it was asked for.

    Asked for less than all (``--until``, a dry run), it leaves jobs undone without fault.
    """
    if not told.is_file():
        return EXIT_DONE
    seen = overview(Path(told.read_text(encoding="utf-8")))
    return seen.exit_code if seen.state == "quarantined" else EXIT_DONE


def _from_terminal() -> bool:
    """Whether Ctrl-C has reached Snakemake too: a terminal sends it to all in the foreground."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
