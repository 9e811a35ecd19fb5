"""What Snakemake's records become on a terminal and in a log."""

from __future__ import annotations

import errno
import io
import logging
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

import snakemake_logger_plugin_braindata as plugin
from snakemake_logger_plugin_braindata.counts import StageCounts
from snakemake_logger_plugin_braindata.displays import Display, Lines, Stream, Table
from snakemake_logger_plugin_braindata.progress import Progress
from snakemake_logger_plugin_braindata.reporter import Reporter
from snakemake_logger_plugin_braindata.texts import clock, duration, failure

START = 1_000_000.0
QUIET = {Quietness.RULES, Quietness.REASON, Quietness.HOST}


class Run:
    """A run that is made up: its clock, and records as Snakemake 9 makes them."""

    def __init__(self, width: int = 80, table: bool = False, show_commands: bool = False):
        self.now = START
        self.stopped = False
        self.stream = io.StringIO()
        self.console = Console(file=self.stream, width=width, force_terminal=False)
        display: Display = Lines(self.stream, lambda: self.now)
        if table:
            display = Table(self.console, lambda: self.now)
        snakemake = ColorizingTextHandler(
            stream=io.StringIO(),
            formatter=DefaultFormatter(QUIET, True),
            filter=DefaultFilter(QUIET, False, False, False, show_commands),
        )
        self.reporter = Reporter(
            display, snakemake, lambda: self.now, lambda: self.stopped, show_commands
        )

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def table(self) -> str:
        with self.console.capture() as capture:
            self.console.print(Table(self.console, lambda: self.now).render(self.progress))
        return "\n".join(line.rstrip() for line in capture.get().splitlines())

    @property
    def progress(self) -> Progress:
        return self.reporter.progress

    def log(self, message: str | None, level: int = logging.INFO, **extra: Any) -> None:
        # The queue between Snakemake and its plugins turns None into a text.
        record = logging.LogRecord("snakemake.logging", level, "", 0, str(message), None, None)
        record.created = self.now
        record.__dict__ |= extra
        self.reporter.emit(record)

    def plan(self, cores: int = 2, **jobs: int) -> None:
        self.log(f"Provided cores: {cores}", event=LogEvent.RESOURCES_INFO, cores=cores)
        self.log("Rules claiming more threads ...", event=LogEvent.RESOURCES_INFO)
        total = sum(jobs.values()) + 1
        stats = {**jobs, "all": 1, "total": total}
        self.log("Job stats:\njob  count", event=LogEvent.RUN_INFO, stats=stats)

    def start(self, jobid: int, rule: str, grown: dict[str, int] | None = None, **w: str) -> None:
        extra = {} if grown is None else {"stage_jobs": Counter(grown | {"all": 1})}
        self.log("Select jobs to execute...")
        self.log("Execute 1 jobs...", event=LogEvent.JOB_STARTED, jobs=[jobid], **extra)
        self.log(
            f" Rule: {rule}, Jobid: {jobid}",
            event=LogEvent.JOB_INFO,
            jobid=jobid,
            rule_msg=None,
            rule_name=rule,
            local=False,
            input=[],
            output=[],
            log=[],
            benchmark=None,
            wildcards=w,
            reason="",
            resources={},
            priority=0,
            threads=1,
            indent=False,
            is_checkpoint=rule == "curate",
            shellcmd=f"braindata {rule}",
        )
        self.log(
            f"Shell command: braindata {rule}",
            event=LogEvent.SHELLCMD,
            shellcmd=f"braindata {rule}",
            indent=False,
        )

    def finish(self, jobid: int, rule: str) -> None:
        message = f"Finished jobid: {jobid} (Rule: {rule})"
        self.log(message, event=LogEvent.JOB_FINISHED, job_id=jobid)
        self.log(None, event=LogEvent.PROGRESS, done=1, total=9)

    def fail(self, jobid: int, rule: str, log: Path, ended: str) -> None:
        shell = f"braindata {rule}"
        self.log(
            'RuleException:\nCalledProcessError in file "x.smk", line 1:\n'
            f"Command '{shell}' {ended}.",
            logging.ERROR,
            event=LogEvent.ERROR,
            exception="RuleException",
        )
        self.log(
            f"Error in rule {rule}, jobid: {jobid}",
            logging.ERROR,
            event=LogEvent.JOB_ERROR,
            rule_name=rule,
            rule_msg=None,
            jobid=jobid,
            input=[],
            output=[],
            log=[str(log)],
            conda_env=None,
            container_img=None,
            aux={},
            indent=False,
            shellcmd=shell,
        )

    def curated(self, **grown: int) -> None:
        """Pull and curate in 10 s and 20 s; then so many jobs are known."""
        self.plan(pull=1, curate=1)
        self.start(2, "pull", dataset="ds")
        self.now += 10
        self.finish(2, "pull")
        self.start(1, "curate", dataset="ds")
        self.now += 20
        self.finish(1, "curate")
        self.log("Updating checkpoint dependencies.")
        self.grown = {"pull": 1, "curate": 1, **grown}


