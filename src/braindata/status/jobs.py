"""The state of every job, from receipts and logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from braindata.errors import BraindataError, UsageError
from braindata.files import read_end
from braindata.layout import PER_UNIT, Layout
from braindata.locking import Holder
from braindata.receipts import SUFFIX, Receipt, receipt_beside
from braindata.stages import STEP_VERSION
from braindata.status.planned import Planned

JobState = Literal["done", "running", "waiting", "interrupted", "failed"]
JOB_STATES: tuple[JobState, ...] = ("done", "running", "waiting", "interrupted", "failed")
PER_REGION = ("extract", "derive")
PER_GROUP = ("align",)
PER_DATASET = ("pull", "curate", "latents", "connectivity")
# The folder of each stage's receipts, below it the job; those of regions lie beside their shards.
FOLDERS = {"pull": "raw", "curate": "curated", "preprocess": "derivatives", "pack": "packed"}

TAIL = 32_768
# Programs that a job calls may leave their last line open, so a word of ours can start anywhere.
_DONE = re.compile(r"INFO: (\w+) \S+: (?:done, \d+ files|up to date)\s")
_ERROR = re.compile(r"error: ([^\n]*(?:\n {2}[^\n]*)*)\s*\Z")
# Colours and the like, which programs write for a terminal.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~])?")
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, order=True)
class Job:
    """One job of the chain.

    Attributes
    ----------
    stage : str
        Its stage.
    key : tuple of str
        Data set, and unit, region, group or process where it has one; empty for `head`,
        `publish` and `report`.
    """

    stage: str
    key: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name as in its receipt."""
        return "/".join(self.key) or "all"

    def receipt(self, layout: Layout) -> Path:
        """Where its receipt lies."""
        if self.stage in FOLDERS:
            return layout.receipt(FOLDERS[self.stage], *self.key)
        if self.stage in PER_REGION:
            shard = layout.series if self.stage == "extract" else layout.trials
            return receipt_beside(shard(*self.key))
        if self.stage in PER_GROUP:
            return receipt_beside(layout.alignment(*self.key))
        if self.stage == "signals":
            return receipt_beside(layout.signals(*self.key))
        if self.stage == "latents":
            return receipt_beside(layout.latents(*self.key))
        if self.stage == "connectivity":
            return receipt_beside(layout.connectivity(*self.key))
        return layout.receipt("tables" if self.stage == "publish" else self.stage, self.stage)

    def log(self, layout: Layout) -> Path:
        """Where its log lies."""
        return layout.log(self.stage, *self.key)


@dataclass(frozen=True)
class JobStatus:
    """A job and its state.

    Attributes
    ----------
    job : Job
        The job.
    state : {"done", "running", "waiting", "interrupted", "failed"}
        See `job_status`.
    error : str or None
        What it said when it failed.
    """

    job: Job
    state: JobState
    error: str | None = None


@dataclass(frozen=True)
class Work:
    """The jobs that there should be, with the receipts that are there.

    Attributes
    ----------
    planned : Planned or None
        What the latest run was asked for; None when the folder does not say.
    jobs : tuple of Job
        By stage, then as planned.
    receipts : dict of Job to Receipt
        Those that are there and readable.
    not_known_yet : tuple of str
        Data sets that are not curated: their units are not known.
    unreadable : tuple of Path
        Files of ours that are no receipt, or no plan.
    """

    planned: Planned | None
    jobs: tuple[Job, ...]
    receipts: Mapping[Job, Receipt]
    not_known_yet: tuple[str, ...]
    unreadable: tuple[Path, ...]


def existing_layout(output: Path) -> Layout:
    """Return the layout of a folder that must be there, its path resolved.

    Raises
    ------
    UsageError
        When it is not there.
    """
    if not output.is_dir():
        raise UsageError("there is no such folder", file=output.resolve())
    return Layout(output.resolve())


def find_work(layout: Layout) -> Work:
    """Return the jobs that an output folder should hold, and the receipts that it holds.

    Without a plan (a folder of an older version) only jobs that left something are known.
    """
    unreadable: list[Path] = []
    try:
        planned = Planned.read(layout)
    except BraindataError:
        planned = None
        unreadable.append(layout.plan())
    assumed = planned or _from_traces(layout)
    receipts: dict[Job, Receipt] = {}

    def look(job: Job) -> Receipt | None:
        path = job.receipt(layout)
        try:
            receipts[job] = Receipt.read(path)
        except BraindataError:
            if path.is_file():
                unreadable.append(path)
        return receipts.get(job)

    units: dict[str, list[str]] = {}
    for dataset in assumed.datasets:
        curated = look(Job("curate", (dataset,)))
        if curated is not None:
            units[dataset] = sorted(curated.notes.get("units", {}))
    jobs = [
        job
        for stage in STEP_VERSION
        for job in _jobs_of(stage, assumed, units)
        if planned or job.receipt(layout).is_file() or job.log(layout).is_file()
    ]
    for job in jobs:
        if job.stage != "curate":
            look(job)
    not_known = tuple(dataset for dataset in assumed.datasets if dataset not in units)
    return Work(planned, tuple(jobs), receipts, not_known, tuple(unreadable))


