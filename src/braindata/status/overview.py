"""The state of an output folder as a whole: for people, for scripts, and for the end of a run."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from braindata.errors import EXIT_DONE, EXIT_FAILED, EXIT_QUARANTINED, BraindataError, UsageError
from braindata.layout import Layout
from braindata.locking import Holder, holder
from braindata.status.jobs import JOB_STATES, JobStatus, existing_layout, find_work, job_statuses
from braindata.status.recordings import RECORDING_STATES, RecordingStatus, recording_statuses
from braindata.tables.releases import list_releases, read_release

FORMAT = "braindata-status"
FORMAT_VERSION = 1
# What jobs of a stage can be, and recordings that it found to be bad.
STAGE_STATES = (*JOB_STATES, "quarantined")
# So many failed jobs are told at the end of a run; the rest is in `braindata status`.
MAX_TOLD = 10

State = Literal["done", "quarantined", "running", "unfinished", "failed"]


@dataclass(frozen=True)
class Overview:
    """What is done in an output folder.

    Attributes
    ----------
    output : Path
        The output folder.
    run : Holder or None
        The run that is going on.
    planned : bool
        Whether the folder says what the latest run was asked for.
    jobs : tuple of JobStatus
        By stage.
    not_known_yet : tuple of str
        Data sets that are not curated: their persons and recordings are not known.
    recordings : tuple of RecordingStatus
        By data set, as its inventory lists them.
    release : int or None
        The newest release.
    created : str or None
        When it was made, in UTC (ISO 8601).
    unreadable : tuple of str
        Files of ours that cannot be read, relative to the output folder.
    """

    output: Path
    run: Holder | None
    planned: bool
    jobs: tuple[JobStatus, ...]
    not_known_yet: tuple[str, ...]
    recordings: tuple[RecordingStatus, ...]
    release: int | None
    created: str | None
    unreadable: tuple[str, ...]

    @property
    def state(self) -> State:
        """One word for all: what is worst, but `running` while a run goes on."""
        states = {status.state for status in self.jobs}
        if self.run is not None:
            return "running"
        if "failed" in states:
            return "failed"
        if states != {"done"} or self.unreadable or self.release is None:
            return "unfinished"
        return "quarantined" if self.with_state("quarantined", "used_in_part") else "done"

    @property
    def exit_code(self) -> int:
        """0 all done, 3 all done but data are quarantined, 1 a job failed or is not done yet."""
        codes: dict[State, int] = {"done": EXIT_DONE, "quarantined": EXIT_QUARANTINED}
        return codes.get(self.state, EXIT_FAILED)

    def with_state(self, *states: str) -> list[RecordingStatus]:
        """Return the recordings in one of `states`."""
        return [recording for recording in self.recordings if recording.state in states]

    def job_counts(self) -> dict[str, dict[str, int]]:
        """Return the number of jobs by stage and state; every state is there."""
        counts: dict[str, dict[str, int]] = {}
        for status in self.jobs:
            of_stage = counts.setdefault(status.job.stage, dict.fromkeys(JOB_STATES, 0))
            of_stage[status.state] += 1
        return counts

    def stage_counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the number of jobs by data set, stage and state, with `STAGE_STATES`.

        `quarantined` is the number of recordings that the stage quarantined. What is done for all
        data sets together is not here.
        """
        counts: dict[str, dict[str, dict[str, int]]] = {}
        for status in self.jobs:
            if status.job.key:
                of_set = counts.setdefault(status.job.key[0], {})
                of_stage = of_set.setdefault(status.job.stage, dict.fromkeys(STAGE_STATES, 0))
                of_stage[status.state] += 1
        for recording in self.with_state("quarantined"):
            counts[recording.dataset][str(recording.stage)]["quarantined"] += 1
        return counts

    def recording_counts(self) -> dict[str, dict[str, int]]:
        """Return the number of recordings by data set and state; every state is there."""
        counts: dict[str, dict[str, int]] = {}
        for recording in self.recordings:
            of_set = counts.setdefault(recording.dataset, dict.fromkeys(RECORDING_STATES, 0))
            of_set[recording.state] += 1
        return counts

    def log_of(self, status: JobStatus) -> str:
        """Return the log of a job, relative to the output folder."""
        layout = Layout(self.output)
        return status.job.log(layout).relative_to(self.output).as_posix()

    def to_dict(self) -> dict[str, Any]:
        """Return what `braindata status --json` prints; its help says what the keys hold."""
        totals = Counter(recording.state for recording in self.recordings)
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "output": str(self.output),
            "state": self.state,
            "exit_code": self.exit_code,
            "process": None if self.run is None else self.run.process,
            "release": self.release,
            "created": self.created,
            "planned": self.planned,
            "not_known_yet": list(self.not_known_yet),
            "unreadable": list(self.unreadable),
            "jobs": self.job_counts(),
            "stages": self.stage_counts(),
            "unfinished_jobs": [
                {
                    "stage": status.job.stage,
                    "job": status.job.name,
                    "state": status.state,
                    "error": status.error,
                    "log": self.log_of(status),
                }
                for status in self.jobs
                if status.state not in ("done", "waiting")
            ],
            "recordings": {state: totals[state] for state in RECORDING_STATES},
            "datasets": self.recording_counts(),
            "left_out": [
                dataclasses.asdict(recording)
                for recording in self.with_state("used_in_part", "quarantined", "excluded")
            ],
        }