def test_lines_of_a_run() -> None:
    run = Run()
    run.log("Building DAG of jobs...")
    run.curated(preprocess=2, publish=1)
    run.start(3, "preprocess", run.grown, dataset="ds", unit="sub-01")
    run.start(4, "preprocess", dataset="ds", unit="sub-02")
    run.now += 60
    run.finish(3, "preprocess")
    run.now += 10
    run.finish(4, "preprocess")
    run.start(5, "publish")
    run.now += 3
    run.finish(5, "publish")
    run.start(0, "all")
    run.finish(0, "all")
    run.log("Complete log(s): /x/.snakemake/log/y.log")
    run.log("Elapsed time: 0:01:43")
    run.reporter.close()
    run.reporter.close()
    assert run.text.splitlines() == [
        "Building DAG of jobs...",
        "[0:00:00] pull: starts, 1 job",
        "[0:00:10] pull: 1 job done, 10 s",
        "[0:00:10] curate: starts, 1 job",
        "[0:00:30] curate: 1 job done, 20 s",
        "[0:00:30] preprocess: starts, 2 jobs",
        # The second is expected after 60 s as well, so any moment; how long publish takes is open.
        "[0:01:30] preprocess: 1 of 2 done, 1 running; time left: known after the first publish",
        "[0:01:40] preprocess: 2 jobs done, 1 min 10 s",
        "[0:01:40] publish: starts, 1 job",
        "[0:01:43] publish: 1 job done, 3 s",
        "pull         1 job        10 s",
        "curate       1 job        20 s",
        "preprocess  2 jobs  1 min 10 s",
        "publish      1 job         3 s",
        "Done: 5 jobs in 1 min 43 s.",
    ]


def test_a_log_has_few_lines_however_many_jobs() -> None:
    run = Run()
    run.curated(preprocess=1000)
    for job in range(1000):
        run.start(10 + job, "preprocess", run.grown, dataset="ds", unit=f"sub-{job:04d}")
        run.now += 0.2
        run.finish(10 + job, "preprocess")
    lines = [line for line in run.text.splitlines() if "preprocess" in line]
    # 200 s: at each tenth of the jobs (20 s); the last of them says that it is done.
    assert len(lines) == 11
    assert lines[1].endswith("100 of 1000 done, 0 running; time left: about 1 min 30 s")
    # Slow ones: every 30 s.
    run = Run()
    run.curated(preprocess=1000)
    for job in range(30):
        run.start(10 + job, "preprocess", run.grown, dataset="ds", unit=f"sub-{job:04d}")
        run.now += 10
        run.finish(10 + job, "preprocess")
    assert sum("preprocess" in line for line in run.text.splitlines()) == 1 + 10


def test_time_left_is_not_claimed_before_it_is_known() -> None:
    run = Run()
    run.plan(pull=1, curate=1)
    assert run.progress.time_left(run.now) == "known after curation"
    run = Run()
    run.curated(preprocess=10, pack=10)
    run.start(3, "preprocess", run.grown, dataset="ds", unit="sub-01")
    run.start(4, "preprocess", dataset="ds", unit="sub-02")
    assert run.progress.time_left(run.now) == "known after the first preprocess"
    run.now += 100
    run.finish(3, "preprocess")
    # Job 4 is due now, eight wait: 800 s of work on two cores, and pack on top.
    assert run.progress.time_left(run.now) == f"at least {duration(400)}"
    run.start(5, "pack", dataset="ds", unit="sub-01")
    run.now += 20
    run.finish(5, "pack")
    assert run.progress.time_left(run.now) == f"about {duration((8 * 100 + 9 * 20) / 2)}"
    run.finish(4, "preprocess")
    # The second took 120 s, so that the mean is 110 s.
    assert run.progress.time_left(run.now) == f"about {duration((8 * 110 + 9 * 20) / 2)}"
    assert Progress().time_left(run.now) == "none"


