"""A phantom is a valid data set, the same each time, and what its truth says is in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, optimize

from braindata.errors import UsageError
from braindata.files import sha256_file
from braindata.phantom.generate import generate
from braindata.phantom.parameters import PhantomParameters
from braindata.phantom.scan import rigid

SMALL = PhantomParameters(
    seed=3, n_subjects=1, n_runs=1, n_trials=8, bold_voxel=6.0, t1w_voxel=4.0, motion=2.0
)
TEXT = {"subject": str, "run": str}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("phantom")
    generate(base / "bids", base / "truth", SMALL)
    return base


@pytest.fixture(scope="module")
def bold(phantom: Path) -> nib.Nifti1Image:
    return nib.load(phantom / "bids/sub-01/func/sub-01_task-gamble_run-01_bold.nii.gz")


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_same_parameters_give_the_same_bytes(phantom: Path, tmp_path: Path) -> None:
    generate(tmp_path / "elsewhere", tmp_path / "truth", SMALL, n_jobs=2)
    assert hashes(tmp_path / "elsewhere") == hashes(phantom / "bids")
    assert hashes(tmp_path / "truth") == hashes(phantom / "truth")


def test_another_seed_replaces_the_phantom_and_a_repetition_leaves_it(tmp_path: Path) -> None:
    tiny = SMALL.model_copy(update={"n_trials": 2, "bold_voxel": 12.0, "t1w_voxel": 6.0})
    generate(tmp_path / "bids", tmp_path / "truth", tiny.model_copy(update={"n_subjects": 2}))
    two = hashes(tmp_path / "bids")
    generate(tmp_path / "bids", tmp_path / "truth", tiny.model_copy(update={"seed": 4}))
    one = hashes(tmp_path / "bids")
    image = "sub-01/anat/sub-01_T1w.nii.gz"
    assert one[image] != two[image]
    assert not (tmp_path / "bids/sub-02").exists()
    before = (tmp_path / "bids" / image).stat().st_mtime_ns
    generate(tmp_path / "bids", tmp_path / "truth", tiny.model_copy(update={"seed": 4}))
    assert (tmp_path / "bids" / image).stat().st_mtime_ns == before
    # What was damaged is made again.
    (tmp_path / "bids" / image).write_bytes(b"half")
    generate(tmp_path / "bids", tmp_path / "truth", tiny.model_copy(update={"seed": 4}))
    assert hashes(tmp_path / "bids") == one


def test_official_validator_finds_no_error(phantom: Path) -> None:
    command = [Path(sys.executable).parent / "bids-validator-deno", "--json", phantom / "bids"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert issues, "the validator always has recommendations"


def test_truth_is_not_in_the_data_set(phantom: Path) -> None:
    names = {path.name for path in (phantom / "bids").rglob("*")}
    assert not names & {path.name for path in (phantom / "truth").iterdir()}
    events = pd.read_csv(
        phantom / "bids/sub-01/func/sub-01_task-gamble_run-01_events.tsv", sep="\t"
    )
    assert not {"value", "utility"} & set(events.columns)
    truth = pd.read_csv(phantom / "truth/trials_truth.tsv", sep="\t", dtype=TEXT)
    value = truth[truth["region"] == "vmpfc"]["value"].to_numpy()
    person = json.loads((phantom / "truth/people_truth.json").read_text())["01"]
    utility = events["gain"] - person["loss_aversion"] * events["loss"]
    np.testing.assert_allclose(value * person["largest_utility"], utility, rtol=1e-7)


@pytest.mark.parametrize("inside", ["bids", "bids/truth"])
def test_truth_within_the_data_set_is_refused(tmp_path: Path, inside: str) -> None:
    with pytest.raises(UsageError, match="within the data set"):
        generate(tmp_path / "bids", tmp_path / inside, SMALL)
    assert not (tmp_path / "bids").exists()


@pytest.mark.parametrize("name", ["letter.txt", "dataset_description.json"])
def test_a_folder_that_is_no_phantom_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"Name": "mine"}')
    (tmp_path / "sub-01").mkdir()
    with pytest.raises(UsageError, match="holds no phantom"):
        generate(tmp_path, tmp_path.parent / "truth", SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "sub-01"])


def test_header_and_sidecar_agree(phantom: Path, bold: nib.Nifti1Image) -> None:
    sidecar = json.loads((phantom / "bids/task-gamble_bold.json").read_text())
    assert bold.header.get_zooms()[3] == sidecar["RepetitionTime"] == SMALL.tr
    assert "SliceTiming" not in sidecar
    assert bold.shape[3] == SMALL.n_volumes
    assert bold.get_data_dtype() == np.int16
    assert (bold.dataobj.slope, bold.dataobj.inter) == (1.0, 0.0)
    assert nib.aff2axcodes(bold.affine) == ("L", "A", "S")


def test_tsnr_of_grey_matter_is_within_40_to_80(phantom: Path, bold: nib.Nifti1Image) -> None:
    data = np.asarray(bold.dataobj, dtype=float)
    mean = data.mean(axis=3)
    # Grey matter lies between white matter (0.8) and fluid (1.4); not near the head's edge.
    inside = ndimage.binary_erosion(ndimage.binary_fill_holes(mean > 600), iterations=2)
    measured = np.median((mean / data.std(axis=3))[inside & (mean > 920) & (mean < 1050)])
    written = pd.read_csv(phantom / "truth/noise_truth.tsv", sep="\t")["tsnr_grey"][0]
    assert 40 <= measured <= 80
    assert 40 <= written <= 80
    assert measured == pytest.approx(written, rel=0.15)


def test_motion_truth_is_what_was_applied(phantom: Path, bold: nib.Nifti1Image) -> None:
    """Aligning volumes with the first one, from zero, finds the true parameters."""
    truth = pd.read_csv(phantom / "truth/motion_truth.tsv", sep="\t", dtype=TEXT)
    motion = truth[["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]].to_numpy()
    noise = pd.read_csv(phantom / "truth/noise_truth.tsv", sep="\t")
    assert noise["largest_displacement"][0] == pytest.approx(SMALL.motion)
    assert np.all(motion[0] == 0)
    far = np.linalg.norm(motion[:, :3], axis=1) + 50 * np.linalg.norm(motion[:, 3:], axis=1)
    farthest = int(far.argmax())

    smooth = [
        ndimage.gaussian_filter(np.asarray(bold.dataobj[..., v], dtype=float), 1.0)
        for v in (0, farthest)
    ]
    coefficients = ndimage.spline_filter(smooth[1], order=3)
    index = np.argwhere(np.ones(smooth[0].shape, dtype=bool))[::3]
    index = index[np.all((index >= 3) & (index < np.array(smooth[0].shape) - 3), axis=1)]
    points = index @ bold.affine[:3, :3].T + bold.affine[:3, 3]
    fixed = smooth[0][tuple(index.T)]
    inverse = np.linalg.inv(bold.affine)
    scale = np.array([1, 1, 1, 50, 50, 50])

    def residuals(scaled: np.ndarray) -> np.ndarray:
        matrix = inverse @ rigid(scaled / scale)
        moved = points @ matrix[:3, :3].T + matrix[:3, 3]
        return ndimage.map_coordinates(coefficients, moved.T, order=3, prefilter=False) - fixed

    found = optimize.least_squares(residuals, np.zeros(6), x_scale=1.0).x
    np.testing.assert_allclose(found, motion[farthest] * scale, atol=0.15)
    assert np.abs(motion[farthest] * scale).max() > 0.7


def test_true_position_brings_t1w_onto_bold(phantom: Path, bold: nib.Nifti1Image) -> None:
    """The images tell most about each other at the true position: 4 mm away it is less."""
    t1w = nib.load(phantom / "bids/sub-01/anat/sub-01_T1w.nii.gz")
    person = json.loads((phantom / "truth/people_truth.json").read_text())["01"]
    first = np.asarray(bold.dataobj[..., 0], dtype=float)
    head = ndimage.gaussian_filter(np.asarray(t1w.dataobj, dtype=float), 0.6)

    def mutual_information(position: np.ndarray) -> float:
        matrix = np.linalg.inv(position @ t1w.affine) @ bold.affine
        image = ndimage.affine_transform(
            head, matrix[:3, :3], offset=matrix[:3, 3], output_shape=first.shape, order=1
        )
        joint = np.histogram2d(image.ravel(), first.ravel(), bins=24)[0] / first.size
        expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        filled = joint > 0
        return float((joint[filled] * np.log(joint[filled] / expected[filled])).sum())

    true = np.array(person["t1w_to_bold"]["01"])
    best = mutual_information(true)
    for axis in range(3):
        for side in (-1, 1):
            shift = np.zeros(6)
            shift[axis] = 4.0 * side
            assert mutual_information(rigid(shift) @ true) < best - 0.02
            turn = np.zeros(6)
            turn[3 + axis] = 0.08 * side
            assert mutual_information(rigid(turn) @ true) < best - 0.02
