"""Of which people the derivatives have to be made again after something has changed."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from braindata.curate.inventory import Source, build_inventory
from braindata.curate.made_from import made_from
from braindata.curate.parameters import CurateParameters
from braindata.curate.validator import Verdict
from braindata.layout import Layout
from braindata.pull.local import read_manifest
from braindata.pull.parameters import PullParameters
from braindata.receipts import MADE_FROM, Outcome, Receipt
from braindata.stages import preprocess_fmriprep, preprocess_native, pull
from braindata.stages.job import Result, run_job
from braindata.stages.preprocess_derivatives import inputs as inputs_of_derivatives
from braindata.stages.preprocess_eeg import input_hash

from .bids_images import save

PEOPLE = ("01", "02", "11")
EVENTS = "onset\tduration\ttrial_type\n1\t1\ta\n20\t1\tb\n"


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """Three people with all that a backend may read."""
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "x", "License": "CC0"}')
    (root / "participants.tsv").write_text("participant_id\nsub-01\nsub-02\nsub-11\n")
    (root / "README").write_text("words")
    timing = {"SliceTiming": [0.0, 0.5, 1.0, 1.5], "SliceEncodingDirection": "k"}
    sidecar = {"RepetitionTime": 2.0, "TaskName": "a"} | timing
    (root / "task-a_bold.json").write_text(json.dumps(sidecar))
    (root / "task-b_bold.json").write_text(json.dumps({"TaskName": "b"}))
    for number, label in enumerate(PEOPLE):
        person = f"sub-{label}"
        func = root / person / "func" / f"{person}_task-a"
        save(root / person / "anat" / f"{person}_T1w.nii.gz", (4, 4, 4), fill=number)
        save(Path(f"{func}_bold.nii.gz"), (4, 4, 4, 60), fill=number)
        Path(f"{func}_events.tsv").write_text(EVENTS)
        Path(f"{func}_bold.json").write_text('{"EchoTime": 0.03}')
        field_map = root / person / "fmap" / f"{person}_dir-AP_epi.nii.gz"
        save(field_map, (4, 4, 4), fill=number)
        meant = {"IntendedFor": f"func/{func.name}_bold.nii.gz"}
        field_map.with_name(f"{person}_dir-AP_epi.json").write_text(json.dumps(meant))
    return root


def known(layout: Layout, bids: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Pull a data set, and return its inventory and contents."""
    pull.run(layout, "ds", bids, PullParameters())
    contents = {p: f.sha256 for p, f in read_manifest(layout.manifest("ds")).items()}
    source = Source("ds", "v", layout.raw("ds"), contents)
    rows = build_inventory(source, Verdict(), CurateParameters()).table.to_pylist()
    return rows, contents


def changed(path: Path) -> None:
    if path.suffix == ".json":
        body = json.loads(path.read_text())
        body["SliceTiming"] = [0.0, 1.0, 0.5, 1.5]
        path.write_text(json.dumps(body))
    elif path.name.endswith(".nii.gz"):
        image = nib.load(path)
        data = np.asanyarray(image.dataobj) + 7
        nib.Nifti1Image(data, image.affine, image.header).to_filename(path)
    else:
        with path.open("a") as handle:
            handle.write("30\t1\ta\n" if "events" in path.name else "sub-21\n")


def of_unit(rows: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["subject"] == label]


