"""With pseudonyms, no byte of tables and report names anybody."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import yaml

import braindata
from tests.workflow.conftest import Project

LABELS = ("01", "02")


def naming(folder: Path) -> list[str]:
    """Return the files below a folder that have ``sub-<label>`` in their name or contents."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                rows = pq.read_table(path, partitioning=None)
                content += repr(rows.to_pydict()).encode() + str(rows.schema.metadata).encode()
            if any(f"sub-{one}" in path.as_posix() for one in LABELS) or any(
                f"sub-{one}".encode() in content for one in LABELS
            ):
                found.append(path.relative_to(folder).as_posix())
    return found


def tables_of(project: Project, name: str) -> pd.DataFrame:
    return braindata.open_tables(project.results)[name].to_pandas()


def test_tables_and_report_name_nobody(project: Project) -> None:
    plain = braindata.open_tables(project.results)
    trials = plain["trials"].to_pandas()
    assert naming(project.results / "tables")
    assert naming(project.results / "report")
    bad = plain["recordings"].to_pandas()["recording"].iloc[0]
    decisions = project.folder / "config/exclusions/tiny.yaml"
    decisions.parent.mkdir(parents=True)
    signed = {"who": "A", "when": "2026-01-31", "why": "sub-01 fell asleep", "stage": "publish"}
    decisions.write_text(yaml.safe_dump({"exclude": [{"recording": bad, **signed}]}))
    project.configure(pseudonymise=True)
    # What was released with labels stays readable in its folder: it has to go.
    refused = project.run()
    assert refused.returncode != 0
    assert "in which people have the labels" in project.log("publish.log")
    shutil.rmtree(project.results / "tables")
    before = project.files("curated", "derivatives", "packed", "series", "derived")
    done = project.run()
    assert done.returncode == 0, done.text
    assert done.jobs == Counter({"publish": 1, "report": 1, "all": 1})
    assert project.files("curated", "derivatives", "packed", "series", "derived") == before
    assert naming(project.results / "tables") == []
    assert naming(project.results / "report") == []
    key = project.folder / "pseudonyms.key"
    assert key.stat().st_mode & 0o777 == 0o600
    secret = key.read_text().strip()
    assert not any(secret in log.read_text() for log in (project.results / "logs").rglob("*.log"))
    recordings = braindata.open_tables(project.results)["recordings"].to_pandas()
    assert list(recordings["status"]) == ["excluded", "used"]
    assert recordings["subject"].nunique() == 2
    assert not set(recordings["subject"]) & set(LABELS)
    held = braindata.open_tables(project.results)["trials"].to_pandas()
    other = trials[trials["recording"] != bad]
    assert set(held["subject"]) == set(recordings["subject"][1:])
    assert sorted(held["estimate"].dropna()) == sorted(other["estimate"].dropna())
    assert set(tables_of(project, "signals")["subject"]) == set(held["subject"])
    fits = tables_of(project, "signal_fits")
    assert set(fits["subject"]) == set(held["subject"])
    # The pictures of recordings are found under their labels.
    assert list((project.results / "report/pictures").rglob("*.webp"))
    again = project.run()
    assert again.returncode == 0
    assert not again.jobs.keys() & {"publish", "report"}
