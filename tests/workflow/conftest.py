"""A small phantom that has gone through the whole chain once, and copies of it to work on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from braindata.files import sha256_file
from braindata.phantom.generate import generate
from braindata.phantom.parameters import PhantomParameters

# Small and coarse: these tests are about jobs and files, not about what was recovered.
TINY = PhantomParameters(seed=1, n_subjects=2, n_runs=1, n_trials=25, bold_voxel=6.0, t1w_voxel=3.0)
REGIONS = ("visual", "vmpfc")


@dataclass(frozen=True)
class Run:
    """One call of Snakemake: its exit code, what it printed, and the jobs that it ran."""

    returncode: int
    text: str
    jobs: Counter[str]


@dataclass(frozen=True)
class Project:
    """A working directory with a configuration and what Snakemake made there."""

    folder: Path
    repository: Path

    @property
    def results(self) -> Path:
        """The output folder."""
        return self.folder / "results"

    def command(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return self.command_of_cluster("--cores", "2", *arguments)

    def command_of_cluster(self, *arguments: str) -> list[str]:
        """Return the command line without a number of cores, which a cluster does not have."""
        snakemake = str(Path(sys.executable).with_name("snakemake"))
        snakefile = str(self.repository / "Snakefile")
        return [snakemake, "-s", snakefile, "--configfile", "my.yaml", *arguments]

    def run(self, *arguments: str) -> Run:
        """Run Snakemake to its end."""
        # Its own messages name each job; ours name stages.
        style = ["--logger-braindata-style", "snakemake"]
        # Without the environment's folder on PATH, as a user who has not activated it.
        done = subprocess.run(
            self.command(*style, *arguments),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": "/usr/bin:/bin"},
        )
        text = done.stdout + done.stderr
        jobs = Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", text, re.MULTILINE))
        return Run(done.returncode, text, jobs)

    def braindata(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call a command of ours in the working directory."""
        command = [str(Path(sys.executable).with_name("braindata")), *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)

    def start(self) -> subprocess.Popen[bytes]:
        """Start Snakemake in a process group of its own, to be killed as a whole."""
        return subprocess.Popen(
            self.command(),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def log(self, *parts: str) -> str:
        """Return the log of a job."""
        return (self.results / "logs").joinpath(*parts).read_text()

    def configure(self, **changes: object) -> None:
        """Change keys of the configuration."""
        file = self.folder / "my.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))

    def files(self, *folders: str) -> dict[str, tuple[int, str]]:
        """Return inode and sha256 of each file below some folders of the output.

        Not the time of change: Snakemake touches what a job declares, also when the job found
        that nothing had to be written.
        """
        return {
            path.relative_to(self.results).as_posix(): (path.stat().st_ino, sha256_file(path))
            for folder in folders
            for path in sorted((self.results / folder).rglob("*"))
            if path.is_file()
        }


def reverse_in_time(path: Path) -> None:
    """Turn the volumes of an image round: other data of the same size in memory."""
    image = nib.load(path)
    turned = np.asanyarray(image.dataobj)[..., ::-1]
    nib.Nifti1Image(turned, image.affine, image.header).to_filename(path)


@pytest.fixture(scope="session")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny phantom; its truth lies beside it."""
    base = tmp_path_factory.mktemp("phantom")
    generate(base / "bids", base / "truth", TINY)
    return base / "bids"


@pytest.fixture(scope="session")
def regions(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """Region files with two regions of the default set."""
    folder = tmp_path_factory.mktemp("regions")
    for file in sorted((repository / "config/regions/spheres").glob("*.yaml")):
        body = yaml.safe_load(file.read_text())
        body["regions"] = [entry for entry in body["regions"] if entry["name"] in REGIONS]
        if body["regions"]:
            (folder / file.name).write_text(yaml.safe_dump(body))
    return folder


@pytest.fixture(scope="session")
def new_project(
    tmp_path_factory: pytest.TempPathFactory, repository: Path, regions: Path
) -> Callable[[Path], Project]:
    """Make an empty project for a data set."""

    def make(source: Path) -> Project:
        folder = tmp_path_factory.mktemp("project")
        config = {
            "output": "results",
            "datasets": [{"id": "tiny", "source": str(source), "modalities": ["fmri"]}],
            "regions": str(regions),
            "preprocess": {"fmri": {"native": {"resolution": 3}}},
        }
        (folder / "my.yaml").write_text(yaml.safe_dump(config))
        return Project(folder, repository)

    return make


@pytest.fixture(scope="session")
def finished(bids: Path, new_project: Callable[[Path], Project]) -> tuple[Project, Run]:
    """A project that has run once, and that run. Work on a copy of it."""
    project = new_project(bids)
    return project, project.run()


@pytest.fixture
def project(finished: tuple[Project, Run], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the finished project, as a user would find it the next day."""
    folder = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(finished[0].folder, folder, symlinks=True)
    # Published shards are links to the jobs' shards; a copy of a folder keeps them apart, which
    # changes nothing that counts.
    return Project(folder, finished[0].repository)
