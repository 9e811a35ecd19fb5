"""Native preprocessing end to end: the phantom, whose truth is known, and a real recording."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from bids import BIDSLayout
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy

from braindata.errors import DataError
from braindata.fmri.native import (
    SPACE,
    AnatomicalImage,
    BoldRun,
    NativeParameters,
    preprocess_unit,
)
from braindata.phantom.anatomy import random_warp
from braindata.phantom.generate import generate
from braindata.phantom.parameters import PhantomParameters
from braindata.phantom.scan import rigid

PHANTOM = PhantomParameters(
    n_subjects=1, n_runs=1, n_trials=3, bold_voxel=4.0, t1w_voxel=2.0, motion=1.0
)
PARAMETERS = NativeParameters(resolution=3)
RUN = "sub-01_task-gamble_run-01_bold"


# Interleaved, at a TR of 2 s; how many slices the phantom has is looked up.
def _slice_times(n: int) -> list[float]:
    order = [*range(0, n, 2), *range(1, n, 2)]
    return [round(order.index(k) * 1.9 / n, 4) for k in range(n)]


def _read_itk(path: Path) -> list[np.ndarray]:
    """Read an ITK text file's affine maps into RAS+."""
    flip = np.diag([-1.0, -1, 1, 1])
    matrices = []
    for line in path.read_text().splitlines():
        if line.startswith("Parameters:"):
            values = np.array(line.split()[1:], float)
            matrix = np.eye(4)
            matrix[:3, :3], matrix[:3, 3] = values[:9].reshape(3, 3), values[9:]
            matrices.append(flip @ matrix @ flip)
    return matrices


