"""The kinds of region definition. A new kind is a module here and a name in `Definition`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from braindata.regions.kinds.atlas import Atlas
from braindata.regions.kinds.base import Kind
from braindata.regions.kinds.images import ImageKind
from braindata.regions.kinds.mask import Mask
from braindata.regions.kinds.sets import (
    Difference,
    Intersection,
    SetOperation,
    Union,
    definition_hash,
)
from braindata.regions.kinds.shapes import Shape, Shapes
from braindata.regions.kinds.spheres import Sphere, Spheres

__all__ = [
    "Atlas",
    "Definition",
    "Difference",
    "ImageKind",
    "Intersection",
    "Kind",
    "Mask",
    "SetOperation",
    "Shape",
    "Shapes",
    "Sphere",
    "Spheres",
    "Union",
    "definition_hash",
]

Definition = Annotated[
    Spheres | Atlas | Mask | Union | Intersection | Difference,
    Field(discriminator="kind", description="Where the region is."),
]
