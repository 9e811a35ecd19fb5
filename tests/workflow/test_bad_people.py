"""Many people, five of them bad in five ways: one command, and who is left out is said.

What is tried here is how many jobs there are and what becomes of each, not what they compute:
derivatives of others stand in for preprocessing, and their images are coarse. Each person costs
two processes all the same, so that there are eight people; `make test-people` tries forty.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

import braindata
from braindata.status.overview import overview
from tests.bench.scale_corpus import EVENTS, N_VOLUMES, TR, write_corpus

from .conftest import Project

N_PEOPLE = int(os.environ.get("BRAINDATA_PEOPLE", "8"))
SPACE = "MNI152NLin2009aSym"
# Attempts that a job may have, as in the profile of Slurm: a bad recording must need one.
RETRIES = 2


@dataclass(frozen=True)
class Person:
    """The files of one person, sound until they are damaged."""

    events: Path
    sidecar: Path
    bold: Path
    confounds: Path

    @property
    def recording(self) -> str:
        """The name of their recording."""
        return self.sidecar.name.removesuffix(".json")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a person, the stage that finds it, and a part of what it says."""

    make: Callable[[Person], object]
    stage: str
    reason: str


def _no_onset(person: Person) -> None:
    person.events.unlink()
    person.events.write_text(EVENTS.replace("onset", "start"))


