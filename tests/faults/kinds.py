"""Twelve kinds of faults: how each is inflicted, and what the interrupted command must say."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from braindata.interruptions import SENTENCE

from ..small_disk import resize, resize_to, small_disk
from .project import STAGES
from .scene import Missed, Scene

MEBIBYTE = 1 << 20
DAY = 86_400.0
RECEIPT = [".receipt", ".json"]
FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"


@dataclass(frozen=True)
class Faulty:
    """How the interrupted command ended.

    Attributes
    ----------
    exit_code : int or None
        Its exit code; None where the fault was inflicted while no command was running.
    text : str
        What it said, and its jobs' logs.
    """

    exit_code: int | None
    text: str


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes
    ----------
    name : str
        Its name.
    inflict : callable
        Inflicts it, and undoes what is not braindata's to undo: a disk is given space again.
    exit_codes : tuple of (int or None)
        How the interrupted command may end.
    says : str
        A regular expression that is found in what it says; empty where it cannot say anything.
    stages : tuple of str
        The stages that it can hit.
    finished : bool
        Whether it is inflicted on a project in which everything is done.
    """

    name: str
    inflict: Callable[[Scene], Faulty]
    exit_codes: tuple[int | None, ...]
    says: str = ""
    stages: tuple[str, ...] = STAGES
    finished: bool = False

    def misses(self, faulty: Faulty) -> str:
        """Return what is wrong with how the interrupted command ended, or nothing."""
        if faulty.exit_code not in self.exit_codes:
            return f"exit code {faulty.exit_code}: {faulty.text[-1500:]}"
        if self.says and not re.search(self.says, faulty.text):
            return f"does not say {self.says!r}, but {faulty.text[-1500:]}"
        if "Traceback" in faulty.text:
            return f"shows a traceback: {faulty.text[faulty.text.index('Traceback') :][:1500]}"
        return ""


def _ended(scene: Scene, exit_code: int) -> Faulty:
    return Faulty(exit_code, scene.project.logs() + scene.project.said)


def kill_job(scene: Scene) -> Faulty:
    """SIGKILL to the job: what the kernel does when memory is short."""
    process = scene.start()
    scene.job(process).kill()
    return _ended(scene, scene.wait(process))


def kill_snakemake(scene: Scene) -> Faulty:
    """SIGKILL to Snakemake alone: its job goes on without it, also while the next run begins."""
    process = scene.start()
    scene.job(process)
    process.kill()
    return _ended(scene, scene.wait(process))


def kill_all(scene: Scene) -> Faulty:
    """SIGKILL to Snakemake and everything it has started."""
    process = scene.start()
    scene.job(process)
    os.killpg(process.pid, signal.SIGKILL)
    return _ended(scene, scene.wait(process))


def full_disk(scene: Scene) -> Faulty:
    """No more space than some kilobytes, from the beginning of the job on."""
    results = scene.project.results
    stored = results.with_name("stored")
    results.rename(stored)
    results.mkdir()
    with small_disk(results, 500):
        subprocess.run(["cp", "-a", f"{stored}/.", str(results)], check=True)
        process = scene.start()
        job = scene.job(process, latest=0.1)
        resize_to(results, shutil.disk_usage(results).used + scene.chance.choice((0, 8192)))
        exit_code = scene.wait(process)
        faulty = _ended(scene, exit_code)
        if exit_code == 0:
            raise Missed
        assert not job.is_running()
        resize(results, 500)
        shutil.rmtree(stored)
        # Off the small disk, to where it was.
        subprocess.run(["cp", "-a", str(results), str(stored)], check=True)
    results.rmdir()
    stored.rename(results)
    return faulty


