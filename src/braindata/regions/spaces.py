"""Template spaces: whether a region in one of them may be used on images in another, and how."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from braindata.errors import UsageError
from braindata.regions.strict import Strict

_TEMPLATE = r"MNI152(Lin|NLin(6|2009[abc])(Sym|Asym))?"
SPACE_PATTERN = rf"^{_TEMPLATE}$"
# A set operation over regions of several spaces has all of them.
SPACES_PATTERN = rf"^{_TEMPLATE}(\+{_TEMPLATE})*$"
JOIN = "+"

Space = Annotated[str, Field(pattern=SPACE_PATTERN)]
Placement = Literal["same space", "transformed", "accepted"]
# From what is best to what is least exact.
PLACEMENTS: tuple[Placement, ...] = ("same space", "transformed", "accepted")

NATIVE = "MNI152NLin2009aSym"
# What the default sets need on native output, and on fMRIPrep's in its usual spaces;
# docs/regions.md says how far these are apart.
DEFAULT_ACCEPTED = (
    ("MNI152", NATIVE),
    ("MNI152NLin6Asym", NATIVE),
    ("MNI152NLin2009cAsym", NATIVE),
    ("MNI152", "MNI152NLin2009cAsym"),
    ("MNI152NLin6Asym", "MNI152NLin2009cAsym"),
    ("MNI152", "MNI152NLin6Asym"),
    ("MNI152NLin2009cAsym", "MNI152NLin6Asym"),
)


class Transform(Strict):
    """A spatial transform, by its contents: what jobs are told of it.

    Attributes
    ----------
    start, end : str
        The space of the regions that it carries, and that of the images it carries them to.
    sha256 : str
        Hash of its file.
    """

    start: Space
    end: Space
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Spaces(Strict):
    """How regions get into the space of the images.

    Attributes
    ----------
    accepted : tuple of (str, str)
        Pairs of a region's space and the images' space between which coordinates are taken over
        as they are.
    transforms : tuple of Transform
        Transforms that are at hand; they come before accepted pairs.
    """

    accepted: tuple[tuple[Space, Space], ...] = DEFAULT_ACCEPTED
    transforms: tuple[Transform, ...] = ()

    def concerning(self, spaces: Iterable[str]) -> Spaces:
        """Return what concerns regions of these spaces: the rest decides nothing for them."""
        wanted = set(spaces)
        return Spaces(
            accepted=tuple(sorted(pair for pair in self.accepted if pair[0] in wanted)),
            transforms=tuple(
                sorted(
                    (one for one in self.transforms if one.start in wanted),
                    key=lambda one: (one.start, one.end),
                )
            ),
        )

    def route(self, start: str, end: str) -> tuple[Placement, Transform | None]:
        """Return how a region gets from its space to that of the images.

        Raises
        ------
        UsageError
            When there is no transform, and the configuration does not accept the pair.
        """
        if start == end:
            return "same space", None
        for transform in self.transforms:
            if (transform.start, transform.end) == (start, end):
                return "transformed", transform
        if (start, end) in self.accepted:
            return "accepted", None
        raise UsageError(
            f"it is defined in {start}, the images are in {end}",
            hint=f"name a transform from {start} to {end} under `spaces: transforms:`, or, if "
            "a few mm do not matter for this region, add "
            f"[{start}, {end}] to `spaces: accepted:` (see docs/regions.md)",
        )
