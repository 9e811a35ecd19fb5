"""Small images that regions are made from, and the entries of region files for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml
from numpy.typing import NDArray

from braindata.config_regions import RegionSet, read_regions
from braindata.regions.definition import Region
from braindata.regions.files import Placing, RegionFiles

SOURCE = "made for a test, to be had nowhere"
SPACE = "MNI152NLin2009aSym"


def grid(shape: tuple[int, int, int] = (40, 48, 40), size: float = 4.0) -> NDArray[np.float64]:
    """A grid around the origin."""
    affine = np.diag([size, size, size, 1.0])
    affine[:3, 3] = -size * (np.array(shape) - 1) / 2
    return affine


def save(path: Path, data: NDArray[Any], affine: NDArray[np.float64] | None = None) -> Path:
    """Write a NIfTI."""
    image = nib.Nifti1Image(data, grid(data.shape[:3]) if affine is None else affine)
    nib.save(image, path)
    return path


def two_sides(shape: tuple[int, int, int] = (40, 48, 40)) -> NDArray[np.int16]:
    """Labels: 1 in a box on the left, 2 in one on the right, both in the brain."""
    data = np.zeros(shape, np.int16)
    data[11:16, 20:26, 20:26] = 1
    data[25:30, 20:26, 20:26] = 2
    return data


def entry(name: str, definition: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A region as a region file states it."""
    return {
        "name": name,
        "processes": ["value"],
        "references": ["a publication"],
        "space": SPACE,
        "definition": dict(definition),
    } | changes


def atlas(**changes: Any) -> dict[str, Any]:
    """A definition of an atlas region."""
    return {
        "kind": "atlas",
        "file": "atlas.nii.gz",
        "labels": "atlas.tsv",
        "source": SOURCE,
        "parcels": ["LH_one"],
    } | changes


def mask(**changes: Any) -> dict[str, Any]:
    """A definition of a mask region."""
    return {"kind": "mask", "file": "mask.nii.gz", "source": SOURCE} | changes


def sphere(center: tuple[float, float, float], radius: float = 10.0) -> dict[str, Any]:
    """A definition of a region of one sphere."""
    side = "left" if center[0] < 0 else "right"
    one = {"center": list(center), "radius": radius, "hemisphere": side, "source": SOURCE}
    return {"kind": "spheres", "grey_matter": False, "spheres": [one]}


def write_regions(folder: Path, *entries: Mapping[str, Any]) -> Path:
    """Write a region file."""
    file = folder / "mine.yaml"
    body = {"level": "valuation", "regions": [dict(one) for one in entries]}
    file.write_text(yaml.safe_dump(body, sort_keys=False))
    return file


def read(folder: Path, *entries: Mapping[str, Any]) -> RegionSet:
    """Write a region file and read it."""
    return read_regions(str(write_regions(folder, *entries)))


def read_one(folder: Path, *entries: Mapping[str, Any]) -> tuple[Region, Placing]:
    """Read a region file; return the region that stands last in it, and its files."""
    found = read(folder, *entries)
    (region,) = [one for one in found.regions if one.name == entries[-1]["name"]]
    return region, Placing(RegionFiles(local=found.files))


def write_labels(folder: Path, names: Mapping[str, int], file: str = "atlas.tsv") -> None:
    """Write a BIDS label table."""
    rows = "".join(f"{index}\t{name}\n" for name, index in names.items())
    (folder / file).write_text(f"index\tname\n{rows}")