def test_whatever_a_backend_reads_counts(bids: Path, tmp_path: Path) -> None:
    # Or a changed file would leave a person's derivatives as they were.
    layout = Layout(tmp_path / "out")
    backends: list[ModuleType] = [preprocess_native, preprocess_fmriprep]

    def asked() -> tuple[dict[str, str], dict[tuple[str, str], Any]]:
        rows, contents = known(layout, bids)
        read = {
            (module.__name__, label): module.inputs(layout, "ds", of_unit(rows, label))
            for module in backends
            for label in PEOPLE
        }
        return made_from(rows, contents), read

    before, read_before = asked()
    assert list(before) == [f"sub-{label}" for label in PEOPLE]
    assert len(set(before.values())) == 3
    n_noticed = 0
    for file in sorted(path for path in bids.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        changed(file)
        now, read_now = asked()
        for (_, label), inputs in read_now.items():
            if inputs != read_before[(_, label)]:
                n_noticed += 1
                assert now[f"sub-{label}"] != before[f"sub-{label}"], file
        # Of others nothing counts, nor what is said of all.
        person = file.relative_to(bids).parts[0]
        if person.startswith("sub-"):
            assert {unit for unit in now if now[unit] != before[unit]} == {person}
        elif file.name in ("participants.tsv", "README"):
            assert now == before
            assert read_now == read_before
        file.write_bytes(whole)
    # Native: bold, T1w, and three sidecars of timing; fMRIPrep: nearly everything.
    assert n_noticed > 30
    assert asked()[0] == before


def test_a_new_person_concerns_nobody_else(bids: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out")
    before = made_from(*known(layout, bids))
    # Of the same bytes as another's, which is a warning of both.
    for path in sorted((bids / "sub-02").rglob("*_*")):
        target = Path(str(path).replace("sub-02", "sub-021"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes().replace(b"sub-02", b"sub-021"))
    with (bids / "participants.tsv").open("a") as people:
        people.write("sub-021\n")
    rows, contents = known(layout, bids)
    assert any("same bytes" in said for row in of_unit(rows, "02") for said in row["warnings"])
    now = made_from(rows, contents)
    assert {unit: now[unit] for unit in before} == before
    assert len(now) == 4


def test_published_derivatives_count_for_their_person(tmp_path: Path) -> None:
    row = {"status": "used", "unit": "sub-01", "subject": "01", "recording": "r", "tr": 2.0}
    row["path"] = "sub-01/func/sub-01_task-a_bold.nii.gz"
    row["n_volumes"] = 60
    image = "fmriprep/sub-01/func/sub-01_task-a_space-X_desc-preproc_bold.nii.gz"
    other = image.replace("sub-01", "sub-02")
    contents = {image: "1" * 64, other: "2" * 64, "dataset_description.json": "3" * 64}
    layout = Layout(tmp_path)

    def asked(contents: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        lines = [f"{path}\t1\t{digest}" for path, digest in contents.items()]
        manifest = layout.published_manifest("ds")
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text("\n".join(["path\tsize\tsha256", *lines]) + "\n")
        return made_from([row], {}, contents), inputs_of_derivatives(layout, "ds", [row])

    state, read = asked(contents)
    for path in contents:
        now, read_now = asked(contents | {path: "9" * 64})
        assert (now == state) == (path == other)
        assert (read_now == read) == (path != image)


@pytest.mark.parametrize(
    "name", ["eeg.vhdr", "eeg.eeg", "eeg.json", "channels.tsv", "events.tsv", "electrodes.tsv"]
)
def test_files_of_eeg_count(name: str) -> None:
    row = {"status": "used", "unit": "sub-01", "subject": "01", "recording": "r"}
    row["path"] = "sub-01/eeg/sub-01_task-x_eeg.vhdr"
    contents = {f"sub-01/eeg/sub-01_task-x_{name}": "1" * 64}
    for inherited in ({}, {f"task-x_{name}": "3" * 64}):
        now = contents | inherited
        assert input_hash(row, now) != input_hash(row, {})
        assert made_from([row], now) != made_from([row], {})
    with_other = {f"sub-02/eeg/sub-02_task-x_{name}": "2" * 64}
    assert made_from([row], with_other) == made_from([row], {})


def test_what_is_left_out_has_nothing_made() -> None:
    row = {"status": "excluded", "unit": "sub-01", "subject": "01", "recording": "r"}
    assert made_from([row], {}) == {}


def test_a_mark_is_brought_up_to_date_without_work(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    receipt = layout.receipt("packed", "ds", "sub-01")
    done = []

    def work() -> Result:
        done.append(1)
        return Result([], {"r": Outcome("done")}, {"quality": {}})

    def run(mark: str) -> tuple[bool, bytes]:
        marks = {MADE_FROM: mark}
        asked = {"parameters": {}, "inputs": {"x": "1"}, "libraries": (), "marks": marks}
        return run_job(layout, "pack", "ds/sub-01", receipt, work=work, **asked), (
            receipt.read_bytes()
        )

    assert run("a")[0]
    again, same = run("a")
    assert not again
    marked, later = run("b")
    assert not marked
    assert len(done) == 1
    assert later == same.replace(b'"a"', b'"b"') != same
    assert Receipt.read(receipt).notes == {"quality": {}, MADE_FROM: "b"}
