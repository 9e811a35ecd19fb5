"""Confounds of old versions of fMRIPrep, on real tables and against values computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindata.bids.confound_names import current_confounds, current_metadata, current_name
from braindata.bids.confounds import MOTION_24
from braindata.errors import DataError

# fMRIPrep's own documentation of each version.
NAMES = {
    "X": "trans_x",
    "RotZ": "rot_z",
    "CSF": "csf",
    "WhiteMatter": "white_matter",
    "GlobalSignal": "global_signal",
    "FramewiseDisplacement": "framewise_displacement",
    "stdDVARS": "std_dvars",
    "non-stdDVARS": "dvars",
    "non_std_dvars": "dvars",
    "vx-wisestdDVARS": "vx_wisestd_dvars",
    "aCompCor00": "a_comp_cor_00",
    "a_comp_cor07": "a_comp_cor_07",
    "tCompCor05": "t_comp_cor_05",
    "Cosine11": "cosine11",
    "NonSteadyState00": "non_steady_state_outlier00",
    "NonSteadyStateOutlier01": "non_steady_state_outlier01",
    "AROMAAggrComp03": "aroma_motion_03",
    "aroma_aggr_comp03": "aroma_motion_03",
}
TODAY = [
    *MOTION_24,
    "global_signal_power2",
    "a_comp_cor_00",
    "a_comp_cor_117",
    "c_comp_cor_00",
    "w_comp_cor_02",
    "t_comp_cor_12",
    "cosine00",
    "non_steady_state_outlier00",
    "motion_outlier03",
    "aroma_motion_61",
    "rmsd",
    "edge_comp_00",
    "csf_wm",
    "dropped_3",
]


@pytest.mark.parametrize("old", NAMES)
def test_old_names_become_those_of_today(old: str) -> None:
    assert current_name(old) == NAMES[old]
    assert current_name(NAMES[old]) == NAMES[old]


@pytest.mark.parametrize("name", TODAY)
def test_names_of_today_stay(name: str) -> None:
    assert current_name(name) == name


@given(st.text())
def test_renaming_twice_is_renaming_once(name: str) -> None:
    assert current_name(current_name(name)) == current_name(name)


def test_missing_terms_are_computed_by_hand() -> None:
    table = current_confounds(pd.DataFrame({"RotX": [1.0, 3.0, 2.0], "GlobalSignal": [2, 4, 7]}))
    assert list(table.columns[:2]) == ["rot_x", "global_signal"]
    np.testing.assert_array_equal(table["rot_x_derivative1"], [np.nan, 2, -1])
    np.testing.assert_array_equal(table["rot_x_power2"], [1, 9, 4])
    np.testing.assert_array_equal(table["rot_x_derivative1_power2"], [np.nan, 4, 1])
    np.testing.assert_array_equal(table["global_signal_derivative1_power2"], [np.nan, 4, 9])
    assert not [name for name in table.columns if name.startswith(("csf", "trans"))]


def test_terms_that_are_there_are_kept() -> None:
    given_ = pd.DataFrame({"csf": [1.0, 2.0], "csf_power2": [5.0, 6.0], "note": ["a", "b"]})
    table = current_confounds(given_)
    assert table["csf_power2"].tolist() == [5, 6]
    assert table["note"].tolist() == ["a", "b"]
    pd.testing.assert_frame_equal(current_confounds(table), table)


def test_contradictions_are_named() -> None:
    with pytest.raises(DataError, match="mean the same: CSF, csf"):
        current_confounds(pd.DataFrame({"CSF": [1.0], "csf": [2.0], "X": [3.0]}))
    with pytest.raises(DataError, match="csf is not numeric"):
        current_confounds(pd.DataFrame({"CSF": ["wet", "dry"]}))


def test_components_before_the_json_come_from_one_mask() -> None:
    first = pd.DataFrame({"aCompCor00": [0.0], "aCompCor01": [0.0], "tCompCor00": [0.0]})
    third = pd.DataFrame({"a_comp_cor_00": [0.0], "trans_x": [0.0]})
    today = third.assign(trans_x_derivative1=np.nan)
    metadata = current_metadata(first, {})
    assert sorted(metadata) == ["a_comp_cor_00", "a_comp_cor_01"]
    assert {one["Mask"] for one in metadata.values()} == {"combined"}
    assert list(current_metadata(third, {})) == ["a_comp_cor_00"]
    # Since 1.4 components of several masks share one name: only the JSON tells them apart.
    assert current_metadata(today, {}) == {}
    said = {"a_comp_cor_00": {"Mask": "WM"}}
    assert current_metadata(first, said) == said


def test_real_tables_of_fmriprep_1_1(shared_data: Path) -> None:
    folder = shared_data / "narps-events-confounds" / "derivatives" / "fmriprep"
    files = sorted(folder.rglob("*_bold_confounds.tsv"))
    if not files:
        pytest.skip(f"needs the tables of confounds in {folder}")
    for file in files:
        raw = pd.read_csv(file, sep="\t", na_values="n/a")
        table = current_confounds(raw)
        assert {*MOTION_24, "framewise_displacement", "std_dvars", "cosine00"} <= set(table.columns)
        assert not table.columns.duplicated().any()
        np.testing.assert_array_equal(table["rot_y"], raw["RotY"])
        np.testing.assert_array_equal(table["dvars"], raw["non-stdDVARS"])
        np.testing.assert_array_equal(table["a_comp_cor_05"], raw["aCompCor05"])
        by_hand = [np.nan, *(b - a for a, b in zip(raw["Z"], raw["Z"][1:], strict=False))]
        np.testing.assert_array_equal(table["trans_z_derivative1"], by_hand)
        np.testing.assert_array_equal(table["trans_z_derivative1_power2"], np.square(by_hand))
        np.testing.assert_array_equal(table["csf_power2"], raw["CSF"] ** 2)
        # An independent check of what the columns are: Power's displacement from the motion.
        motion = table[["trans_x", "trans_y", "trans_z"]].diff().abs().sum(axis=1)
        motion += 50 * table[["rot_x", "rot_y", "rot_z"]].diff().abs().sum(axis=1)
        np.testing.assert_allclose(table["framewise_displacement"][1:], motion[1:], atol=1e-5)
        assert len(current_metadata(raw, {})) == 6
