"""Signals, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from braindata.interruptions import SENTENCE
from tests.processes import still_working

# Waits for a job as Snakemake does: it leaves its loop at SystemExit, and its job's thread is
# waited for. The job ends by itself at no signal that can be ignored, if it is told so.
PROGRAM = """
import subprocess, sys, threading, time
from braindata import interruptions
interruptions.GRACE, interruptions.PATIENCE = 0.3, 0.5
interruptions.listen()
stubborn = "trap '' INT TERM HUP; " if sys.argv[1] == "stubborn" else ""
command = ["bash", "-c", stubborn + "while true; do sleep 0.1; done"]
job = threading.Thread(target=subprocess.call, args=(command,))
job.start()
time.sleep(0.3)
try:
    # Within: the signal may come before the next line.
    print("ready", flush=True)
    threading.Event().wait()
finally:
    job.join()
    print("stopped", interruptions.stopped(), flush=True)
"""


def start(kind: str, **options: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("kind", ["willing", "stubborn"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_ends_the_jobs(kind: str, number: signal.Signals) -> None:
    process = start(kind)
    jobs = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert out == "stopped True\n"
    assert err == SENTENCE + "\n"
    assert still_working(jobs, timeout=5) == []


def test_a_second_signal_does_not_wait_and_leaves_no_traceback() -> None:
    process = start("stubborn")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    began = time.monotonic()
    _, err = process.communicate(timeout=10)
    # Less than the grace and the patience that a job has otherwise.
    assert time.monotonic() - began < 0.8
    assert err == SENTENCE + "\n"


def test_what_is_ignored_stays_ignored() -> None:
    # As under nohup.
    process = start("willing", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)


def test_scratch_of_killed_jobs_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal; from braindata.files import scratch_folder\n"
        "with scratch_folder() as folder:\n"
        "    (folder / 'image.nii').write_text('x')\n"
        "    print(folder, flush=True)\n"
        "    {}\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}

    def scratch(then: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code.format(then)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)

    dead, alive = scratch("os.kill(os.getpid(), signal.SIGKILL)"), scratch("signal.pause()")
    folders = [Path(process.stdout.readline().strip()) for process in (dead, alive)]
    dead.wait()
    (tmp_path / "braindata-another-host-1-x").mkdir()
    (tmp_path / "braindata-notes").mkdir()
    assert all((folder / "image.nii").is_file() for folder in folders)
    sweep = "from braindata.files import remove_dead_scratch; print(*remove_dead_scratch())"
    swept = subprocess.run(
        [sys.executable, "-c", sweep], capture_output=True, text=True, env=environment, check=True
    )
    assert swept.stdout.split() == [str(folders[0])]
    assert not folders[0].exists()
    assert (folders[1] / "image.nii").is_file()
    assert len(list(tmp_path.iterdir())) == 3
    alive.kill()
    alive.wait()
    done = Path(scratch("pass").communicate()[0].strip())
    assert done.name.startswith("braindata-")
    assert not done.exists()
