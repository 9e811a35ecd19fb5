"""A job that lives on without the Snakemake that started it, and data that are taken back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from braindata.receipts import MADE_FROM, Receipt

from .conftest import Project, reverse_in_time
from .test_chain import release_files

WAIT = 300


def made_from(project: Project, stage: str) -> object:
    return Receipt.read(project.results / stage / "tiny/sub-01.receipt.json").notes[MADE_FROM]


def wait_for(is_there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT
    while not is_there():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("until", ["it has packed", "it has preprocessed"])
def test_what_a_job_made_of_data_that_were_taken_back_goes(
    project: Project, bids: Path, tmp_path: Path, until: str
) -> None:
    source = tmp_path / "bids"
    shutil.copytree(bids, source)
    project.configure(datasets=[{"id": "tiny", "source": str(source)}])
    assert project.run().returncode == 0
    before, stores = release_files(project), project.files("packed")
    mark = made_from(project, "packed")
    (bold,) = (source / "sub-01/func").glob("*_bold.nii.gz")
    whole = bold.read_bytes()
    reverse_in_time(bold)

    log = project.results / "logs/preprocess/tiny/sub-01.log"
    # Of the run before; Snakemake removes it, too.
    log.unlink(missing_ok=True)
    process = project.start()
    wait_for(log.is_file, process)
    # Snakemake sees nothing any more; the job goes on, as on a node of a cluster.
    os.kill(process.pid, signal.SIGSTOP)
    stage = "packed" if until == "it has packed" else "derivatives"
    wait_for(lambda: made_from(project, stage) != mark, process)
    if stage == "packed":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    bold.write_bytes(whole)
    run = project.run()
    assert run.returncode == 0, run.text
    assert run.jobs["preprocess"] == 1
    assert made_from(project, "packed") == made_from(project, "derivatives") == mark
    hashes = {name: digest for name, (_, digest) in stores.items() if name.endswith(".h5")}
    now = project.files("packed")
    assert {name: now[name][1] for name in hashes} == hashes
    assert release_files(project) == before
    assert not project.run().jobs