def read_only(scene: Scene) -> Faulty:
    """The whole output, or the folder of a stage, may be read and not be written."""
    results = scene.project.results
    whole = scene.seed == 0
    target = results if whole else results / _folder(scene.stage)
    target.mkdir(exist_ok=True)
    scene.hit = "the output" if whole else f"the folder of {scene.stage}"
    bound = str(target)
    subprocess.run(["mount", "--bind", bound, bound], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", bound], check=True)
        process = scene.start()
        return _ended(scene, scene.wait(process))
    finally:
        subprocess.run(["umount", "-l", bound], check=True)


def clock_set_back(scene: Scene) -> Faulty:
    """The clock was a day ahead, and is set back: while jobs are at work, or between two runs."""
    library = next(Path("/").glob(FAKETIME[1:]), None)
    if scene.seed % 2 == 0 and library is not None:
        clock = scene.project.folder / "clock"
        clock.write_text("+1d")
        process = scene.start(
            LD_PRELOAD=str(library),
            FAKETIME_TIMESTAMP_FILE=str(clock),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )
        scene.job(process)
        clock.write_text("-1d")
        faulty = _ended(scene, scene.wait(process))
        clock.unlink()
        scene.hit += ", in mid-run"
        return faulty
    process = scene.start()
    scene.job(process)
    os.killpg(process.pid, signal.SIGKILL)
    exit_code = scene.wait(process)
    ahead = time.time() + DAY
    for path in sorted(scene.project.results.rglob("*")):
        if path.is_file():
            os.utime(path, (ahead, ahead), follow_symlinks=False)
    scene.hit += ", between runs"
    return _ended(scene, exit_code)


def truncated(scene: Scene) -> Faulty:
    """A file of the stage is cut off at a random length, as after a loss of power."""
    files = [path for path in scene.files(receipts=True) if path.stat().st_size]
    path = scene.chance.choice(files)
    size = path.stat().st_size
    kept = scene.chance.choice((0, scene.chance.randrange(size)))
    os.truncate(path, kept)
    name = path.relative_to(scene.project.results).as_posix()
    if name.startswith(("raw/.store/contents/", "raw/tiny/")):
        # Raw data are many and may lie far away: a run looks at none of them that it does not need.
        assert scene.project.braindata("verify", "--repair", "results").returncode == 0
        name += " (verify --repair)"
    scene.hit = f"{name}: {kept} of {size} bytes"
    return Faulty(None, "")


def two_snakemakes(scene: Scene) -> Faulty:
    """The same command is given in a second terminal while the first is at work."""
    process = scene.start()
    scene.job(process)
    # Of a stage on which nothing new rests it would have ended before the second has started.
    process.send_signal(signal.SIGSTOP)
    second = subprocess.run(
        scene.project.command(),
        cwd=scene.project.folder,
        env=scene.project.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    process.send_signal(signal.SIGCONT)
    first = scene.wait(process)
    if first:
        return _ended(scene, first)
    return Faulty(second.returncode, second.stdout + second.stderr)


def out_of_memory(scene: Scene) -> Faulty:
    """From a random moment on the job gets hardly any more memory."""
    process = scene.start()
    job = scene.job(process, latest=0.3)
    more = scene.chance.randrange(0, 16) * MEBIBYTE
    with suppress(psutil.NoSuchProcess):
        limit = job.memory_info().vms + more
        job.rlimit(psutil.RLIMIT_AS, (limit, limit))
    scene.hit += f", {more // MEBIBYTE} MiB more"
    faulty = _ended(scene, scene.wait(process))
    if faulty.exit_code == 0:
        raise Missed
    return faulty


def hanging_download(scene: Scene) -> Faulty:
    """The server stops in the middle of a file and says nothing more."""
    objects = sorted(scene.site.current)
    chosen = scene.chance.choice(objects)
    once = scene.seed % 2 == 0
    scene.site.stall = 60.0
    scene.site.faults[chosen] = "stall:once" if once else "stall"
    scene.hit = f"{chosen.rpartition('/')[2]}, {'once' if once else 'for good'}"
    process = scene.start()
    exit_code = scene.wait(process)
    scene.site.faults.clear()
    text = scene.project.said + scene.project.logs()
    # One that hangs once is tried again by itself; nobody needs to know.
    wanted, said = (0, "") if once else (1, "stalled: nothing came for 2 s")
    if exit_code != wanted or not re.search(said, text):
        return Faulty(-1, text)
    return Faulty(exit_code, text)


def terminated(scene: Scene) -> Faulty:
    """SIGTERM, as from a scheduler before its time limit: to Snakemake, or to one job."""
    process = scene.start()
    job = scene.job(process)
    if scene.seed % 2 == 0:
        process.terminate()
        exit_code = scene.wait(process)
        scene.hit += ", Snakemake"
        faulty = _ended(scene, exit_code)
        return faulty if SENTENCE in faulty.text else Faulty(-1, faulty.text)
    job.terminate()
    scene.hit += ", the job"
    return _ended(scene, scene.wait(process))


def lost_metadata(scene: Scene) -> Faulty:
    """Snakemake's own notes are gone or cut off, and so may be an intermediate file."""
    notes = scene.project.folder / ".snakemake"
    match scene.seed % 5:
        case 0:
            shutil.rmtree(notes)
            scene.hit = "all of .snakemake"
        case 1:
            for path in sorted((notes / "metadata").rglob("*")):
                if path.is_file():
                    os.truncate(path, path.stat().st_size // 2)
            scene.hit = "metadata cut off"
        case 2:
            shutil.rmtree(notes / "metadata")
            scene.hit = "metadata"
        case _:
            scene.hit = "nothing"
    if scene.seed % 5 != 0:
        # Of images that people are packed from nobody asks for more than the receipt.
        declared = scene.stage == "preprocess"
        path = scene.chance.choice(
            [
                p
                for p in scene.files(receipts=declared)
                if not declared or p.suffixes[-2:] == RECEIPT
            ]
        )
        path.unlink()
        scene.hit += f" and {path.relative_to(scene.project.results)}"
    return Faulty(None, "")


def _folder(stage: str) -> str:
    first = {"pull": "raw", "curate": "curated", "preprocess": "derivatives", "pack": "packed"}
    second = {"extract": "series", "align": "aligned", "head": "head", "publish": "tables"}
    return (first | second | {"report": "report"}).get(stage, "derived")


KINDS = (
    Kind("job killed", kill_job, (1,), "failed"),
    Kind("Snakemake killed", kill_snakemake, (-signal.SIGKILL,)),
    Kind("all killed", kill_all, (-signal.SIGKILL,)),
    Kind("disk full", full_disk, (1,), "is full|No space left on device"),
    Kind("read-only output", read_only, (1, 2), "Read-only file system|Write-protected"),
    Kind("clock set back", clock_set_back, (0, 1, -signal.SIGKILL)),
    Kind("file cut off", truncated, (None,), finished=True),
    Kind("two Snakemakes", two_snakemakes, (1,), r"another Snakemake \(process \d+\)"),
    Kind("out of memory", out_of_memory, (1,), "memory|failed"),
    Kind("hanging download", hanging_download, (0, 1), stages=("pull",)),
    Kind("terminated", terminated, (1, 128 + signal.SIGTERM)),
    Kind("notes lost", lost_metadata, (None,), finished=True),
)
