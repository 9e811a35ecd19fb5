"""Regions that are not where they say, and the files that are brought to the jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from nilearn import datasets

from braindata.claiming import claim
from braindata.errors import BraindataError, UsageError
from braindata.files import sha256_file
from braindata.layout import Layout
from braindata.planning import Plan
from braindata.planning_stale import stale_receipts
from braindata.receipts import Receipt, receipt_beside
from braindata.regions.checks import check_region, side_of
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.spaces import NATIVE, Transform
from braindata.regions.template import template_grid
from braindata.stages import STEP_VERSION
from braindata.stages.region_files import check_definitions, provide

from .region_images import (
    SPACE,
    atlas,
    entry,
    grid,
    mask,
    read,
    read_one,
    save,
    sphere,
    two_sides,
    write_labels,
    write_regions,
)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("left_amygdala", "left"),
        ("amygdala_left", "left"),
        ("7Networks_LH_Vis_1", "left"),
        ("lh_V1", "left"),
        ("aHIP-lh", "left"),
        ("Left-Amygdala", "left"),
        ("L_V1_ROI", "left"),
        ("Precentral_L", "left"),
        ("ctx-rh-insula", "right"),
        ("Right Frontal Pole", "right"),
        ("R G_and_S_frontomargin", "right"),
        ("amygdala_r", "right"),
        ("vmpfc", None),
        ("l", None),
        ("left_to_right", None),
        ("cleft_lip", None),
        ("LeftAmygdala", "left"),
        ("rAmyg", "right"),
        ("aal_RightInsula", "right"),
        ("Rostral", None),
        ("rostralACC", None),
        ("LGN", None),
        ("RSC", None),
        ("leftover", None),
        ("area_l_of_three", None),
    ],
)
def test_side_of_a_name(name: str, side: str | None) -> None:
    assert side_of(name) == side


@pytest.fixture
def here(tmp_path: Path) -> Path:
    save(tmp_path / "atlas.nii.gz", two_sides())
    write_labels(tmp_path, {"LH_one": 1, "RH_two": 2})
    return tmp_path


def checked(folder: Path, *entries: dict[str, Any]) -> Any:
    region, placing = read_one(folder, *entries)
    return check_region(region, template_grid(3), placing)


def test_an_atlas_with_left_and_right_swapped_is_refused_by_name(here: Path) -> None:
    both = entry("r", atlas(parcels=["LH_one", "RH_two"]))
    assert checked(here, both).n_voxels > 100
    # In three ways: the voxels, the affine, the label table.
    flipped = [two_sides()[::-1].copy(), two_sides()]
    affine = grid()
    affine[0] *= -1
    for data, at in ((flipped[0], None), (flipped[1], affine)):
        save(here / "atlas.nii.gz", data, at)
        with pytest.raises(
            UsageError, match="region r: the parcel LH_one is left by its name"
        ) as e:
            checked(here, both)
        assert "on the right" in e.value.problem
    save(here / "atlas.nii.gz", two_sides())
    write_labels(here, {"LH_one": 2, "RH_two": 1})
    with pytest.raises(UsageError, match="the parcel LH_one is left by its name"):
        checked(here, both)


def test_a_region_on_the_other_side_is_refused(here: Path) -> None:
    at = (24.0, -4.0, -20.0)
    assert checked(here, entry("right_amygdala", sphere(at))).center_of_mass[0] > 20
    with pytest.raises(UsageError, match="region left_amygdala is left by its name"):
        checked(here, entry("left_amygdala", sphere(at)))
    inside = entry("a", atlas(parcels=["LH_one"])), entry("b", sphere(at))
    union = entry("rh_union", {"kind": "union", "of": ["a"]}) | {"space": SPACE}
    with pytest.raises(UsageError, match="region rh_union is right by its name"):
        checked(here, *inside, union)


def test_regions_outside_the_brain_are_refused(here: Path) -> None:
    with pytest.raises(UsageError, match="region r: 100% of it lies outside the brain"):
        checked(here, entry("r", sphere((-80, 60, 50))))
    data = np.zeros((40, 48, 40), np.uint8)
    data[2:5, 20:30, 20:30] = 1
    save(here / "mask.nii.gz", data)
    with pytest.raises(UsageError, match=r"region r: \d+% of it lies outside the brain"):
        checked(here, entry("r", mask()))
    # The surface of the brain is no reason.
    assert checked(here, entry("r", sphere((-64, -20, 10), 12))).n_voxels > 100


def test_names_that_differ_in_case_only_are_refused(here: Path) -> None:
    first = entry("r", sphere((-20, 0, 0)))
    with pytest.raises(UsageError, match="two regions have one name"):
        read(here, first, first)
    with pytest.raises(UsageError, match="name is 'R'"):
        read(here, first, entry("R", sphere((-20, 0, 0))))


def test_all_faults_are_told_at_once(here: Path) -> None:
    found = read(
        here,
        entry("left_one", sphere((30, 0, 0))),
        entry("elsewhere", sphere((-80, 60, 50))),
        entry("fine", sphere((-30, 0, 0))),
        entry("talks_of_another", sphere((-30, 0, 0)), space="MNI152Lin"),
    )
    with pytest.raises(UsageError) as caught:
        check_definitions(found.regions, Placing(), 3)
    told = str(caught.value)
    assert "3 regions are not what they say" in told
    for name in ("left_one is left", "elsewhere: 100% of it", "talks_of_another: it is defined"):
        assert f"region {name}" in told
    assert "region fine" not in told


def plan_of(folder: Path, **changes: Any) -> Plan:
    (folder / "bids" / "sub-01").mkdir(parents=True, exist_ok=True)
    (folder / "bids" / "dataset_description.json").write_text("{}")
    values = {
        "output": "out",
        "datasets": [{"id": "ds", "source": "bids"}],
        "regions": "mine.yaml",
        **changes,
    }
    file = folder / "my.yaml"
    file.write_text(yaml.safe_dump(values))
    return Plan(values, [file])


def test_claim_copies_files_under_their_hash(here: Path) -> None:
    write_regions(here, entry("r", atlas()))
    field = np.zeros((4, 4, 4, 1, 3), np.float32)
    image = nib.Nifti1Image(field, grid((4, 4, 4), 50.0))
    image.header.set_intent("vector")
    nib.save(image, here / "xfm.nii.gz")
    transform = {"from": "MNI152Lin", "to": NATIVE, "file": "xfm.nii.gz"}
    plan = plan_of(here, spaces={"transforms": [transform]})
    folder = here / "out" / "regions"
    # Planning alone, as a dry run does, copies nothing.
    assert not folder.exists()
    claim(plan)
    hashes = {sha256_file(here / name) for name in ("atlas.nii.gz", "xfm.nii.gz")}
    assert {path.name for path in folder.iterdir()} == {f"{h}.nii.gz" for h in hashes}
    assert all(sha256_file(path) == path.name[:64] for path in folder.iterdir())
    # The transform does not concern the region, so its job is not told of it.
    (key,) = plan.regions
    assert "xfm" not in plan.parameters("extract", key)
    assert '"transforms": []' in plan.parameters("extract", key)
    assert plan.placing.spaces.transforms == (
        Transform(start="MNI152Lin", end=NATIVE, sha256=sha256_file(here / "xfm.nii.gz")),
    )


def test_claim_refuses_before_any_job(here: Path) -> None:
    write_labels(here, {"RH_two": 1, "LH_one": 2})
    write_regions(here, entry("r", atlas()))
    with pytest.raises(UsageError, match="the parcel LH_one is left") as caught:
        claim(plan_of(here))
    assert caught.value.exit_code == 2


def test_parcels_of_negative_numbers_have_a_side_too(here: Path) -> None:
    save(here / "atlas.nii.gz", -two_sides())
    write_labels(here, {"RH_two": -1, "LH_one": -2})
    with pytest.raises(UsageError, match="the parcel LH_one is left"):
        checked(here, entry("r", atlas()))


def test_an_atlas_that_is_not_there_yet_is_told_with_its_region(here: Path) -> None:
    with pytest.raises(BraindataError, match="region r: the region file 000000000000… is not"):
        checked(here, entry("r", FETCHED | {"nilearn": "aal", "sha256": "0" * 64}))


def test_a_pair_of_spaces_that_is_taken_back_is_told_before_any_job(here: Path) -> None:
    write_regions(here, entry("r", sphere((-30, 0, 0)), space="MNI152Lin"))
    accepting = plan_of(here, spaces={"accepted": [["MNI152Lin", NATIVE]]})
    (key,) = accepting.regions
    path = receipt_beside(accepting.layout.series("ds", key))
    parameters = json.loads(accepting.parameters("extract", key))
    Receipt("extract", f"ds/{key}", STEP_VERSION["extract"], parameters, {}).write(path)
    assert accepting.new_regions(stale_receipts(accepting)) == []
    with pytest.raises(UsageError, match="region r: it is defined in MNI152Lin"):
        claim(plan_of(here, spaces={"accepted": []}))
    assert path.is_file()


def test_an_accepted_pair_changes_only_the_regions_of_that_space(here: Path) -> None:
    native = entry("native", sphere((-30, 0, 0)))
    other = entry("other", sphere((-30, 0, 0)), space="MNI152Lin")
    write_regions(here, native, other)
    first, second = plan_of(here), plan_of(here, spaces={"accepted": [["MNI152Lin", NATIVE]]})
    assert list(first.regions) == list(second.regions)
    changed = [
        k
        for k in first.regions
        if first.parameters("extract", k) != second.parameters("extract", k)
    ]
    assert [key.partition("-")[0] for key in changed] == ["other"]


FETCHED = {"kind": "atlas", "source": "by nilearn, 2018", "parcels": ["LH_one"]}


def fetched(folder: Path, **changes: Any) -> dict[str, Any]:
    sha256 = sha256_file(folder / "atlas.nii.gz")
    return entry("r", {**FETCHED, "nilearn": "aal", "sha256": sha256} | changes)


def test_nilearns_atlases_are_fetched_once_and_checked(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fetch_atlas_aal(version: str = "", verbose: int = 1) -> dict[str, Any]:
        calls.append((version, verbose))
        lut = pd.DataFrame({"index": [0, 1, 2], "name": ["Background", "LH_one", "RH_two"]})
        return {"maps": str(here / "atlas.nii.gz"), "lut": lut, "labels": list(lut["name"])}

    monkeypatch.setattr(datasets, "fetch_atlas_aal", fetch_atlas_aal)
    layout = Layout(here / "out")
    found = read(here, fetched(here, options={"version": "3v2"}))
    for _ in range(2):
        provide(layout, found.regions, RegionFiles())
    assert calls == [("3v2", 0)]
    (region,) = found.regions
    placing = Placing(RegionFiles(layout.regions()))
    local, _ = read_one(here, entry("l", atlas()))
    got = check_region(region, template_grid(3), placing)
    assert np.array_equal(got.voxels, checked(here, entry("l", atlas())).voxels)
    assert region.definition_hash != local.definition_hash
    with pytest.raises(UsageError, match="region r: what was fetched has the sha256"):
        provide(layout, read(here, fetched(here, sha256="1" * 64)).regions, RegionFiles())
    with pytest.raises(UsageError, match="does not take these options"):
        provide(layout, read(here, fetched(here, options={"verzion": 1})).regions, RegionFiles())
    with pytest.raises(UsageError, match="nilearn has no atlas shaefer_2018") as caught:
        provide(layout, read(here, fetched(here, nilearn="shaefer_2018")).regions, RegionFiles())
    assert "schaefer_2018" in str(caught.value.hint)
    unknown = read(here, fetched(here, parcels=["lh_one"], options={"version": "3v2"}))
    with pytest.raises(UsageError, match="no parcel lh_one; the nearest names: LH_one"):
        check_region(unknown.regions[0], template_grid(3), placing)


def test_an_atlas_made_in_memory_and_maps_without_background(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = np.stack([two_sides() == 1, two_sides() == 2], axis=-1).astype(np.float32)
    image = nib.Nifti1Image(maps, grid())
    bunch = {"maps": image, "labels": ["Background", "LH_one", "RH_two"], "lut": pd.DataFrame()}
    monkeypatch.setattr(datasets, "fetch_atlas_aal", lambda verbose: bunch)
    nib.save(image, here / "made.nii")
    changes = {"sha256": sha256_file(here / "made.nii"), "parcels": ["RH_two"], "threshold": 0.5}
    (region,) = read(here, fetched(here, **changes)).regions
    provide(Layout(here / "out"), [region], RegionFiles())
    placing = Placing(RegionFiles(here / "out" / "regions"))
    assert check_region(region, template_grid(3), placing).center_of_mass[0] > 0


def test_without_a_network_there_is_one_error(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(verbose: int) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "fetch_atlas_aal", offline)
    with pytest.raises(BraindataError, match="region r: nilearn's aal could not be fetched") as e:
        provide(Layout(here / "out"), read(here, fetched(here)).regions, RegionFiles())
    assert "no network" in e.value.problem
    assert "state `file:`" in str(e.value.hint)


def test_templateflow_is_asked_for_one_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entities = {"template": "MNI152NLin2009cAsym", "atlas": "Made", "resolution": 2}
    body = fetched(here, nilearn=None, templateflow={**entities, "suffix": "dseg"})
    (region,) = read(here, body).regions
    monkeypatch.setitem(sys.modules, "templateflow", None)
    with pytest.raises(UsageError, match="templateflow is not installed") as caught:
        provide(Layout(here / "out"), [region], RegionFiles())
    assert "braindata[templateflow]" in str(caught.value.hint)

    def get(extension: str, **asked: Any) -> Any:
        assert asked.get("resolution") == (2 if extension == ".nii.gz" else None)
        return here / ("atlas.nii.gz" if extension == ".nii.gz" else "atlas.tsv")

    package = ModuleType("templateflow")
    package.api = SimpleNamespace(get=get)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "templateflow", package)
    provide(Layout(here / "out"), [region], RegionFiles())
    placing = Placing(RegionFiles(here / "out" / "regions"))
    assert check_region(region, template_grid(3), placing).center_of_mass[0] < 0
    package.api.get = lambda **_: [here / "a", here / "b"]  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="must name one file"):
        provide(Layout(here / "other"), [region], RegionFiles())


def test_reading_regions_imports_no_numerical_library(here: Path) -> None:
    file = write_regions(here, entry("r", atlas()), entry("u", {"kind": "union", "of": ["r"]}))
    code = (
        "import sys; from braindata.config_regions import read_regions;"
        "print(len(read_regions(sys.argv[1]).regions),"
        "[m for m in ('numpy', 'nibabel', 'nilearn', 'scipy', 'h5py') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "2 []"
