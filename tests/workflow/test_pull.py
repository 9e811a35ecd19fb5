"""Repositories as sources of a run: pulled once, and again for another version only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from tests.unit.git_repositories import MadeRepository
from tests.unit.openneuro_server import serving
from tests.workflow.conftest import Project

TEXTS = {
    "dataset_description.json": b'{"Name": "x", "BIDSVersion": "1.8.0"}',
    "sub-01/func/sub-01_task-rest_events.tsv": b"onset\tduration\n",
}
IMAGE = "sub-01/func/sub-01_task-rest_bold.nii.gz"


def test_a_repository_is_pulled_once_and_an_update_pulls_it_again(
    tmp_path: Path, repository: Path
) -> None:
    (tmp_path / "git").mkdir()
    with serving(tmp_path / "git") as site:
        made = MadeRepository(tmp_path / "git" / "ds000777.git", f"{site.url}/openneuro.org")
        made.version("1.0.0", TEXTS, {IMAGE: b"first"}, site)
        body = {
            "datasets": [{"id": "ds", "source": "openneuro:ds000777"}],
            "regions": str(repository / "config" / "regions" / "spheres"),
            "pull": {"openneuro": f"{site.url}/git/{{id}}.git"},
        }

        def configure() -> None:
            (tmp_path / "my.yaml").write_text(yaml.safe_dump(body))

        configure()
        project = Project(tmp_path, repository)
        first = project.run("--until", "pull")
        assert first.returncode == 0, first.text
        assert first.jobs["pull"] == 1
        image = project.results / "raw" / "ds" / IMAGE
        assert image.read_bytes() == b"first"

        # Another limit is no reason to pull again, nor is a version that nobody asked for.
        made.version("1.1.0", TEXTS, {IMAGE: b"second"}, site)
        body["pull"] = {**body["pull"], "download": {"connections": 2}}  # type: ignore[dict-item]
        configure()
        asked = len(site.requests)
        again = project.run("--until", "pull")
        assert again.returncode == 0, again.text
        assert again.jobs["pull"] == 0
        assert len(site.requests) == asked

        command = [str(Path(sys.executable).with_name("braindata")), "pull"]
        subprocess.run([*command, "--configfile", "my.yaml", "--update"], cwd=tmp_path, check=True)
        updated = project.run("--until", "pull")
        assert updated.jobs["pull"] == 1, updated.text
        assert image.read_bytes() == b"second"
