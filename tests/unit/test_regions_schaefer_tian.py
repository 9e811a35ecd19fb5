"""The set of Schaefer's and Tian's parcels: complete, as near to the spheres as the docs say."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

from braindata.config_regions import RegionSet, read_regions
from braindata.errors import UsageError
from braindata.files import sha256_file
from braindata.regions.agreement import agreement, agreement_table
from braindata.regions.checks import check_region
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.kinds import Atlas
from braindata.regions.resolve import ResolvedRegion
from braindata.regions.template import template_grid
from tests.unit.test_regions_spheres import PROCESSES, REGIONS

FOLDER = Path(__file__).parents[2] / "config" / "regions" / "schaefer_tian"
ATLAS = "Schaefer2018_400Parcels_7Networks_order_Tian_Subcortex_S2"
IMAGE = f"{ATLAS}_3T_MNI152NLin2009cAsym_2mm.nii.gz"
NAMES = [name for names in REGIONS.values() for name in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The set with the files beside it, as docs/regions.md says."""
    folder = tmp_path_factory.mktemp("sets") / "schaefer_tian"
    shutil.copytree(FOLDER, folder)
    for name in (IMAGE, f"{ATLAS}_label.txt"):
        (folder / name).symlink_to(shared_data / "atlases" / name)
    return folder


@pytest.fixture(scope="module")
def parcels(folder: Path) -> RegionSet:
    return read_regions(str(folder))


def resolved(found: RegionSet) -> dict[str, ResolvedRegion]:
    placing = Placing(RegionFiles(local=found.files))
    return {one.name: check_region(one, template_grid(2), placing) for one in found.regions}


@pytest.fixture(scope="module")
def spheres(repository: Path) -> dict[str, ResolvedRegion]:
    return resolved(read_regions(str(repository / "config/regions/spheres")))


@pytest.fixture(scope="module")
def on_template(parcels: RegionSet) -> dict[str, ResolvedRegion]:
    return resolved(parcels)


def test_without_the_files_it_says_where_they_are() -> None:
    with pytest.raises(UsageError, match=f"region .*: there is no file {IMAGE}") as caught:
        read_regions(str(FOLDER))
    assert "https://github.com/yetianmed/subcortex" in str(caught.value.hint)
    assert caught.value.exit_code == 2


def test_both_sets_hold_the_same_regions_for_the_same_processes(repository: Path) -> None:
    for level, names in REGIONS.items():
        bodies = [
            yaml.safe_load((repository / f"config/regions/{one}/{level}.yaml").read_text())
            for one in ("spheres", "schaefer_tian")
        ]
        of_spheres, of_parcels = (body["regions"] for body in bodies)
        assert [one["name"] for one in of_parcels] == names
        assert {p for one in of_parcels for p in one["processes"]} == PROCESSES[level]
        for sphere, parcel in zip(of_spheres, of_parcels, strict=True):
            assert sphere["processes"] == parcel["processes"]
            assert sphere["references"] == parcel["references"][: len(sphere["references"])]


def test_it_is_complete_on_the_native_template(
    on_template: dict[str, ResolvedRegion], spheres: dict[str, ResolvedRegion]
) -> None:
    assert sorted(on_template) == sorted(NAMES) == sorted(spheres)
    for name, region in on_template.items():
        assert region.n_voxels >= 500, name
        assert set(region.weights.tolist()) == {1.0}
        assert region.placement == "accepted"
        # Both sides are there, about alike.
        x = np.unravel_index(region.voxels, template_grid(2).shape)[0] * 2 - 98
        assert 0.5 < (x < 0).sum() / (x > 0).sum() < 2, name
    for one, other in itertools.combinations(on_template.values(), 2):
        assert not len(np.intersect1d(one.voxels, other.voxels)), (one.name, other.name)


def test_voxels_are_those_of_the_image(
    parcels: RegionSet, on_template: dict[str, ResolvedRegion], folder: Path
) -> None:
    image = nib.load(folder / IMAGE)
    labels = np.asarray(image.dataobj).astype(int)
    grid = template_grid(2)
    for region in parcels.regions:
        assert isinstance(region.definition, Atlas)
        index = np.column_stack(np.unravel_index(on_template[region.name].voxels, grid.shape))
        places = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        # 2 mm voxels on both grids, three quarters of one apart: no tie is possible.
        at = np.rint((places - image.affine[:3, 3]) / np.diag(image.affine)[:3]).astype(int)
        assert set(np.unique(labels[tuple(at.T)])) == set(region.definition.indices)


def test_parcels_say_what_the_docs_say(repository: Path, folder: Path) -> None:
    text = (repository / "docs" / "regions.md").read_text(encoding="utf-8")
    for name in (IMAGE, f"{ATLAS}_label.txt"):
        assert re.search(rf"{re.escape(name)}` \| `{sha256_file(folder / name)}`", text)


def test_the_agreement_in_the_docs_is_the_computed_one(
    on_template: dict[str, ResolvedRegion], spheres: dict[str, ResolvedRegion], repository: Path
) -> None:
    table = agreement_table(spheres, on_template, sorted(NAMES), template_grid(2))
    text = (repository / "docs" / "regions.md").read_text(encoding="utf-8")
    assert text.endswith(table), "run: braindata regions compare, and put its table there"


def test_agreement_by_hand() -> None:
    grid = template_grid(2)

    def box(*bounds: tuple[int, int]) -> ResolvedRegion:
        mask = np.zeros(grid.shape, bool)
        mask[tuple(slice(*one) for one in bounds)] = True
        voxels = np.flatnonzero(mask)
        ones = np.ones(len(voxels))
        return ResolvedRegion("r", voxels, ones, (0, 0, 0), len(voxels), 1.0, "same space")

    # Indices below 49 are left of the midline; the second is shifted by 3 voxels to the front.
    one = agreement(box((30, 40), (50, 60), (40, 50)), box((30, 40), (53, 63), (40, 50)), grid)
    assert (one.dice, one.within) == pytest.approx((0.7, 0.7))
    assert one.n_voxels == (1000, 1000)
    assert one.left == pytest.approx(6)
    assert one.right is None
