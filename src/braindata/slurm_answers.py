"""What becomes of jobs when Slurm's controller gives no answer, or one in which jobs are missing.

The plugin (2.8.0, the newest) forgets all its jobs after some questions without an answer, and
waits for a job that the controller knows nothing of. Both end in a Snakemake that waits for ever.
Controllers save their state some seconds after a change: one that dies forgets what it was told
last, and gives the numbers of those jobs again. They forget ended jobs after `MinJobAge`, too.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

PLUGIN = "snakemake_executor_plugin_slurm"
# So many answers in a row must lack a job until it is taken for lost.
PATIENCE = 3
LOST = (
    "Slurm's controller knows nothing of job {number} any more: it died before it had saved it, or "
    "the job ended longer ago than MinJobAge. It is tried again; where its results are there, that "
    "takes a moment."
)


def keep_jobs() -> None:
    """Keep jobs that are not answered for, and try again those that are lost, where Slurm runs."""
    plugin = sys.modules.get(PLUGIN)
    if plugin is not None and not hasattr(plugin.Executor, "lost_jobs"):
        mend(plugin)


def mend(plugin: Any) -> None:
    """Replace how the plugin's executor looks after its jobs.

    Parameters
    ----------
    plugin : module
        The plugin of Slurm.
    """
    check, ask = plugin.Executor.check_active_jobs, plugin.query_job_status
    # Of the question that is being asked; None as long as there is no answer.
    answers: list[dict[str, str]] = []
    lacking: Counter[str] = Counter()
    owners: dict[str, Any] = {}

    async def remember(command: str, logger: Any) -> Any:
        told = await ask(command, logger)
        if told[0] is not None:
            answers.append(told[0])
        return told

    def lose(executor: Any, job: Any) -> None:
        told = LOST.format(number=job.external_jobid)
        # Our messages of failed jobs show what their logs say, and this one has none.
        executor.logger.warning(told)
        executor.report_job_error(job, msg=told)

    async def check_active_jobs(self: Any, active_jobs: list[Any]) -> AsyncIterator[Any]:
        # Of two jobs with one number, the controller has forgotten the one that had it first.
        times = Counter(job.external_jobid for job in active_jobs)
        kept = []
        for job in active_jobs:
            number = job.external_jobid
            if times[number] > 1 and number in owners and owners[number] is job:
                lose(self, job)
            else:
                kept.append(job)
        owners.clear()
        owners.update({job.external_jobid: job for job in kept})
        answers.clear()
        at_work = [job async for job in check(self, kept)]
        if not answers:
            at_work = kept
        for job in at_work:
            number = job.external_jobid
            # An accounting database learns of a job later than the controller.
            if (
                not answers
                or _is_told(answers[-1], plugin._status_lookup_ids(number))
                or self.get_status_command() != "squeue"
            ):
                lacking.pop(number, None)
                yield job
                continue
            lacking[number] += 1
            if lacking[number] < PATIENCE:
                yield job
            else:
                del lacking[number]
                lose(self, job)

    plugin.query_job_status = remember
    plugin.Executor.check_active_jobs = check_active_jobs
    plugin.Executor.lost_jobs = lacking


def _is_told(answer: dict[str, str], names: list[str]) -> bool:
    """Whether an answer says something of a job; waiting tasks of an array are told as a range."""
    array = f"{names[0].partition('_')[0]}_["
    return any(name in answer for name in names) or any(one.startswith(array) for one in answer)
