"""The phantom through the profile of Kubernetes, whose pods are processes here: the local bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ..workflow.conftest import Project, Run
from .kubernetes import FakeKubernetes
from .test_slurm import assert_same


def test_jobs_are_pods_on_one_volume(
    empty: Project, finished: tuple[Project, Run], tmp_path: Path
) -> None:
    plugin = os.environ.get("BRAINDATA_KUBERNETES")
    if plugin is None:
        pytest.skip("needs Snakemake's plugin of Kubernetes: make test-kubernetes")
    # As the comments of the profile say that it is filled in.
    text = (empty.repository / "workflow/profiles/kubernetes/config.yaml").read_text()
    body = yaml.safe_load(text) | {
        "container-image": "registry.example.org/braindata:0.1.0",
        "kubernetes-persistent-volumes": [f"my-claim:{empty.folder}"],
        "precommand": f"cd {empty.folder}",
        "seconds-between-status-checks": 1,
    }
    profile = tmp_path / "kubernetes"
    profile.mkdir()
    (profile / "config.yaml").write_text(yaml.safe_dump(body))
    # An image has braindata among its commands, and nothing else of this machine.
    inside = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    with FakeKubernetes(tmp_path, inside) as cluster:
        done = subprocess.run(
            empty.command_of_cluster("--profile", str(profile)),
            cwd=empty.folder,
            env=os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "PYTHONPATH": plugin},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same(empty, finished)
    # What needs the network, and what takes an instant, runs where Snakemake does.
    beside = ("pull", "templateflow", "gather", "all")
    expected = {rule: n for rule, n in finished[1].jobs.items() if rule not in beside}
    assert len(cluster.jobs) == sum(expected.values()) == 16
    memory = {one["resources"]["requests"]["memory"] for one in cluster.containers()}
    assert "3000M" in memory
    assert all(
        {"name": "my-claim", "mountPath": str(empty.folder)} in one["volumeMounts"]
        for one in cluster.containers()
    )
    claim = {"name": "my-claim", "persistentVolumeClaim": {"claimName": "my-claim"}}
    assert all(claim in volumes for volumes in cluster.volumes())
