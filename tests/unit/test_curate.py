"""Curation: the inventory, the validator's verdict, header against sidecar."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from braindata.curate.header import BoldHeader, check_tr, read_bold_header
from braindata.curate.inventory import EVERYTHING, Source, build_inventory
from braindata.curate.parameters import Choice, CurateParameters
from braindata.curate.recording_files import not_asked_for
from braindata.curate.validator import Verdict, describe, validate
from braindata.errors import DataError

from .bids_images import save

EVENTS = "onset\tduration\ttrial_type\n1\t1\ta\n20\t1\tb\n"


@pytest.fixture
def bids(tmp_path: Path) -> Callable[..., Path]:
    """Make a data set: one BOLD run and a T1w for each subject named."""

    def make(*subjects: str, sessions: tuple[str, ...] = ()) -> Path:
        root = tmp_path / "bids"
        root.mkdir(exist_ok=True)
        description = {"Name": "x", "BIDSVersion": "1.9.0", "License": "CC0"}
        (root / "dataset_description.json").write_text(json.dumps(description))
        for subject in subjects:
            for session in sessions or ("",):
                folder = root / f"sub-{subject}" / (f"ses-{session}" if session else "")
                prefix = f"sub-{subject}" + (f"_ses-{session}" if session else "")
                save(folder / "anat" / f"{prefix}_T1w.nii.gz", (4, 4, 4))
                save(folder / "func" / f"{prefix}_task-a_run-01_bold.nii.gz", (4, 4, 4, 60))
                (folder / "func" / f"{prefix}_task-a_run-01_events.tsv").write_text(EVENTS)
        (root / "task-a_bold.json").write_text('{"RepetitionTime": 2.0, "TaskName": "a"}')
        return root

    return make


def rows(root: Path, choice: Choice = EVERYTHING, **parameters: Any) -> dict[str, dict[str, Any]]:
    files = {p.relative_to(root).as_posix(): "0" * 64 for p in root.rglob("*") if not p.is_dir()}
    source = Source("ds", "v1", root, files)
    inventory = build_inventory(source, Verdict(), CurateParameters(**parameters), choice)
    table, left_out = inventory.table, inventory.left_out
    by_status = {row["recording"]: row["status"] for row in table.to_pylist()}
    assert {name: outcome.state for name, outcome in left_out.items()} == {
        name: status for name, status in by_status.items() if status != "used"
    }
    return {row["recording"]: row for row in table.to_pylist()}


def test_what_is_in_order_is_used(bids: Callable[..., Path]) -> None:
    found = rows(bids("01", "02"))
    assert list(found) == ["sub-01_task-a_run-01_bold", "sub-02_task-a_run-01_bold"]
    row = found["sub-01_task-a_run-01_bold"]
    assert row["status"] == "used"
    assert (row["subject"], row["run"], row["session"]) == ("01", "01", None)
    assert (row["tr"], row["n_volumes"], row["licence"]) == (2.0, 60, "CC0")
    assert row["t1w"] == "sub-01/anat/sub-01_T1w.nii.gz"
    assert row["events"] == "sub-01/func/sub-01_task-a_run-01_events.tsv"
    assert row["unit"] == "sub-01"


def test_several_sessions_are_several_units(bids: Callable[..., Path]) -> None:
    found = rows(bids("01", sessions=("pre", "post")))
    assert {row["unit"] for row in found.values()} == {"sub-01_ses-pre", "sub-01_ses-post"}
    for row in found.values():
        assert f"ses-{row['session']}" in row["t1w"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def put_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


DAMAGE: dict[str, tuple[Callable[[Path, str], object], str, str]] = {
    "truncated": (
        lambda root, stem: truncate(root / f"{stem}_bold.nii.gz"),
        "quarantined",
        "cannot be opened",
    ),
    "three dimensions": (
        lambda root, stem: save(root / f"{stem}_bold.nii.gz", (4, 4, 4)),
        "quarantined",
        "has shape 4×4×4",
    ),
    "header against sidecar": (
        lambda root, stem: save(root / f"{stem}_bold.nii.gz", (4, 4, 4, 60), tr=1.5),
        "quarantined",
        "sidecar states a repetition time of 2 s, the header 1.5 s",
    ),
    "zero": (
        lambda root, stem: (root / f"{stem}_bold.json").write_text('{"RepetitionTime": 0}'),
        "quarantined",
        "0 s is not plausible",
    ),
    "text": (
        lambda root, stem: (root / f"{stem}_bold.json").write_text('{"RepetitionTime": "2"}'),
        "quarantined",
        "not a number of seconds",
    ),
    "no JSON": (
        lambda root, stem: (root / f"{stem}_bold.json").write_text("{"),
        "quarantined",
        "run-01_bold.json: the sidecar is no valid JSON",
    ),
    "pipe": (
        lambda root, stem: put_pipe(root / f"{stem}_bold.json"),
        "quarantined",
        "a pipe, where a sidecar is due",
    ),
    "short": (
        lambda root, stem: save(root / f"{stem}_bold.nii.gz", (4, 4, 4, 12)),
        "excluded",
        "12 volumes, fewer than 50",
    ),
    "milliseconds": (
        lambda root, stem: (root / f"{stem}_events.tsv").write_text(
            "onset\tduration\n1000\t1\n2000\t1\n"
        ),
        "quarantined",
        "2 of 2 events start after the end of the run at 120 s",
    ),
    "text in onset": (
        lambda root, stem: (root / f"{stem}_events.tsv").write_text("onset\tduration\nx\t1\n"),
        "quarantined",
        "not a number",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_leaves_out_one_recording(kind: str, bids: Callable[..., Path]) -> None:
    damage, status, reason = DAMAGE[kind]
    root = bids("01", "02")
    damage(root, "sub-01/func/sub-01_task-a_run-01")
    found = rows(root)
    hurt = found["sub-01_task-a_run-01_bold"]
    assert (hurt["status"], hurt["stage"]) == (status, "curate")
    assert reason in hurt["reason"]
    assert found["sub-02_task-a_run-01_bold"]["status"] == "used"


def test_two_files_of_one_recording_are_left_out(bids: Callable[..., Path]) -> None:
    root = bids("01", "02")
    save(root / "sub-01/func/sub-01_task-a_run-01_bold.nii", (4, 4, 4, 60))
    found = rows(root)
    assert found["sub-01_task-a_run-01_bold"]["status"] == "quarantined"
    assert "two files" in found["sub-01_task-a_run-01_bold"]["reason"]
    assert found["sub-02_task-a_run-01_bold"]["status"] == "used"


@pytest.mark.parametrize("label", ["A.b", "pilot_2", "c+d", "é"])
def test_names_that_bids_does_not_allow_are_accounted_for(
    bids: Callable[..., Path], label: str
) -> None:
    root = bids("02")
    save(root / f"sub-{label}/func/sub-{label}_task-a_bold.nii.gz", (4, 4, 4, 60))
    found = rows(root)
    assert len(found) == 2
    assert found[f"sub-{label}_task-a_bold"]["status"] == "quarantined"


@pytest.mark.parametrize("kind", ["_bold.nii.gz", "_events.tsv"])
def test_contents_that_were_not_fetched_leave_out_one_recording(
    bids: Callable[..., Path], kind: str
) -> None:
    root = bids("01", "02")
    path = root / f"sub-01/func/sub-01_task-a_run-01{kind}"
    path.unlink()
    path.symlink_to("../gone")
    found = rows(root)
    hurt = found["sub-01_task-a_run-01_bold"]
    assert hurt["status"] == "quarantined"
    assert "not there" in hurt["reason"]
    assert "git annex get" in hurt["hint"]
    # What sidecars say needs no image.
    assert (hurt["tr"], hurt["n_volumes"]) == (2.0, None)
    assert found["sub-02_task-a_run-01_bold"]["status"] == "used"


def test_a_nearer_sidecar_overrules_and_one_beside_it_may_not(bids: Callable[..., Path]) -> None:
    root = bids("01")
    own = root / "sub-01/func/sub-01_task-a_run-01_bold.json"
    own.write_text('{"RepetitionTime": 2.01}')
    assert rows(root)["sub-01_task-a_run-01_bold"]["tr"] == 2.01
    beside = root / "sub-01/func/sub-01_task-a_bold.json"
    beside.write_text('{"RepetitionTime": 2.01, "TaskName": "b"}')
    assert rows(root)["sub-01_task-a_run-01_bold"]["status"] == "used"
    beside.write_text('{"RepetitionTime": 2.0}')
    hurt = rows(root)["sub-01_task-a_run-01_bold"]
    assert hurt["status"] == "quarantined"
    assert "2.0 in sub-01_task-a_bold.json, 2.01 in sub-01_task-a_run-01_bold" in hurt["reason"]


@pytest.mark.parametrize(
    "text",
    ["[]", '[["RepetitionTime", 2.0]]', "2", "null", "[" * 100_000, '"x"', "\xff", "1" * 5000],
)
def test_a_sidecar_that_is_no_object(bids: Callable[..., Path], text: str) -> None:
    root = bids("01", "02")
    own = root / "sub-01/func/sub-01_task-a_run-01_bold.json"
    own.write_text(text, encoding="latin-1")
    found = rows(root)
    assert found["sub-01_task-a_run-01_bold"]["status"] == "quarantined"
    assert found["sub-02_task-a_run-01_bold"]["status"] == "used"


@pytest.mark.parametrize("tr", ["1" + 400 * "0", "NaN", "-2", "true", "[2]"])
def test_repetition_times_that_are_none(bids: Callable[..., Path], tr: str) -> None:
    root = bids("01")
    own = root / "sub-01/func/sub-01_task-a_run-01_bold.json"
    own.write_text(f'{{"RepetitionTime": {tr}}}')
    hurt = rows(root)["sub-01_task-a_run-01_bold"]
    assert hurt["status"] == "quarantined"
    assert hurt["reason"].startswith(own.name)
    assert hurt["hint"]


def test_a_file_that_may_not_be_read(
    bids: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = bids("01", "02")
    path = root / "sub-01/anat/sub-01_T1w.nii.gz"
    # Root may read everything, so the answer is simulated.
    monkeypatch.setattr("os.access", lambda name, _: Path(name) != path)
    found = rows(root)
    hurt = found["sub-01_task-a_run-01_bold"]
    assert hurt["status"] == "quarantined"
    assert "sub-01_T1w.nii.gz: " in hurt["reason"]
    assert "chmod" in hurt["hint"]
    assert found["sub-02_task-a_run-01_bold"]["status"] == "used"


def test_units_of_time_that_do_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "a_bold.nii.gz"
    save(path, (4, 4, 4, 60))
    image = nib.load(path)
    image.header["xyzt_units"] = 255
    nib.save(image, path)
    with pytest.raises(DataError, match="cannot be opened"):
        read_bold_header(path)


def test_sidecars_are_inherited_in_spite_of_a_byte_order_mark(bids: Callable[..., Path]) -> None:
    root = bids("01")
    own = root / "sub-01/func/sub-01_task-a_run-01_bold.json"
    own.write_text('{"RepetitionTime": 2.005}', encoding="utf-8-sig")
    assert rows(root)["sub-01_task-a_run-01_bold"]["tr"] == 2.005
    own.unlink()
    assert rows(root)["sub-01_task-a_run-01_bold"]["tr"] == 2.0


def test_without_t1w_or_events(bids: Callable[..., Path]) -> None:
    root = bids("01", "02")
    (root / "sub-01/anat/sub-01_T1w.nii.gz").unlink()
    (root / "sub-02/func/sub-02_task-a_run-01_events.tsv").unlink()
    found = rows(root)
    alone = found["sub-01_task-a_run-01_bold"]
    assert (alone["status"], alone["t1w"]) == ("used", None)
    assert any("no T1w image" in warning for warning in alone["warnings"])
    assert found["sub-02_task-a_run-01_bold"]["status"] == "used"
    assert found["sub-02_task-a_run-01_bold"]["events"] is None


def test_of_two_t1w_images_the_first_is_used_and_named(bids: Callable[..., Path]) -> None:
    root = bids("01", "02")
    save(root / "sub-01/anat/sub-01_acq-b_T1w.nii.gz", (4, 4, 4))
    found = rows(root)
    both = found["sub-01_task-a_run-01_bold"]
    assert both["t1w"] == "sub-01/anat/sub-01_T1w.nii.gz"
    said = "of 2 T1w images the first by name is used: sub-01_T1w.nii.gz"
    assert said in both["warnings"]
    other = found["sub-02_task-a_run-01_bold"]["warnings"]
    assert not any("first by name" in one for one in other)


def test_modalities_that_nobody_asked_for_are_named() -> None:
    files = [
        "sub-01/eeg/sub-01_task-a_eeg.vhdr",
        "sub-01/eeg/sub-01_task-a_eeg.eeg",
        "sub-01/func/sub-01_task-a_bold.nii.gz",
        "derivatives/x/sub-01/func/sub-01_task-a_desc-preproc_bold.nii.gz",
    ]
    assert not_asked_for(files, ["fmri"]) == [
        "files of eeg that are not used: 1 (`modalities: [fmri, eeg]` of this data set uses them)"
    ]
    assert not_asked_for(files, ["eeg"]) == [
        "files of fmri that are not used: 1 (`modalities: [eeg, fmri]` of this data set uses them)"
    ]
    assert not_asked_for(files, ["eeg", "fmri"]) == []


def test_tasks_and_echoes_can_be_left_out(bids: Callable[..., Path]) -> None:
    root = bids("01")
    for echo in ("2", "10", "3"):
        name = f"sub-01_task-a_run-02_echo-{echo}_bold.nii.gz"
        save(root / "sub-01/func" / name, (4, 4, 4, 60))
    save(root / "sub-01/func/sub-01_task-rest_bold.nii.gz", (4, 4, 4, 60))
    found = rows(root, tasks=("a",))
    assert {name: row["status"] for name, row in found.items()} == {
        "sub-01_task-a_run-01_bold": "used",
        # The first one stands for the run, whatever preprocesses it.
        "sub-01_task-a_run-02_echo-2_bold": "used",
        "sub-01_task-a_run-02_echo-3_bold": "excluded",
        "sub-01_task-a_run-02_echo-10_bold": "excluded",
        "sub-01_task-rest_bold": "excluded",
    }
    third = found["sub-01_task-a_run-02_echo-3_bold"]
    assert "sub-01_task-a_run-02_echo-2_bold stands" in third["reason"]
    assert third["n_echoes"] == 3


def test_rules_of_metadata_and_who_overrules_them(bids: Callable[..., Path]) -> None:
    root = bids("01", "02", "03", "04")
    signed = {"who": "A", "when": "2026-01-31", "why": "fell asleep"}
    save(root / "sub-02/func/sub-02_task-a_run-01_bold.nii.gz", (4, 4, 4, 70))
    save(root / "sub-04/func/sub-04_task-a_run-01_bold.nii.gz", (4, 4, 4, 20))
    choice = Choice.model_validate(
        {
            "subjects": ("01", "02", "03", "04"),
            "decisions": {
                "exclude": [{"subject": "02", **signed}],
                "include": [{"recording": "sub-03_task-a_run-01_bold", **signed}],
            },
        }
    )
    found = {
        row["subject"]: row for row in rows(root, choice, exclude=("n_volumes < 65",)).values()
    }
    assert [row["status"] for row in found.values()] == ["excluded", "excluded", "used", "excluded"]
    assert found["01"]["stage"] == "curate"
    assert (
        found["01"]["reason"] == "n_volumes is 60, and curate.exclude has the rule n_volumes < 65"
    )
    assert "include" in found["01"]["hint"]
    assert found["02"]["reason"] == "fell asleep (A, 2026-01-31)"
    assert "fewer than 50" in found["04"]["reason"]
    chosen = rows(root, Choice(subjects=("02",), tasks=("a",)))
    assert [row["status"] for row in chosen.values()] == [
        "excluded",
        "used",
        "excluded",
        "excluded",
    ]
    assert chosen["sub-01_task-a_run-01_bold"]["reason"] == "subject 01 is not asked for"


def test_milliseconds_in_a_header_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a_bold.nii.gz"
    image = nib.Nifti1Image(np.zeros((4, 4, 4, 12), np.int16), np.eye(4))
    image.header.set_zooms((1, 1, 1, 2000))
    image.header.set_xyzt_units("mm", "msec")
    nib.save(image, path)
    assert read_bold_header(path) == BoldHeader(12, 2.0)
    assert check_tr(BoldHeader(12, 2.0), {}, path) == 2.0
    with pytest.raises(DataError, match="neither"):
        check_tr(BoldHeader(12, None), {}, path)


def test_an_affine_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a_bold.nii"
    image = nib.Nifti1Image(np.zeros((4, 4, 4, 12), np.int16), np.eye(4))
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    for row in ("srow_x", "srow_y", "srow_z"):
        image.header[row] = 0
    image = nib.Nifti1Image(image.dataobj, None, image.header)
    nib.save(image, path)
    with pytest.raises(DataError, match="singular"):
        read_bold_header(path)


def test_the_validators_verdict_is_kept(bids: Callable[..., Path]) -> None:
    root = bids("01")
    events = root / "sub-01/func/sub-01_task-a_run-01_events.tsv"
    events.write_text(EVENTS.replace("20\t1\tb", "twenty\t1\tb"))
    verdict = validate(root)
    path = "sub-01/func/sub-01_task-a_run-01_events.tsv"
    assert verdict.version
    assert any("onset" in error for error in verdict.errors_of(path, None))
    assert verdict.errors_of("sub-01/anat/sub-01_T1w.nii.gz") == []
    assert describe(verdict.errors[0]).startswith("/")
    assert validate(root).to_json() == verdict.to_json()


def test_the_real_localizer_is_used_in_spite_of_two_errors(shared_data: Path) -> None:
    root = shared_data / "fmri-localizer"
    verdict = validate(root)
    assert {issue["code"] for issue in verdict.errors} == {
        "STIMULUS_FILE_MISSING",
        "TSV_VALUE_INCORRECT_TYPE",
    }
    source = Source("localizer", "v", root, {})
    (row,) = build_inventory(source, verdict, CurateParameters()).table.to_pylist()
    assert row["status"] == "used"
    assert (row["tr"], row["n_volumes"], len(row["validator_errors"])) == (2.0, 156, 2)
