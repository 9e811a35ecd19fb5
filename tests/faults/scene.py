"""A run that is waited for until one of its jobs is at work: the moment of a fault."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.unit.openneuro_server import OpenNeuro

from .project import Project

# A fault that hangs for longer than this is a miss of its own.
PATIENCE = 900.0


class Missed(Exception):
    """The run was over before the fault."""


@dataclass
class Scene:
    """Where, when and on what a fault is inflicted.

    Attributes
    ----------
    project : Project
        A copy in which the stage and all that rests on it are still to be done, or a finished one.
    stage : str
        The stage that is hit.
    seed : int
        Number of the run among those of its kind.
    chance : random.Random
        Draws the moment and whatever else is left to chance.
    seconds : float
        How long the stage's longest job takes when nothing disturbs it.
    site : OpenNeuro
        The server.
    hit : str
        What was hit, for the table.
    """

    project: Project
    stage: str
    seed: int
    chance: random.Random
    seconds: float
    site: OpenNeuro
    hit: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start the command."""
        process = self.project.start(**environment)
        self.processes.append(process)
        return process

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of the command; return its exit code."""
        return process.wait(timeout=PATIENCE)

    def job(self, process: subprocess.Popen[bytes], latest: float = 0.8) -> psutil.Process:
        """Wait for a random moment in a job of the stage; return the job.

        Parameters
        ----------
        process : Popen
            The command.
        latest : float
            The latest moment, as a share of the time that the job takes undisturbed.

        Raises
        ------
        Missed
            When there is no such moment: the job was faster than ever.
        """
        job = self._find(process)
        delay = self.chance.uniform(0, latest * self.seconds)
        until = time.monotonic() + delay
        while time.monotonic() < until:
            if not job.is_running() or job.status() == psutil.STATUS_ZOMBIE:
                raise Missed
            time.sleep(0.005)
        self.hit = f"{self.stage}, after {delay:.1f} s"
        return job

    def _find(self, process: subprocess.Popen[bytes]) -> psutil.Process:
        parent = psutil.Process(process.pid)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            for child in parent.children(recursive=True):
                try:
                    command = child.cmdline()
                except psutil.Error:
                    continue
                named = [Path(word).name for word in command[1:3]]
                if named == ["braindata", self.stage]:
                    return child
            time.sleep(0.02)
        raise Missed

    def files(self, *, receipts: bool = False) -> list[Path]:
        """Return the files that the stage has made."""
        made = [p for p in self.project.made(self.stage) if "repositories" not in p.parts]
        return [path for path in made if receipts or not path.name.endswith(".receipt.json")]


@contextmanager
def ended(scene: Scene) -> Iterator[None]:
    """See to it that no process of a scene outlives the block."""
    try:
        yield
    finally:
        scene.site.faults.clear()
        for process in scene.processes:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
                process.wait()
