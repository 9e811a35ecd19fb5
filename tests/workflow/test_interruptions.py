"""Ctrl-C and the terminal, as a user has them: through a pseudo-terminal."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from braindata.interruptions import SENTENCE
from braindata.stages import STEP_VERSION
from braindata.tables.releases import list_releases, read_release
from tests.processes import still_working

from .conftest import Project, Run

CTRL_C = b"\x03"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Snakemake as the foreground job of a terminal of 100 × 40 characters."""

    def __init__(self, project: Project):
        self.raw = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            project.command(),
            cwd=project.folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Its controlling terminal: keys then become signals to all of its processes.
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
            env=os.environ | {"TERM": "xterm-256color"},
        )
        os.close(slave)

    @property
    def text(self) -> str:
        """What was written so far, without colours and movements."""
        return ESCAPES.sub("", self.raw.decode(errors="replace")).replace("\r", "")

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._master, key)

    def read_until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Read what is written until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text

    def read_to_the_end(self) -> int:
        """Read until the process has ended; return its exit code."""
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait(timeout=10)

    def hang_up(self) -> int:
        """Close the terminal; return the exit code."""
        os.close(self._master)
        return self.process.wait(timeout=20)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            piece = os.read(self._master, 4096)
        except OSError as error:
            # What Linux answers when nobody has the other end open any more.
            assert error.errno == errno.EIO
            return False
        self.raw += piece
        return bool(piece)


def preprocessing(project: Project) -> Callable[[], bool]:
    """Return a condition: people are being preprocessed, and have been for a moment."""
    logs = project.results / "logs/preprocess/tiny"
    # A log's own time is of no use: registration writes to it all the while.
    seen: dict[Path, float] = {}

    def holds() -> bool:
        now = time.monotonic()
        return any(now - seen.setdefault(log, now) > 1 for log in logs.glob("*.log"))

    return holds


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    bids: Path, new_project: Callable[[Path], Project], finished: tuple[Project, Run]
) -> None:
    project = new_project(bids)
    terminal = Terminal(project)
    terminal.read_until(preprocessing(project))
    terminal.read_until(lambda: "known after the first preprocess" in terminal.text)
    # That is said as another job ends, while Snakemake is busy with it and may miss the key.
    calm = time.monotonic() + 1.5
    terminal.read_until(lambda: time.monotonic() > calm)
    jobs = psutil.Process(terminal.process.pid).children(recursive=True)
    assert jobs
    pressed = time.monotonic()
    terminal.press(CTRL_C)
    assert terminal.read_to_the_end() != 0, terminal.text
    assert time.monotonic() - pressed < 10
    assert still_working(jobs, timeout=1) == []
    assert "known after curation" in terminal.text
    assert "Stopping the jobs at work ..." in terminal.text
    assert terminal.text.endswith(SENTENCE + "\n")
    assert "Traceback" not in terminal.text
    assert "rror" not in terminal.text
    logs = sorted((project.results / "logs/preprocess/tiny").glob("*.log"))
    assert logs
    assert all("Traceback" not in log.read_text() for log in logs)

    again = Terminal(project)
    assert again.read_to_the_end() == 0, again.text
    for stage in STEP_VERSION:
        assert re.search(rf"^{stage} +(━* +)?(-|\d+/\d+) ", again.text, re.MULTILINE), stage
    last = again.text[again.text.rindex("preprocess  ") :].splitlines()
    assert last[0].split()[:3] == ["preprocess", "2", "jobs"]
    # Neither pull nor curate ran again; the job of latents may have been done, too.
    assert re.fullmatch(r"Done: 1[56] jobs in .*\.", last[-1])
    assert "Traceback" not in again.text
    tables = project.results / "tables"
    assert list_releases(tables) == [1]
    assert read_release(tables).paths() == read_release(finished[0].results / "tables").paths()
    whole = ("derivatives", "packed", "series", "derived")
    hashes = [{name: f[1] for name, f in p.files(*whole).items()} for p in (project, finished[0])]
    assert hashes[0] == hashes[1]


@pytest.mark.slow
def test_a_closed_terminal_leaves_no_job_behind_and_frees_the_output_folder(
    bids: Path, new_project: Callable[[Path], Project]
) -> None:
    project = new_project(bids)
    terminal = Terminal(project)
    terminal.read_until(preprocessing(project))
    jobs = psutil.Process(terminal.process.pid).children(recursive=True)
    assert jobs
    assert terminal.hang_up() != 0
    assert still_working(jobs, timeout=1) == []
    second = Terminal(project)
    second.read_until(preprocessing(project))
    second.press(CTRL_C)
    second.read_to_the_end()
    assert "another Snakemake" not in second.text