def overview(output: Path, *, over: bool = False) -> Overview:
    """Return the state of an output folder; nothing in it is changed.

    Parameters
    ----------
    output : Path
        The output folder.
    over : bool
        The run is at its end, though this process still holds the lock.

    Raises
    ------
    UsageError
        When it is no output folder.
    """
    layout = existing_layout(output)
    output = layout.output
    run = None if over else holder(output)
    work = find_work(layout)
    if work.planned is None and not work.jobs and not work.unreadable:
        raise UsageError(
            "this is no output folder: nothing of braindata is in it",
            file=output,
            hint="name the folder that the configuration calls `output`, after the first run",
        )
    unreadable = list(work.unreadable)
    recordings: list[RecordingStatus] = []
    datasets = list(dict.fromkeys(j.key[0] for j in work.jobs if j.stage == "curate"))
    regions = tuple(dict.fromkeys(j.key[1] for j in work.jobs if j.stage == "extract"))
    for dataset in datasets:
        if dataset not in work.not_known_yet:
            try:
                recordings += recording_statuses(layout, dataset, regions, work.receipts)
            except BraindataError:
                unreadable.append(layout.inventory(dataset))
    release, created = _newest(layout, unreadable)
    return Overview(
        output=output,
        run=run,
        planned=work.planned is not None,
        jobs=tuple(job_statuses(layout, work.jobs, work.receipts, run)),
        not_known_yet=work.not_known_yet,
        recordings=tuple(recordings),
        release=release,
        created=created,
        unreadable=tuple(path.relative_to(output).as_posix() for path in unreadable),
    )


def _newest(layout: Layout, unreadable: list[Path]) -> tuple[int | None, str | None]:
    numbers = list_releases(layout.tables())
    if not numbers:
        return None, None
    try:
        return numbers[-1], read_release(layout.tables(), numbers[-1], ended=True).created
    except BraindataError as error:
        unreadable.append(Path(error.file or layout.tables()))
        return numbers[-1], None


def closing_line(output: Path) -> str:
    """Return what a run says at its end: one line when all went well, else what failed and where.

    Parameters
    ----------
    output : Path
        The output folder, as the user would write it.
    """
    try:
        seen = overview(output, over=True)
    except (BraindataError, OSError) as error:
        # The end of a run is told, never decided, here.
        return str(error)
    command = f"braindata status {shlex.quote(str(output))}"
    lines = [_release_line(seen, command)]
    failed = [status for status in seen.jobs if status.state == "failed"]
    left = sum(status.state != "done" for status in seen.jobs) - len(failed)
    if failed:
        lines.append(f"{_many(len(failed), 'job')} failed:")
    for status in failed[:MAX_TOLD]:
        said = (status.error or "").replace("\n", "\n    ")
        lines.append(f"  {status.job.stage} {status.job.name}: {said}")
        lines.append(f"    log: {output / seen.log_of(status)}")
    if len(failed) > MAX_TOLD:
        lines.append(f"  and {len(failed) - MAX_TOLD} more, see {command}")
    if left or seen.not_known_yet:
        more = " or more" if seen.not_known_yet else ""
        lines.append(f"{_many(left, 'job')}{more} not done yet.")
    if len(lines) > 1:
        lines.append("What is done is kept: the same command goes on from there.")
    return "\n".join(lines)


def _release_line(seen: Overview, command: str) -> str:
    totals = Counter(recording.state for recording in seen.recordings)
    in_part = f" ({totals['used_in_part']} of them in part)" if totals["used_in_part"] else ""
    used = totals["used"] + totals["used_in_part"]
    facts = f"{_many(used, 'recording')} used{in_part}"
    facts += "".join(
        f", {totals[state]} {state}"
        for state in ("quarantined", "excluded", "waiting")
        if totals[state]
    )
    why = any(totals[state] for state in ("used_in_part", "quarantined", "excluded"))
    release = f"Release {seen.release}" if seen.release else "No release yet"
    return f"{release}: {facts}.{f' Why: {command}' if why else ''}"


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
