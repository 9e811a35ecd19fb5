"""What a user can set about alignment, and which regions are aligned together.

Read whenever a run is planned: no numerical library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from braindata.errors import UsageError, nearest
from braindata.receipts import content_hash
from braindata.regions.definition import Level, Place, Region
from braindata.regions.strict import Strict

Method = Literal["auto", "procrustes", "srm", "connectivity"]
Grouping = Literal["level", "region"]
# All groups of a kind.
LEVELS, REGIONS = "levels", "regions"


class AlignSettings(BaseModel):
    """How people are aligned: what changes a result."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: Method = Field(
        default="auto",
        description="`procrustes` and `srm` (a few dimensions, `rank`) for people who saw or heard "
        "the same at the same time; `connectivity` for others, by correlations with blocks of grey "
        "matter. `auto`: `procrustes` where the events say that people did, else `connectivity`; "
        "the table `alignment` says which, and why.",
    )
    rank: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default=20,
        description="Dimensions of `srm` per parcel; `auto` chooses on inner runs, which is slow.",
    )
    shrinkage: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5,
        description="How far the whitening of each person's voxels is shrunken; 1 for none. `auto` "
        "chooses on inner runs, which is slow; 0.5 for `connectivity`.",
    )
    prior: Literal["auto"] | Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="How much maps are drawn to anatomy, each voxel to itself; 1 weighs as much as "
        "the data. `auto` chooses on inner runs; 0 for `connectivity`.",
    )
    weighting: bool = Field(
        default=True,
        description="Whether common dimensions are the principal ones, weighted by how well "
        "people agree in them.",
    )
    parcel_size: int = Field(
        default=250,
        ge=20,
        description="Voxels to aim at: larger regions are cut into parcels, each with a template "
        "of its own.",
    )
    n_targets: int = Field(
        default=100, ge=20, description="Blocks of grey matter that `connectivity` goes by."
    )
    min_coverage: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Smallest share of a parcel's voxels that must hold data in all recordings of "
        "a person; below it the person stays unaligned.",
    )
    n_permutations: int = Field(
        default=100, ge=10, description="Permutations for the chance level of each score."
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")


class AlignParameters(AlignSettings):
    """How people are aligned, and in which groups of regions."""

    groups: tuple[str, ...] = Field(
        default=(),
        description="Which groups of regions: `levels` (one per level), `regions` (one per "
        "region), or names of levels and regions. Empty: nothing is aligned. See "
        "docs/alignment.md.",
    )
    strategy: str = Field(
        default="simple",
        description="How voxels are cleaned before maps are fitted: a strategy or preset as in "
        "`extract.strategies`.",
    )

    @field_validator("groups")
    @classmethod
    def _each_once(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(groups)) < len(groups):
            raise ValueError("a group is listed twice")
        return groups

    def settings(self) -> AlignSettings:
        """Return what changes the result of a group's job."""
        return AlignSettings(**self.model_dump(include=set(AlignSettings.model_fields)))


class Group(Strict):
    """Regions that are aligned together."""

    name: str
    grouping: Grouping
    parts: tuple[Place, ...] = Field(min_length=1)

    @property
    def hash(self) -> str:
        """Hash of what decides its voxels: of a region alone, the region's own."""
        if self.grouping == "region":
            return self.parts[0].definition_hash
        return content_hash([self.grouping, sorted(part.key for part in self.parts)])[:12]

    @property
    def key(self) -> str:
        """Name and hash: the file name of everything that is made of it."""
        return f"{self.name}-{self.hash}"

    @property
    def spaces(self) -> frozenset[str]:
        """The spaces of all its parts."""
        return frozenset[str]().union(*(part.spaces for part in self.parts))


def find_groups(regions: Iterable[Region], wanted: Sequence[str]) -> list[Group]:
    """Return the groups that are asked for: levels first, then regions, each by name.

    Parameters
    ----------
    regions : iterable of Region
        The regions in use.
    wanted : sequence of str
        As `AlignParameters.groups`.

    Raises
    ------
    UsageError
        When there is no such level or region, or a region bears the name of a level.
    """
    if not wanted:
        return []
    by_name = {region.name: region for region in sorted(regions, key=lambda one: one.name)}
    levels: dict[str, list[Region]] = {}
    for region in by_name.values():
        levels.setdefault(region.level, []).append(region)
    known = [LEVELS, REGIONS, *get_args(Level), *by_name]
    for name in wanted:
        if name not in known:
            kinds = f"`{LEVELS}`, `{REGIONS}`, a level ({', '.join(get_args(Level))}) or a region"
            raise UsageError(f"align.groups: there is no {name}", hint=nearest(name, known, kinds))
    same = sorted({LEVELS, REGIONS, *get_args(Level)} & by_name.keys())
    if same:
        raise UsageError(
            f"align.groups: a region has the name {same[0]}, which means something else here",
            hint="rename the region",
        )
    of_levels = [
        Group(name=name, grouping="level", parts=tuple(one.place() for one in members))
        for name, members in sorted(levels.items())
        if LEVELS in wanted or name in wanted
    ]
    of_regions = [
        Group(name=name, grouping="region", parts=(region.place(),))
        for name, region in by_name.items()
        if REGIONS in wanted or name in wanted
    ]
    return of_levels + of_regions
