"""The kinds of region definition. A new kind is a module here and a name in `Definition`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from braindata.regions.kinds.base import Kind
from braindata.regions.kinds.shapes import Shape, Shapes
from braindata.regions.kinds.spheres import Sphere, Spheres

__all__ = ["Definition", "Kind", "Shape", "Shapes", "Sphere", "Spheres"]

# With a second kind: Annotated[Spheres | Second, Field(discriminator="kind", …)]
Definition = Annotated[Spheres, Field(description="Where the region is.")]
