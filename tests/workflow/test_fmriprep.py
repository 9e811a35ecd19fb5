"""The contract of the backend `fmriprep`, with an engine that runs no container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from braindata.layout import Layout
from braindata.receipts import Receipt
from tests.workflow.conftest import Project

N_VOLUMES = 50
STAND_IN = Path(__file__).with_name("fmriprep_stand_in.py")
PEOPLE = ("fine", "crash", "silent", "grumpy", "hungry", "mystery")


def write_bids(folder: Path) -> Path:
    """People of two runs each; of `fine` a second task that nobody asked for."""
    folder.mkdir()
    (folder / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    for task in ("x", "y"):
        body = {"RepetitionTime": 2.0, "TaskName": task}
        (folder / f"task-{task}_bold.json").write_text(json.dumps(body))
    rng = np.random.default_rng(0)
    for person in PEOPLE:
        for datatype in ("anat", "func"):
            (folder / f"sub-{person}" / datatype).mkdir(parents=True)
        write_image(folder / f"sub-{person}" / "anat" / f"sub-{person}_T1w.nii.gz", (6, 6, 6), rng)
        runs = ["task-x_run-01", "task-x_run-02"] + ["task-y"] * (person == "fine")
        for run in runs:
            path = folder / f"sub-{person}" / "func" / f"sub-{person}_{run}_bold.nii.gz"
            write_image(path, (6, 6, 6, N_VOLUMES), rng)
    return folder


def write_image(path: Path, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    image = nib.Nifti1Image(rng.integers(1, 99, shape).astype(np.int16), np.diag([3.0, 3, 3, 1]))
    image.header.set_zooms((3.0, 3.0, 3.0, 2.0)[: len(shape)])
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)


class Place:
    """A project whose PATH leads to the stand-in."""

    def __init__(self, folder: Path, repository: Path, engine: str, people: tuple[str, ...]):
        self.folder, self.engine = folder, engine
        for name in ("bin", "work", "templates"):
            (folder / name).mkdir()
        template = folder / "templates" / "tpl-MNI152NLin2009cAsym" / "tpl.nii.gz"
        template.parent.mkdir()
        template.write_bytes(b"template")
        (folder / "license.txt").write_text("me@example.org")
        (folder / "fmriprep.sif").write_bytes(b"image")
        script = folder / "bin" / engine
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
        script.chmod(0o755)
        run: dict[str, Any] = {"engine": engine, "templateflow": "templates", "work": "work"}
        run |= {"license_file": "license.txt", "threads": 2}
        if engine != "docker":
            run["image"] = "fmriprep.sif"
        config = {
            "output": "results",
            "datasets": [
                {"id": "ds", "source": str(write_bids(folder / "bids")), "tasks": ["x"]}
                | {"subjects": list(people)}
            ],
            "regions": str(repository / "config" / "regions" / "spheres"),
            "preprocess": {"fmri": {"backend": "fmriprep", "fmriprep": {"run": run}}},
        }
        (folder / "my.yaml").write_text(yaml.safe_dump(config))
        self.project = Project(folder, repository)
        self.people = people
        self.layout = Layout(self.project.results)

    def run(self) -> subprocess.CompletedProcess[str]:
        wanted = [f"results/packed/ds/sub-{person}.receipt.json" for person in self.people]
        line = self.project.command("--logger-braindata-style", "snakemake", *wanted)
        environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "STAND_IN_RECORD": str(self.folder / "calls.jsonl"),
        }
        return subprocess.run(
            line, cwd=self.folder, capture_output=True, text=True, check=False, env=environment
        )

    def calls(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for text in (self.folder / "calls.jsonl").read_text().splitlines():
            call = json.loads(text)
            arguments = call["arguments"]
            person = arguments[arguments.index("--participant-label") + 1]
            found.setdefault(person, []).append(call)
        return found

    def receipt(self, person: str) -> Receipt:
        return Receipt.read(self.layout.receipt("derivatives", "ds", f"sub-{person}"))

    def kept(self) -> list[str]:
        return sorted(path.name.split("-")[3] for path in (self.folder / "work").iterdir())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Place:
    one = Place(tmp_path_factory.mktemp("fmriprep"), repository, "apptainer", PEOPLE)
    one.done = one.run()  # type: ignore[attr-defined]
    return one


def text(place: Place) -> str:
    done = place.done  # type: ignore[attr-defined]
    return str(done.stdout + done.stderr)


def states(receipt: Receipt) -> dict[str, str]:
    return {name.split("_", 1)[1]: one.state for name, one in receipt.recordings.items()}


def test_success(place: Place) -> None:
    receipt = place.receipt("fine")
    assert states(receipt) == {"task-x_run-01_bold": "done", "task-x_run-02_bold": "done"}
    assert set(receipt.notes["backend"].values()) == {"fmriprep"}
    assert set(receipt.notes["space"].values()) == {"MNI152NLin2009cAsym"}
    assert set(receipt.notes["distortion_corrected"].values()) == {True}
    base = "derivatives/ds/sub-fine"
    stem = f"{base}/func/sub-fine_task-x_run-01"
    space = "space-MNI152NLin2009cAsym_res-2"
    assert {
        f"{stem}_{space}_desc-preproc_bold.nii.gz",
        f"{stem}_{space}_desc-preproc_bold.json",
        f"{stem}_{space}_desc-brain_mask.nii.gz",
        f"{stem}_desc-confounds_timeseries.tsv",
        f"{base}/anat/sub-fine_{space}_desc-preproc_T1w.nii.gz",
    } <= set(receipt.outputs)
    # Contents are there once: fMRIPrep's own output, and one more name.
    own = place.layout.fmriprep("ds", "sub-fine") / "output" / "sub-fine" / "func"
    image = own / f"sub-fine_task-x_run-01_{space}_desc-preproc_bold.nii.gz"
    assert image.samefile(place.layout.output / f"{stem}_{space}_desc-preproc_bold.nii.gz")


def test_it_is_given_what_is_used_and_nothing_else(place: Place) -> None:
    (call,) = place.calls()["fine"]
    assert call["files"] == [
        "dataset_description.json",
        "sub-fine/anat/sub-fine_T1w.nii.gz",
        "sub-fine/func/sub-fine_task-x_run-01_bold.nii.gz",
        "sub-fine/func/sub-fine_task-x_run-02_bold.nii.gz",
        "task-x_bold.json",
        "task-y_bold.json",
    ]
    # A container follows no link that leads out of what is mounted.
    assert call["links"] == []
    assert call["filter"] == {"bold": {"task": ["x"], "run": [1, 2]}}
    assert call["templates"] == ["tpl-MNI152NLin2009cAsym/tpl.nii.gz"]
    assert not (place.layout.fmriprep("ds", "sub-fine") / "bids").exists()
    assert (place.folder / "bids" / "sub-fine" / "func").is_dir()


def test_a_crash_costs_its_own_run_only(place: Place) -> None:
    receipt = place.receipt("crash")
    assert states(receipt) == {"task-x_run-01_bold": "done", "task-x_run-02_bold": "quarantined"}
    outcome = receipt.recordings["sub-crash_task-x_run-02_bold"]
    assert outcome.reason == "fMRIPrep failed on it: ValueError: zero-size array"
    assert outcome.file is not None
    assert outcome.file.startswith("fmriprep/ds/sub-crash/output/sub-crash/log/")
    assert (place.layout.output / outcome.file).is_file()


def test_no_output_without_an_error(place: Place) -> None:
    receipt = place.receipt("silent")
    assert set(states(receipt).values()) == {"quarantined"}
    (first, _) = receipt.recordings.values()
    assert "fMRIPrep ended without an error, but" in str(first.reason)
    assert receipt.outputs == {}


def test_an_error_with_all_outputs(place: Place) -> None:
    assert set(states(place.receipt("grumpy")).values()) == {"done"}
    log = place.project.log("preprocess", "ds", "sub-grumpy.log")
    assert "ended with code 1, but all that was asked for is there" in log


def test_too_little_memory_is_tried_again_with_twice_as_much(place: Place) -> None:
    assert set(states(place.receipt("hungry")).values()) == {"done"}
    memories = [
        int(call["arguments"][call["arguments"].index("--mem_mb") + 1])
        for call in place.calls()["hungry"]
    ]
    assert memories == [14_400, 28_800]


def test_what_nobody_can_explain_fails_the_job(place: Place) -> None:
    assert not place.layout.receipt("derivatives", "ds", "sub-mystery").exists()
    assert len(place.calls()["mystery"]) == 2
    log = place.project.log("preprocess", "ds", "sub-mystery.log")
    assert "fMRIPrep ended with code 1, without sub-mystery_task-x_run-01_bold" in log
    assert "it goes on from" in log
    assert place.done.returncode != 0  # type: ignore[attr-defined]


def test_working_folders_are_kept_where_something_is_missing(place: Place) -> None:
    assert place.kept() == ["crash", "mystery", "silent"]
    assert "intermediate files are kept in" in place.project.log(
        "preprocess", "ds", "sub-crash.log"
    )


def test_each_job_ran_once(place: Place) -> None:
    expected = dict.fromkeys(PEOPLE, 1) | {"hungry": 2, "mystery": 2}
    assert {person: len(calls) for person, calls in place.calls().items()} == expected
    assert Counter(text(place).split())["Traceback"] == 0


def test_docker_through_its_wrapper_and_then_another_engine(
    tmp_path: Path, repository: Path
) -> None:
    one = Place(tmp_path, repository, "docker", ("fine",))
    done = one.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(states(one.receipt("fine")).values()) == {"done"}
    (call,) = one.calls()["fine"]
    assert call["templates"] == ["tpl-MNI152NLin2009cAsym/tpl.nii.gz"]
    assert "nipreps/fmriprep:25.2.7" in call["arguments"]
    assert one.kept() == []
    assert not (one.layout.fmriprep("ds", "sub-fine") / "output" / ".templateflow").exists()

    # How it is run is no parameter: nothing is computed again.
    config = yaml.safe_load((tmp_path / "my.yaml").read_text())
    run = config["preprocess"]["fmri"]["fmriprep"]["run"]
    run |= {"engine": "apptainer", "image": "fmriprep.sif", "threads": 1, "memory_mb": 9000}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    again = one.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(one.calls()["fine"]) == 1
