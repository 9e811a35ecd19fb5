"""What the methods text says of how regions are defined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from braindata.regions.definition import Region
from braindata.regions.kinds import ImageKind, Kind, Shapes, Spheres
from braindata.regions.spaces import JOIN

_WORDS = {
    "atlas": "of parcels of an atlas",
    "mask": "of a mask",
    "union": "as the union of others",
    "intersection": "as the intersection of others",
    "difference": "as what is in one and not in others",
}


def kinds(regions: Iterable[Region]) -> list[str]:
    """Return how many regions there are of each kind; of spheres their number and radii."""
    radii: list[float] = []
    others: Counter[str] = Counter()
    for region in regions:
        definition = region.definition
        if isinstance(definition, Spheres):
            radii += [sphere.radius for sphere in definition.spheres]
        else:
            others[definition.kind] += 1
    parts = []
    if radii:
        low, high = min(radii), max(radii)
        size = f"{low:g} mm" if low == high else f"{low:g} to {high:g} mm"
        parts.append(f"{_count(len(radii), 'sphere')} with a radius of {size}")
    for kind, n in sorted(others.items()):
        parts.append(f"{_count(n, 'region')} {_WORDS.get(kind, f'of kind `{kind}`')}")
    return parts


def thresholds(regions: Iterable[Region]) -> list[str]:
    """Return the probabilities of grey matter above which voxels were kept, in ascending order."""
    found = {
        region.definition.grey_matter_threshold
        for region in regions
        if isinstance(region.definition, Shapes) and region.definition.grey_matter
    }
    return [f"{value:g}" for value in sorted(found)]


def by_coordinates(regions: Iterable[Region]) -> bool:
    """Whether coordinates alone define all of the regions."""
    return all(isinstance(region.definition, Shapes) for region in regions)


def resampling(regions: Iterable[Region]) -> str:
    """Return how images got onto the grid of the recordings; empty without images."""
    images = [image for region in regions for image in region.definition.images()]
    if not images:
        return ""
    weighted = [image for image in images if _is_interpolated(image)]
    if not weighted:
        return "Each voxel took the label at its centre, that of the nearest voxel of the image."
    linear = "Weights and probabilities were interpolated linearly"
    return f"{linear}." if len(weighted) == len(images) else f"{linear}, labels by nearest voxel."


def placements(regions: Iterable[Region], placed: Mapping[str, str], space: str | None) -> str:
    """Return how regions of other spaces got into that of the recordings; empty without any.

    Parameters
    ----------
    regions : iterable of Region
        The regions.
    placed : mapping of str to str
        Placement by region, as the table `regions` has it.
    space : str or None
        Space of the recordings.
    """
    spaces: dict[str, set[str]] = {"transformed": set(), "accepted": set()}
    for region in regions:
        way = placed.get(region.name)
        if way in spaces:
            spaces[way] |= set(region.space.split(JOIN)) - {space}
    told = []
    if spaces["transformed"]:
        told.append(
            f"Regions defined in {_listed(spaces['transformed'])} were carried to {space} by a "
            "spatial transform."
        )
    if spaces["accepted"]:
        told.append(
            f"Regions defined in {_listed(spaces['accepted'])} were used in {space} as they are, "
            "without a transform; the templates differ by a few mm."
        )
    return " ".join(told)


def _is_interpolated(definition: Kind) -> bool:
    return isinstance(definition, ImageKind) and bool(
        getattr(definition, "weights", False) or getattr(definition, "threshold", None) is not None
    )


def _listed(spaces: Iterable[str]) -> str:
    *first, last = sorted(spaces)
    return f"{', '.join(first)} and {last}" if first else last


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