def test_on_a_cluster_as_many_run_as_run() -> None:
    run = Run()
    run.curated(preprocess=9)
    run.progress.cores = None
    for job in range(4):
        run.start(10 + job, "preprocess", run.grown, dataset="ds", unit=f"sub-{job}")
    run.now += 60
    run.finish(10, "preprocess")
    # Three run and are due, five wait.
    assert run.progress.time_left(run.now) == f"about {duration(5 * 60 / 3)}"


def test_the_table() -> None:
    run = Run(width=60)
    run.plan(pull=1, curate=1)
    run.start(2, "pull", dataset="ds")
    run.now += 5
    assert run.table.splitlines()[2:6] == [
        "pull            0/1         1            0:00:05",
        "curate          0/1",
        "preprocess        ?",
        "pack              ?",
    ]
    assert run.table.splitlines()[-1] == "0 of 2 jobs, 5 s; time left: known after curation"
    run = Run(width=75)
    run.curated(preprocess=2, publish=1)
    run.start(3, "preprocess", run.grown, dataset="ds", unit="sub-01")
    run.fail(3, "preprocess", Path("no.log"), "returned non-zero exit status 1")
    run.start(4, "preprocess", dataset="ds", unit="sub-02")
    run.now += 60
    last = "2 of 5 jobs, 1 min 30 s; time left: known after the first preprocess"
    rows = [line.split() for line in run.table.splitlines()]
    assert rows[0] == ["stage", "done", "running", "failed", "time"]
    assert rows[2:] == [
        ["pull", "1/1", "0:00:10"],
        ["curate", "1/1", "0:00:20"],
        ["preprocess", "0/2", "1", "1", "0:01:00"],
        ["pack", "-"],
        ["align", "-"],
        ["head", "-"],
        ["extract", "-"],
        ["derive", "-"],
        ["latents", "-"],
        ["connectivity", "-"],
        ["signals", "-"],
        ["publish", "0/1"],
        ["report", "-"],
        last.split(),
    ]
    assert "━" not in run.table
    run.console.width = 90
    assert "━" * 20 in run.table


def test_a_failed_job_is_told_in_full(tmp_path: Path) -> None:
    log = tmp_path / "sub-01.log"
    log.write_text(
        "INFO: one\nerror: a first one\nINFO: two\n"
        "error: /raw/sub-01_bold.nii.gz: the image ends early\n  hint: get it again\n"
    )
    for table in (False, True):
        run = Run(width=30, table=table)
        run.curated(preprocess=2, publish=1)
        run.start(3, "preprocess", run.grown, dataset="ds", unit="sub-01")
        run.start(4, "preprocess", dataset="ds", unit="sub-02")
        run.fail(3, "preprocess", log, "returned non-zero exit status 1")
        run.now += 60
        run.finish(4, "preprocess")
        run.log(
            "Exiting because a job execution failed. Look above for error messages", logging.ERROR
        )
        run.log(
            "WorkflowError:\nAt least one job did not complete successfully.",
            logging.ERROR,
            event=LogEvent.ERROR,
            exception="WorkflowError",
        )
        run.reporter.close()
        assert (
            "error: preprocess ds sub-01 failed\n"
            "  error: /raw/sub-01_bold.nii.gz: the image ends early\n"
            "    hint: get it again\n"
            f"  log: {log}\n"
        ) in run.text
        assert "a first one" not in run.text
        assert "CalledProcessError" not in run.text
        assert "WorkflowError" not in run.text
        assert "Exiting" not in run.text
        assert run.text.endswith(
            "3 of 5 jobs done in 1 min 30 s; 1 failed (preprocess ds sub-01), 1 did not run.\n"
        )


