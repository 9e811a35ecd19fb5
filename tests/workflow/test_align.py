"""Alignment as a part of the chain: its jobs, its tables, and what a new region leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from braindata.tables.reading import open_tables
from tests.workflow.conftest import Project

# Two people who saw trials in different orders: connectivity, and no scores.
ALIGN = {"groups": ["levels", "vmpfc"], "n_permutations": 10, "n_targets": 30}


@pytest.mark.slow
def test_people_are_aligned_when_groups_are_named(project: Project) -> None:
    config = yaml.safe_load((project.folder / "my.yaml").read_text())
    (project.folder / "my.yaml").write_text(yaml.safe_dump(config | {"align": ALIGN}))
    run = project.run()
    assert run.returncode == 0, run.text
    # Perception and valuation, and vmPFC by itself; nothing else is computed again.
    assert run.jobs == {"align": 3, "publish": 1, "report": 1, "all": 1}
    tables = open_tables(project.results)
    alignment = tables["alignment"].to_pandas()
    assert len(alignment) == 2 * 3
    assert set(alignment["region_group"]) == {"perception", "valuation", "vmpfc"}
    assert set(alignment["status"]) == {"aligned"}
    patterns = tables["patterns"].to_polars()
    trials = tables["trials"].to_pandas(where={"region": "vmpfc"})
    assert len(patterns) == 3 * len(trials)
    assert patterns["vector"].null_count() == patterns["reason"].is_not_null().sum()
    assert project.run("-n").jobs == {}
    command = [str(path) for path in sorted(project.results.rglob("aligned/*/*.npz"))]
    assert len(command) == 6
    aligned = {path: path.stat().st_mtime_ns for path in map(Path, command)}
    # Less is asked for: what is there stays, and the tables hold what is asked for.
    config["align"] = ALIGN | {"groups": ["vmpfc"]}
    (project.folder / "my.yaml").write_text(yaml.safe_dump(config))
    assert project.run().jobs == {"publish": 1, "report": 1, "all": 1}
    assert len(open_tables(project.results)["alignment"]) == 2
    assert {path: path.stat().st_mtime_ns for path in aligned} == aligned
