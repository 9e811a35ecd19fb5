"""The default region set: complete, at the places it names, and large enough."""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from nilearn.datasets import load_mni152_template
from numpy.typing import NDArray

from braindata.regions.definition import Region, validate_set
from braindata.regions.kinds import Sphere
from braindata.regions.resolve import ResolvedRegion, resolve
from braindata.regions.template import grey_matter

FOLDER = Path(__file__).parents[2] / "config" / "regions" / "spheres"

REGIONS = {
    "perception": ["visual", "auditory", "somatosensory"],
    "valuation": ["ventral_striatum", "vmpfc", "ofc", "amygdala", "insula"],
    "execution": ["dlpfc", "acc", "frontopolar", "posterior_parietal", "pre_sma"],
    "integration": ["ifg", "angular_gyrus", "tpj", "mpfc", "pcc"],
}

PROCESSES = {
    "perception": {"vision", "audition", "touch"},
    "valuation": {
        "reward",
        "value",
        "confidence",
        "confirmation of a rule",
        "novelty",
        "salience",
        "effort",
        "self-control",
        "internal state",
    },
    "execution": {
        "representation of current and alternative rules",
        "evaluation of the environment",
        "retrieval of a rule",
        "motivation",
        "attention",
        "action selection",
    },
    "integration": {
        "language",
        "conceptual integration",
        "social cognition",
        "self-cognition",
        "autobiographical memory",
    },
}

# Bartra, McGuire & Kable (2013), doi:10.1016/j.neuroimage.2013.02.063
BARTRA = {
    "vmpfc": [(2, 46, -8)],
    "ventral_striatum": [(-12, 12, -6), (12, 10, -6)],
}


@cache
def load(level: str) -> list[Region]:
    body = yaml.safe_load((FOLDER / f"{level}.yaml").read_text(encoding="utf-8"))
    assert body["level"] == level
    return [Region(level=level, **entry) for entry in body["regions"]]


@cache
def resolved(level: str) -> list[ResolvedRegion]:
    template = load_mni152_template(resolution=2)
    grey = grey_matter(template.affine, template.shape)
    return [resolve(region, template.affine, template.shape, grey) for region in load(level)]


def parcels_of(sphere: Sphere) -> list[str]:
    return re.findall(r"7Networks_\w+|[lm]AMY-[lr]h", sphere.source)


def all_spheres() -> list[tuple[str, Sphere]]:
    regions = [region for level in REGIONS for region in load(level)]
    return [(region.name, s) for region in regions for s in region.definition.spheres]


def test_the_set_is_complete() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(REGIONS)
    validate_set(region for level in REGIONS for region in load(level))
    for level, names in REGIONS.items():
        assert [region.name for region in load(level)] == names
        assert {p for region in load(level) for p in region.processes} == PROCESSES[level]


@pytest.mark.parametrize("name", BARTRA)
def test_value_regions_are_at_the_peaks_of_the_meta_analysis(name: str) -> None:
    (region,) = [r for r in load("valuation") if r.name == name]
    assert [s.center for s in region.definition.spheres] == BARTRA[name]
    assert region.space == "MNI152"


def test_every_other_sphere_names_its_parcels() -> None:
    for name, sphere in all_spheres():
        parcels = parcels_of(sphere)
        assert bool(parcels) == (name not in BARTRA), name
        side = {"left": ("_LH_", "-lh"), "right": ("_RH_", "-rh")}.get(sphere.hemisphere, ())
        assert all(any(mark in parcel for mark in side) for parcel in parcels), name


@pytest.mark.parametrize("level", REGIONS)
def test_both_sides_are_there_and_alike(level: str) -> None:
    for region in load(level):
        sides = [s.hemisphere for s in region.definition.spheres]
        if region.name == "vmpfc":
            assert sides == ["midline"]
        else:
            assert sides.count("left") == sides.count("right") == len(sides) / 2
        # Left and right follow each other in the file, and are each other's counterparts.
        spheres = region.definition.spheres
        for left, right in zip(spheres[::2], spheres[1::2], strict=False):
            assert left.radius == right.radius
            mirrored = np.array(left.center) * (-1, 1, 1)
            assert np.linalg.norm(mirrored - right.center) < 15, region.name


@pytest.mark.parametrize("level", REGIONS)
def test_regions_have_voxels_in_grey_matter(level: str) -> None:
    for region, got in zip(load(level), resolved(level), strict=True):
        assert got.n_voxels >= 20, region.name
        assert got.volume == pytest.approx(8 * got.n_voxels)
        centers = np.array([s.center for s in region.definition.spheres])
        assert np.linalg.norm(centers.mean(axis=0) - got.center_of_mass) < 4, region.name
        # Each sphere by itself is worth having.
        template = load_mni152_template(resolution=2)
        for sphere in region.definition.spheres:
            alone = region.model_copy(
                update={"definition": region.definition.model_copy(update={"spheres": (sphere,)})}
            )
            grey = grey_matter(template.affine, template.shape)
            assert resolve(alone, template.affine, template.shape, grey).n_voxels >= 20


def test_no_voxel_belongs_to_two_regions() -> None:
    regions = [got for level in REGIONS for got in resolved(level)]
    for one, other in itertools.combinations(regions, 2):
        shared = np.intersect1d(one.voxels, other.voxels)
        assert not len(shared), f"{one.name} and {other.name} share {len(shared)} voxels"


def test_parcel_coordinates_are_those_of_the_atlas(shared_data: Path) -> None:
    stem = "atlases/Schaefer2018_400Parcels_7Networks_order_Tian_Subcortex_S2"
    atlas = nib.load(shared_data / f"{stem}_3T_MNI152NLin2009cAsym_2mm.nii.gz")
    values = np.asarray(atlas.dataobj).astype(int)
    lines = (shared_data / f"{stem}_label.txt").read_text().splitlines()
    numbers = {
        name: int(line.split()[0]) for name, line in zip(lines[::2], lines[1::2], strict=True)
    }
    for name, sphere in all_spheres():
        if name in BARTRA:
            continue
        wanted = [numbers[parcel] for parcel in parcels_of(sphere)]
        assert sphere.center == pytest.approx(_central_voxel(values, atlas.affine, wanted)), name


def _central_voxel(
    values: NDArray[np.int64], affine: NDArray[np.float64], wanted: list[int]
) -> list[float]:
    """The voxel of the parcels that is nearest to their centre of mass, in mm."""
    positions = nib.affines.apply_affine(affine, np.argwhere(np.isin(values, wanted)))
    distance = np.linalg.norm(positions - positions.mean(axis=0), axis=1)
    nearest: list[float] = positions[np.argmin(distance)].tolist()
    return nearest
