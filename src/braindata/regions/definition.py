"""What a region is: a name, a place in the paper's mapping, and one definition in space.

Coordinates and images are in one of the MNI152 template spaces; `braindata.regions.spaces` says how
they get into that of the recordings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator

from braindata.errors import UsageError
from braindata.regions.kinds import Definition, Kind, SetOperation, definition_hash
from braindata.regions.spaces import JOIN, SPACES_PATTERN
from braindata.regions.strict import Strict

Level = Literal["perception", "valuation", "execution", "integration"]
NAME_PATTERN = r"^[a-z][a-z0-9_]*$"


class Place(Strict):
    """Where a region is, and nothing that is said about it."""

    name: str = Field(pattern=NAME_PATTERN, description="Unique within the set, in lower case.")
    space: str = Field(
        default="",
        pattern=SPACES_PATTERN,
        description="The space of its coordinates or image, as BIDS names it; `MNI152` when the "
        "source names no version of the template. Left out for union, intersection and difference, "
        "which have that of their regions.",
    )
    definition: Definition

    @model_validator(mode="after")
    def _space_is_stated(self) -> Self:
        if isinstance(self.definition, SetOperation):
            return self
        if not self.space:
            raise ValueError("space is missing: the template space of its coordinates or image")
        if JOIN in self.space:
            raise ValueError(f"space must be one space, not {self.space}")
        return self

    @property
    def definition_hash(self) -> str:
        """Hash of what decides its voxels.

        A new process or source leaves it, and with it the names of the region's files, as they are;
        the region's own jobs run again, so that the tables say what the region file says.
        """
        return definition_hash(self.space, self.definition)

    @property
    def spaces(self) -> frozenset[str]:
        """The spaces of all its parts."""
        return self.definition.spaces(self.space)

    @property
    def key(self) -> str:
        """Name and hash: the file name of everything that is derived from it."""
        return f"{self.name}-{self.definition_hash}"


class Region(Place):
    """One region of a region set."""

    level: Level = Field(description="The level in the paper's mapping.")
    processes: tuple[str, ...] = Field(min_length=1, description="Cognitive processes.")
    references: tuple[str, ...] = Field(
        min_length=1, description="Publications that tie the region to its processes, with DOI."
    )

    @field_validator("processes", "references")
    @classmethod
    def _no_blanks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if any(not value.strip() for value in values):
            raise ValueError("an entry is blank")
        return values

    def place(self) -> Place:
        """Return where it is: what a job is told that rests on nothing else of it."""
        return Place(name=self.name, space=self.space, definition=self.definition)


def parse_definition(value: object) -> Kind:
    """Return the definition that JSON-like values state."""
    return _DEFINITION.validate_python(value)


_DEFINITION: TypeAdapter[Kind] = TypeAdapter(Definition)


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
