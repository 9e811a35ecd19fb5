"""The state of jobs and recordings, on folders as runs and kills leave them."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from braindata.errors import UsageError
from braindata.layout import Layout
from braindata.locking import holder, lock
from braindata.receipts import Outcome, Receipt
from braindata.status.jobs import Job, error_of, find_work
from braindata.status.overview import Overview, closing_line, overview
from braindata.status.planned import Planned
from braindata.status.show import show_status, text_console
from braindata.tables.publish import publish
from braindata.tables.schemas.recordings import RECORDINGS
from braindata.tables.shards import write_shard

REGIONS = ("visual-000000000000", "vmpfc-111111111111")
RUNS = {
    "good": "sub-01",
    "no_trials": "sub-01",
    "one_region": "sub-01",
    "no_region": "sub-02",
    "broken_image": "sub-02",
    "broken_pack": "sub-02",
}
PREPROCESSED = "INFO: preprocess ds/sub-01: done, 9 files\n"
DONE = Outcome("done")
BAD = Outcome("quarantined", "the image [ends] early", "fetch it again", "raw/ds/x.nii.gz")


@dataclasses.dataclass
class Folder:
    """An output folder after a run, to be made worse."""

    layout: Layout
    jobs: list[Job]

    def see(self) -> Overview:
        return overview(self.layout.output)

    def state(self, job: Job) -> tuple[str, str | None]:
        (found,) = (status for status in self.see().jobs if status.job == job)
        return found.state, found.error

    def log(self, job: Job, text: str, after: float = 10) -> None:
        """Write a job's log, so many seconds after everything else."""
        path = job.log(self.layout)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        now = job.receipt(self.layout)
        base = now.stat().st_mtime if now.is_file() else path.stat().st_mtime
        os.utime(path, (base + after, base + after))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    layout = Layout((tmp_path / "out").resolve())
    Planned(("ds",), REGIONS, processes=("value",)).write(layout)
    rows = [
        dict.fromkeys(RECORDINGS.names)
        | {"dataset": "ds", "recording": name, "unit": unit, "path": name, "status": "used"}
        for name, unit in RUNS.items()
    ]
    rows += [
        dict.fromkeys(RECORDINGS.names)
        | {"dataset": "ds", "recording": "rest", "path": "rest.nii", "stage": "curate"}
        | {"status": state, "reason": reason, "hint": "see curate.tasks"}
        for state, reason in (("excluded", "task rest"), ("quarantined", "there are two"))
    ]
    write_shard(pa.Table.from_pylist(rows, schema=RECORDINGS), layout.inventory("ds"), "recordings")
    faults = {
        ("preprocess", "broken_image"): BAD,
        ("pack", "broken_pack"): BAD,
        ("extract", "no_region", *REGIONS): BAD,
        ("extract", "one_region", REGIONS[1]): BAD,
        ("derive", "no_trials", *REGIONS): BAD,
    }
    units = sorted(set(RUNS.values()))
    jobs = [
        Job("pull", ("ds",)),
        Job("curate", ("ds",)),
        *(Job(stage, ("ds", unit)) for stage in ("preprocess", "pack") for unit in units),
        *(Job(stage, ("ds", region)) for stage in ("extract", "derive") for region in REGIONS),
        Job("latents", ("ds",)),
        Job("connectivity", ("ds",)),
        Job("signals", ("ds", "value")),
        Job("publish"),
        Job("report"),
    ]
    for job in jobs:
        outcomes = {}
        if len(job.key) == 2:
            for name, unit in RUNS.items():
                fault = next(
                    (o for k, o in faults.items() if k[:2] == (job.stage, name)
                     and (len(k) == 2 or job.key[1] in k)), None,
                )  # fmt: skip
                if job.key[1] in (unit, *REGIONS):
                    outcomes[name] = fault or DONE
        notes = {"units": dict(Counter(RUNS.values()))} if job.stage == "curate" else {}
        receipt = Receipt(job.stage, job.name, 1, {}, {}, {}, outcomes, {}, notes)
        receipt.write(job.receipt(layout))
    publish(layout.tables(), {}, {})
    return Folder(layout, jobs)


