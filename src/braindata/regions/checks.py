"""Whether a region is where its name says, in the brain, and not empty."""

from __future__ import annotations

import re
from typing import Literal

from braindata.errors import BraindataError, UsageError
from braindata.regions.definition import Region
from braindata.regions.files import Placing
from braindata.regions.kinds import Atlas
from braindata.regions.resolve import ResolvedRegion, resolve
from braindata.regions.template import TemplateGrid

Side = Literal["left", "right"]

# Regions at the brain's surface reach out of another template's mask; none is mostly outside.
MIN_IN_BRAIN = 0.5
_WORDS: dict[str, Side] = {"left": "left", "lh": "left", "right": "right", "rh": "right"}
# A letter alone means a side at either end of a name only (`L_V1_ROI`, `Precentral_R`).
_LETTERS: dict[str, Side] = {"l": "left", "r": "right"}
# A side may be grown together with the next word (`LeftAmygdala`, `rAmyg`), which a capital tells
# from other words (`Rostral`, `leftover`); a letter only where it is small, or names such as `LGN`
# and `RSC` would have one.
_GROWN = re.compile(r"(Left|Right|left|right|LH|RH|lh|rh|l|r)(?=[A-Z][a-z])")


def side_of(name: str) -> Side | None:
    """Return the side that a name states; None where it states none, or both.

    Examples
    --------
    >>> side_of("7Networks_LH_Vis_1"), side_of("Right-Amygdala"), side_of("vmpfc")
    ('left', 'right', None)
    >>> side_of("LeftAmygdala"), side_of("rAmyg"), side_of("Rostral")
    ('left', 'right', None)
    """
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", name) if part]
    grown = [_GROWN.match(part) for part in parts]
    words = [part.casefold() for part in parts]
    sides = {_WORDS[word] for word in words if word in _WORDS}
    if len(words) > 1:
        sides |= {_LETTERS[word] for word in (words[0], words[-1]) if word in _LETTERS}
    sides |= {(_WORDS | _LETTERS)[match[1].casefold()] for match in grown if match}
    return sides.pop() if len(sides) == 1 else None


def check_region(region: Region, grid: TemplateGrid, placing: Placing) -> ResolvedRegion:
    """Resolve a region on the template's grid, and check it.

    Parameters
    ----------
    region : Region
        The region.
    grid : TemplateGrid
        The template.
    placing : Placing
        Its files, and how it gets into the template's space.

    Returns
    -------
    ResolvedRegion
        The region on that grid.

    Raises
    ------
    UsageError
        When it, or one of its parcels, is named after one side and its centre of mass is on the
        other; when more than half of it lies outside the brain; when there is no way into the
        template's space.
    BraindataError
        When it is empty, or one of its files is missing.
    """
    for image in region.definition.images():
        if isinstance(image, Atlas):
            _check_parcels(region, image, placing)
    resolved = resolve(region, grid.affine, grid.shape, grid.grey_matter, grid.space, placing)
    _require_side(f"region {region.name}", region.name, resolved.center_of_mass[0])
    inside = grid.brain.ravel()[resolved.voxels]
    share = float(resolved.weights[inside].sum() / resolved.weights.sum())
    if share < MIN_IN_BRAIN:
        raise UsageError(
            f"region {region.name}: {1 - share:.0%} of it lies outside the brain",
            hint="check its coordinates, or the affine and the space of its image",
        )
    return resolved


def _check_parcels(region: Region, atlas: Atlas, placing: Placing) -> None:
    # Reading images is for those who need it: this module is imported by planning.
    from braindata.regions.kinds.sampling import parcel_centers

    try:
        centers = parcel_centers(atlas, placing.files)
    except BraindataError as error:
        raise type(error)(
            f"region {region.name}: {error.problem}", file=error.file, hint=error.hint
        ) from error
    for parcel, center in centers.items():
        _require_side(f"region {region.name}: the parcel {parcel}", parcel, center[0])


def _require_side(what: str, name: str, x: float) -> None:
    side = side_of(name)
    if (side == "left" and x > 0) or (side == "right" and x < 0):
        other = "right" if side == "left" else "left"
        raise UsageError(
            f"{what} is {side} by its name, but its centre of mass is at x = {x:.1f} mm, "
            f"on the {other}",
            hint="left and right are swapped: in the image, in its affine, in the label table, or "
            "in the name",
        )