def _cut(person: Person) -> None:
    whole = person.bold.read_bytes()
    person.bold.unlink()
    person.bold.write_bytes(whole[: len(whole) // 2])


def _rewrite(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Person], object]:
    def make(person: Person) -> None:
        data = nib.load(person.bold).get_fdata(dtype=np.float32)
        # A link to the image of all others.
        person.bold.unlink()
        _save(change(data), person.bold)

    return make


FAULTS = {
    "00001": Fault(_no_onset, "curate", "no column onset"),
    "00002": Fault(
        lambda person: person.sidecar.write_text('{"RepetitionTime": 2.0,'),
        "curate",
        "no valid JSON",
    ),
    "00003": Fault(_cut, "pack", "cannot be read (Compressed file ended"),
    "00005": Fault(_rewrite(lambda data: data[..., :-10]), "preprocess", "volumes"),
    "00006": Fault(_rewrite(lambda data: data * np.nan), "pack", "NaN"),
}


def _save(data: np.ndarray, path: Path) -> None:
    affine = np.diag([8.0, 8, 8, 1])
    affine[:3, 3] = -80, -116, -72
    image = nib.Nifti1Image(data, affine)
    image.header.set_zooms((8, 8, 8, TR))
    image.header.set_xyzt_units("mm", "sec")
    image.header["qform_code"] = image.header["sform_code"] = 4
    path.write_bytes(gzip.compress(image.to_bytes(), 1, mtime=0))


def _derive(raw: Path, derivatives: Path) -> dict[str, Person]:
    """Write what fMRIPrep would have made of each person; all have the same numbers."""
    rng = np.random.default_rng(0)
    shape = (21, 25, 22)
    data = np.full((*shape, N_VOLUMES), 1000.0, np.float32)
    data += rng.normal(0, 10, data.shape).astype(np.float32)
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    names += ["csf", "white_matter", "global_signal"]
    confounds = pd.DataFrame(rng.normal(0, 0.01, (N_VOLUMES, len(names))), columns=names)
    confounds["framewise_displacement"] = confounds["std_dvars"] = 0.1
    confounds["cosine00"] = np.cos(np.pi * (np.arange(N_VOLUMES) + 0.5) / N_VOLUMES)
    whole = derivatives.with_name("whole")
    whole.mkdir()
    _save(data, whole / "bold.nii.gz")
    confounds.to_csv(whole / "confounds.tsv", sep="\t", index=False)
    people = {}
    for folder in sorted(raw.glob("sub-*")):
        func = derivatives / folder.name / "func"
        func.mkdir(parents=True)
        stem = f"{folder.name}_task-gambles"
        person = Person(
            events=folder / "func" / f"{stem}_events.tsv",
            sidecar=folder / "func" / f"{stem}_bold.json",
            bold=func / f"{stem}_space-{SPACE}_desc-preproc_bold.nii.gz",
            confounds=func / f"{stem}_desc-confounds_timeseries.tsv",
        )
        os.link(whole / "bold.nii.gz", person.bold)
        os.link(whole / "confounds.tsv", person.confounds)
        people[folder.name.removeprefix("sub-")] = person
    body = {"Name": "fMRIPrep", "BIDSVersion": "1.4.0", "GeneratedBy": [{"Name": "fMRIPrep"}]}
    (derivatives / "dataset_description.json").write_text(json.dumps(body))
    return people


@dataclass(frozen=True)
class Ended:
    """What the one command said, and the names of its recordings by person."""

    project: Project
    code: int
    text: str
    recordings: dict[str, str]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, repository: Path, regions: Path) -> Ended:
    """All people after one command."""
    folder = tmp_path_factory.mktemp("people") / "project"
    write_corpus(folder, N_PEOPLE, 1)
    people = _derive(folder / "bids/ds00", folder / "derivatives")
    for subject, fault in FAULTS.items():
        fault.make(people[subject])
    dataset = {"id": "people", "source": "bids/ds00", "derivatives": "derivatives"}
    config = {"output": "results", "datasets": [dataset], "regions": str(regions)}
    (folder / "my.yaml").write_text(yaml.safe_dump(config))
    command = [
        sys.executable, "-m", "braindata.cli", "run", "--cores", "2", "--configfile", "my.yaml",
        "--", "-s", str(repository / "Snakefile"), "--retries", str(RETRIES),
        "--logger-braindata-style", "snakemake", "--quiet", "host",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    names = {subject: person.recording for subject, person in people.items()}
    return Ended(Project(folder, repository), done.returncode, done.stdout + done.stderr, names)


@pytest.mark.slow
def test_the_exit_code_says_that_data_are_bad(ended: Ended) -> None:
    assert ended.code == 3, ended.text
    assert f"{N_PEOPLE - 5} recordings used, 5 quarantined" in ended.text
    assert "Traceback" not in ended.text


@pytest.mark.slow
def test_the_others_are_in_the_tables_and_five_are_named(ended: Ended) -> None:
    tables = braindata.open_tables(ended.project.results)
    rows = tables["recordings"].to_pandas().set_index("recording")
    assert len(rows) == N_PEOPLE
    bad = {ended.recordings[subject]: fault for subject, fault in FAULTS.items()}
    good = set(ended.recordings.values()) - set(bad)
    assert (len(good), len(bad)) == (N_PEOPLE - 5, 5)
    assert set(rows.index[rows["status"] == "used"]) == good
    for table in ("series", "trials"):
        assert set(tables[table].to_pandas()["recording"]) == good
    for name, fault in bad.items():
        row = rows.loc[name]
        assert (row["status"], row["stage"]) == ("quarantined", fault.stage), row["reason"]
        assert fault.reason in row["reason"]
        assert row["hint"]
    # `status` says the same, with the log.
    left = {one.recording: one for one in overview(ended.project.results).with_state("quarantined")}
    assert set(left) == set(bad)
    for name, one in left.items():
        assert (one.stage, one.hint) == (bad[name].stage, rows.loc[name, "hint"])
        assert name in (ended.project.results / str(one.log)).read_text()


@pytest.mark.slow
def test_nothing_is_tried_again(ended: Ended) -> None:
    began = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", ended.text, re.MULTILINE)
    assert began
    finished = re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", ended.text, re.MULTILINE)
    assert sorted(began) == sorted(finished)
    in_curation = sum(fault.stage == "curate" for fault in FAULTS.values())
    # A person whose only recording is bad has no further job, once that is known.
    assert finished.count("preprocess") == N_PEOPLE - in_curation
    assert "Error in rule" not in ended.text
    assert "Trying to restart" not in ended.text
    # Every job has one benchmark, which is of its one attempt.
    benchmarks = list((ended.project.results / "benchmarks/preprocess").rglob("*.tsv"))
    assert len(benchmarks) == N_PEOPLE - in_curation
