"""What a region is: a name, a place in the paper's mapping, and one definition in space.

Coordinates are in one of the MNI152 template spaces. They are used as they stand on the grid of any
other MNI152 template: the versions differ by a few mm, less than the spheres' radii.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from braindata.errors import UsageError
from braindata.receipts import content_hash

Level = Literal["perception", "valuation", "execution", "integration"]
Hemisphere = Literal["left", "right", "midline"]

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
SPACE_PATTERN = r"^MNI152(Lin|NLin(6|2009[abc])(Sym|Asym))?$"

# Nothing of a head lies farther from the origin of MNI space.
Millimetres = Annotated[float, Field(ge=-150, le=150)]


class Strict(BaseModel):
    """A model that refuses unknown keys and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sphere(Strict):
    """One sphere in MNI space."""

    center: tuple[Millimetres, Millimetres, Millimetres] = Field(
        description="Centre in mm: x (right), y (anterior), z (superior)."
    )
    radius: float = Field(
        gt=0,
        le=40,
        description="Radius in mm; voxels whose centre is at this distance or nearer belong to it.",
    )
    hemisphere: Hemisphere = Field(
        description="On which side the centre lies; `midline` when the sphere reaches both sides."
    )
    source: str = Field(
        min_length=10, description="Where the coordinate comes from: publication or named parcel."
    )

    @model_validator(mode="after")
    def _side(self) -> Sphere:
        x = self.center[0]
        right_side = {"left": x < 0, "right": x > 0, "midline": abs(x) <= self.radius}
        if not right_side[self.hemisphere]:
            raise ValueError(f"a {self.hemisphere} sphere cannot have its centre at x = {x:g} mm")
        return self


class Spheres(Strict):
    """A region made of spheres; a voxel in two of them counts once."""

    kind: Literal["spheres"] = "spheres"
    spheres: tuple[Sphere, ...] = Field(min_length=1, description="The spheres.")
    grey_matter: bool = Field(
        default=True,
        description="Keep only voxels whose grey-matter probability in the template is above 0.2 "
        "(or the value of `grey_matter_threshold`).",
    )
    grey_matter_threshold: float = Field(
        default=0.2, ge=0, lt=1, description="Grey-matter probability above which a voxel is kept."
    )


Definition = Annotated[Spheres, Field(description="Where the region is.")]


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
        decisive = self.definition.model_dump(
            mode="json", exclude={"spheres": {"__all__": {"hemisphere", "source"}}}
        )
        return content_hash({"space": self.space, **decisive})[:12]

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
