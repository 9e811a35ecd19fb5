"""Atlases and masks: equal to nilearn's resampling, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.image import resample_img
from numpy.typing import NDArray

from braindata.errors import BraindataError, DamageError, EmptyRegionError, UsageError
from braindata.files import sha256_file
from braindata.regions.definition import Region
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.resolve import ResolvedRegion, resolve

from .region_images import (
    SPACE,
    atlas,
    entry,
    grid,
    mask,
    read,
    read_one,
    save,
    two_sides,
    write_labels,
)

TARGET = (17, 19, 16)


def on_grid(
    region: Region, placing: Placing, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> ResolvedRegion:
    return resolve(region, affine, shape, np.ones(shape, np.float32), SPACE, placing)


def affine_from(seed: int, size: float) -> NDArray[np.float64]:
    """A grid of any orientation and shear whose middle is near the origin."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(size * rng.uniform(0.7, 1.4, 3)) + rng.normal(size=(3, 3)) * 0.1
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(TARGET) - 1) / 2) + rng.uniform(-3, 3, 3)
    return affine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas, a mask, and four maps of probabilities, on a grid of their own."""
    path = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    shape = (14, 15, 13)
    affine = affine_from(99, 4.0)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    save(path / "atlas.nii.gz", rng.integers(0, 5, shape).astype(np.int16), affine)
    save(path / "mask.nii", (rng.random(shape) < 0.3).astype(np.uint8), affine)
    save(path / "weights.nii.gz", rng.random(shape).astype(np.float32), affine)
    save(path / "maps.nii.gz", rng.random((*shape, 4)).astype(np.float32), affine)
    write_labels(path, {"Background": 0, "one": 1, "two": 2, "three": 3, "four": 4})
    write_labels(path, {"one": 0, "two": 1, "three": 2, "four": 3}, "maps.tsv")
    return path


def by_nilearn(
    path: Path, affine: NDArray[np.float64], how: str, map_index: int | None = None
) -> NDArray[np.float64]:
    image = nib.load(path)
    if map_index is not None:
        image = image.slicer[..., map_index]
    image = nib.Nifti1Image(image.get_fdata(), image.affine)
    resampled = resample_img(
        image, affine, TARGET, interpolation=how, force_resample=True, copy_header=True
    )
    values: NDArray[np.float64] = resampled.get_fdata().ravel()
    return values


affines = st.builds(affine_from, st.integers(0, 10_000), st.sampled_from([2.0, 3.0, 5.0]))


@settings(max_examples=25, deadline=None)
@given(affine=affines)
def test_labels_equal_nilearns_nearest(folder: Path, affine: NDArray[np.float64]) -> None:
    region, placing = read_one(folder, entry("r", atlas(parcels=["two", "four"])))
    expected = np.flatnonzero(
        np.isin(by_nilearn(folder / "atlas.nii.gz", affine, "nearest"), (2, 4))
    )
    got = on_grid(region, placing, affine, TARGET)
    assert got.voxels.tolist() == expected.tolist()
    assert set(got.weights.tolist()) == {1.0}


@settings(max_examples=25, deadline=None)
@given(affine=affines)
def test_masks_equal_nilearns_nearest(folder: Path, affine: NDArray[np.float64]) -> None:
    region, placing = read_one(folder, entry("r", mask(file="mask.nii")))
    expected = np.flatnonzero(by_nilearn(folder / "mask.nii", affine, "nearest"))
    assert on_grid(region, placing, affine, TARGET).voxels.tolist() == expected.tolist()


@settings(max_examples=25, deadline=None)
@given(affine=affines, threshold=st.sampled_from([None, 0.4]))
def test_weights_equal_nilearns_linear(
    folder: Path, affine: NDArray[np.float64], threshold: float | None
) -> None:
    how = {"weights": True} if threshold is None else {"threshold": threshold}
    region, placing = read_one(folder, entry("r", mask(file="weights.nii.gz", **how)))
    values = by_nilearn(folder / "weights.nii.gz", affine, "linear")
    got = on_grid(region, placing, affine, TARGET)
    full = np.zeros(np.prod(TARGET))
    full[got.voxels] = got.weights
    if threshold is None:
        np.testing.assert_allclose(full, values, atol=1e-6)
        x, y, z = got.center_of_mass
        positions = np.indices(TARGET).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
        np.testing.assert_allclose((x, y, z), values @ positions / values.sum(), atol=1e-4)
    else:
        clear = abs(values - threshold) > 1e-6
        assert np.array_equal(full[clear] == 1, values[clear] > threshold)


@settings(max_examples=10, deadline=None)
@given(affine=affines)
def test_maps_of_a_probabilistic_atlas_equal_nilearns(
    folder: Path, affine: NDArray[np.float64]
) -> None:
    changes: dict[str, Any] = {"file": "maps.nii.gz", "labels": "maps.tsv"}
    region, placing = read_one(
        folder, entry("r", atlas(**changes, parcels=["four", "one"], weights=True))
    )
    maps = [by_nilearn(folder / "maps.nii.gz", affine, "linear", n) for n in (0, 3)]
    got = on_grid(region, placing, affine, TARGET)
    full = np.zeros(np.prod(TARGET))
    full[got.voxels] = got.weights
    np.testing.assert_allclose(full, np.max(maps, axis=0), atol=1e-6)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    save(tmp_path / "atlas.nii.gz", two_sides())
    save(tmp_path / "mask.nii.gz", (two_sides() == 1).astype(np.uint8))
    write_labels(tmp_path, {"LH_one": 1, "RH_two": 2})
    return tmp_path


TABLES = {
    "bids": "index\tname\tabbreviation\n1\tLH_one\tL\n2\tRH_two\tR\n",
    "freesurfer": "#No. Label Name: R G B A\n0 Unknown 0 0 0 0\n1 LH_one 1 2 3 0\n2 RH_two 4 5 6 0",
    "commented": "0 Unknown 0 0 0 0\n1 LH_one 1 2 3 0 # left\n2 RH_two 4 5 6 0  # right",
    "workbench": "LH_one\n1 144 246 45 255\nRH_two\n2 34 165 59 255\n",
}


@pytest.mark.parametrize("kind", TABLES)
def test_reads_every_label_table(here: Path, kind: str) -> None:
    (here / "atlas.tsv").write_text(TABLES[kind])
    region, placing = read_one(here, entry("r", atlas(parcels=["RH_two"])))
    data = two_sides()
    got = on_grid(region, placing, grid(), data.shape)
    assert got.voxels.tolist() == np.flatnonzero(data == 2).tolist()
    assert got.center_of_mass[0] > 0


def test_the_hash_goes_by_contents(here: Path) -> None:
    def hash_of(**changes: Any) -> str:
        return read_one(here, entry("r", atlas(**changes)))[0].definition_hash

    first = hash_of()
    sha256 = sha256_file(here / "atlas.nii.gz")
    assert hash_of(sha256=sha256, version="3", source="another word for it") == first
    (here / "sub").mkdir()
    for name in ("atlas.nii.gz", "atlas.tsv"):
        (here / "sub" / name).write_bytes((here / name).read_bytes())
    assert hash_of(file="sub/atlas.nii.gz", labels="sub/atlas.tsv") == first
    write_labels(here, {"a_new_name": 1, "RH_two": 2})
    assert hash_of(parcels=["a_new_name"]) == first
    assert hash_of(parcels=["RH_two"]) != first
    write_labels(here, {"LH_one": 2})
    assert hash_of() != first
    write_labels(here, {"LH_one": 1})
    save(here / "atlas.nii.gz", two_sides() * np.int16(1) + (two_sides() == 2))
    assert hash_of() != first


def test_parameters_of_jobs_hold_no_path(here: Path) -> None:
    region, placing = read_one(here, entry("r", atlas(file=str(here / "atlas.nii.gz"))))
    text = region.model_dump_json()
    assert str(here) not in text
    again = Region.model_validate(json.loads(text))
    assert again == region
    assert again.definition_hash == region.definition_hash
    data = two_sides()
    assert np.array_equal(
        on_grid(again, placing, grid(), data.shape).voxels, np.flatnonzero(data == 1)
    )


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("index\tname\n1\n2\tRH_two\n", "the parcel 1 has no name"),
        ("name\tindex\nLH_one\nRH_two\t2\n", "no label table that is known"),
        # By lines in pairs this would be a table of two parcels.
        ("index\tlabel\n1\tLH_one\n2\tRH_two\n3\tthree\n", "no label table that is known"),
    ],
)
def test_refuses_label_tables_with_gaps(here: Path, table: str, says: str) -> None:
    (here / "atlas.tsv").write_text(table)
    with pytest.raises(UsageError, match=f"region r: .*{says}"):
        read(here, entry("r", atlas()))


@pytest.mark.parametrize("contents", [b"", b"text", b"\x5c\x01" + bytes(200)])
@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
def test_refuses_what_is_no_image(tmp_path: Path, contents: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(contents)
    region, placing = read_one(tmp_path, entry("r", mask(file=name)))
    with pytest.raises(UsageError, match="region r: this is no NIfTI image"):
        on_grid(region, placing, grid(), (4, 4, 4))


def test_refuses_an_uncompressed_image_that_is_cut_off(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.nii", two_sides())
    path.write_bytes(path.read_bytes()[:9000])
    region, placing = read_one(tmp_path, entry("r", mask(file="mask.nii")))
    with pytest.raises(UsageError, match="region r: its voxels cannot be read"):
        on_grid(region, placing, grid(), two_sides().shape)


@pytest.mark.parametrize("dtype", ["c8", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_refuses_colours_and_complex_numbers(tmp_path: Path, dtype: Any) -> None:
    data = np.zeros((4, 4, 4), dtype)
    nib.save(nib.Nifti1Image(data, np.eye(4), dtype=data.dtype), tmp_path / "mask.nii")
    region, placing = read_one(tmp_path, entry("r", mask(file="mask.nii")))
    with pytest.raises(UsageError, match="region r: its voxels are colours or complex"):
        on_grid(region, placing, grid(), (4, 4, 4))


@pytest.mark.parametrize("scale", [1e18, 1e30])
def test_large_weights_are_weights(tmp_path: Path, scale: float) -> None:
    data = (two_sides() == 1) * scale
    save(tmp_path / "mask.nii", data)
    region, placing = read_one(tmp_path, entry("r", mask(file="mask.nii", weights=True)))
    got = on_grid(region, placing, grid(), data.shape)
    assert got.voxels.tolist() == np.flatnonzero(data).tolist()
    np.testing.assert_allclose(got.weights, scale, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_refuses_values_beyond_single_precision(tmp_path: Path, scale: float) -> None:
    save(tmp_path / "mask.nii", (two_sides() == 1) * scale)
    region, placing = read_one(tmp_path, entry("r", mask(file="mask.nii")))
    with pytest.raises(UsageError, match="region r: its values are too large or too small"):
        on_grid(region, placing, grid(), two_sides().shape)


def test_maps_are_not_counted_from_a_table_that_lacks_the_first(here: Path) -> None:
    maps = np.stack([two_sides() == 1, two_sides() == 2], axis=-1).astype(np.float32)
    save(here / "atlas.nii.gz", maps)
    write_labels(here, {"RH_two": 2})
    region, placing = read_one(here, entry("r", atlas(parcels=["RH_two"], weights=True)))
    with pytest.raises(UsageError, match="the numbers of the maps begin at 2"):
        on_grid(region, placing, grid(), maps.shape[:3])


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        (atlas(parcels=["lh_one"]), "there is no parcel lh_one; the nearest names: LH_one"),
        (atlas(sha256="0" * 64), "its sha256 is .*, stated is 0000"),
        (atlas(file="gone.nii.gz"), "there is no file gone.nii.gz"),
        (atlas(labels="gone.tsv"), "there is no file gone.tsv"),
        (atlas(file="~nobody_of_this_name/a.nii"), "there is no file ~nobody"),
        (atlas(file="a\0.nii"), "there is no file a"),
        (atlas(file="atlas.tsv"), "no NIfTI file"),
        (atlas(indices=[1]), "definition.indices is filled in"),
        (atlas(parcels=["LH_one", "LH_one"]), "a parcel is listed twice"),
        (atlas(nilearn="schaefer_2018"), "state exactly one of file, nilearn, templateflow"),
        (atlas(labels=None), "labels is missing"),
        (atlas(weights=True, threshold=1), "state threshold or weights, not both"),
        (mask(parcels=["a"]), "definition.parcels is not known; known: file, .*weights"),
        ({"kind": "msk"}, "definition.kind is 'msk', which is not known; did you mean mask?"),
        ({"file": "mask.nii.gz"}, "definition.kind is missing"),
        (
            {"kind": "atlas", "nilearn": "aal", "parcels": ["a"], "source": "a place for it"},
            "sha256 is missing: what is fetched",
        ),
    ],
)
def test_refuses_while_planning(here: Path, definition: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=f"region r: .*{says}") as caught:
        read(here, entry("r", definition))
    assert caught.value.exit_code == 2
    assert "mine.yaml, line" in str(caught.value)


def broken(what: str) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    data = (two_sides() == 1).astype(np.float32)
    match what:
        case "nan":
            data[0, 0, 0] = np.nan
        case "zero":
            data[:] = 0
        case "4D":
            data = np.stack([data, data], axis=-1)
        case "elsewhere":
            affine = grid()
            affine[:3, 3] += 1000
            return data, affine
        case "negative":
            data -= 1
    return data, None


@pytest.mark.parametrize(
    ("what", "changes", "says"),
    [
        ("nan", {}, "holds NaN"),
        ("zero", {}, "all of its voxels are 0"),
        ("4D", {}, "a mask has three dimensions"),
        ("affine", {}, "affine cannot be inverted"),
        ("elsewhere", {}, "the mask holds no voxel of the image grid"),
        ("negative", {"weights": True}, "weights below 0"),
        ("", {"threshold": 7}, "the mask holds no voxel"),
    ],
)
def test_refuses_masks_by_name(
    tmp_path: Path, what: str, changes: dict[str, Any], says: str
) -> None:
    data, affine = broken(what)
    path = save(tmp_path / "mask.nii", data, affine)
    if what == "affine":
        contents = bytearray(path.read_bytes())
        # NIfTI-1: the first row of the sform.
        contents[280:296] = bytes(16)
        path.write_bytes(contents)
    region, placing = read_one(tmp_path, entry("r", mask(file="mask.nii", **changes)))
    with pytest.raises(BraindataError, match=f"region r: .*{says}") as caught:
        on_grid(region, placing, grid(), data.shape[:3])
    # Only where the grid is to blame do recordings on other grids have the region.
    assert isinstance(caught.value, EmptyRegionError) == ("no voxel" in says)


@pytest.mark.parametrize(
    ("changes", "data", "says"),
    [
        ({"threshold": 0.5}, two_sides(), "one number per voxel"),
        ({}, two_sides() * 0.3, "holds no labels"),
        ({}, np.stack([two_sides()] * 2, axis=-1), "one map per parcel"),
        ({"threshold": 0}, two_sides()[..., None], "the image has 1 maps, none is that of RH_two"),
        ({"parcels": ["LH_one", "absent"]}, two_sides(), "belongs to the parcel absent"),
    ],
)
def test_refuses_atlases_by_name(
    here: Path, changes: dict[str, Any], data: NDArray[Any], says: str
) -> None:
    save(here / "atlas.nii.gz", data.astype(np.float32))
    write_labels(here, {"LH_one": 1, "RH_two": 2, "absent": 9})
    region, placing = read_one(
        here, entry("r", atlas(**{"parcels": ["LH_one", "RH_two"]} | changes))
    )
    with pytest.raises(UsageError, match=f"region r: .*{says}"):
        on_grid(region, placing, grid(), data.shape[:3])


def test_a_missing_or_damaged_file_says_what_to_do(here: Path) -> None:
    region, placing = read_one(here, entry("r", mask()))
    with pytest.raises(BraindataError, match="is not there") as caught:
        on_grid(region, Placing(RegionFiles(here / "regions")), grid(), two_sides().shape)
    assert "run Snakemake again" in str(caught.value.hint)
    (here / "mask.nii.gz").write_bytes(b"other")
    with pytest.raises(DamageError, match="altered, or cut off"):
        on_grid(region, placing, grid(), two_sides().shape)


@pytest.mark.parametrize("center", [[1, 2], [1, 2, 3, 4]])
def test_a_wrong_number_of_coordinates_is_told_in_words(
    tmp_path: Path, center: list[float]
) -> None:
    one = {"center": center, "radius": 8, "hemisphere": "right", "source": "a publication"}
    with pytest.raises(UsageError) as caught:
        read(tmp_path, entry("r", {"kind": "spheres", "spheres": [one]}))
    shown = f"region r: definition.spheres.0.center is {center!r}; it must have 3 entries"
    assert caught.value.problem == shown
    assert caught.value.hint == "center: Centre in mm: x (right), y (anterior), z (superior)."
