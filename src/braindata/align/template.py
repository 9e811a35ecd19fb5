"""What a group has in common, frozen: its response, and how it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from braindata.align.archive import read_archive, write_archive
from braindata.align.procrustes import Array
from braindata.align.runs import Rows
from braindata.errors import DamageError

FORMAT = 1


@dataclass(frozen=True)
class Template:
    """A common space that never changes once it is made.

    Attributes
    ----------
    response : array, shape (n_rows, n_dimensions)
        What the members have in common.
    finish : array, shape (n_dimensions, n_common)
        From these dimensions to the ones that `transform` returns: the principal ones, weighted.
    anchor : array, shape (n_voxels, n_dimensions), or None
        Where anatomy expects the dimensions; None where each voxel is its own.
    rows : Rows
        Which volumes of which runs the rows of `response` are.
    members : tuple of str
        The people from whom it was made.
    fitted_on : tuple of (str, tuple of str)
        Each member's runs.
    method : str
        The class that made it.
    parameters : dict
        What it was made with, choices on inner runs among them.
    seed : int
    parcellation : str
        Hash of the parcel's voxels, empty when unknown.
    versions : dict of str to str
        Of the libraries that touched the numbers.
    """

    response: Array
    finish: Array
    anchor: Array | None
    rows: Rows
    members: tuple[str, ...]
    fitted_on: tuple[tuple[str, tuple[str, ...]], ...]
    method: str
    parameters: dict[str, Any]
    seed: int
    parcellation: str
    versions: dict[str, str]

    def __post_init__(self) -> None:
        for array in self.arrays().values():
            array.setflags(write=False)

    @property
    def rank(self) -> int:
        """Number of common dimensions."""
        return int(self.finish.shape[1])

    @cached_property
    def id(self) -> str:
        """Hash of all that it is: another member, run, parameter or number is another template."""
        digest = hashlib.sha256(json.dumps(self.meta(), sort_keys=True).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def arrays(self) -> dict[str, Array]:
        """Return its arrays by name."""
        named = {"response": self.response, "finish": self.finish, "anchor": self.anchor}
        return {name: array for name, array in named.items() if array is not None}

    def meta(self) -> dict[str, Any]:
        """Return what is not an array, as JSON holds it."""
        return {
            "format": FORMAT,
            "rows": [list(run) for run in self.rows.runs],
            "members": list(self.members),
            "fitted_on": [[subject, list(runs)] for subject, runs in self.fitted_on],
            "method": self.method,
            "parameters": self.parameters,
            "seed": self.seed,
            "parcellation": self.parcellation,
            "versions": self.versions,
        }


def save_template(template: Template, path: Path) -> None:
    """Write a template: a zip file of arrays (as numpy's .npz) and one JSON; the same bytes always.

    Parameters
    ----------
    template : Template
    path : Path
        Ends in `.npz`.
    """
    write_archive(path, template.arrays(), template.meta())


def save_templates(
    templates: Mapping[str, Template],
    path: Path,
    arrays: Mapping[str, Array] = MappingProxyType({}),
    meta: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write the templates of several parcels to one file; the same bytes always.

    Parameters
    ----------
    templates : mapping of parcel to Template
    path : Path
        Ends in `.npz`.
    arrays, meta : mapping
        What else the file is to hold, such as where the voxels lie.
    """
    own = {
        f"{parcel}-{name}": array
        for parcel, one in templates.items()
        for name, array in one.arrays().items()
    }
    of_parcels = {parcel: one.meta() for parcel, one in templates.items()}
    write_archive(path, {**own, **arrays}, {**meta, "templates": of_parcels})


def load_templates(path: Path) -> dict[str, Template]:
    """Read the templates that `save_templates` wrote, by parcel.

    Raises
    ------
    DamageError
        The file holds no templates, or not of this version.
    """
    arrays, meta = read_archive(path)
    if "templates" not in meta:
        raise DamageError("no templates are in this file", file=path, hint="fit them again")
    return {
        parcel: _template(
            {
                name.removeprefix(f"{parcel}-"): array
                for name, array in arrays.items()
                if name.startswith(f"{parcel}-")
            },
            one,
            path,
        )
        for parcel, one in meta["templates"].items()
    }


def load_template(path: Path) -> Template:
    """Read a template that `save_template` wrote.

    Raises
    ------
    DamageError
        The file is no template, or not one of this version.
    """
    return _template(*read_archive(path), path)


def _template(arrays: Mapping[str, Array], meta: Mapping[str, Any], path: Path) -> Template:
    if meta["format"] != FORMAT:
        raise DamageError(
            f"a template of format {meta['format']}, not {FORMAT}", file=path, hint="fit it again"
        )
    return Template(
        response=arrays["response"],
        finish=arrays["finish"],
        anchor=arrays.get("anchor"),
        rows=Rows(tuple((run, n) for run, n in meta["rows"])),
        members=tuple(meta["members"]),
        fitted_on=tuple((subject, tuple(runs)) for subject, runs in meta["fitted_on"]),
        method=meta["method"],
        parameters=meta["parameters"],
        seed=meta["seed"],
        parcellation=meta["parcellation"],
        versions=meta["versions"],
    )
