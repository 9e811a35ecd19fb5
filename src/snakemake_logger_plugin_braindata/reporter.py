"""From Snakemake's log records to what a person wants to read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from .displays import Display
from .progress import Progress
from .texts import failure, summary

# What the display shows, or what nobody asks for.
SHOWN_OTHERWISE = frozenset(
    {
        LogEvent.RUN_INFO,
        LogEvent.RESOURCES_INFO,
        LogEvent.JOB_INFO,
        LogEvent.JOB_STARTED,
        LogEvent.JOB_FINISHED,
        LogEvent.GROUP_INFO,
        LogEvent.PROGRESS,
        LogEvent.RULEGRAPH,
    }
)
# Beginnings of messages that are about Snakemake and not about the run.
CHATTER = (
    "Using workflow specific profile",
    "Assuming unrestricted shared filesystem",
    "Using shell:",
    "Conda environments: ignored",
    "Select jobs to execute",
    "Updating checkpoint dependencies",
    "DAG of jobs will be updated",
    "Complete log(s):",
    "Elapsed time:",
    "Shutting down, this might take some time",
)
# Said by Snakemake when something failed: the failure itself has been shown by then.
AFTER_A_FAILURE = (
    "Exiting because a job execution failed",
    # Of the receipt of a job that never ran before.
    "Cannot restore ",
    "WorkflowError:\nAt least one job did not complete successfully",
)
STOPPING = "Stopping the jobs at work ..."


class Reporter:
    """Shows progress, and says what matters.

    Parameters
    ----------
    display : Display
        Where to.
    snakemake : logging.Handler
        Snakemake's own filter and formatter, for records that are not known here.
    now : callable
        Returns the time in seconds since the epoch.
    stopped : callable
        Returns whether a signal has stopped the run.
    show_commands : bool
        Whether to print each job's command (``--printshellcmds``).
    """

    def __init__(
        self,
        display: Display,
        snakemake: logging.Handler,
        now: Callable[[], float],
        stopped: Callable[[], bool],
        show_commands: bool = False,
    ):
        self.progress = Progress()
        self._display = display
        self._snakemake = snakemake
        self._now = now
        self._stopped = stopped
        self._show_commands = show_commands
        self._stopping = False
        self._closed = False
        self._trouble = False
        # Messages about how a command ended, until the record of the job's failure comes.
        self._endings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take in one record."""
        event = getattr(record, "event", None)
        if self._stopped():
            self._emit_after_stop(record, event)
            return
        self._trouble = self._trouble or record.levelno >= logging.ERROR
        failing = self.progress.running.copy() if event in _FAILURES else {}
        self.progress.update(record)
        if event in _FAILURES:
            self._say_failures(record.__dict__, failing)
        elif event == LogEvent.ERROR and _is_job_ending(record):
            self._endings.append(str(record.msg))
        elif event == LogEvent.SHELLCMD:
            if self._show_commands:
                self._display.say(str(record.__dict__.get("shellcmd", record.getMessage())))
        elif event not in SHOWN_OTHERWISE:
            self._say_as_snakemake(record)
        self._display.show(self.progress)

    def close(self) -> None:
        """Take the display away and say how it ended."""
        if self._closed:
            return
        self._closed = True
        self._display.hide()
        if self.progress.started is not None:
            whole = not (self._trouble or self._stopped() or self.progress.running)
            self._display.say(summary(self.progress, self._now(), whole))

    def _emit_after_stop(self, record: logging.LogRecord, event: object) -> None:
        # Jobs end with errors now because they were stopped: that is no news.
        if event == LogEvent.JOB_FINISHED:
            self.progress.update(record)
        if not self._stopping:
            self._stopping = True
            self._display.hide()
            if self.progress.running:
                self._display.say(STOPPING)

    def _say_failures(self, facts: dict[str, Any], failing: dict[int, Any]) -> None:
        for one in facts.get("job_error_info", [facts]):
            job = failing.get(one["jobid"])
            ended = [e for e in self._endings if one["shellcmd"] and one["shellcmd"] in e]
            self._endings = [e for e in self._endings if e not in ended]
            name = job.name if job else ""
            self._display.say(
                failure(one["rule_name"], name, one["log"], "".join(ended)), style="red"
            )

    def _say_as_snakemake(self, record: logging.LogRecord) -> None:
        if not self._snakemake.filter(record):
            return
        text = self._snakemake.format(record)
        if text in ("", "None") or text.startswith(CHATTER):
            return
        if self.progress.failed and text.startswith(AFTER_A_FAILURE):
            return
        styles = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}
        self._display.say(text, style=styles.get(record.levelno, ""))


_FAILURES = (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR)


def _is_job_ending(record: logging.LogRecord) -> bool:
    return record.__dict__.get("exception") == "RuleException" and "CalledProcessError in " in str(
        record.msg
    )
