"""Which confounds a strategy takes, against nilearn."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds

from braindata.bids.confounds import MOTION_24, TISSUES, confound_values
from braindata.errors import DataError

N = 12


def table(columns: list[str]) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(N, len(columns)))
    frame = pd.DataFrame(values, columns=columns)
    derived = [name for name in columns if "derivative1" in name]
    frame.loc[0, derived] = np.nan
    return frame


def test_they_are_those_of_nilearn(tmp_path: Path) -> None:
    columns = sorted({*MOTION_24, *TISSUES, "global_signal"})
    frame = table(columns)
    stem = tmp_path / "sub-01_task-a"
    bold = Path(f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, N), np.int16), np.eye(4)), bold)
    frame.to_csv(f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False, na_rep="n/a")
    Path(f"{stem}_desc-confounds_timeseries.json").write_text(json.dumps({}))
    theirs, _ = load_confounds(
        str(bold), strategy=("motion", "wm_csf"), motion="full", wm_csf="basic", demean=False
    )
    assert set(theirs.columns) == {*MOTION_24, *TISSUES}
    ours = confound_values(frame, list(theirs.columns), hint="")
    np.testing.assert_allclose(ours, theirs.to_numpy())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda frame: frame.drop(columns="csf"), "missing: csf"),
        (lambda frame: frame.assign(csf="wet"), "not numeric"),
        (lambda frame: frame.assign(csf=np.arange(N) / 0.0), "not finite: csf"),
        (lambda frame: frame.assign(csf=[*range(N - 1), np.nan]), "not finite: csf"),
    ],
)
@pytest.mark.filterwarnings("ignore:(divide|invalid)")
def test_faults_are_named(damage: object, message: str) -> None:
    frame = damage(table([*MOTION_24, *TISSUES]))  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as caught:
        confound_values(frame, [*MOTION_24, *TISSUES], hint="look there")
    assert caught.value.hint == "look there"