@pytest.fixture(scope="module")
def processed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    bids, truth = folder / "bids", folder / "truth"
    generate(bids, truth, PHANTOM)
    bold = bids / "sub-01" / "func" / f"{RUN}.nii.gz"
    broken = folder / "broken.nii.gz"
    broken.write_bytes(bold.read_bytes()[:-5000])
    runs = [
        BoldRun("sub-01_task-gamble_run-02_bold", broken, PHANTOM.tr),
        BoldRun(RUN, bold, PHANTOM.tr),
    ]
    t1w = AnatomicalImage("sub-01_T1w", bids / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    # A folder with a space: paths are handed to greedy on a command line.
    scratch = folder / "scratch space"
    scratch.mkdir()
    outputs = [folder / "first", folder / "second"]
    stale = outputs[0] / "sub-01/func/sub-01_task-gamble_run-02_desc-confounds_timeseries.tsv"
    stale.parent.mkdir(parents=True)
    stale.write_text("from before the image broke")
    results = [preprocess_unit(runs, t1w, out, PARAMETERS, scratch) for out in outputs]
    assert list(scratch.iterdir()) == []
    return outputs, results, truth


def test_same_inputs_same_bytes(processed):
    outputs, _, _ = processed
    names = [
        sorted(p.relative_to(o).as_posix() for p in o.rglob("*") if p.is_file()) for o in outputs
    ]
    assert names[0] == names[1]
    for name in names[0]:
        assert (outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes(), name


def test_a_bad_run_is_quarantined_and_the_other_goes_on(processed):
    _, results, _ = processed
    for _, runs in results:
        bad = runs["sub-01_task-gamble_run-02_bold"]
        assert bad.outcome.state == "quarantined"
        assert "read to its end" in bad.outcome.reason
        assert bad.outcome.file.endswith("broken.nii.gz")
        assert bad.outputs == []
        assert runs[RUN].outcome.state == "done"


def test_names_are_fmripreps(processed):
    outputs, results, _ = processed
    anatomical, runs = results[0]
    declared = {p.relative_to(outputs[0]).as_posix() for p in [*anatomical, *runs[RUN].outputs]}
    found = {p.relative_to(outputs[0]).as_posix() for p in outputs[0].rglob("*") if p.is_file()}
    assert found == declared | {"dataset_description.json", ".bidsignore"}
    func, anat = "sub-01/func/sub-01_task-gamble_run-01", "sub-01/anat/sub-01"
    standard = f"space-{SPACE}_res-3"
    assert {
        f"{func}_{standard}_boldref.nii.gz",
        f"{func}_{standard}_desc-brain_mask.nii.gz",
        f"{func}_{standard}_desc-preproc_bold.nii.gz",
        f"{func}_{standard}_desc-preproc_bold.json",
        f"{func}_desc-confounds_timeseries.tsv",
        f"{func}_desc-confounds_timeseries.json",
        f"{anat}_desc-preproc_T1w.nii.gz",
        f"{anat}_desc-brain_mask.nii.gz",
        f"{anat}_{standard}_desc-preproc_T1w.nii.gz",
        f"{anat}_{standard}_desc-brain_mask.nii.gz",
        f"{anat}_from-T1w_to-{SPACE}_mode-image_xfm.nii.gz",
    } <= declared


def test_sidecars(processed):
    outputs, results, _ = processed
    path = next(p for p in results[0][1][RUN].outputs if p.name.endswith("preproc_bold.json"))
    body = json.loads(path.read_text())
    assert body["RepetitionTime"] == PHANTOM.tr
    assert body["TaskName"] == "gamble"
    assert body["SliceTimingCorrected"] is False
    assert "StartTime" not in body
    assert body["SliceTimingNotCorrectedBecause"] == "the sidecars state no SliceTiming"
    assert body["Normalisation"] == "t1w"
    assert set(body["SignalLoss"]) == {"ofc", "vmpfc"}
    assert body["RawSources"] == [f"sub-01/func/{RUN}.nii.gz"]
    description = json.loads((outputs[0] / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "braindata"
    for text in outputs[0].rglob("*.json"):
        assert str(outputs[0]) not in text.read_text()


def test_transforms_equal_the_phantoms_truth(processed):
    """Every flip, shift or swapped axis anywhere would show here."""
    outputs, _, truth = processed
    people = json.loads((truth / "people_truth.json").read_text())
    pose = np.array(people["01"]["t1w_to_bold"]["01"])
    moved = pd.read_csv(truth / "motion_truth.tsv", sep="\t").iloc[:, 4:].to_numpy()
    func = outputs[0] / "sub-01" / "func" / "sub-01_task-gamble_run-01"
    coregistration = _read_itk(Path(f"{func}_from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt"))
    motion = _read_itk(Path(f"{func}_from-orig_to-boldref_mode-image_desc-hmc_xfm.txt"))
    anat = outputs[0] / "sub-01" / "anat"
    image = nib.load(anat / f"sub-01_from-T1w_to-{SPACE}_mode-image_xfm.nii.gz")
    brain = nib.load(anat / f"sub-01_space-{SPACE}_res-3_desc-brain_mask.nii.gz").get_fdata() > 0
    in_template = nib.affines.apply_affine(image.affine, np.argwhere(brain)[::11])
    displacement = image.get_fdata()[brain][::11, 0] * [-1, -1, 1]
    in_t1w = in_template + displacement
    warp = random_warp(np.random.default_rng([PHANTOM.seed, 1, 0]), PHANTOM)
    normalisation_error = np.linalg.norm(warp(in_t1w.T.astype(np.float32)).T - in_template, axis=1)
    assert np.median(normalisation_error) < 1.0
    assert np.quantile(normalisation_error, 0.95) < 3.0
    points = np.column_stack([in_t1w, np.ones(len(in_t1w))])
    errors = np.stack(
        [
            (points @ (found @ coregistration[0] - rigid(parameters) @ pose).T)[:, :3]
            for found, parameters in zip(motion, moved, strict=True)
        ]
    )
    assert len(motion) == PHANTOM.n_volumes
    assert np.sqrt((errors.mean(axis=0) ** 2).sum(axis=1).mean()) < 0.4  # coregistration
    wobble = errors - errors.mean(axis=0)
    assert np.sqrt((wobble**2).sum(axis=-1).mean()) < 0.06  # head motion


def _file(result, ending: str) -> Path:
    return next(p for p in result.outputs if p.name.endswith(ending))


def test_confounds_hold_what_nilearns_strategies_ask_for(processed):
    """And FD is what its definition says, from the columns beside it."""
    _, results, _ = processed
    run = results[0][1][RUN]
    bold = str(_file(run, "preproc_bold.nii.gz"))
    for strategy in ("simple", "scrubbing", "compcor"):
        found, _ = load_confounds_strategy(bold, denoise_strategy=strategy)
        assert found.shape[1] > 6
        assert not found.isna().any(axis=None)
    for kind in ("anat_combined", "anat_separated", "temporal", "temporal_anat_combined"):
        found, _ = load_confounds(bold, strategy=("high_pass", "compcor"), compcor=kind)
        assert any("comp_cor" in name for name in found)
    table = pd.read_csv(_file(run, "timeseries.tsv"), sep="\t", na_values="n/a")
    described = json.loads(_file(run, "timeseries.json").read_text())
    assert list(described) == list(table.columns)
    masks = {c[0]: described[c]["Mask"] for c in table if c[:6] in {"a_comp", "c_comp", "w_comp"}}
    assert masks == {"a": "combined", "c": "CSF", "w": "WM"}
    due = [0.0] * len(table)
    for volume in range(1, len(table)):
        for axis in "xyz":
            for kind, radius in (("trans", 1.0), ("rot", 50.0)):
                values = table[f"{kind}_{axis}"]
                due[volume] += radius * abs(values[volume] - values[volume - 1])
    np.testing.assert_allclose(table["framewise_displacement"][1:], due[1:], atol=1e-6)


def test_pybids_reads_the_derivatives(processed, tmp_path):
    outputs, _, _ = processed
    root = outputs[0].parent / "bids"
    layout = BIDSLayout(root, derivatives=outputs[0], database_path=tmp_path / "index")
    wanted = {"scope": "derivatives", "subject": "01", "task": "gamble"}
    (bold,) = layout.get(**wanted, suffix="bold", desc="preproc", extension=".nii.gz")
    assert bold.entities["space"] == SPACE
    assert str(bold.entities["res"]) == "3"
    assert bold.get_metadata()["RepetitionTime"] == PHANTOM.tr
    assert len(layout.get(**wanted, desc="confounds", extension=".tsv")) == 1
    assert len(layout.get(**wanted, suffix="mask", desc="brain", extension=".nii.gz")) == 1


def test_without_a_t1w_image(processed, tmp_path):
    """The EPI alone gets within a voxel or two, and says so; slices are corrected on the way."""
    outputs, _, truth = processed
    bold = outputs[0].parent / "bids" / "sub-01" / "func" / f"{RUN}.nii.gz"
    n_slices = nib.load(bold).shape[2]
    run = BoldRun(RUN, bold, PHANTOM.tr, _slice_times(n_slices), "k")
    echo = BoldRun("sub-01_task-gamble_echo-1_bold", bold, PHANTOM.tr)
    slow = BoldRun("sub-01_task-slow_bold", bold, 1000 * PHANTOM.tr)
    anatomical, runs = preprocess_unit(
        [run, echo, slow], None, tmp_path / "out", PARAMETERS, tmp_path
    )
    assert anatomical == []
    result = runs[RUN]
    assert (result.outcome.state, result.normalisation) == ("done", "epi")
    assert "coregistration_cost" not in result.quality
    assert result.quality["registration_dice"] > 0.85
    body = json.loads(_file(result, "preproc_bold.json").read_text())
    assert body["SliceTimingCorrected"] is True
    assert body["StartTime"] == pytest.approx(max(_slice_times(n_slices)) / 2, abs=1e-3)
    assert body["Normalisation"] == "epi"
    assert "for want of a T1w image" in body["Description"]
    people = json.loads((truth / "people_truth.json").read_text())
    pose = np.array(people["01"]["t1w_to_bold"]["01"])
    image = nib.load(_file(result, f"from-boldref_to-{SPACE}_mode-image_xfm.nii.gz"))
    brain = nib.load(_file(result, "desc-brain_mask.nii.gz")).get_fdata() > 0
    there = nib.affines.apply_affine(image.affine, np.argwhere(brain)[::11])
    in_epi = there + image.get_fdata()[brain][::11, 0] * [-1, -1, 1]
    in_head = nib.affines.apply_affine(np.linalg.inv(pose), in_epi)
    warp = random_warp(np.random.default_rng([PHANTOM.seed, 1, 0]), PHANTOM)
    error = np.linalg.norm(warp(in_head.T.astype(np.float32)).T - there, axis=1)
    assert np.median(error) < 5.0
    assert np.quantile(error, 0.95) < 9.0
    assert "multi-echo" in (runs[echo.recording].outcome.reason or "")
    assert "fMRIPrep" in (runs[echo.recording].outcome.hint or "")
    assert "milliseconds" in (runs[slow.recording].outcome.hint or "")


def test_images_show_the_template(processed):
    outputs, results, _ = processed
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template

    folder = outputs[0] / "sub-01"
    template = load_mni152_template(resolution=3)
    brain = (
        nib.load(folder / f"anat/sub-01_space-{SPACE}_res-3_desc-brain_mask.nii.gz")
        .get_fdata()
        .astype(bool)
    )
    t1w = nib.load(folder / f"anat/sub-01_space-{SPACE}_res-3_desc-preproc_T1w.nii.gz")
    np.testing.assert_allclose(t1w.affine, template.affine)
    assert np.corrcoef(t1w.get_fdata()[brain], template.get_fdata()[brain])[0, 1] > 0.85
    stem = f"func/sub-01_task-gamble_run-01_space-{SPACE}_res-3"
    bold = nib.load(folder / f"{stem}_desc-preproc_bold.nii.gz")
    mask = nib.load(folder / f"{stem}_desc-brain_mask.nii.gz").get_fdata().astype(bool)
    assert mask.sum() > 0.9 * brain.sum()
    mean = bold.get_fdata().mean(axis=-1)
    gray = load_mni152_gm_template(resolution=3).get_fdata()
    white = mask & (template.get_fdata() > 0.8) & (gray < 0.1)
    assert mean[mask & (gray > 0.9)].mean() > 1.05 * mean[white].mean()
    quality = results[0][1][RUN].quality
    assert quality["registration_dice"] > 0.85
    assert quality["brain_coverage"] > 0.95
    assert 0 < quality["fd_mean"] < quality["fd_max"] < 5


def test_nilearn_reads_image_and_confounds(processed):
    _, results, _ = processed
    bold = next(p for p in results[0][1][RUN].outputs if p.name.endswith("preproc_bold.nii.gz"))
    table, _ = load_confounds(str(bold), strategy=("motion", "wm_csf"), motion="full")
    assert table.shape == (PHANTOM.n_volumes, 26)
    assert nib.load(bold).shape[3] == PHANTOM.n_volumes


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (np.full((40, 40, 40), 3, np.int16), "constant"),
        (np.random.default_rng(0).integers(0, 900, (40, 40, 40)).astype(np.int16), "T1w"),
    ],
    ids=["constant", "noise"],
)
def test_an_unusable_t1w_raises(tmp_path, data, problem):
    path = tmp_path / "sub-01_T1w.nii.gz"
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), path)
    with pytest.raises(DataError, match=problem) as caught:
        preprocess_unit(
            [], AnatomicalImage("sub-01_T1w", path), tmp_path / "out", PARAMETERS, tmp_path
        )
    assert caught.value.file == str(path)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_real_localizer_activates_visual_cortex(shared_data, tmp_path):
    from nilearn.glm.first_level import FirstLevelModel

    raw = shared_data / "fmri-localizer" / "sub-02"
    name = "sub-02_task-oneback_run-01"
    _, results = preprocess_unit(
        [BoldRun(f"{name}_bold", raw / "func" / f"{name}_bold.nii.gz", 2.0)],
        AnatomicalImage("sub-02_T1w", raw / "anat" / "sub-02_T1w.nii.gz"),
        tmp_path / "out",
        PARAMETERS,
        tmp_path,
    )
    result = results[f"{name}_bold"]
    assert result.outcome.state == "done"
    assert result.quality["registration_dice"] > 0.9
    paths = {p.name.rpartition("_res-3_")[2]: p for p in result.outputs}
    confounds = pd.read_csv(
        next(p for p in result.outputs if p.name.endswith(".tsv")), sep="\t", na_values="n/a"
    )
    events = pd.read_csv(raw / "func" / f"{name}_events.tsv", sep="\t")
    model = FirstLevelModel(
        t_r=2.0, mask_img=paths["desc-brain_mask.nii.gz"], noise_model="ols", high_pass=1 / 128
    ).fit(
        nib.load(paths["desc-preproc_bold.nii.gz"]),
        events[["onset", "duration"]].assign(trial_type="picture"),
        confounds[["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]],
    )
    z = model.compute_contrast("picture")
    data = z.get_fdata()
    assert data.max() >= 12  # 3 mm, not smoothed; at 2 mm and with 5 mm it is 15.3
    x, y, zz = nib.affines.apply_affine(z.affine, np.unravel_index(data.argmax(), data.shape))
    # Occipital or ventral temporal cortex.
    assert y < -40
    assert -35 < zz < 30
    assert abs(x) < 55
