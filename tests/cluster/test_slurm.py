"""The phantom on two nodes of a Slurm, undisturbed and through faults: the bytes of a local run."""

from __future__ import annotations

import os
import signal
import subprocess
from types import TracebackType
from typing import Self

import pytest

from braindata.files import PART_PREFIX
from braindata.tables.releases import list_releases, read_release

from ..workflow.conftest import Project, Run
from .slurm import Cluster

SECONDS = 1500


class Submission:
    """Snakemake at work on the login node, through the profile.

    Parameters
    ----------
    cluster : Cluster
        Where its jobs go.
    project : Project
        What is run.
    *arguments : str
        Further arguments of Snakemake.
    """

    def __init__(self, cluster: Cluster, project: Project, *arguments: str):
        self._log = project.folder / "snakemake.log"
        profile = str(project.repository / "workflow/profiles/slurm")
        # Looked at each second: here nobody shares the controller.
        soon = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"]
        command = project.command_of_cluster("--profile", profile, *soon, *arguments)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=project.folder,
                env=cluster.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Of a test that failed nothing is left to run; the cluster ends its jobs itself.
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self._log.read_text()

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        return self.process.wait(timeout=SECONDS)


def wait_for_job(
    cluster: Cluster, submission: Submission, rule: str, but: str = ""
) -> tuple[str, str]:
    """Wait until a job of a rule runs, another than `but`; return its id and its node."""
    found: list[tuple[str, str]] = []

    def holds() -> bool:
        assert submission.process.poll() is None, submission.text
        found[:] = [job for job in cluster.running(rule) if job[0] != but]
        return bool(found)

    cluster.wait(holds, seconds=SECONDS)
    return found[0]


def assert_same(project: Project, finished: tuple[Project, Run]) -> None:
    """Assert that a project has the bytes of the local run: shards, stores, one release."""
    whole = ("derivatives", "packed", "series", "derived")
    here, there = (
        {name: file[1] for name, file in one.files(*whole).items()}
        for one in (project, finished[0])
    )
    assert here == there
    shards = [name for name in here if name.endswith(".parquet")]
    assert len(shards) > 10
    tables = project.results / "tables"
    assert list_releases(tables) == [1]
    assert read_release(tables).paths() == read_release(finished[0].results / "tables").paths()
    published = [
        {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}
        for folder in (tables, finished[0].results / "tables")
    ]
    assert {p for p in published[0] if "_delta_log" not in p.parts} == {
        p for p in published[1] if "_delta_log" not in p.parts
    }
    for path, content in published[0].items():
        if "_delta_log" not in path.parts:
            assert content == published[1][path], path
    assert not list(project.results.rglob(f"{PART_PREFIX}*"))


def run_to_the_end(cluster: Cluster, project: Project) -> None:
    """Give the same command again, undisturbed."""
    with Submission(cluster, project) as again:
        assert again.end() == 0, again.text


@pytest.mark.slow
def test_two_nodes_give_the_bytes_of_a_local_run(
    cluster: Cluster, empty: Project, finished: tuple[Project, Run]
) -> None:
    run_to_the_end(cluster, empty)
    assert_same(empty, finished)
    # Both nodes had work, and what needs the network stayed on the login node.
    done = cluster.jobs("COMPLETED")
    assert {node for _, node in done.values()} == {"node1", "node2"}
    rules = {comment.split("_")[1] for comment, _ in done.values()}
    assert {"curate", "preprocess", "publish", "report"} <= rules
    assert not rules & {"pull", "gather", "templateflow"}
    # Nothing is left to do, and no job is submitted for that.
    run_to_the_end(cluster, empty)
    assert cluster.jobs("COMPLETED").keys() <= done.keys()


@pytest.mark.slow
def test_four_faults_and_the_same_command_again_give_the_same_bytes(
    cluster: Cluster, empty: Project, finished: tuple[Project, Run]
) -> None:
    # Too little memory, at the first attempt.
    little = "curate:mem_mb=60 if attempt == 1 else 1500"
    with Submission(cluster, empty, "--set-resources", little) as submission:
        # A job is killed.
        killed, _ = wait_for_job(cluster, submission, "preprocess")
        cluster.command("scancel", "--signal=KILL", "--full", killed)
        # A node's daemon is killed; what it had started runs on, and writes beside the second
        # attempt.
        _, node = wait_for_job(cluster, submission, "preprocess", but=killed)
        cluster.kill(node)
        try:
            # A job that ends by itself until then has succeeded; another one has not.
            cluster.wait(lambda: cluster.state(node).startswith("down"))
        finally:
            cluster.start_node(node)
        # The controller is killed while jobs are submitted: of those that it has not saved yet it
        # knows nothing later.
        wait_for_job(cluster, submission, "signals")
        cluster.kill("slurmctld")
        try:
            # Until questions of Snakemake have remained without an answer.
            cluster.wait(lambda: submission.text.count("MinJobAge=None") > 1, seconds=SECONDS)
        finally:
            cluster.start_controller()

        def has_ended() -> bool:
            cluster.resume_drained()
            return submission.process.poll() is not None

        cluster.wait(has_ended, seconds=SECONDS)
        code = submission.end()
    assert killed in cluster.jobs("FAILED,CANCELLED")
    logs = (empty.folder / ".snakemake/slurm_logs/rule_curate").rglob("*.log")
    assert "exceeded memory limit" in "".join(log.read_text() for log in logs)
    # Each of these jobs was tried again, by the same Snakemake.
    assert code == 0, submission.text
    assert_same(empty, finished)
    run_to_the_end(cluster, empty)
    assert_same(empty, finished)
