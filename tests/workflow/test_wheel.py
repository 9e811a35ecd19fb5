"""The wheel: what is in it, and that it alone is enough to come from a BIDS folder to tables."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from packaging.requirements import Requirement

from braindata.regions.definition import Level
from braindata.scaffold.project import project_files

from .conftest import TINY

FIVE_LINES = """\
datasets:
  - id: tiny
    source: ../bids
preprocess: {fmri: {native: {resolution: 3}}}
regions: config/regions/spheres/valuation.yaml
"""


def build(source: Path, target: str, folder: Path) -> None:
    """Build a wheel or a source archive."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as pip builds it, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    build(repository, "wheel", folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it is installed, without what it depends on."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_in(folder: Path, installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment that sees the unpacked wheel instead of the clone."""
    script = Path(sys.executable).with_name(command[0])
    return subprocess.run(
        [str(script), *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
        | {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")},
    )


def test_the_wheel_holds_everything_and_nothing_else(wheel: Path, repository: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        written = {
            name.removeprefix("braindata/scaffold/project/"): archive.read(name)
            for name in names
            if name.startswith("braindata/scaffold/project/")
        }
    package = {
        f"braindata/{path.relative_to(repository / 'src/braindata').as_posix()}"
        for path in (repository / "src/braindata").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"braindata/py.typed", "braindata/scaffold/starter.yaml"} < package
    assert any(name.endswith(".j2") for name in package)
    ours = {name for name in names if name.startswith("braindata/")}
    assert ours - {f"braindata/scaffold/project/{name}" for name in written} == package
    # All of the project, to the byte, and no demo configuration.
    assert written == {name: path.read_bytes() for name, path in project_files().items()}
    rules = {f"rules/{path.name}" for path in (repository / "rules").glob("*.smk")}
    regions = {
        f"config/regions/{name}/{level}.yaml"
        for name in ("spheres", "schaefer_tian")
        for level in get_args(Level)
    }
    assert rules | regions | {"Snakefile", "config/schema.json", "environment.yml"} < set(written)
    assert not [name for name in names if "tests" in name or "__pycache__" in name]
    plugin = {
        path.relative_to(repository / "src").as_posix()
        for path in (repository / "src/snakemake_logger_plugin_braindata").glob("*.py")
    }
    others = {name for name in names - ours if not name.startswith("braindata-0.1.0.dist-info/")}
    assert others == plugin


def test_a_wheel_from_the_source_archive_is_the_same(
    wheel: Path, repository: Path, tmp_path: Path
) -> None:
    build(repository, "sdist", tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path, filter="data")
    (source,) = tmp_path.glob("*/")
    build(source, "wheel", tmp_path)
    (second,) = tmp_path.glob("*.whl")
    assert second.read_bytes() == wheel.read_bytes()


def test_the_wheel_says_what_pyproject_says(wheel: Path, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
        (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "braindata = braindata.cli:main" in archive.read(points).decode()
    required = {r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r}
    wanted = {_sorted_clauses(r) for r in project["dependencies"]}
    assert {_sorted_clauses(r) for r in required} == wanted
    assert metadata["Version"] == project["version"]
    assert metadata["Requires-Python"] == project["requires-python"]


def _sorted_clauses(requirement: str) -> tuple[str, ...]:
    parsed = Requirement(requirement)
    return (parsed.name, *sorted(str(parsed.specifier).split(",")))


@pytest.mark.slow
def test_from_an_empty_folder_to_tables(installed: Path, bids: Path, tmp_path: Path) -> None:
    # One person is enough, and half the time: numba compiles anew in an unpacked wheel.
    shutil.copytree(bids, tmp_path / "bids")
    shutil.rmtree(tmp_path / "bids/sub-02")
    where = run_in(tmp_path, installed, "python", "-c", "import braindata; print(braindata)")
    assert str(installed) in where.stdout, "the clone is in the way"
    made = run_in(tmp_path, installed, "braindata", "init", "study")
    assert made.returncode == 0, made.stderr
    assert "cd study" in made.stdout
    study = tmp_path / "study"

    # Before anything is filled in, the run says what to write where; nothing is made.
    unfilled = run_in(study, installed, "snakemake", "--cores", "2")
    assert unfilled.returncode != 0
    assert "config/config.yaml: no data set is named yet" in unfilled.stdout + unfilled.stderr
    assert "Traceback" not in unfilled.stdout + unfilled.stderr
    assert not (study / "results").exists()

    (study / "config/config.yaml").write_text(FIVE_LINES)
    run = run_in(study, installed, "snakemake", "--cores", "2")
    assert run.returncode == 0, run.stdout + run.stderr
    # The default profile was found: the same line again does nothing, and needs no unlocking.
    assert "profiles/default" in run.stdout + run.stderr
    listed = run_in(study, installed, "braindata", "tables", "results")
    assert "trials" in listed.stdout
    reader = (
        "import braindata; tables = braindata.open_tables('results');"
        "tables['trials'].to_pandas().to_csv('trials.csv', index=False)"
    )
    assert run_in(study, installed, "python", "-c", reader).returncode == 0
    trials = pd.read_csv(study / "trials.csv")
    regions = set(trials["region"])
    assert {"vmpfc", "amygdala"} < regions
    assert len(trials) == len(regions) * TINY.n_trials
    again = run_in(study, installed, "snakemake", "--cores", "2")
    assert "Nothing to be done" in again.stdout + again.stderr
    # init later: an untouched project stays untouched.
    later = run_in(study, installed, "braindata", "init", ".")
    assert "up to date" in later.stdout
