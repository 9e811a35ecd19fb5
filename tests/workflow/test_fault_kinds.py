"""Kinds of faults that no other test here has, once each; `make test-faults` runs all sixty."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.compare import digest
from tests.faults.kinds import KINDS
from tests.faults.project import Project as FaultyProject
from tests.faults.run import Base, run
from tests.unit.openneuro_server import OpenNeuro

from .conftest import Project, Run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed", "stage"),
    [
        ("Snakemake killed", 1, "connectivity"),
        ("clock set back", 1, "derive"),
        ("file cut off", 0, "extract"),
        ("out of memory", 1, "latents"),
    ],
)
def test_after_a_fault_the_same_command_gives_the_same_bytes(
    name: str, seed: int, stage: str, finished: tuple[Project, Run], tmp_path: Path
) -> None:
    project = FaultyProject(finished[0].folder)
    (kind,) = (kind for kind in KINDS if kind.name == name)
    site = OpenNeuro(tmp_path)
    base = Base(project, digest(project.results), project.durations(), site, tmp_path)
    assert run(base, kind, seed, stage).wrong == []
