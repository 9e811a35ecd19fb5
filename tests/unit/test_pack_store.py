"""The sample store: what is written is read, and a damaged file is bad data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindata.errors import BraindataError, DamageError, UsageError
from braindata.pack.order import voxel_order
from braindata.pack.store import CHUNK_VOXELS, Grid, open_store, write_store
from braindata.pack.sums import RegionMean

N_VOXELS = 2 * CHUNK_VOXELS + 77
N_VOLUMES = 25


def contents(seed: int = 0, n_voxels: int = N_VOXELS) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [90, -126, -72]
    confounds = pd.DataFrame(rng.normal(size=(N_VOLUMES, 2)), columns=["csf", "csf_derivative1"])
    confounds.loc[0, "csf_derivative1"] = np.nan
    mask = np.zeros((20, 21, 22), bool)
    mask.ravel()[rng.choice(mask.size, n_voxels, replace=False)] = True
    return {
        "samples": rng.normal(size=(n_voxels, N_VOLUMES)).astype(np.float32),
        "grid": Grid((20, 21, 22), affine, "MNI152NLin2009aSym"),
        "voxels": voxel_order(mask).voxels,
        "has_data": rng.random(n_voxels) < 0.9,
        "tr": 0.72,
        "confounds": confounds,
        "attributes": {"start_time": 0.36, "source": "sub-Ä_bold.nii.gz", "n_dummy": 2},
    }


def test_reads_what_was_written(tmp_path: Path) -> None:
    written = contents()
    write_store(tmp_path / "new" / "a.h5", **written)
    with open_store(tmp_path / "new" / "a.h5") as store:
        assert store.grid.shape == written["grid"].shape
        np.testing.assert_array_equal(store.grid.affine, written["grid"].affine)
        assert store.grid.space == written["grid"].space
        np.testing.assert_array_equal(store.voxels, written["voxels"])
        assert store.voxels.dtype == np.int64
        np.testing.assert_array_equal(store.has_data, written["has_data"])
        assert store.has_data.dtype == np.bool_
        assert (store.n_volumes, store.tr) == (N_VOLUMES, 0.72)
        pd.testing.assert_frame_equal(store.confounds, written["confounds"])
        assert store.attributes == written["attributes"]
        samples = store.read_voxels(np.arange(N_VOXELS))
        np.testing.assert_array_equal(samples, written["samples"])
        assert samples.dtype == np.float32
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.h5"]


def set_header(path: Path, **changes: Any) -> None:
    """Change the header, as somebody who knows the format would."""
    with h5py.File(path, "r+") as file:
        header = json.loads(file["header"][:].tobytes()) | changes
        del file["header"]
        file["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)


@pytest.mark.parametrize("n_long", [0, 100_000])
def test_no_flipped_bit_becomes_a_value(tmp_path: Path, n_long: int) -> None:
    # Nor does it hang HDF5, as one in an attribute that is a text may.
    path = tmp_path / "a.h5"
    written = contents(n_voxels=300)
    written["attributes"]["long"] = "x" * n_long
    write_store(path, **written)
    whole = path.read_bytes()

    def read() -> tuple[Any, ...]:
        with open_store(path) as store:
            return (
                store.read_raw(np.arange(300)).tobytes(),
                store.voxels.tobytes(),
                store.has_data.tobytes(),
                store.confounds.to_csv(),
                (store.slope, store.intercept, store.tr, store.n_volumes, store.attributes),
                (store.grid.shape, store.grid.affine.tolist(), store.grid.space),
            )

    right = read()
    rng = np.random.default_rng(3)
    places = [*range(0, 6000, 9), *rng.integers(0, len(whole), 300).tolist()]
    n_found = 0
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            assert read() == right
        except DamageError:
            n_found += 1
    assert n_found > 250


@pytest.mark.parametrize(
    "changes",
    [{"shape": None}, {"n_volumes": 3}, {"n_volumes": "x"}, {"confounds": ["csf"]}],
    ids=str,
)
def test_a_header_that_contradicts_the_rest_is_damage(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = tmp_path / "a.h5"
    write_store(path, **contents())
    set_header(path, **changes)
    with pytest.raises(DamageError), open_store(path) as store:
        store.read_raw(np.arange(4))


@pytest.mark.parametrize("header", [b"[]", b"5", b"{}", b"\xff"])
def test_a_foreign_header_is_damage(tmp_path: Path, header: bytes) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["header"] = np.frombuffer(header, np.uint8)
    with pytest.raises(DamageError, match="no sample store"), open_store(tmp_path / "a.h5"):
        pass


@pytest.mark.parametrize("position", [-1, N_VOXELS])
def test_a_voxel_that_is_not_stored_is_refused(
    stored: tuple[Path, np.ndarray], position: int
) -> None:
    with open_store(stored[0]) as store, pytest.raises(UsageError, match="1 of 2 voxels are not"):
        store.read_voxels(np.array([0, position]))


def test_voxels_may_be_given_in_any_order(tmp_path: Path) -> None:
    written = contents()
    write_store(tmp_path / "a.h5", **written)
    shuffled = np.random.default_rng(5).permutation(N_VOXELS)
    for name in ("samples", "voxels", "has_data"):
        written[name] = written[name][shuffled]
    write_store(tmp_path / "b.h5", **written)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f4", "<f8"])
def test_the_source_s_numbers_come_back_unchanged(tmp_path: Path, dtype: str) -> None:
    written = contents()
    numbers = (100 * written["samples"]).clip(0, 120).astype(dtype)
    write_store(tmp_path / "a.h5", **written | {"samples": numbers, "slope": 0.3, "intercept": -7})
    with open_store(tmp_path / "a.h5") as store:
        raw = store.read_raw(np.arange(N_VOXELS))
        np.testing.assert_array_equal(raw, numbers)
        assert raw.dtype.kind == numbers.dtype.kind
        assert raw.dtype.itemsize == numbers.dtype.itemsize
        scaled = store.read_voxels(np.arange(N_VOXELS))
    np.testing.assert_array_equal(scaled, (numbers * 0.3 - 7).astype(np.float32))


def test_a_store_of_means_holds_no_voxels(tmp_path: Path) -> None:
    written = contents()
    mean = RegionMean(np.arange(N_VOLUMES) / 3, 0.75, 12)
    write_store(tmp_path / "a.h5", **written | {"samples": None}, means={"vmpfc-0a": mean})
    with open_store(tmp_path / "a.h5") as store:
        assert not store.has_samples
        (found,) = store.means().items()
        assert found[0] == "vmpfc-0a"
        assert (found[1].coverage, found[1].n_voxels) == (0.75, 12)
        np.testing.assert_array_equal(found[1].values, mean.values)
        pd.testing.assert_frame_equal(store.confounds, written["confounds"])
        with pytest.raises(BraindataError, match="without its voxels") as raised:
            store.read_voxels(np.array([0]))
    assert "pack.store: true" in (raised.value.hint or "")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("store") / "a.h5"
    written = contents()
    write_store(path, **written)
    return path, written["samples"]


@settings(max_examples=40, deadline=None)
@given(positions=st.lists(st.integers(0, N_VOXELS - 1), max_size=60))
def test_voxels_come_in_the_order_asked_for(
    stored: tuple[Path, np.ndarray], positions: list[int]
) -> None:
    path, samples = stored
    with open_store(path) as store:
        got = store.read_voxels(np.array(positions, np.int64))
    np.testing.assert_array_equal(got, samples[positions].reshape(-1, N_VOLUMES))


def test_same_contents_give_same_bytes(tmp_path: Path) -> None:
    write_store(tmp_path / "a.h5", **contents())
    write_store(tmp_path / "b.h5", **contents())
    write_store(tmp_path / "c.h5", **contents(seed=1))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert (tmp_path / "a.h5").read_bytes() != (tmp_path / "c.h5").read_bytes()


def test_a_store_smaller_than_a_chunk(tmp_path: Path) -> None:
    written = contents(n_voxels=3)
    write_store(tmp_path / "a.h5", **written)
    with open_store(tmp_path / "a.h5") as store:
        np.testing.assert_array_equal(
            store.read_voxels(np.array([2, 0])), written["samples"][[2, 0]]
        )


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_damage(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.h5"
    write_store(path, **contents())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DamageError, match="cannot be opened") as raised, open_store(path):
        pass
    assert raised.value.file == str(path)
    assert raised.value.hint


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamageError, match="cannot be opened"), open_store(tmp_path / "a.h5"):
        pass


def test_another_hdf5_file_is_damage(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["samples"] = np.zeros((3, 4))
    with pytest.raises(DamageError, match="no sample store"), open_store(tmp_path / "a.h5"):
        pass


@pytest.mark.parametrize(
    ("which", "says"), [("format_version", "another version"), ("mask_version", "another mask")]
)
def test_another_version_is_damage(tmp_path: Path, which: str, says: str) -> None:
    path = tmp_path / "a.h5"
    write_store(path, **contents())
    set_header(path, **{which: 99})
    with pytest.raises(DamageError, match=says), open_store(path):
        pass


@pytest.mark.parametrize("name", ["header", "mask", "has_data", "confounds"])
def test_a_lost_part_is_damage(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.h5"
    write_store(path, **contents())
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(DamageError, match="no sample store"), open_store(path):
        pass


@pytest.mark.parametrize("name", ["voxels", "has_data", "confounds"])
def test_refuses_parts_of_different_length(tmp_path: Path, name: str) -> None:
    written = contents()
    written[name] = written[name][:-1]
    with pytest.raises(ValueError, match="differ in length"):
        write_store(tmp_path / "a.h5", **written)
    assert not (tmp_path / "a.h5").exists()
