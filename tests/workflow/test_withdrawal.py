"""Somebody is withdrawn from a folder that the chain has filled, and does not come back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import braindata
from braindata.errors import UsageError
from tests.searching import files_holding
from tests.workflow.conftest import Project

WHO = "NDARX7Q9"
# What nobody else has: an age, a response time, a word.
AGE, RESPONSE_TIME, WORD = 61.43219876, 0.73219871, "zzsentinel"


@pytest.fixture(scope="module")
def people(bids: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom, whose second person has a label and values that are found nowhere else."""
    folder = tmp_path_factory.mktemp("people") / "bids"
    shutil.copytree(bids, folder)
    for path in sorted(folder.rglob("*sub-02*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(path.name.replace("sub-02", f"sub-{WHO}")))
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".tsv"):
            path.write_text(path.read_text().replace("sub-02", f"sub-{WHO}"))
    (folder / "participants.tsv").write_text(
        f"participant_id\tage\tword\nsub-01\t30\tplain\nsub-{WHO}\t{AGE}\t{WORD}\n"
    )
    (folder / "README").write_text(f"A phantom.\nsub-{WHO} is somebody special: {WORD}.\n")
    (events,) = folder.glob(f"sub-{WHO}/func/*_events.tsv")
    lines = events.read_text().splitlines()
    lines[0] += "\tresponse_time\tremark"
    lines[1:] = [f"{line}\t{RESPONSE_TIME}\t{WORD}" for line in lines[1:]]
    events.write_text("\n".join(lines) + "\n")
    return folder


def held(project: Project) -> list[str]:
    """What of the output folder and of Snakemake's notes holds something of the person."""
    texts, numbers = (WHO, WORD), (AGE, RESPONSE_TIME)
    return [
        name
        for folder in (project.results, project.folder / ".snakemake")
        for name in files_holding(folder, texts, numbers)
    ]


def test_withdrawn_for_good(people: Path, new_project: Callable[[Path], Project]) -> None:
    project = new_project(people)
    project.configure(pull={"mode": "copy"})
    first = project.run()
    assert first.returncode == 0, first.text
    # Everywhere: raw data, inventory, derivatives, stores, shards, tables, logs, report, notes.
    before = held(project)
    tops = {name.split("/")[0] for name in before}
    assert tops >= {"raw", "curated", "derivatives", "packed", "series", "derived", "tables"}
    assert tops >= {"logs", "benchmarks", "report", "metadata"}
    others = {
        name: digest
        for name, digest in project.files("derivatives", "packed").items()
        if WHO not in name
    }
    old = braindata.open_tables(project.results)["trials"].to_pandas()

    done = project.braindata("withdraw", "results", f"tiny/{WHO}", "--purge")
    assert done.returncode == 0, done.stderr
    assert held(project) == []
    tables = braindata.open_tables(project.results)
    assert tables.release == 2
    rest = tables["trials"].to_pandas()
    assert rest.equals(old[old["subject"] == "01"].reset_index(drop=True))
    with pytest.raises(UsageError, match="a person was withdrawn"):
        braindata.open_tables(project.results, 1)

    # The source still has them; the same line as ever leaves them out.
    again = project.run()
    assert again.returncode == 0, again.text
    assert held(project) == []
    assert (people / f"sub-{WHO}").is_dir()
    tables = braindata.open_tables(project.results)
    assert set(tables["recordings"].to_pandas()["subject"]) == {"01"}
    now = tables["trials"].to_pandas()
    assert now["estimate"].equals(rest["estimate"])
    # Nothing of the others was computed again: these are the same files.
    left = project.files("derivatives", "packed")
    assert {n: left[n] for n in others if not n.endswith("units.json")} == {
        n: d for n, d in others.items() if not n.endswith("units.json")
    }
    verdict = project.braindata("verify", "results", "--raw")
    assert verdict.returncode == 0, verdict.stdout
    assert not project.run().jobs.keys() - {"all"}

    # A configuration that names them would bring the name back, and is refused.
    project.configure(
        datasets=[
            {"id": "tiny", "source": str(people), "modalities": ["fmri"], "subjects": ["01", WHO]}
        ]
    )
    refused = project.run()
    assert refused.returncode != 0
    assert "names somebody who was withdrawn" in refused.text
    assert held(project) == []