def test_last_words_of_logs(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert "its log cannot be read" in failure("pack", "sub-01", [str(log)], "")
    log.write_text("")
    assert "its log is empty" in failure("pack", "sub-01", [str(log)], "exit status 1")
    log.write_text("INFO: x\nTraceback (most recent call last):\n  File y\nValueError: no\n")
    text = failure("publish", "", [str(log)], "returned non-zero exit status 1")
    assert text == f"error: publish failed\n  ValueError: no\n  log: {log}"
    log.write_bytes(b"\xff" * 50_000 + b"\nerror: late\nTraceback (most recent call last):\n  z\n")
    assert failure("pack", "a", [str(log)], "").splitlines()[1] == "  error: late"


@pytest.mark.parametrize(
    ("ended", "name"),
    [
        ("Command 'x' died with <Signals.SIGKILL: 9>.", "SIGKILL"),
        # The shell outlives the command that it was given, unless it is the last of its line.
        ("Command 'x' returned non-zero exit status 137.", "SIGKILL"),
        ("Command 'x' returned non-zero exit status 143.", "SIGTERM"),
    ],
)
def test_what_a_killed_job_was_saying_is_not_taken_for_the_reason(
    tmp_path: Path, ended: str, name: str
) -> None:
    log = tmp_path / "a.log"
    log.write_text(" IFLAG= -1  LINE SEARCH FAILED.")
    text = failure("preprocess", "sub-01", [str(log)], ended)
    assert text == (
        "error: preprocess sub-01 failed\n"
        f"  its process was killed ({name}); often that is too little memory\n"
        f"  log: {log}"
    )
    log.write_text("error: sub-01: no memory\n")
    assert "error: sub-01: no memory" in failure("preprocess", "sub-01", [str(log)], ended)


def test_of_a_full_disk_an_empty_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "a.log"
    log.write_text("")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    assert "the disk that holds it is full" in failure("pack", "a", [str(log)], "exit status 1")
    log.write_text("error: bad\n")
    assert "is full" not in failure("pack", "a", [str(log)], "exit status 1")


@pytest.mark.parametrize("status", [1, 3, 128, 255])
def test_other_exit_codes_are_no_signals(tmp_path: Path, status: int) -> None:
    log = tmp_path / "a.log"
    log.write_text("last line")
    text = failure("pack", "", [str(log)], f"returned non-zero exit status {status}.")
    assert text == f"error: pack failed\n  last line\n  log: {log}"


def test_jobs_that_had_nothing_to_do_are_no_failure() -> None:
    run = Run()
    # What only gathers is no job.
    run.plan(curate=1, pack=2, publish=1, only_ds=1)
    run.start(1, "curate", dataset="ds")
    run.now += 2
    run.finish(1, "curate")
    run.reporter.close()
    assert run.text.endswith("Done: 1 job in 2 s; 3 jobs had nothing to do.\n")
    # Not so when Snakemake itself has failed.
    run = Run()
    run.plan(curate=1, pack=2, publish=1)
    run.log("WorkflowError: no", logging.ERROR, event=LogEvent.ERROR, exception="WorkflowError")
    run.reporter.close()
    assert run.text.endswith("0 of 4 jobs done in 0 s.\n")


def test_an_error_after_an_unended_line_is_told(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("LINE SEARCH FAILED. ERROR RETURN: INFO= 3error: too big\n  hint: smaller\n")
    words = failure("preprocess", "a", [str(log)], "").splitlines()[1:3]
    assert words == ["  error: too big", "    hint: smaller"]


def test_no_traceback_of_snakemake_is_shown_unless_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    traceback = (
        'Traceback (most recent call last):\n\n  File "cli.py", line 1, in f\n    open(p)\n\n'
        "FileNotFoundError: [Errno 2] No such file or directory: 'my.yaml'\n"
    )
    in_rules = (
        "InputFunctionException in rule pull:\nError:\n  ValueError: no\nTraceback:\n"
        '  File "rules/pull.smk", line 19, in <lambda>\n  File "a.py", line 1, in b'
    )
    told = []
    for message in (traceback, in_rules):
        record = logging.LogRecord("x", logging.ERROR, "", 0, message, None, None)
        record.__dict__ |= {"event": LogEvent.ERROR, "exception": "x"}
        for style in ("lines", "snakemake"):
            handler = plugin.LogHandler(settings(), plugin.LogHandlerSettings(style=style))
            handler.emit(record)
            told.append(capsys.readouterr().err)
        asked = plugin.LogHandler(settings(verbose=True), plugin.LogHandlerSettings())
        asked.emit(record)
        assert message in capsys.readouterr().err
    assert told[0] == told[1]
    assert told[0].startswith("error: FileNotFoundError: [Errno 2] No such file or directory: 'my")
    assert told[2] == told[3] == "InputFunctionException in rule pull:\nError:\n  ValueError: no\n"


def test_a_job_that_is_tried_again_has_not_failed(tmp_path: Path) -> None:
    run = Run()
    run.curated(preprocess=1)
    run.start(3, "preprocess", run.grown, unit="sub-01")
    run.fail(3, "preprocess", tmp_path / "no.log", "returned non-zero exit status 1")
    run.log("Trying to restart job 3.")
    run.start(3, "preprocess", unit="sub-01")
    run.finish(3, "preprocess")
    run.reporter.close()
    assert "Trying to restart job 3." in run.text
    assert run.progress.sums() == (3, 3, 0)
    assert run.text.splitlines()[-1].startswith("Done: 3 jobs")


def test_jobs_of_a_group_fail_together(tmp_path: Path) -> None:
    run = Run()
    run.curated(preprocess=2)
    run.start(3, "preprocess", run.grown, unit="sub-01")
    run.start(4, "preprocess", unit="sub-02")
    jobs = [
        {"rule_name": "preprocess", "jobid": n, "log": [], "output": [], "shellcmd": "x"}
        for n in (3, 4)
    ]
    run.log(
        "Error in group",
        logging.ERROR,
        event=LogEvent.GROUP_ERROR,
        groupid="g",
        aux_logs=[],
        job_error_info=jobs,
    )
    assert run.progress.sums() == (4, 2, 2)
    assert "error: preprocess sub-02 failed" in run.text


def test_what_is_not_known_is_said_as_snakemake_says_it() -> None:
    run = Run()
    run.log("Nothing to be done (all requested files are present and up to date).")
    run.log("The file [bold]x[/bold] is missing.", logging.WARNING)
    run.log("WorkflowError:\nno such key", logging.ERROR, event=LogEvent.ERROR, exception="X")
    run.log("silenced by the profile", quietness=Quietness.HOST)
    run.log("some event of tomorrow", event="tomorrow")
    run.reporter.close()
    assert run.text.splitlines() == [
        "Nothing to be done (all requested files are present and up to date).",
        "The file [bold]x[/bold] is missing.",
        "WorkflowError:",
        "no such key",
        "some event of tomorrow",
    ]


def test_commands_are_printed_when_asked_for() -> None:
    texts = []
    for show in (False, True):
        run = Run(show_commands=show)
        run.plan(pull=1)
        run.start(2, "pull")
        texts.append(run.text)
    assert "braindata pull" not in texts[0]
    assert "\nbraindata pull\n" in "\n" + texts[1]


def test_after_a_signal_nothing_counts_as_failed(tmp_path: Path) -> None:
    run = Run()
    run.curated(preprocess=2)
    run.start(3, "preprocess", run.grown, unit="sub-01")
    run.start(4, "preprocess", unit="sub-02")
    run.now += 5
    run.stopped = True
    run.log("Terminating processes on user request, this might take some time.")
    run.fail(3, "preprocess", tmp_path / "no.log", "died with <Signals.SIGINT: 2>")
    run.finish(4, "preprocess")
    run.log("WorkflowError:\nAt least one ...", logging.ERROR, event=LogEvent.ERROR, exception="X")
    run.reporter.close()
    assert run.text.splitlines()[-5:] == [
        "Stopping the jobs at work ...",
        "pull        1 job  10 s",
        "curate      1 job  20 s",
        "preprocess  1 job   5 s",
        "3 of 4 jobs done in 35 s.",
    ]


def test_a_terminal_that_is_gone_stops_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    stream = Stream(Gone())
    assert stream.write("text") == 4
    stream.flush()
    written = io.StringIO()
    Stream(written).write("text")
    assert written.getvalue() == "text"


@pytest.mark.parametrize(
    ("seconds", "text", "ticks"),
    [
        (0.4, "0 s", "0:00:00"),
        (59.4, "59 s", "0:00:59"),
        (59.6, "1 min 00 s", "0:00:59"),
        (3599.6, "1 h 00 min", "0:59:59"),
        (7830, "2 h 10 min", "2:10:30"),
        (100_000, "1 d 3 h", "27:46:40"),
    ],
)
def test_durations(seconds: float, text: str, ticks: str) -> None:
    assert duration(seconds) == text
    assert clock(seconds) == ticks


def test_stages_are_counted_when_the_graph_has_grown() -> None:
    class Job:
        def __init__(self, rule: str):
            self.rule = SimpleNamespace(name=rule)

    class Graph:
        def __init__(self) -> None:
            self.waiting = [Job("preprocess")]
            self.finished_jobs = {Job("pull")}
            self.asked = 0

        def __len__(self) -> int:
            return len(self.waiting) + len(self.finished_jobs)

        def needrun_jobs(self) -> list[Job]:
            self.asked += 1
            return self.waiting

    graph = Graph()
    counts = StageCounts(SimpleNamespace(dag=graph))

    def start() -> logging.LogRecord:
        record = logging.LogRecord("x", logging.INFO, "", 0, "Execute 1 jobs...", None, None)
        record.__dict__["event"] = LogEvent.JOB_STARTED
        assert counts(record)
        return record

    assert start().__dict__["stage_jobs"] == {"preprocess": 1, "pull": 1}
    assert "stage_jobs" not in start().__dict__
    graph.waiting = [*graph.waiting, Job("preprocess"), Job("pack")]
    assert start().__dict__["stage_jobs"] == {"preprocess": 2, "pull": 1, "pack": 1}
    assert graph.asked == 2


def settings(**changes: Any) -> SimpleNamespace:
    usual = {
        "printshellcmds": False,
        "nocolor": False,
        "quiet": QUIET,
        "debug_dag": False,
        "verbose": False,
        "show_failed_logs": True,
        "stdout": False,
        "dryrun": False,
    }
    return SimpleNamespace(**usual | changes)


@pytest.mark.parametrize(
    ("changes", "style"),
    [
        ({}, "lines"),
        ({"nocolor": True}, "lines"),
        ({"printshellcmds": True}, "lines"),
        ({"dryrun": True, "stdout": True}, "snakemake"),
        ({"verbose": True}, "snakemake"),
        ({"debug_dag": True}, "snakemake"),
        ({"quiet": None}, "snakemake"),
        ({"quiet": {Quietness.HOST}}, "snakemake"),
        ({"quiet": {Quietness.PROGRESS, Quietness.RULES}}, "snakemake"),
        ({"quiet": {Quietness.ALL}}, "snakemake"),
    ],
)
def test_options_of_snakemake_choose_the_style(changes: dict[str, Any], style: str) -> None:
    assert plugin._style(settings(**changes)) == style


def test_on_a_terminal_it_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("TERM", "xterm")
    assert plugin._style(settings()) == "table"
    monkeypatch.setenv("TERM", "dumb")
    assert plugin._style(settings()) == "lines"


def test_snakemake_finds_it_and_it_says_what_snakemake_would(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = LoggerPluginRegistry().get_plugin("braindata")
    assert found.settings_cls is plugin.LogHandlerSettings
    record = logging.LogRecord("x", logging.INFO, "", 0, "Job stats:\n...", None, None)
    record.__dict__ |= {"event": LogEvent.RUN_INFO, "stats": {"total": 1, "all": 1}}
    dry = plugin.LogHandler(settings(dryrun=True, stdout=True), plugin.LogHandlerSettings())
    dry.emit(record)
    dry.close()
    assert capsys.readouterr().out == "Job stats:\n...\n"
    asked = plugin.LogHandler(settings(), plugin.LogHandlerSettings(style="snakemake"))
    asked.emit(record)
    assert capsys.readouterr().err == "Job stats:\n...\n"
    lines = plugin.LogHandler(settings(), plugin.LogHandlerSettings())
    lines.emit(record)
    lines.close()
    assert capsys.readouterr().err == "Done: 0 jobs in 0 s.\n"
