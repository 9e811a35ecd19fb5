"""Jobs on Slurm outlive questions without an answer, and are tried again when they are lost."""

from __future__ import annotations

import asyncio
import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from braindata.slurm_answers import PATIENCE, PLUGIN, mend


class Slurm:
    """The plugin's own executor, with answers that a test gives."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status_command: str = "squeue") -> None:
        plugin = importlib.import_module(PLUGIN)
        self.answer: dict[str, str] | None = {}
        self.n_questions = 0

        async def query(command: str, logger: object) -> Any:
            self.n_questions += 1
            return (None, None) if self.answer is None else (self.answer, 0.01)

        # Whatever is replaced is put back after the test.
        monkeypatch.setattr(plugin, "query_job_status", query)
        monkeypatch.setattr(plugin, "get_min_job_age", lambda: 300)
        original = plugin.Executor.check_active_jobs
        monkeypatch.setattr(plugin.Executor, "check_active_jobs", original)
        monkeypatch.setattr(plugin.Executor, "lost_jobs", None, raising=False)
        mend(plugin)
        self.executor = object.__new__(plugin.Executor)
        self.ended: list[str] = []
        self.failed: list[str] = []
        settings = SimpleNamespace(
            init_seconds_before_status_checks=1,
            status_attempts=5,
            status_command=status_command,
            keep_successful_logs=True,
        )
        own: dict[str, Any] = {
            "workflow": SimpleNamespace(executor_settings=settings),
            "logger": SimpleNamespace(debug=print, info=print, warning=print),
            "run_uuid": "x",
            "status_rate_limiter": _Now(),
            "_next_seconds_between_status_checks": 1,
            "report_job_success": lambda job: self.ended.append(job.external_jobid),
            "report_job_error": lambda job, msg, **_: self.failed.append(job.external_jobid),
        }
        own |= dict.fromkeys(("_status_query_calls", "_status_query_failures"), 0)
        own |= {"_status_query_total_seconds": 0.0, "_status_query_cycle_rows": []}
        own |= dict.fromkeys(("_status_query_min_seconds", "_status_query_max_seconds"), 0.0)
        self.executor.__dict__.update(own)

    def look(self, *numbers: str) -> list[str]:
        """Return the jobs that are still at work after one look."""
        return self.look_at([job(one) for one in numbers])

    def look_at(self, jobs: list[Any]) -> list[str]:
        """Look at jobs that were made before."""

        async def collect() -> list[str]:
            looked_at = self.executor.check_active_jobs(jobs)
            return [one.external_jobid async for one in looked_at]

        return asyncio.run(collect())


def job(number: str, rule: str = "pack") -> SimpleNamespace:
    """Return a job that was submitted."""
    return SimpleNamespace(external_jobid=number, aux={}, rule=rule)


class _Now:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


def test_jobs_outlive_questions_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = Slurm(monkeypatch)
    slurm.answer = None
    for _ in range(PATIENCE + 2):
        assert slurm.look("1", "2") == ["1", "2"]
    # The plugin gave up each time.
    assert slurm.n_questions == 5 * (PATIENCE + 2)
    slurm.answer = {"1": "COMPLETED", "2": "RUNNING"}
    assert slurm.look("1", "2") == ["2"]
    assert (slurm.ended, slurm.failed) == (["1"], [])


def test_a_job_that_the_controller_has_forgotten_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slurm = Slurm(monkeypatch)
    slurm.answer = {"1": "RUNNING"}
    for _ in range(PATIENCE - 1):
        assert slurm.look("1", "2") == ["1", "2"]
    # Once it was there: it counts from the beginning.
    slurm.answer = {"1": "RUNNING", "2": "PENDING"}
    assert slurm.look("1", "2") == ["1", "2"]
    slurm.answer = {"1": "RUNNING"}
    for _ in range(PATIENCE - 1):
        assert slurm.look("1", "2") == ["1", "2"]
    assert slurm.failed == []
    assert slurm.look("1", "2") == ["1"]
    assert (slurm.ended, slurm.failed) == ([], ["2"])


def test_a_number_that_is_given_again_is_of_the_later_job(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = Slurm(monkeypatch)
    said = []
    slurm.executor.report_job_error = lambda one, msg, **_: said.append((one.rule, msg))
    slurm.executor.report_job_success = lambda one: said.append((one.rule, "done"))
    earlier, later, other = job("16", "align"), job("16"), job("17")
    slurm.answer = {"16": "PENDING", "17": "PENDING"}
    assert slurm.look_at([earlier, other]) == ["16", "17"]
    slurm.answer = {"16": "COMPLETED", "17": "PENDING"}
    # Snakemake puts new jobs before those that it knows.
    assert slurm.look_at([later, other, earlier]) == ["17"]
    assert [rule for rule, _ in said] == ["align", "pack"]
    assert "knows nothing of job 16" in said[0][1]
    assert said[1][1] == "done"


def test_an_accounting_database_may_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = Slurm(monkeypatch, "sacct")
    for _ in range(PATIENCE + 2):
        assert slurm.look("1") == ["1"]
    assert slurm.failed == []


def test_what_failed_is_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = Slurm(monkeypatch)
    slurm.answer = {"1": "OUT_OF_MEMORY", "2": "CANCELLED", "3": "COMPLETED"}
    assert slurm.look("1", "2", "3") == []
    assert (slurm.ended, slurm.failed) == (["3"], ["1", "2"])


def test_waiting_tasks_of_an_array_are_told_as_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = Slurm(monkeypatch)
    slurm.answer = {"7_1": "RUNNING", "7_[2-4]": "PENDING"}
    for _ in range(PATIENCE - 1):
        assert slurm.look("7_1", "7_3", "8_3") == ["7_1", "7_3", "8_3"]
    assert slurm.look("7_1", "7_3", "8_3") == ["7_1", "7_3"]
    assert slurm.failed == ["8_3"]
