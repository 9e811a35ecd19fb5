"""Names of derivatives: every generation of fMRIPrep, and which files belong to a recording."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindata.bids.derived import Derivatives, DerivedRun, parse
from braindata.errors import DataError

SPACES = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
RAW = "sub-01/func/sub-01_task-x_run-01_bold.nii.gz"
FUNC = "sub-01/func/sub-01_task-x_run-01"
# By version: image, mask, reference, confounds, JSON of the confounds.
GENERATIONS = {
    "1.1": (
        "_bold_space-MNI152NLin2009cAsym_preproc.nii.gz",
        "_bold_space-MNI152NLin2009cAsym_brainmask.nii.gz",
        None,
        "_bold_confounds.tsv",
        None,
    ),
    "1.2": (
        "_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz",
        "_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz",
        "_space-MNI152NLin2009cAsym_boldref.nii.gz",
        "_desc-confounds_regressors.tsv",
        None,
    ),
    "20.0": (
        "_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz",
        "_space-MNI152NLin2009cAsym_res-2_desc-brain_mask.nii.gz",
        "_space-MNI152NLin2009cAsym_res-2_boldref.nii.gz",
        "_desc-confounds_regressors.tsv",
        "_desc-confounds_regressors.json",
    ),
    "25": (
        "_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz",
        "_space-MNI152NLin2009cAsym_res-2_desc-brain_mask.nii.gz",
        "_space-MNI152NLin2009cAsym_res-2_boldref.nii.gz",
        "_desc-confounds_timeseries.tsv",
        "_desc-confounds_timeseries.json",
    ),
}
# What else lies there, of no use.
OTHERS = (
    "_bold_space-MNI152NLin2009cAsym_variant-smoothAROMA_preproc.nii.gz",
    "_bold_space-T1w_preproc.nii.gz",
    "_bold_space-fsaverage5.L.func.gii",
    "_space-MNI152NLin6Asym_desc-smoothAROMAnonaggr_bold.nii.gz",
    "_desc-hmc_boldref.nii.gz",
    "_from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt",
    "_desc-preproc_bold.nii.gz",
    "_echo-1_desc-preproc_bold.nii.gz",
    "_AROMAnoiseICs.csv",
    "_hemi-L_space-fsaverage_bold.func.gii",
    "_space-fsLR_den-91k_bold.dtseries.nii",
)


def of(*endings: str | None, stem: str = FUNC) -> list[str]:
    return [f"{stem}{ending}" for ending in endings if ending is not None]


@pytest.mark.parametrize("version", GENERATIONS)
def test_every_generation_is_read(version: str) -> None:
    names = GENERATIONS[version]
    bold, mask, boldref, confounds, described = (n and f"{FUNC}{n}" for n in names)
    found = Derivatives(of(*names, *OTHERS)).choose(RAW, SPACES, "2")
    assert bold is not None
    assert confounds is not None
    assert found == DerivedRun(
        "MNI152NLin2009cAsym",
        "2" if "res-2" in bold else None,
        bold=bold,
        confounds=confounds,
        mask=mask,
        boldref=boldref,
        confounds_sidecar=described,
    )
    assert found.paths() == of(names[0], names[1], names[2], names[3], names[4])


def test_spaces_and_resolutions_are_chosen_by_preference() -> None:
    def bold(space: str, res: str = "") -> str:
        return f"_space-{space}{res}_desc-preproc_bold.nii.gz"

    confounds = "_desc-confounds_timeseries.tsv"
    both = of(bold("MNI152NLin6Asym"), bold("MNI152NLin2009cAsym"), confounds)
    assert Derivatives(both).choose(RAW, SPACES, None).space == "MNI152NLin2009cAsym"
    assert Derivatives(both).choose(RAW, SPACES[::-1], None).space == "MNI152NLin6Asym"
    several = of(*(bold(SPACES[0], res) for res in ("", "_res-1", "_res-2")), confounds)
    chosen = {
        wanted: Derivatives(several).choose(RAW, SPACES, wanted).resolution
        for wanted in ("2", "1", "3", None)
    }
    assert chosen == {"2": "2", "1": "1", "3": None, None: None}
    assert Derivatives(several[1:]).choose(RAW, SPACES, "3").resolution == "1"


def test_a_transform_to_a_field_map_says_that_distortion_was_corrected() -> None:
    names = of(*GENERATIONS["25"], "_from-boldref_to-auto00000_mode-image_xfm.txt")
    assert Derivatives(names).choose(RAW, SPACES, "2").distortion_corrected is True
    assert Derivatives(of(*GENERATIONS["25"])).choose(RAW, SPACES, "2").distortion_corrected is None


@pytest.mark.parametrize(
    ("raw", "derived"),
    [
        ("run-01", "run-1"),
        ("run-1", "run-01"),
        ("run-10", "run-010"),
        ("run-01_echo-1", "run-01"),
        ("run-01_part-mag", "run-01"),
    ],
)
def test_runs_match_by_their_number(raw: str, derived: str) -> None:
    stem = f"sub-01/func/sub-01_task-x_{derived}"
    names = of(*GENERATIONS["25"], stem=stem)
    found = Derivatives(names)
    assert found.choose(f"sub-01_task-x_{raw}_bold", SPACES, "2").bold == names[0]
    assert found.without_recording([f"sub-01_task-x_{raw}_bold", "sub-01_task-y_bold"]) == []


@given(st.integers(0, 999), st.integers(0, 999), st.integers(1, 4), st.integers(1, 4))
def test_another_number_is_another_run(a: int, b: int, width: int, other: int) -> None:
    stem = f"sub-01/func/sub-01_task-x_run-{b:0{other}}"
    found = Derivatives(of(*GENERATIONS["1.1"], stem=stem))
    recording = f"sub-01_task-x_run-{a:0{width}}_bold"
    if a == b:
        assert found.choose(recording, SPACES, None).bold.startswith(stem)
    else:
        with pytest.raises(DataError, match="hold nothing of this recording"):
            found.choose(recording, SPACES, None)
        assert found.without_recording([recording]) == [stem.rpartition("/")[2]]


def test_runs_that_could_be_either_are_refused() -> None:
    names = of(*GENERATIONS["25"], stem="sub-01/func/sub-01_task-x_run-1")
    names += of(*GENERATIONS["25"], stem="sub-01/func/sub-01_task-x_run-001")
    found = Derivatives(names)
    assert found.choose("sub-01_task-x_run-1_bold", SPACES, "2").bold == names[0]
    with pytest.raises(DataError, match="several runs"):
        found.choose(RAW, SPACES, "2")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["_space-fsLR_den-91k_bold.dtseries.nii"], r"on surfaces only \(CIFTI\), which are not"),
        (["_hemi-L_space-fsaverage_bold.func.gii"], r"on surfaces only \(GIFTI\)"),
        (["_bold_space-fsaverage5.L.func.gii", "_bold_confounds.tsv"], r"surfaces only \(GIFTI\)"),
        (["_space-T1w_desc-preproc_bold.nii.gz"], "in T1w only; asked for: MNI152NLin2009cAsym, "),
        (["_desc-preproc_bold.nii.gz"], "in the run's own space only"),
        (["_space-MNIPediatricAsym_cohort-2_desc-preproc_bold.nii.gz"], "MNIPediatricAsym only"),
        (["_bold_confounds.tsv"], "no preprocessed image"),
        (["_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz"], "no confounds"),
    ],
)
def test_what_cannot_be_used_is_named(names: list[str], told: str) -> None:
    with pytest.raises(DataError, match=told) as raised:
        Derivatives(of(*names)).choose(RAW, SPACES, "2")
    assert raised.value.hint
    assert raised.value.file == f"{FUNC}{names[0]}"


def test_only_functional_outputs_count() -> None:
    assert parse("sub-01/anat/sub-01_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz") is None
    assert parse("sub-01/figures/sub-01_task-x_desc-preproc_bold.nii.gz") is None
    assert parse("dataset_description.json") is None


def test_a_real_folder_of_fmriprep_20(shared_data: Path) -> None:
    root = shared_data / "bids-examples" / "ds000001-fmriprep"
    paths = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
    found = Derivatives(paths)
    assert len(found.runs) == 12
    for run in found.runs:
        name = "_".join(map("-".join, run))
        chosen = found.choose(f"{name.replace('run-', 'run-0')}_bold", SPACES, "2")
        assert (chosen.space, chosen.resolution) == ("MNI152NLin2009cAsym", "2")
        assert len(chosen.paths()) == 6


def test_the_confounds_of_narps(shared_data: Path) -> None:
    root = shared_data / "narps-events-confounds" / "derivatives" / "fmriprep"
    paths = [p.relative_to(root).as_posix() for p in root.rglob("*.tsv")]
    assert len(Derivatives(paths).runs) == len(paths) == 48
