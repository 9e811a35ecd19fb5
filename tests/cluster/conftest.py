"""A cluster for the session, and a phantom that was run locally to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..workflow.conftest import (  # noqa: F401  (fixtures)
    Project,
    Run,
    bids,
    finished,
    new_project,
    regions,
)
from .slurm import Cluster, Unavailable, install


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm of two nodes; where there can be none, the tests are skipped with the reason."""
    try:
        install()
    except Unavailable as reason:
        pytest.skip(str(reason))
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def empty(bids: Path, new_project: Callable[[Path], Project]) -> Project:  # noqa: F811
    """A project that has not run yet."""
    return new_project(bids)
