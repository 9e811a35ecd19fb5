"""Regions made from other regions: union, intersection, difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, SerializeAsAny, field_validator

from braindata.errors import BraindataError, EmptyRegionError
from braindata.receipts import content_hash
from braindata.regions.kinds.base import Kind
from braindata.regions.strict import Strict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from braindata.regions.definition import Region
    from braindata.regions.kinds.images import ImageKind
    from braindata.regions.points import Points


def _any_kind(value: object) -> object:
    # A set operation may be made of set operations, so the union of all kinds is known only later.
    if isinstance(value, BaseModel):
        return value
    from braindata.regions.definition import parse_definition

    return parse_definition(value)


class Operand(Strict):
    """A region that another one is made from: what decides its voxels, and its name."""

    name: str
    space: str
    definition: Annotated[SerializeAsAny[Kind], BeforeValidator(_any_kind)]

    @property
    def definition_hash(self) -> str:
        """Hash of what decides its voxels."""
        return definition_hash(self.space, self.definition)


def definition_hash(space: str, definition: Kind) -> str:
    """Return the hash of what decides the voxels of a definition in a space."""
    return content_hash({"space": space, **definition.decisive()})[:12]


class SetOperation(Kind):
    """A region made from others of the same region set, by name."""

    FILLED_IN: ClassVar[frozenset[str]] = frozenset({"operands"})

    of: tuple[str, ...] = Field(min_length=1, description="Names of the regions.")
    operands: tuple[Operand, ...] = Field(
        default=(), description="Their definitions; filled in when region files are read."
    )

    @field_validator("of", "minus", check_fields=False)
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a region is named twice")
        return names

    def operand_names(self) -> tuple[str, ...]:
        """Return the names of the regions that it is made from."""
        return self.of

    def with_operands(self, regions: Mapping[str, Region]) -> Self:
        """Return the definition with the regions that it names filled in."""
        operands = tuple(
            Operand(name=name, space=regions[name].space, definition=regions[name].definition)
            for name in self.operand_names()
        )
        return self.model_copy(update={"operands": operands})

    def decisive(self) -> dict[str, Any]:
        """Return what decides the voxels: the definitions of the regions, not their names."""
        return {"kind": self.kind, "operands": sorted(self._hashes())}

    def spaces(self, own: str) -> frozenset[str]:
        """Return the spaces of the regions that it is made from."""
        del own
        parts = [one.definition.spaces(one.space) for one in self.operands]
        return frozenset().union(*parts)

    def sources(self) -> list[str]:
        """Return where the regions come from that it is made from."""
        return [f"{one.name}: {text}" for one in self.operands for text in one.definition.sources()]

    def images(self) -> list[ImageKind]:
        """Return the images of the regions that it is made from."""
        return [image for one in self.operands for image in one.definition.images()]

    def evaluate(self, points: Points) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the voxels of the combination (see `Kind.evaluate`)."""
        from braindata.regions.kinds.combining import combine

        parts = [_evaluate(one, points) for one in self.operands]
        voxels, weights = combine(self.kind, parts, n_voxels=points.n_voxels)
        if not len(voxels):
            raise EmptyRegionError(
                f"nothing is left of the {self.kind} of {', '.join(self.operand_names())}",
                hint="look at them with `braindata regions plot`: they may not overlap, or one may "
                "hold all of the other",
            )
        return voxels, weights

    def _hashes(self) -> list[str]:
        return [one.definition_hash for one in self.operands]


class Union(SetOperation):
    """All that is in one of several regions; where weighted ones overlap, the larger weight."""

    kind: Literal["union"] = "union"


class Intersection(SetOperation):
    """What is in each of several regions; of weighted ones, the smaller weight."""

    kind: Literal["intersection"] = "intersection"
    of: tuple[str, ...] = Field(min_length=2, description="Names of the regions, two or more.")


class Difference(SetOperation):
    """What is in one region (or several) and in none of others."""

    kind: Literal["difference"] = "difference"
    of: tuple[str] = Field(description="Name of the region to take from, as a list of one.")
    minus: tuple[str, ...] = Field(min_length=1, description="Names of the regions to take away.")

    def operand_names(self) -> tuple[str, ...]:
        """Return the name of the region to take from, then those to take away."""
        return *self.of, *self.minus

    def decisive(self) -> dict[str, Any]:
        """Return what decides the voxels: here the first region is another thing than the rest."""
        first, *rest = self._hashes()
        return {"kind": self.kind, "of": first, "minus": sorted(rest)}


def _evaluate(operand: Operand, points: Points) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    try:
        return operand.definition.evaluate(points.in_space(operand.space))
    except BraindataError as error:
        raise type(error)(
            f"its part {operand.name}: {error.problem}", file=error.file, hint=error.hint
        ) from error
