"""People's maps: from voxels to the rotated dimensions of a template, and their file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braindata.align.archive import read_archive, write_archive
from braindata.align.procrustes import Array, Rotation
from braindata.align.whitening import Whitening


@dataclass(frozen=True)
class SubjectMap:
    """From one person's voxels to the rotated dimensions of a template.

    Parameters
    ----------
    rotation : Rotation
    whitening : Whitening or None
        What comes before the rotation.
    n_voxels : int
    runs : tuple of str
        The runs that it was fitted on.
    """

    rotation: Rotation
    whitening: Whitening | None
    n_voxels: int
    runs: tuple[str, ...]

    def forward(self, series: Array) -> Array:
        """Return the template's dimensions of `series`, shape (n, n_voxels)."""
        if self.whitening is not None:
            series = series @ self.whitening.forward
        return self.rotation.apply(series)

    def backward(self, common: Array) -> Array:
        """Return the voxels' series of what `forward` returns."""
        for factor in reversed(self.rotation.factors):
            common = common @ factor.T
        if self.rotation.scale != 1:
            common = common / common.dtype.type(self.rotation.scale)
        return common if self.whitening is None else common @ self.whitening.backward

    def matrix(self) -> Array:
        """Return the whole map, shape (n_voxels, n_dimensions)."""
        first = self.rotation.factors[0]
        return self.forward(np.eye(self.n_voxels, dtype=first.dtype))


def save_maps(maps: Mapping[str, Mapping[str, SubjectMap]], path: Path) -> None:
    """Write maps per parcel and person to one file, the same bytes always.

    Parameters
    ----------
    maps : mapping of parcel to mapping of subject to SubjectMap
    path : Path
        Ends in `.npz`.
    """
    arrays: dict[str, Array] = {}
    meta: list[dict[str, Any]] = []
    for parcel in sorted(maps):
        for subject in sorted(maps[parcel]):
            one, number = maps[parcel][subject], len(meta)
            meta.append(
                {
                    "parcel": parcel,
                    "subject": subject,
                    "n_voxels": one.n_voxels,
                    "n_factors": len(one.rotation.factors),
                    "scale": one.rotation.scale,
                    "runs": list(one.runs),
                }
            )
            for place, factor in enumerate(one.rotation.factors):
                arrays[f"{number}-factor-{place}"] = factor
            if one.whitening is not None:
                arrays[f"{number}-white"] = one.whitening.forward
                arrays[f"{number}-black"] = one.whitening.backward
    write_archive(path, arrays, {"maps": meta})


def load_maps(path: Path) -> dict[str, dict[str, SubjectMap]]:
    """Read what `save_maps` wrote.

    Raises
    ------
    DamageError
        The file holds no maps.
    """
    arrays, meta = read_archive(path)
    maps: dict[str, dict[str, SubjectMap]] = {}
    for number, one in enumerate(meta["maps"]):
        factors = tuple(arrays[f"{number}-factor-{place}"] for place in range(one["n_factors"]))
        white = arrays.get(f"{number}-white")
        maps.setdefault(one["parcel"], {})[one["subject"]] = SubjectMap(
            Rotation(factors, one["scale"]),
            None if white is None else Whitening(white, arrays[f"{number}-black"]),
            one["n_voxels"],
            tuple(one["runs"]),
        )
    return maps