def _jobs_of(stage: str, planned: Planned, units: Mapping[str, list[str]]) -> list[Job]:
    if stage in PER_UNIT:
        return [Job(stage, (d, unit)) for d in planned.datasets for unit in units.get(d, ())]
    if stage in PER_REGION:
        return [Job(stage, (d, region)) for d in planned.datasets for region in planned.regions]
    if stage in PER_GROUP:
        return [Job(stage, (d, group)) for d in planned.datasets for group in planned.groups]
    if stage == "signals":
        return [Job(stage, (d, process)) for d in planned.datasets for process in planned.processes]
    if stage in PER_DATASET:
        return [Job(stage, (dataset,)) for dataset in planned.datasets]
    if stage == "head" and not planned.eeg:
        return []
    return [Job(stage)]


def _from_traces(layout: Layout) -> Planned:
    """Return the data sets and regions of which there is a receipt or a log."""

    def names(folder: str, suffix: str, depth: str = "") -> set[str]:
        found = (layout.output / folder).glob(f"{depth}*{suffix}")
        return {path.name.removesuffix(suffix) for path in found}

    datasets = names("raw", SUFFIX) | names("curated", SUFFIX) | names("logs/pull", ".log")
    regions = names("series", SUFFIX, "*/") | names("logs/extract", ".log", "*/")
    processes = names("derived", SUFFIX, "*/signals/") | names("logs/signals", ".log", "*/")
    eeg = Job("head").receipt(layout).is_file() or Job("head").log(layout).is_file()
    groups = names("aligned", SUFFIX, "*/") | names("logs/align", ".log", "*/")
    return Planned(
        tuple(sorted(datasets)),
        tuple(sorted(regions)),
        eeg,
        tuple(sorted(groups)),
        tuple(sorted(processes)),
    )


def job_statuses(
    layout: Layout, jobs: Iterable[Job], receipts: Mapping[Job, Receipt], run: Holder | None
) -> list[JobStatus]:
    """Return the state of jobs.

    Parameters
    ----------
    layout : Layout
        The output folder.
    jobs : iterable of Job
        Which jobs.
    receipts : mapping of Job to Receipt
        Those that are there.
    run : Holder or None
        The run that is going on, if one is.
    """
    return [job_status(job, layout, job in receipts, run) for job in jobs]


def job_status(job: Job, layout: Layout, has_receipt: bool, run: Holder | None) -> JobStatus:
    """Return the state of one job.

    `done`: its receipt is there. `failed`: its latest attempt ended with an error. `interrupted`:
    it began, and neither ended nor is at work. `running`: it began in the run that is going on.
    `waiting`: the rest.

    A log that is newer than the receipt is of a later attempt. The log of a job that ended well
    and whose receipt is gone says nothing: somebody wants it to be done again.
    """
    log = job.log(layout)
    began = _modified(log)
    rested: JobState = "done" if has_receipt else "waiting"
    if began is None or (has_receipt and began <= (_modified(job.receipt(layout)) or began)):
        return JobStatus(job, rested)
    if run is not None and began < run.since:
        return JobStatus(job, rested)
    tail = read_tail(log)
    ended = {match[1] for match in _DONE.finditer(tail)}
    if job.stage not in PER_UNIT:
        begun, done = True, bool(ended)
    else:
        # One log for both: the one begins when the other has ended.
        begun, done = job.stage == PER_UNIT[0] or PER_UNIT[0] in ended, job.stage in ended
    if done or not begun:
        return JobStatus(job, rested)
    error = error_of(tail)
    if error is not None:
        return JobStatus(job, "failed", error)
    return JobStatus(job, "interrupted" if run is None else "running")


def error_of(tail: str) -> str | None:
    """Return the error with which a log ends: ours, or the last line of a traceback."""
    tail = _ESCAPES.sub("", tail)
    match = _ERROR.search(tail)
    if match:
        return match[1].strip()
    return tail.strip().splitlines()[-1].strip() if _TRACEBACK in tail else None


def read_tail(log: Path) -> str:
    """Return the end of a log; it may be written to, or be gone, at this moment."""
    try:
        return read_end(log, TAIL)
    except OSError:
        return ""


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
