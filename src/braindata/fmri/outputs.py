"""Names and sidecars of native derivatives, as fMRIPrep 25 has them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from braindata.files import PART_PREFIX, atomic_path, write_text
from braindata.fmri.images import FloatArray, write_volume
from braindata.fmri.interpolation import grid_points
from braindata.receipts import SUFFIX, library_versions

if TYPE_CHECKING:
    # It imports nilearn, which takes longer than to collect a person's derivatives.
    from braindata.fmri.template import Template

BIDS_VERSION = "1.10.0"
_LIBRARIES = ("nibabel", "nilearn", "numba", "numpy", "picsl-greedy", "scipy")
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Names:
    """The outputs of one image.

    Attributes
    ----------
    folder : Path
        ``derivatives/sub-02[/ses-x]/anat`` or ``…/func``.
    entities : str
        The image's stem without its suffix.
    space : str
        ``_space-…_res-2``.
    """

    folder: Path
    entities: str
    space: str

    @classmethod
    def of(cls, derivatives: Path, stem: str, datatype: str, space: str, resolution: int) -> Names:
        """Return the names for the image called `stem`, such as ``sub-02_task-x_bold``."""
        parts = stem.split("_")
        folder = derivatives.joinpath(
            *(part for part in parts if part.startswith(("sub-", "ses-"))), datatype
        )
        return cls(folder, "_".join(parts[:-1]), f"_space-{space}_res-{resolution}")

    def native(self, ending: str) -> Path:
        """Return the path of an output in its own space."""
        return self.folder / f"{self.entities}_{ending}"

    def standard(self, ending: str) -> Path:
        """Return the path of an output in template space."""
        return self.folder / f"{self.entities}{self.space}_{ending}"

    def entity(self, key: str) -> str | None:
        """Return the value of an entity, such as ``task``; None when the stem has none."""
        found = [p for p in self.entities.split("_") if p.startswith(f"{key}-")]
        return found[0].partition("-")[2] if found else None

    def raw(self, suffix: str) -> str:
        """Return the raw image's path within its data set."""
        folder = self.folder.relative_to(self._root()).as_posix()
        return f"{folder}/{self.entities}_{suffix}.nii.gz"

    def _root(self) -> Path:
        has_session = self.folder.parent.name.startswith("ses-")
        return self.folder.parents[2] if has_session else self.folder.parents[1]


def write_json(path: Path, body: dict[str, object]) -> Path:
    """Write a sidecar and return its path."""
    write_text(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")
    return path


def write_confounds(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as BIDS TSV, missing values as ``n/a``, and return its path."""
    with atomic_path(path) as part:
        table.to_csv(
            part, sep="\t", na_rep="n/a", index=False, float_format="%.10g", lineterminator="\n"
        )
    return path


def write_itk_transforms(path: Path, matrices: Sequence[FloatArray]) -> Path:
    """Write affine maps of points (mm, RAS+) as an ITK text file (LPS+) and return its path."""
    lines = ["#Insight Transform File V1.0"]
    for number, matrix in enumerate(matrices):
        lps = _RAS_TO_LPS @ matrix @ _RAS_TO_LPS
        values = [*lps[:3, :3].ravel(), *lps[:3, 3]]
        lines += [
            f"#Transform {number}",
            "Transform: AffineTransform_double_3_3",
            "Parameters: " + " ".join(f"{value:.12g}" for value in values),
            "FixedParameters: 0 0 0",
        ]
    write_text(path, "\n".join(lines) + "\n")
    return path


def write_displacement(
    path: Path, place: Callable[[FloatArray], FloatArray], template: Template
) -> Path:
    """Write where each template voxel lies in another image, as an ITK displacement field.

    Parameters
    ----------
    path : Path
        Where to.
    place : callable
        Template points, shape (n, 3), to points of the image, mm, RAS+.
    template : Template
        The grid of the field.
    """
    points = grid_points(np.ones(template.shape, np.bool_), template.affine)
    # ITK's convention: a displacement in LPS+ from each template voxel to its place in the image.
    displacement = (place(points) - points) * [-1, -1, 1]
    return write_volume(
        path,
        displacement.reshape(*template.shape, 1, 3).astype(np.float32),
        template.affine,
        np.float32,
        space_code=4,
        intent="vector",
    )


def software() -> dict[str, str]:
    """Return the versions of what touched the numbers."""
    return library_versions(*_LIBRARIES)


def describe_dataset(derivatives: Path) -> None:
    """Write ``dataset_description.json`` and ``.bidsignore`` unless they are there already.

    Several jobs do so at the same time: each writes to a name of its own and renames it.
    """
    description = {
        "Name": "braindata: preprocessed recordings",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "braindata", "Version": software()["braindata"]}],
    }
    texts = {
        "dataset_description.json": json.dumps(description, indent=2) + "\n",
        ".bidsignore": f"*{SUFFIX}\n",
    }
    derivatives.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = derivatives / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        with tempfile.NamedTemporaryFile(
            "w", prefix=PART_PREFIX, dir=derivatives, delete=False, encoding="utf-8"
        ) as handle:
            handle.write(text)
            part = Path(handle.name)
        part.chmod(0o666 & ~_umask())
        part.replace(path)


def _umask() -> int:
    # There is no way to read it but to set it.
    current = os.umask(0)
    os.umask(current)
    return current
