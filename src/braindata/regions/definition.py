"""What a region is: a name, a place in the paper's mapping, and one definition in space.

Coordinates are in one of the MNI152 template spaces. They are used as they stand on the grid of any
other MNI152 template: the versions differ by a few mm, less than the spheres' radii.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator

from braindata.errors import UsageError
from braindata.receipts import content_hash
from braindata.regions.kinds import Definition
from braindata.regions.kinds.base import Strict

Level = Literal["perception", "valuation", "execution", "integration"]
NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
SPACE_PATTERN = r"^MNI152(Lin|NLin(6|2009[abc])(Sym|Asym))?$"


class Region(Strict):
    """One region of a region set."""

    name: str = Field(pattern=NAME_PATTERN, description="Unique within the set, in lower case.")
    level: Level = Field(description="The level in the paper's mapping.")
    processes: tuple[str, ...] = Field(min_length=1, description="Cognitive processes.")
    references: tuple[str, ...] = Field(
        min_length=1, description="Publications that tie the region to its processes, with DOI."
    )
    space: str = Field(
        pattern=SPACE_PATTERN,
        description="The space of its coordinates, as BIDS names it; `MNI152` when the source "
        "names no version of the template.",
    )
    definition: Definition

    @field_validator("processes", "references")
    @classmethod
    def _no_blanks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if any(not value.strip() for value in values):
            raise ValueError("an entry is blank")
        return values

    @property
    def definition_hash(self) -> str:
        """Hash of what decides its voxels: a new name, process or source recomputes nothing."""
        return content_hash({"space": self.space, **self.definition.decisive()})[:12]

    @property
    def key(self) -> str:
        """Name and hash: the file name of everything that is derived from it."""
        return f"{self.name}-{self.definition_hash}"


def validate_set(regions: Iterable[Region]) -> None:
    """Check that regions can stand in one set.

    Parameters
    ----------
    regions : iterable of Region
        The regions of a set, over all of its files.

    Raises
    ------
    UsageError
        When two names are equal, or differ in case only (they would be one file on some file
        systems).
    """
    seen: dict[str, Region] = {}
    for region in regions:
        other = seen.get(region.name.casefold())
        if other is not None:
            raise UsageError(
                f"two regions have one name: {other.name} ({other.level}) and "
                f"{region.name} ({region.level})",
                hint="rename one of them",
            )
        seen[region.name.casefold()] = region
