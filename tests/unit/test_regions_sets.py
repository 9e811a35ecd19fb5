"""Union, intersection, difference: against numpy's sets, and what they refuse."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from braindata.errors import EmptyRegionError, UsageError
from braindata.regions.definition import Region
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.resolve import ResolvedRegion, resolve

from .region_images import SPACE, entry, grid, mask, read, save, sphere

SHAPE = (40, 48, 40)


def combined(kind: str, *of: str, **changes: Any) -> dict[str, Any]:
    body = entry(kind, {"kind": kind, "of": list(of)})
    del body["space"]
    return body | changes


def on_grid(region: Region, placing: Placing | None = None) -> ResolvedRegion:
    return resolve(region, grid(), SHAPE, np.ones(SHAPE, np.float32), SPACE, placing)


centers = st.tuples(st.integers(-30, -10), st.integers(-20, 20), st.integers(-20, 20))


@settings(max_examples=25, deadline=None)
@given(a=centers, b=centers, c=centers)
def test_equal_numpys_sets(
    tmp_path_factory: pytest.TempPathFactory, a: Any, b: Any, c: Any
) -> None:
    spheres = {name: sphere(at, 25) for name, at in zip("abc", (a, b, c), strict=True)}
    difference = entry("difference", {"kind": "difference", "of": ["a"], "minus": ["b"]})
    del difference["space"]
    found = read(
        tmp_path_factory.mktemp("sets"),
        combined("union", "a", "b", "c"),
        combined("intersection", "b", "c"),
        difference,
        *(entry(name, one) for name, one in spheres.items()),
    )
    regions = {one.name: one for one in found.regions}
    parts = {name: set(on_grid(regions[name]).voxels.tolist()) for name in spheres}
    expected = {
        "union": parts["a"] | parts["b"] | parts["c"],
        "intersection": parts["b"] & parts["c"],
        "difference": parts["a"] - parts["b"],
    }
    for name, voxels in expected.items():
        if voxels:
            got = on_grid(regions[name])
            assert got.voxels.tolist() == sorted(voxels)
            assert set(got.weights.tolist()) == {1.0}
            assert regions[name].space == SPACE
        else:
            with pytest.raises(EmptyRegionError, match=f"region {name}: nothing is left"):
                on_grid(regions[name])


def weighted(tmp_path: Path) -> tuple[dict[str, Region], Placing, list[NDArray[np.float32]]]:
    rng = np.random.default_rng(0)
    maps = [rng.random((4, 5, 6), dtype=np.float32) * (rng.random((4, 5, 6)) < 0.6) for _ in "ab"]
    for name, one in zip("ab", maps, strict=True):
        save(tmp_path / f"{name}.nii", one.astype(np.float32))
    parts = [entry(name, mask(file=f"{name}.nii", weights=True)) for name in "ab"]
    found = read(tmp_path, combined("union", "a", "b"), combined("intersection", "a", "b"), *parts)
    regions = {one.name: one for one in found.regions}
    return regions, Placing(RegionFiles(local=found.files)), maps


def test_weights_are_the_larger_and_the_smaller(tmp_path: Path) -> None:
    regions, placing, (a, b) = weighted(tmp_path)
    for name, expected in (("union", np.maximum(a, b)), ("intersection", np.minimum(a, b))):
        ones = np.ones(a.shape, np.float32)
        got = resolve(regions[name], grid(a.shape), a.shape, ones, SPACE, placing)
        full = np.zeros(a.size)
        full[got.voxels] = got.weights
        np.testing.assert_allclose(full, expected.ravel(), atol=1e-6)


def hashes(tmp_path: Path, *entries: Any) -> dict[str, str]:
    return {one.name: one.definition_hash for one in read(tmp_path, *entries).regions}


def test_the_hash_covers_the_parts_and_not_their_names(tmp_path: Path) -> None:
    a, b = entry("a", sphere((-20, 0, 0))), entry("b", sphere((-20, 0, 10)))
    first = hashes(tmp_path, a, b, combined("union", "a", "b"))["union"]
    assert hashes(tmp_path, a, b, combined("union", "b", "a"))["union"] == first
    renamed = entry("c", sphere((-20, 0, 0)))
    assert hashes(tmp_path, renamed, b, combined("union", "b", "c"))["union"] == first
    other = entry("a", sphere((-20, 0, 1)))
    changed = hashes(tmp_path, other, b, combined("union", "a", "b"))
    assert changed["union"] != first
    assert changed["b"] == hashes(tmp_path, a, b)["b"]
    minus = [entry("d", {"kind": "difference", "of": [x], "minus": [y]}) for x, y in ("ab", "ba")]
    assert len({hashes(tmp_path, a, b, one | {"space": SPACE})["d"] for one in minus}) == 2


def test_parameters_are_complete_through_several_levels(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        combined("intersection", "union", "c"),
        combined("union", "a", "b"),
        *(entry(name, sphere((-20, 0, n * 4), 15)) for n, name in enumerate("abc")),
    )
    (region,) = [one for one in found.regions if one.name == "intersection"]
    again = Region.model_validate(json.loads(region.model_dump_json()))
    assert again == region
    assert np.array_equal(on_grid(again).voxels, on_grid(region).voxels)
    assert region.definition.sources() == [
        f"{way}: {one['definition']['spheres'][0]['source']}"
        for way, one in (
            ("union: a", entry("a", sphere((-20, 0, 0)))),
            ("union: b", entry("b", sphere((-20, 0, 0)))),
            ("c", entry("c", sphere((-20, 0, 0)))),
        )
    ]


def test_regions_of_several_spaces_keep_theirs(tmp_path: Path) -> None:
    a, b = entry("a", sphere((-20, 0, 0))), entry("b", sphere((-20, 0, 8)), space="MNI152")
    (region,) = [
        o for o in read(tmp_path, a, b, combined("union", "a", "b")).regions if "u" in o.name
    ]
    assert region.space == f"MNI152+{SPACE}"
    assert on_grid(region).placement == "accepted"
    with pytest.raises(UsageError, match="region union: space is MNI152, its regions are in"):
        read(tmp_path, a, b, combined("union", "a", "b") | {"space": "MNI152"})


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([combined("union", "a", "vmfpc")], "region union: there is no region vmfpc"),
        ([combined("union", "union")], "region union is made from itself: union → union"),
        (
            [combined("union", "intersection"), combined("intersection", "a", "union")],
            "made from itself: union → intersection → union",
        ),
        ([combined("union", "a", "a")], "a region is named twice"),
        ([combined("intersection", "a")], "of"),
        (
            [combined("union", "a", definition={"kind": "union", "of": ["a"], "operands": []})],
            "fill",
        ),
        ([entry("x", sphere((-20, 0, 0))) | {"space": ""}], "space"),
        ([entry("x", sphere((-20, 0, 0)), space=f"MNI152+{SPACE}")], "must be one space"),
    ],
)
def test_refuses(tmp_path: Path, entries: list[dict[str, Any]], says: str) -> None:
    parts = [entry("a", sphere((-20, 0, 0))), entry("vmpfc", sphere((-20, 0, 0)))]
    for order in itertools.permutations([*entries, *parts]):
        with pytest.raises(UsageError, match=says.partition(":")[0] if "→" in says else says) as e:
            read(tmp_path, *order)
        assert "mine.yaml, line" in str(e.value)
    if "vmfpc" in says:
        assert e.value.hint == "did you mean vmpfc?"
