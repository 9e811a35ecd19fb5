"""From a preprocessed image and its confounds to a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from braindata.errors import DamageError, DataError
from braindata.pack.derivatives import pack_recording
from braindata.pack.mask import store_mask
from braindata.pack.store import Grid, open_store
from braindata.pack.sums import place, store_mean
from braindata.regions.resolve import ResolvedRegion

SHAPE = (14, 16, 15)
AFFINE = np.diag([12.0, 12.0, 12.0, 1.0])
AFFINE[:3, 3] = [-84, -120, -70]
N_VOLUMES = 40


def derivatives(folder: Path, confounds: pd.DataFrame, metadata: Any = None) -> tuple[Path, Path]:
    numbers = np.random.default_rng(0).integers(1, 4000, (*SHAPE, N_VOLUMES)).astype(np.int16)
    nib.Nifti1Image(numbers, AFFINE).to_filename(folder / "a_bold.nii.gz")
    table = folder / "a_timeseries.tsv"
    confounds.to_csv(table, sep="\t", index=False, na_rep="n/a")
    if metadata is not None:
        table.with_suffix(".json").write_text(json.dumps(metadata))
    return folder / "a_bold.nii.gz", table


def old_confounds(n_volumes: int = N_VOLUMES) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    names = ["CSF", "WhiteMatter", "X", "Y", "Z", "RotX", "RotY", "RotZ", "aCompCor00"]
    return pd.DataFrame({name: rng.normal(size=n_volumes) for name in names})


def pack(folder: Path, files: tuple[Path, Path], **more: Any) -> Path:
    target = folder / "a.h5"
    space = "MNI152NLin2009aSym"
    pack_recording(*files, target, space=space, tr=2.0, attributes={"of": "a"}, **more)
    return target


def test_voxels_are_the_image_s_own(tmp_path: Path) -> None:
    files = derivatives(tmp_path, old_confounds())
    with open_store(pack(tmp_path, files)) as store:
        inside = np.flatnonzero(store_mask(SHAPE, AFFINE))
        assert sorted(store.voxels.tolist()) == inside.tolist()
        raw = nib.load(files[0]).dataobj.get_unscaled().reshape(-1, N_VOLUMES)
        read = store.read_raw(np.arange(len(store.voxels)))
        np.testing.assert_array_equal(read, raw[store.voxels])
        assert store.attributes["of"] == "a"


def test_old_confounds_have_todays_names(tmp_path: Path) -> None:
    old = old_confounds()
    with open_store(pack(tmp_path, derivatives(tmp_path, old))) as store:
        assert {"csf", "trans_x", "rot_z", "a_comp_cor_00", "trans_x_derivative1"} <= set(
            store.confounds
        )
        np.testing.assert_allclose(store.confounds["csf"], old["CSF"])
        described = store.attributes["confounds_metadata"]
    assert described["a_comp_cor_00"]["Mask"] == "combined"


def test_the_json_beside_the_confounds_is_kept_for_their_columns(tmp_path: Path) -> None:
    table = pd.DataFrame({"csf": np.arange(N_VOLUMES), "a_comp_cor_00": np.arange(N_VOLUMES)})
    entry = {"Mask": "WM", "Method": "aCompCor", "Retained": True}
    metadata = {"a_comp_cor_00": entry, "dropped_0": {"Mask": "CSF"}}
    with open_store(pack(tmp_path, derivatives(tmp_path, table, metadata))) as store:
        assert store.attributes["confounds_metadata"] == {"a_comp_cor_00": entry}


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ({"StartTime": 0.97, "SliceTimingCorrected": True}, 0.97),
        ({"StartTime": 0}, 0.0),
        ({"SliceTimingCorrected": False}, None),
        ({"StartTime": "soon"}, None),
        ({"StartTime": True}, None),
        ([], None),
    ],
)
def test_the_start_time_beside_the_image_is_kept(
    tmp_path: Path, body: Any, start: float | None
) -> None:
    files = derivatives(tmp_path, old_confounds())
    (tmp_path / "a_bold.json").write_text(json.dumps(body))
    with open_store(pack(tmp_path, files)) as store:
        assert store.attributes.get("start_time") == start


def test_without_a_store_the_means_are_the_same_bits(tmp_path: Path) -> None:
    files = derivatives(tmp_path, old_confounds())
    inside = np.flatnonzero(store_mask(SHAPE, AFFINE))
    weights = np.random.default_rng(2).random(30)
    region = ResolvedRegion("a", inside[100:130], weights, (0.0, 0.0, 0.0), 30, 1.0, "same space")
    with open_store(pack(tmp_path, files)) as store:
        expected = store_mean(store, place(region.voxels, region.weights, store.order))

    def regions(grid: Grid) -> dict[str, ResolvedRegion]:
        assert grid.shape == SHAPE
        return {"a-1": region}

    with open_store(pack(tmp_path, files, regions=regions)) as store:
        assert not store.has_samples
        (mean,) = store.means().values()
    assert mean.values.tobytes() == expected.values.tobytes()
    assert (mean.coverage, mean.n_voxels) == (expected.coverage, expected.n_voxels) == (1.0, 30)


def test_fewer_rows_than_volumes_are_refused(tmp_path: Path) -> None:
    files = derivatives(tmp_path, old_confounds(N_VOLUMES - 3))
    with pytest.raises(DamageError, match="37 rows of confounds for 40 volumes") as raised:
        pack(tmp_path, files)
    assert raised.value.file == str(files[1])
    assert not (tmp_path / "a.h5").exists()


def test_two_columns_that_mean_the_same_are_bad_data(tmp_path: Path) -> None:
    files = derivatives(tmp_path, old_confounds().assign(csf=0.0))
    with pytest.raises(DataError, match="mean the same"):
        pack(tmp_path, files)


def test_a_column_of_text_is_bad_data(tmp_path: Path) -> None:
    files = derivatives(tmp_path, old_confounds().assign(note="moved"))
    with pytest.raises(DataError, match="not numeric: note") as raised:
        pack(tmp_path, files)
    assert raised.value.file == str(files[1])


@pytest.mark.parametrize("text", ["{", "[1]", '"x"'])
def test_json_that_is_none_is_damage(tmp_path: Path, text: str) -> None:
    files = derivatives(tmp_path, old_confounds())
    files[1].with_suffix(".json").write_text(text)
    with pytest.raises(DamageError, match="confounds cannot be read"):
        pack(tmp_path, files)
