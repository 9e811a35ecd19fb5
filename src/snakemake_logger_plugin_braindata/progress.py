"""Where a run stands, from Snakemake's log records."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from snakemake_interface_logger_plugins.common import LogEvent

from braindata.stages import STEP_VERSION

from .texts import duration

# Rules that only gather what is wanted: all of it, or of one data set (`only_ds000005`).
TARGET = re.compile(r"all|only_.*")
# The stage after which the graph grows.
CHECKPOINT = "curate"


@dataclass
class Job:
    """A job at work.

    Attributes
    ----------
    stage : str
        Its rule.
    name : str
        Its wildcards' values.
    started : float
        When it was submitted, in seconds since the epoch.
    """

    stage: str
    name: str
    started: float


@dataclass
class Stage:
    """The jobs of one stage.

    Attributes
    ----------
    total, done, failed, running : int
        Numbers of jobs. `total` includes jobs that wait.
    seconds : float
        Summed durations of the jobs that are done.
    started, ended : float or None
        When its first job began and its last one ended.
    """

    name: str
    total: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0
    seconds: float = 0.0
    started: float | None = None
    ended: float | None = None

    @property
    def left(self) -> int:
        """Jobs that are not over, running ones included."""
        return self.total - self.done - self.failed

    @property
    def mean(self) -> float | None:
        """Mean duration of a job in seconds; None before the first is done."""
        return self.seconds / self.done if self.done else None

    def elapsed(self, now: float) -> float:
        """Return the seconds since the first job began, until now or the last one's end."""
        if self.started is None:
            return 0.0
        return (now if self.running or self.ended is None else self.ended) - self.started


@dataclass
class Progress:
    """All stages of a run.

    Attributes
    ----------
    stages : dict of str to Stage
        In the order of the chain; rules that it does not know come last.
    running, failed : dict of int to Job
        By the number that Snakemake gives a job.
    cores : int or None
        How many cores the jobs share; None on a cluster.
    started : float or None
        When it became known what is to be done.
    lock : Lock
        Held while records are taken in; to be held by whoever reads in another thread.
    """

    stages: dict[str, Stage] = field(default_factory=lambda: {n: Stage(n) for n in STEP_VERSION})
    running: dict[int, Job] = field(default_factory=dict)
    failed: dict[int, Job] = field(default_factory=dict)
    cores: int | None = None
    started: float | None = None
    lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def grows(self) -> bool:
        """Whether the number of jobs is not known yet."""
        return self.stages[CHECKPOINT].left > 0

    def sums(self) -> tuple[int, int, int]:
        """Return how many jobs there are, are done, and have failed."""
        stages = self.stages.values()
        return (
            sum(stage.total for stage in stages),
            sum(stage.done for stage in stages),
            sum(stage.failed for stage in stages),
        )

    def update(self, record: logging.LogRecord) -> None:
        """Take in one record of Snakemake's logger; those that tell nothing are ignored."""
        with self.lock:
            self._update(record)

    def _update(self, record: logging.LogRecord) -> None:
        facts = record.__dict__
        match facts.get("event"):
            case LogEvent.RUN_INFO:
                self.started = self.started or record.created
                self._plan({k: v for k, v in facts["stats"].items() if k != "total"})
            case LogEvent.RESOURCES_INFO if facts.get("cores"):
                self.cores = facts["cores"]
            case LogEvent.JOB_STARTED if "stage_jobs" in facts:
                self._plan(facts["stage_jobs"])
            case LogEvent.JOB_INFO if not TARGET.fullmatch(facts["rule_name"]):
                self._start(facts, record.created)
            case LogEvent.JOB_FINISHED if facts["job_id"] in self.running:
                self._end(facts["job_id"], record.created).done += 1
            case LogEvent.JOB_ERROR if facts["jobid"] in self.running:
                self._fail(facts["jobid"], record.created)
            case LogEvent.GROUP_ERROR:
                for job in facts["job_error_info"]:
                    if job["jobid"] in self.running:
                        self._fail(job["jobid"], record.created)

    def time_left(self, now: float) -> str:
        """Say how long the rest will take, or when that will be known.

        From the mean duration of the jobs that are done, per stage, shared among the cores (on a
        cluster: among as many as run now).
        """
        if self.grows:
            return "known after curation"
        unknown = [stage.name for stage in self.stages.values() if stage.left and not stage.done]
        seconds, n_jobs = 0.0, 0
        for stage in self.stages.values():
            if stage.mean is None or not stage.left:
                continue
            at_work = [job for job in self.running.values() if job.stage == stage.name]
            seconds += sum(max(stage.mean - (now - job.started), 0.0) for job in at_work)
            seconds += stage.mean * (stage.left - len(at_work))
            n_jobs += stage.left
        if not n_jobs and not unknown:
            return "none"
        if unknown and seconds < 1:
            return f"known after the first {unknown[0]}"
        text = duration(seconds / max(1, min(self.cores or len(self.running), n_jobs)))
        return f"at least {text}" if unknown else f"about {text}"

    def _plan(self, jobs: Mapping[str, int]) -> None:
        for name, total in jobs.items():
            if not TARGET.fullmatch(name):
                stage = self._stage(name)
                # A graph that has grown is told without what is done.
                stage.total = max(total, stage.done + stage.failed + stage.running)

    def _stage(self, name: str) -> Stage:
        return self.stages.setdefault(name, Stage(name))

    def _start(self, facts: dict[str, object], now: float) -> None:
        jobid, stage = facts["jobid"], self._stage(str(facts["rule_name"]))
        assert isinstance(jobid, int)
        wildcards = facts["wildcards"]
        assert isinstance(wildcards, Mapping)
        if self.failed.pop(jobid, None):
            # Snakemake tries it again.
            stage.failed -= 1
        self.running[jobid] = Job(stage.name, " ".join(map(str, wildcards.values())), now)
        stage.running += 1
        stage.started = stage.started or now
        stage.total = max(stage.total, stage.done + stage.failed + stage.running)

    def _end(self, jobid: int, now: float) -> Stage:
        job = self.running.pop(jobid)
        stage = self._stage(job.stage)
        stage.running -= 1
        stage.ended = now
        stage.seconds += now - job.started
        return stage

    def _fail(self, jobid: int, now: float) -> None:
        self.failed[jobid] = job = self.running[jobid]
        stage = self._end(jobid, now)
        stage.seconds -= now - job.started
        stage.failed += 1
