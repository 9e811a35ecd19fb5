"""Looking again and again: until the run ends, and no longer than somebody wants to."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from braindata.errors import EXIT_FAILED, EXIT_STOPPED
from braindata.layout import Layout
from braindata.locking import Holder
from braindata.status.jobs import Job, JobStatus
from braindata.status.overview import Overview
from braindata.status.planned import Planned
from braindata.status.recordings import RecordingStatus
from braindata.status.show import show_status, text_console, written
from braindata.status.watch import on_a_terminal

HOLD = (
    "import sys, time; from pathlib import Path; from braindata.locking import lock;"
    "lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output folder in which nothing is done."""
    Planned(("ds",), ("visual-000000000000",)).write(Layout(tmp_path))
    return tmp_path


@pytest.fixture
def run(output: Path) -> Iterator[subprocess.Popen[str]]:
    """A run at work on it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(output)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def start(output: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "braindata.cli", "status", str(output), "--watch"]
    return subprocess.Popen(
        [*command, "--every", "0.05", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As of a shell's foreground; a test may have been started with Ctrl-C turned off.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_it_ends_with_the_run_and_tells_what_is_new(
    output: Path, run: subprocess.Popen[str]
) -> None:
    watching = start(output, "--json")
    assert watching.stdout is not None
    first = json.loads(watching.stdout.readline())
    assert (first["state"], first["process"]) == ("running", str(run.pid))
    assert first["jobs"]["pull"]["waiting"] == 1
    log = Job("pull", ("ds",)).log(Layout(output))
    log.parent.mkdir(parents=True)
    log.write_text("INFO: at it\n")
    second = json.loads(watching.stdout.readline())
    assert second["jobs"]["pull"]["running"] == 1
    assert second["stages"]["ds"]["pull"]["running"] == 1
    log.write_text("error: there is no such folder\n")
    third = json.loads(watching.stdout.readline())
    assert third["state"] == "running"
    assert third["unfinished_jobs"][0]["error"] == "there is no such folder"
    run.kill()
    rest, complaints = watching.communicate(timeout=60)
    # The same file between two writes may be seen empty: the last line is what counts.
    last = json.loads(rest.splitlines()[-1])
    assert (last["state"], last["process"], last["exit_code"]) == ("failed", None, 1)
    assert (watching.returncode, complaints) == (EXIT_FAILED, "")


def test_ctrl_c_ends_the_looking_only(output: Path, run: subprocess.Popen[str]) -> None:
    watching = start(output)
    assert watching.stdout is not None
    assert "at work" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, complaints = watching.communicate(timeout=60)
    assert (watching.returncode, complaints) == (EXIT_STOPPED, "")
    assert run.poll() is None


def test_without_a_run_it_looks_once(output: Path) -> None:
    watching = start(output)
    said, _ = watching.communicate(timeout=60)
    once = subprocess.run(
        [sys.executable, "-m", "braindata.cli", "status", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said == once.stdout
    assert watching.returncode == once.returncode == EXIT_FAILED


def seen(run: Holder | None, *datasets: str) -> Overview:
    """Many jobs at work, one of each data set; of the second one a recording is bad."""
    jobs = [JobStatus(Job("curate", (name,)), "done") for name in datasets]
    jobs += [JobStatus(Job("pack", (name, "sub-01")), "running") for name in datasets[:2]]
    bad = RecordingStatus("b", "sub-02_bold", "quarantined", "curate", "it is empty", "fetch it")
    return Overview(
        output=Path("/out"),
        run=run,
        planned=True,
        jobs=tuple(jobs),
        not_known_yet=(),
        recordings=(bad,) if "b" in datasets else (),
        release=None,
        created=None,
        unreadable=(),
    )


def test_a_terminal_is_cleared_and_never_overflows() -> None:
    target = Console(file=io.StringIO(), force_terminal=True, width=80, height=8)
    show = on_a_terminal(target, Path("out"))
    assert isinstance(target.file, io.StringIO)
    show(seen(Holder("7", 0.0), "a", "b", "c"))
    text = target.file.getvalue()
    assert text.startswith("\x1b[2J\x1b[H")
    assert text.count("\n") == 7
    assert text.endswith("more lines: braindata status out\n")
    target.file.truncate(0)
    target.file.seek(0)
    show(seen(None, "a", "b", "c"))
    assert "sub-02_bold" in target.file.getvalue()
    assert "more lines" not in target.file.getvalue()


def test_jobs_by_data_set_and_stage() -> None:
    state = seen(None, "a", "b", "c")
    assert state.stage_counts()["b"] == {
        "curate": {
            "done": 1, "running": 0, "waiting": 0, "interrupted": 0, "failed": 0, "quarantined": 1,
        },
        "pack": {
            "done": 0, "running": 1, "waiting": 0, "interrupted": 0, "failed": 0, "quarantined": 0,
        },
    }  # fmt: skip
    target = text_console()
    show_status(state, target, Path("out"))
    lines = [line.split() for line in written(target).splitlines()]
    start = lines.index(["data", "set,", "stage", *next(iter(state.stage_counts()["a"].values()))])
    # What is done or waits without a fault is in the sums above only.
    assert lines[start + 1 : start + 5] == [
        ["a,", "pack", "0", "1", "0", "0", "0", "0"],
        ["b,", "curate", "1", "0", "0", "0", "0", "1"],
        ["b,", "pack", "0", "1", "0", "0", "0", "0"],
        [],
    ]
    # Of one data set the sums are all there is.
    target = text_console()
    show_status(seen(None, "a"), target, Path("out"))
    assert "data set, stage" not in written(target)


@pytest.mark.parametrize("every", ["nan", "inf", "1e300", "0"])
def test_a_pause_is_one_that_can_be_waited_for(output: Path, every: str) -> None:
    watching = start(output, "--every", every)
    _, said = watching.communicate()
    assert (watching.returncode, "--every" in said, "fault of braindata" in said) == (
        2,
        True,
        False,
    )
