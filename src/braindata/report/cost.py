"""What a corpus has cost, by stage and by data set: CPU time, memory, space on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class JobCost:
    """What the latest run of one job has used.

    Attributes
    ----------
    stage : str
        Its stage.
    dataset : str or None
        Its data set; None of a job for all of them.
    seconds : float or None
        Time on the clock, in s.
    cpu : float or None
        CPU time with that of all programs it has called, in s.
    memory : float or None
        The most memory that one of its processes held, in MiB.
    """

    stage: str
    dataset: str | None
    seconds: float | None = None
    cpu: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class StageCost:
    """What some jobs of one stage have used; None where nothing is known of any.

    Attributes
    ----------
    stage : str
        The stage.
    dataset : str or None
        The data set; None of all together.
    n_jobs, n_unknown : int
        How many jobs there are, and of how many of them CPU time is not known.
    cpu_hours : float or None
        Of all jobs.
    cpu_seconds : float or None
        Of the median job.
    longest : float or None
        Minutes on the clock of the longest job.
    memory : float or None
        The most that a job held, in MiB.
    disk : int
        Bytes on disk.
    """

    stage: str
    dataset: str | None
    n_jobs: int
    n_unknown: int
    cpu_hours: float | None
    cpu_seconds: float | None
    longest: float | None
    memory: float | None
    disk: int


@dataclass(frozen=True)
class Costs:
    """What is known of the cost of an output folder.

    Attributes
    ----------
    jobs : sequence of JobCost
        All jobs of which there is a log or a benchmark.
    disk : mapping of (str, str or None) to int
        Bytes by stage and data set.
    order : sequence of str
        The stages, in the order of the chain.
    """

    jobs: Sequence[JobCost] = ()
    disk: Mapping[tuple[str, str | None], int] = field(default_factory=dict)
    order: Sequence[str] = ()

    def by_stage(self) -> list[StageCost]:
        """Return a row for each stage."""
        return [
            _summary(
                stage,
                None,
                [job for job in self.jobs if job.stage == stage],
                sum(size for (of, _), size in self.disk.items() if of == stage),
            )
            for stage in self._stages()
        ]

    def by_dataset(self) -> list[StageCost]:
        """Return a row for each data set and stage; without what is done for all together."""
        grouped: dict[tuple[str, str], list[JobCost]] = {}
        for job in self.jobs:
            if job.dataset is not None:
                grouped.setdefault((job.dataset, job.stage), []).append(job)
        for stage, dataset in self.disk:
            if dataset is not None:
                grouped.setdefault((dataset, stage), [])
        order = {stage: number for number, stage in enumerate(self._stages())}
        return [
            _summary(stage, dataset, jobs, self.disk.get((stage, dataset), 0))
            for (dataset, stage), jobs in sorted(
                grouped.items(), key=lambda one: (one[0][0], order[one[0][1]])
            )
        ]

    def total(self) -> StageCost:
        """Return the sums over all stages."""
        return _summary("all", None, self.jobs, sum(self.disk.values()))

    def _stages(self) -> list[str]:
        known = {job.stage for job in self.jobs} | {stage for stage, _ in self.disk}
        return [*(s for s in self.order if s in known), *sorted(known - set(self.order))]


def _summary(stage: str, dataset: str | None, jobs: Sequence[JobCost], disk: int) -> StageCost:
    cpu = _known(job.cpu for job in jobs)
    clock = _known(job.seconds for job in jobs)
    memory = _known(job.memory for job in jobs)
    return StageCost(
        stage=stage,
        dataset=dataset,
        n_jobs=len(jobs),
        n_unknown=len(jobs) - len(cpu),
        cpu_hours=sum(cpu) / 3600 if cpu else None,
        cpu_seconds=median(cpu) if cpu else None,
        longest=max(clock) / 60 if clock else None,
        memory=max(memory) if memory else None,
        disk=disk,
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
