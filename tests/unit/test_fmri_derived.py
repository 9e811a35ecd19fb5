"""Others' derivatives under our names: contents unchanged, confounds of every generation."""

from __future__ import annotations

import gzip
import json
import warnings
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds_strategy

from braindata.bids.confounds import expand
from braindata.bids.derived import Derivatives, DerivedRun
from braindata.errors import DataError
from braindata.fmri.derived import (
    RawRun,
    Source,
    bring,
    collect_run,
    pipeline_of,
    read_to_end,
    write_confounds_of_today,
)

N_VOLUMES = 12
RAW = RawRun("sub-01_task-x_run-01_bold", 2.0, N_VOLUMES)
STEM = "sub-01/func/sub-01_task-x_run-1"
STANDARD = "sub-01/func/sub-01_task-x_run-01_space-MNI152NLin2009cAsym_res-2"
FOUND = DerivedRun(
    "MNI152NLin2009cAsym",
    "2",
    bold=f"{STEM}_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz",
    sidecar=f"{STEM}_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.json",
    mask=f"{STEM}_space-MNI152NLin2009cAsym_res-2_desc-brain_mask.nii.gz",
    confounds=f"{STEM}_desc-confounds_timeseries.tsv",
    confounds_sidecar=f"{STEM}_desc-confounds_timeseries.json",
)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    root = tmp_path / "out" / "raw" / "ds.derivatives"
    (root / "sub-01" / "func").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for path, shape in ((FOUND.bold, (4, 4, 4, N_VOLUMES)), (FOUND.mask, (4, 4, 4))):
        data = rng.integers(0, 100, shape).astype(np.int16)
        nib.save(nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1])), root / str(path))
    (root / str(FOUND.sidecar)).write_text(json.dumps({"RepetitionTime": 2.0, "TaskName": "x"}))
    table = pd.DataFrame({"csf": rng.normal(size=N_VOLUMES)})
    for name, values in expand("csf", table["csf"].to_numpy()).items():
        table[name] = values
    table.to_csv(root / FOUND.confounds, sep="\t", index=False, na_rep="n/a")
    (root / str(FOUND.confounds_sidecar)).write_text('{"csf": {"Method": "Mean"}}')
    description = {"GeneratedBy": [{"Name": "fMRIPrep", "Version": "25.2.7"}]}
    (root / "dataset_description.json").write_text(json.dumps(description))
    return Source(root, pipeline_of(root), tmp_path / "out")


def test_files_of_today_get_one_more_name(source: Source, tmp_path: Path) -> None:
    derivatives = tmp_path / "out" / "derivatives" / "ds"
    outputs = collect_run(RAW, FOUND, source, derivatives)
    assert [path.relative_to(derivatives).as_posix() for path in outputs] == [
        f"{STANDARD}_desc-preproc_bold.nii.gz",
        f"{STANDARD}_desc-preproc_bold.json",
        f"{STANDARD}_desc-brain_mask.nii.gz",
        "sub-01/func/sub-01_task-x_run-01_desc-confounds_timeseries.tsv",
        "sub-01/func/sub-01_task-x_run-01_desc-confounds_timeseries.json",
    ]
    same = [FOUND.bold, None, FOUND.mask, FOUND.confounds, FOUND.confounds_sidecar]
    for path, origin in zip(outputs, same, strict=True):
        assert origin is None or path.samefile(source.root / origin)
    assert json.loads(outputs[1].read_text()) == {
        "RepetitionTime": 2.0,
        "TaskName": "x",
        "Sources": [f"bids:derivatives:{FOUND.bold}"],
        "SoftwareVersions": {"fMRIPrep": "25.2.7"},
    }
    # Once more: nothing is in its own way.
    assert collect_run(RAW, FOUND, source, derivatives) == outputs


def test_echoes_are_combined_by_then(source: Source, tmp_path: Path) -> None:
    run = RawRun("sub-01_task-x_run-01_echo-1_bold", 2.0, N_VOLUMES)
    outputs = collect_run(run, FOUND, source, tmp_path)
    assert outputs[0] == tmp_path / f"{STANDARD}_desc-preproc_bold.nii.gz"


def test_links_are_to_the_users_own_file_or_move_with_the_folder(tmp_path: Path) -> None:
    users = tmp_path / "elsewhere.nii.gz"
    users.write_bytes(b"x")
    out = tmp_path / "out"
    (out / "raw").mkdir(parents=True)
    (out / "raw" / "link.nii.gz").symlink_to(users)
    image = bring(out / "raw" / "link.nii.gz", out / "derivatives" / "image.nii.gz", out)
    assert str(image.readlink()) == str(users)
    (out / "raw" / "stored.nii.gz").write_bytes(b"y")
    (out / "raw" / "named.nii.gz").symlink_to("stored.nii.gz")
    image = bring(out / "raw" / "named.nii.gz", out / "derivatives" / "other.nii.gz", out)
    assert not image.readlink().is_absolute()
    out.rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "derivatives" / "other.nii.gz").read_bytes() == b"y"


def test_an_uncompressed_image_is_compressed(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"image" * 1000)
    once = bring(tmp_path / "a.nii", tmp_path / "b.nii.gz", tmp_path).read_bytes()
    assert gzip.decompress(once) == b"image" * 1000
    assert bring(tmp_path / "a.nii", tmp_path / "c.nii.gz", tmp_path).read_bytes() == once


