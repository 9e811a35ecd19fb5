"""Regions made of parcels of an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from braindata.regions.kinds.images import ImageKind, Option, find_file
from braindata.regions.labels import first_index, indices_of, read_labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from braindata.regions.files import RegionFiles
    from braindata.regions.points import Points


class Atlas(ImageKind):
    """A region made of parcels of an atlas, listed by name."""

    FILLED_IN: ClassVar[frozenset[str]] = frozenset({"indices", "first"})
    ORIGINS: ClassVar[tuple[str, ...]] = ("file", "nilearn", "templateflow")

    kind: Literal["atlas"] = "atlas"
    nilearn: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9_]+$",
        description="One of nilearn's atlases, as in the name of its `fetch_atlas_…`: "
        "`schaefer_2018`, `harvard_oxford`, `difumo` …",
    )
    options: dict[str, Option] = Field(
        default_factory=dict,
        description="Keyword arguments of nilearn's function, such as `{n_rois: 400}`.",
    )
    labels: str | None = Field(
        default=None,
        min_length=1,
        description="Label table of a `file`, relative to the region file: a BIDS dseg.tsv, a "
        "FreeSurfer look-up table, or pairs of lines with name and number.",
    )
    parcels: tuple[str, ...] = Field(
        min_length=1, description="Names of the parcels, as in the label table."
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        description="Of a probabilistic atlas: keep voxels whose value is above this, in the "
        "image's own unit (some count to 1, others to 100).",
    )
    weights: bool = Field(
        default=False,
        description="Of a probabilistic atlas: weight each voxel with the map's value.",
    )
    indices: tuple[int, ...] = Field(
        default=(), description="Numbers of the parcels; filled in from the label table."
    )

    first: int = Field(
        default=1,
        description="Smallest number of the label table; filled in, too: that map is "
        "the first of a 4D image.",
    )

    @field_validator("parcels")
    @classmethod
    def _each_once(cls, parcels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(parcels)) < len(parcels):
            raise ValueError("a parcel is listed twice")
        return parcels

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.file is not None and self.labels is None:
            raise ValueError("labels is missing: the label table of the file")
        if self.file is None and self.labels is not None:
            raise ValueError("labels belongs to a file; a fetched atlas brings its own")
        if self.options and self.nilearn is None:
            raise ValueError("options are those of nilearn's function")
        if self.threshold is not None and self.weights:
            raise ValueError("state threshold or weights, not both")
        return self

    def request(self) -> dict[str, Any] | None:
        """Return what is to be fetched; None for a file."""
        if self.nilearn is None:
            return super().request()
        return {"nilearn": self.nilearn, "options": self.options}

    def decisive(self) -> dict[str, Any]:
        """Return what decides the voxels: the image's contents and which parcels of it."""
        parcels: list[Any] = sorted(self.indices if self.file else self.parcels)
        return {
            "kind": self.kind,
            "sha256": self.hash_of_image,
            "parcels": parcels,
            "first": self.first if self.weights or self.threshold is not None else None,
            "request": self.request(),
            "threshold": self.threshold,
            "weights": self.weights,
        }

    def with_files(self, folders: Sequence[Path]) -> tuple[Self, dict[str, Path]]:
        """Return the definition with its file's hash and its parcels' numbers, and that file."""
        definition, files = super().with_files(folders)
        if self.labels is None:
            return definition, files
        path = find_file(self.labels, folders, self.source)
        table = read_labels(path)
        filled_in = {
            "labels": path.name,
            "indices": indices_of(self.parcels, table, of=path),
            "first": first_index(table),
        }
        return definition.model_copy(update=filled_in), files

    def numbers(self, files: RegionFiles) -> dict[str, int]:
        """Return the number of each parcel.

        Raises
        ------
        BraindataError
            When a fetched atlas or its label table is not there, or does not know a parcel.
        """
        if self.file is not None:
            return dict(zip(self.parcels, self.indices, strict=True))
        found = indices_of(
            self.parcels, self._fetched_labels(files), of=self.nilearn or "TemplateFlow"
        )
        return dict(zip(self.parcels, found, strict=True))

    def first_index(self, files: RegionFiles) -> int:
        """Return the smallest number of the label table, which is the first map of a 4D image."""
        return self.first if self.file is not None else first_index(self._fetched_labels(files))

    def _fetched_labels(self, files: RegionFiles) -> dict[str, int]:
        return read_labels(files.labels(self.request_key))

    def evaluate(self, points: Points) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the voxels of the parcels (see `Kind.evaluate`)."""
        from braindata.regions.kinds.sampling import atlas_weights

        return atlas_weights(self, points)
