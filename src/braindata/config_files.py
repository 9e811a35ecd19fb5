"""Where the files lie that say what is looked at: regions, their transforms, exclusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from braindata.config_lines import Document, locate
from braindata.config_paths import base_folder, existing, looked_in, project
from braindata.config_spaces import SpacesSection
from braindata.errors import UsageError


def place_regions(
    regions: str | tuple[str, ...],
    spaces: SpacesSection,
    values: Mapping[str, Any],
    documents: Sequence[Document],
    home: Path | None,
) -> dict[str, Any]:
    """Return `regions` and `spaces` with absolute paths.

    Parameters
    ----------
    regions : str or tuple of str
        Region files and folders of these, as they are written.
    spaces : SpacesSection
        With the files of transforms, as they are written.
    values : mapping
        The merged configuration.
    documents : sequence of Document
        The files that were merged into it.
    home : Path or None
        Where the Snakefile lies, and with it the region sets that come along.

    Raises
    ------
    UsageError
        When one of them is not there.
    """
    paths = (regions,) if isinstance(regions, str) else regions
    folder = base_folder("regions", values.get("regions"), documents)
    placed = []
    for number, path in enumerate(paths):
        found = existing(path, folder, Path.cwd(), *([home] if home else []))
        if found is None:
            raise UsageError(
                f"regions: there is no {path}",
                file=locate(
                    ("regions",) if isinstance(regions, str) else ("regions", number),
                    values,
                    documents,
                ),
                hint=looked_in(folder, Path.cwd()),
            )
        placed.append(str(found))
    folder = base_folder("spaces", values.get("spaces"), documents)
    transforms = []
    for number, transform in enumerate(spaces.transforms):
        found = existing(transform.file, folder, Path.cwd())
        if found is None or not found.is_file():
            raise UsageError(
                f"spaces.transforms.{number}.file: there is no {transform.file}",
                file=locate(("spaces", "transforms", number, "file"), values, documents),
                hint=looked_in(folder, Path.cwd()),
            )
        transforms.append(transform.model_copy(update={"file": str(found)}))
    return {
        "regions": tuple(placed),
        "spaces": spaces.model_copy(update={"transforms": tuple(transforms)}),
    }


def place_exclusions(
    exclusions: str, values: Mapping[str, Any], documents: Sequence[Document]
) -> str:
    """Return the absolute path of the folder of exclusions; empty where there need be none.

    Parameters
    ----------
    exclusions : str
        As it is written, or the default.
    values : mapping
        The merged configuration.
    documents : sequence of Document
        The files that were merged into it.

    Raises
    ------
    UsageError
        When it is stated and not there.
    """
    folder = base_folder("exclusions", values.get("exclusions"), documents)
    if "exclusions" not in values:
        # Where the project's own files lie: nobody has stated it, so nobody misses it.
        found = existing(exclusions, *map(project, documents[::-1]), Path.cwd())
        return str(found or "")
    found = existing(exclusions, folder, Path.cwd())
    if found is None or not found.is_dir():
        raise UsageError(
            f"exclusions: there is no folder {exclusions}",
            file=locate(("exclusions",), values, documents),
            hint=looked_in(folder, Path.cwd()),
        )
    return str(found)