def test_recordings_of_a_finished_run(folder: Folder) -> None:
    seen = folder.see()
    assert [(r.recording, r.state, r.stage, r.log) for r in seen.recordings] == [
        ("good", "used", None, None),
        ("no_trials", "used_in_part", "derive", f"logs/derive/ds/{REGIONS[0]}.log"),
        ("one_region", "used_in_part", "extract", f"logs/extract/ds/{REGIONS[1]}.log"),
        ("no_region", "quarantined", "extract", f"logs/extract/ds/{REGIONS[0]}.log"),
        ("broken_image", "quarantined", "preprocess", "logs/preprocess/ds/sub-02.log"),
        ("broken_pack", "quarantined", "pack", "logs/preprocess/ds/sub-02.log"),
        ("rest", "excluded", "curate", "logs/curate/ds.log"),
        ("rest", "quarantined", "curate", "logs/curate/ds.log"),
    ]
    in_part = seen.recordings[2]
    assert in_part.reason == "x.nii.gz: the image [ends] early (in 1 of 2 regions)"
    assert (in_part.hint, in_part.file) == ("fetch it again", "raw/ds/x.nii.gz")
    assert seen.recordings[-1].file == "raw/ds/rest.nii"
    assert (seen.state, seen.exit_code, seen.release) == ("quarantined", 3, 1)
    assert {status.state for status in seen.jobs} == {"done"}
    assert [status.job for status in seen.jobs] == folder.jobs


def test_all_done_is_zero_though_recordings_are_excluded(folder: Folder) -> None:
    rows = [
        dict.fromkeys(RECORDINGS.names)
        | {"dataset": "ds", "recording": name, "unit": "sub-01", "path": name, "status": status}
        for name, status in (("good", "used"), ("rest", "excluded"))
    ]
    write_shard(
        pa.Table.from_pylist(rows, schema=RECORDINGS), folder.layout.inventory("ds"), "recordings"
    )
    assert (folder.see().state, folder.see().exit_code) == ("done", 0)
    line = closing_line(folder.layout.output)
    assert line.startswith("Release 1: 1 recording used, 1 excluded. Why: braindata status ")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("ending", "state", "error"),
    [
        ("INFO: extract x\n", "interrupted", None),
        ("", "interrupted", None),
        ("stopped\n", "interrupted", None),
        ("noise MCSRCHINFO: extract ds/x: done, 1 files\n", "waiting", None),
        ("INFO: extract ds/x: up to date\nExiting\n", "waiting", None),
        ("error: a: cut\n  hint: run again\n", "failed", "a: cut\n  hint: run again"),
        ("open lineerror: no space\n", "failed", "no space"),
        ("Traceback (most recent call last):\n  File\nKeyError: 'x'\n", "failed", "KeyError: 'x'"),
        ("error: an earlier word\nINFO: going on\n", "interrupted", None),
    ],
)  # fmt: skip
def test_jobs_without_a_receipt(folder: Folder, ending: str, state: str, error: str | None) -> None:
    job = Job("extract", ("ds", REGIONS[0]))
    folder.log(job, "INFO: it begins\n" + ending)
    job.receipt(folder.layout).unlink()
    assert folder.state(job) == (state, error)
    assert folder.see().exit_code == 1
    assert folder.see().state == ("failed" if state == "failed" else "unfinished")
    # What is not known to be whole is not called used.
    assert folder.see().recordings[0].state == "waiting"


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("INFO: at it\n", "interrupted", "waiting"),
        ("error: bad\n", "failed", "waiting"),
        ("{done}INFO: at it\n", "done", "interrupted"),
        ("{done}error: bad\n", "done", "failed"),
        ("{done}INFO: pack ds/sub-01: done, 1 files\n", "done", "waiting"),
    ],
)
def test_two_stages_have_one_log(folder: Folder, text: str, first: str, second: str) -> None:
    jobs = [Job(stage, ("ds", "sub-01")) for stage in ("preprocess", "pack")]
    jobs[1].receipt(folder.layout).unlink()
    if first != "done":
        jobs[0].receipt(folder.layout).unlink()
    folder.log(jobs[0], text.format(done=PREPROCESSED))
    assert [folder.state(job)[0] for job in jobs] == [first, second]