@pytest.mark.parametrize(
    ("run", "spoil", "told"),
    [
        (RawRun(RAW.recording, 2.0, 10), None, "has 12 volumes, the recording 10"),
        (RawRun(RAW.recording, 1.5, 12), None, r"repetition time of 2.0 s, the recording 1.5"),
        (RAW, lambda p: p.write_bytes(b"no image"), "cannot be opened"),
        (RAW, lambda p: p.unlink(), "contents of this file are not there"),
    ],
)
def test_what_is_not_the_recording_is_refused(
    source: Source, tmp_path: Path, run: RawRun, spoil: object, told: str
) -> None:
    if callable(spoil):
        spoil(source.root / FOUND.bold)
    with pytest.raises(DataError, match=told) as raised:
        collect_run(run, FOUND, source, tmp_path / "new")
    assert raised.value.file == str(source.root / FOUND.bold)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("path", [FOUND.confounds, str(FOUND.confounds_sidecar)])
def test_of_a_recording_whose_confounds_are_no_use_nothing_is_made(
    source: Source, tmp_path: Path, path: str
) -> None:
    (source.root / path).write_text("")
    with pytest.raises(DataError):
        collect_run(RAW, FOUND, source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_picture_that_cannot_be_read_is_left_out(source: Source, tmp_path: Path) -> None:
    reference = f"{STEM}_space-MNI152NLin2009cAsym_res-2_boldref.nii.gz"
    found = replace(FOUND, boldref=reference)
    whole = (source.root / str(FOUND.mask)).read_bytes()
    (source.root / reference).write_bytes(whole)
    assert [p.name for p in collect_run(RAW, found, source, tmp_path / "whole")][3].endswith(
        "_res-2_boldref.nii.gz"
    )
    for bytes_ in (b"", whole[:-30], b"no image"):
        (source.root / reference).write_bytes(bytes_)
        names = [path.name for path in collect_run(RAW, found, source, tmp_path / "new")]
        assert len(names) == 5
        assert not any("boldref" in name for name in names)


def test_an_image_that_was_cut_off_is_noticed(source: Source) -> None:
    image = source.root / FOUND.bold
    read_to_end(image)
    image.write_bytes(image.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read to its end"):
        read_to_end(image)


@pytest.mark.parametrize(
    ("body", "pipeline"),
    [
        ({"PipelineDescription": {"Name": "fMRIPrep", "Version": "1.1.4"}}, {"fMRIPrep": "1.1.4"}),
        ({"GeneratedBy": [{"Name": "fMRIPrep"}]}, {"fMRIPrep": "unknown"}),
        ({"GeneratedBy": []}, {}),
        ({"Name": "x"}, {}),
    ],
)
def test_what_wrote_them(tmp_path: Path, body: object, pipeline: dict[str, str]) -> None:
    assert pipeline_of(tmp_path) == {}
    (tmp_path / "dataset_description.json").write_text(json.dumps(body))
    assert pipeline_of(tmp_path) == pipeline


def test_numbers_of_old_tables_stay_as_written(tmp_path: Path) -> None:
    (tmp_path / "old.tsv").write_text(
        "CSF\tX\taCompCor00\tFramewiseDisplacement\n"
        "1.10\t0.3000000000000000444\t1e-3\tn/a\n2.5\t0.1\t-2\t0.20\n3.0\t0.7\t5\t0.125\n"
    )
    table, sidecar = write_confounds_of_today(
        tmp_path / "old.tsv", None, tmp_path / "x_timeseries.tsv", tmp_path
    )
    lines = [line.split("\t") for line in table.read_text().splitlines()]
    assert lines[0][:4] == ["csf", "trans_x", "a_comp_cor_00", "framewise_displacement"]
    assert [line[:4] for line in lines[1:]] == [
        ["1.10", "0.3000000000000000444", "1e-3", "n/a"],
        ["2.5", "0.1", "-2", "0.20"],
        ["3.0", "0.7", "5", "0.125"],
    ]
    read = pd.read_csv(table, sep="\t", na_values="n/a")
    for name, old in (("csf", [1.1, 2.5, 3.0]), ("trans_x", [0.3, 0.1, 0.7])):
        for term, values in expand(name, np.array(old)).items():
            np.testing.assert_allclose(read[term], values, rtol=1e-14)
    assert json.loads(sidecar.read_text()) == {
        "a_comp_cor_00": {"Mask": "combined", "Method": "aCompCor", "Retained": True}
    }


def test_the_confounds_of_narps_resolve_for_three_strategies(
    shared_data: Path, tmp_path: Path
) -> None:
    """As nilearn reads them, which knows no names of fMRIPrep 1.1."""
    root = shared_data / "narps-events-confounds" / "derivatives" / "fmriprep"
    paths = [path.relative_to(root).as_posix() for path in root.rglob("*.tsv")]
    there = Derivatives(paths)
    assert len(there.runs) == 48
    taken: dict[str, list[int]] = {"simple": [], "scrubbing": [], "compcor": []}
    for run, (file,) in there.runs.items():
        name = "_".join(map("-".join, run))
        target = tmp_path / name / f"{name}_desc-confounds_timeseries.tsv"
        write_confounds_of_today(root / file.path, None, target, tmp_path)
        image = target.with_name(f"{name}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")
        image.touch()
        for strategy, columns in taken.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                chosen, _ = load_confounds_strategy(str(image), denoise_strategy=strategy)
            assert np.isfinite(chosen.to_numpy()).all()
            assert len(chosen) == len(pd.read_csv(root / file.path, sep="\t", usecols=[0]))
            columns.append(chosen.shape[1])
    # 24 of head motion and, of simple, white matter and CSF; cosines beside.
    assert {name: len(columns) for name, columns in taken.items()} == dict.fromkeys(taken, 48)
    assert min(taken["simple"]) >= 26
    assert min(taken["scrubbing"]) >= 32
    assert min(taken["compcor"]) >= 24 + 6