def test_a_job_never_begun_waits(folder: Folder) -> None:
    job = Job("pack", ("ds", "sub-01"))
    job.receipt(folder.layout).unlink()
    assert folder.state(job) == ("waiting", None)
    states = {r.recording: r.state for r in folder.see().recordings}
    assert states["good"] == "waiting"
    assert states["broken_image"] == "quarantined"


def test_a_later_attempt_tells_more_than_an_old_receipt(folder: Folder) -> None:
    job = Job("derive", ("ds", REGIONS[0]))
    folder.log(job, "error: no space\n")
    assert folder.state(job) == ("failed", "no space")
    folder.log(job, "error: no space\n", after=-10)
    assert folder.state(job) == ("done", None)


def test_while_a_run_is_going_on(folder: Folder) -> None:
    code = (
        "import sys, time; from pathlib import Path; from braindata.locking import lock;"
        "lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    now, earlier = Job("pack", ("ds", "sub-01")), Job("pack", ("ds", "sub-02"))
    output = folder.layout.output
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(output)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for job in (now, earlier):
            job.receipt(folder.layout).unlink()
        folder.log(now, PREPROCESSED + "INFO: at it\n")
        before = PREPROCESSED.replace("sub-01", "sub-02") + "error: of the run before\n"
        folder.log(earlier, before, after=-1000)
        assert folder.state(now) == ("running", None)
        assert folder.state(earlier) == ("waiting", None)
        seen = folder.see()
        assert seen.run is not None
        assert (seen.run.process, seen.state, seen.exit_code) == (str(other.pid), "running", 1)
    finally:
        other.kill()
        other.wait()
    assert folder.state(now) == ("interrupted", None)
    assert folder.state(earlier) == ("failed", "of the run before")


def test_looking_at_the_lock_keeps_nobody_out(tmp_path: Path) -> None:
    # A shared lock for a moment, again and again, and runs that start meanwhile.
    code = (
        "import sys; from pathlib import Path; from braindata.locking import holder\n"
        "print('on', flush=True)\nwhile True: holder(Path(sys.argv[1]))"
    )
    (tmp_path / ".lock").touch()
    looker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert looker.stdout is not None
        assert looker.stdout.readline() == "on\n"
        for _ in range(50):
            os.close(lock(tmp_path))
    finally:
        looker.kill()
        looker.wait()
    assert holder(tmp_path) is None


def test_before_curation_the_units_are_not_known(folder: Folder) -> None:
    layout = folder.layout
    Job("curate", ("ds",)).receipt(layout).unlink()
    seen = folder.see()
    assert seen.not_known_yet == ("ds",)
    assert seen.recordings == ()
    assert "preprocess" not in seen.job_counts()
    assert seen.job_counts()["extract"]["done"] == len(REGIONS)
    assert seen.exit_code == 1
    text = text_console()
    show_status(seen, text, Path("out"))
    assert "Not known yet" in text.file.getvalue()


def test_an_older_folder_shows_what_is_there(folder: Folder) -> None:
    folder.layout.plan().unlink()
    Job("derive", ("ds", REGIONS[0])).receipt(folder.layout).unlink()
    seen = folder.see()
    assert not seen.planned
    assert [status.job for status in seen.jobs] == [
        job for job in folder.jobs if job != Job("derive", ("ds", REGIONS[0]))
    ]


def test_unreadable_files_are_named(folder: Folder) -> None:
    layout = folder.layout
    layout.receipt("packed", "ds", "sub-01").write_text("{")
    layout.inventory("ds").write_bytes(b"PAR1")
    seen = folder.see()
    assert set(seen.unreadable) == {"packed/ds/sub-01.receipt.json", "curated/ds.parquet"}
    assert seen.exit_code == 1


def test_no_file_of_python_s_is_left_to_the_threads_of_arrow(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    read_table = pq.read_table

    def read(source: object, **options: Any) -> pa.Table:
        given.append(source)
        return read_table(source, **options)

    monkeypatch.setattr("braindata.status.recordings.pq.read_table", read)
    assert folder.see().recordings
    # One that a thread frees while Python ends aborts the process, once in twenty times.
    assert given
    assert all(isinstance(source, pa.OSFile) for source in given)


def test_what_is_no_output_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        overview(tmp_path / "none")
    with pytest.raises(UsageError, match="no output folder"):
        overview(tmp_path)


def test_nothing_is_changed_and_a_pipe_gets_it_all(folder: Folder) -> None:
    output = folder.layout.output

    def look() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in output.rglob("*")}

    before = look()
    command = [sys.executable, "-m", "braindata.cli", "status", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 3, run.stderr
    for one in folder.see().with_state("used_in_part", "quarantined", "excluded"):
        for text in (one.recording, one.reason, one.hint, f"log: {output}/{one.log}"):
            assert text is not None
            assert text in run.stdout
    assert not {"\x1b", "─", "…"} & set(run.stdout)
    assert not [line for line in run.stdout.splitlines() if line != line.rstrip()]
    run = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    body = json.loads(run.stdout)
    assert body == json.loads(json.dumps(folder.see().to_dict()))
    assert body["recordings"] == {
        "used": 1, "used_in_part": 2, "quarantined": 4, "excluded": 1, "waiting": 0,
    }  # fmt: skip
    assert set(body["left_out"][0]) == {
        "dataset", "recording", "state", "stage", "reason", "hint", "file", "log",
    }  # fmt: skip
    assert look() == before


def test_the_end_of_a_run_says_what_failed(folder: Folder) -> None:
    output = folder.layout.output
    line = closing_line(output)
    assert line == (
        f"Release 1: 3 recordings used (2 of them in part), 4 quarantined, 1 excluded."
        f" Why: braindata status {output}"
    )
    job = Job("pack", ("ds", "sub-01"))
    folder.log(job, PREPROCESSED + "error: no space\n")
    job.receipt(folder.layout).unlink()
    Job("report").receipt(folder.layout).unlink()
    text = closing_line(output)
    assert "1 job failed:\n  pack ds/sub-01: no space\n" in text
    assert f"log: {output}/logs/preprocess/ds/sub-01.log" in text
    assert "1 job not done yet." in text
    assert text.endswith("the same command goes on from there.")


def test_errors_are_found_at_the_end_only() -> None:
    assert error_of("error: one\nerror: two\n") == "two"
    assert error_of("all is well\n") is None
    coloured = "error: the \x1b[1;31mimage\x1b[0m is [red]\x1b[2J\n  hint: look\n"
    assert error_of(coloured) == "the image is [red]\n  hint: look"


def test_a_terminal_is_not_flooded_with_failed_jobs(folder: Folder) -> None:
    seen = folder.see()
    job = dataclasses.replace(seen.jobs[0], state="failed", error="no memory")
    seen = dataclasses.replace(seen, jobs=(*seen.jobs, *(job,) * 300))
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False)
    for target, told, more in ((terminal, 20, 1), (text_console(), 300, 0)):
        show_status(seen, target, Path("out"))
        assert isinstance(target.file, io.StringIO)
        said = target.file.getvalue()
        assert (said.count("no memory"), said.count("and 280 more (in a pipe")) == (told, more)


def test_heads_are_a_job_where_there_is_eeg(tmp_path: Path) -> None:
    layout, head = Layout(tmp_path), Job("head")
    for eeg in (False, True):
        Planned(("ds",), (), eeg).write(layout)
        assert (head in find_work(layout).jobs) is eeg
    layout.plan().unlink()
    assert head not in find_work(layout).jobs
    Receipt("head", "all", 1, {}, {}).write(head.receipt(layout))
    assert head in find_work(layout).receipts


def test_groups_have_jobs_of_their_own(folder: Folder) -> None:
    group = "valuation-222222222222"
    Planned(("ds",), REGIONS, groups=(group,)).write(folder.layout)
    job = Job("align", ("ds", group))
    assert Planned.read(folder.layout) == Planned(("ds",), REGIONS, groups=(group,))
    (unfinished,) = [one for one in folder.see().jobs if one.state != "done"]
    assert (unfinished.job, unfinished.state) == (job, "waiting")
    Receipt("align", job.name, 1, {}, {}).write(job.receipt(folder.layout))
    assert all(one.state == "done" for one in folder.see().jobs)
    # Also where no plan says so.
    folder.layout.plan().unlink()
    assert job in [one.job for one in folder.see().jobs]
