"""Before any job: the files that regions are made from, and whether regions are what they say."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from braindata.errors import BraindataError, UsageError
from braindata.files import atomic_path, sha256_file
from braindata.layout import Layout
from braindata.regions.definition import Region
from braindata.regions.files import LABELS_SUFFIX, Placing, RegionFiles, suffix_of
from braindata.regions.spaces import NATIVE


def provide(layout: Layout, regions: Iterable[Region], files: RegionFiles) -> None:
    """Bring what regions are made from into the output folder, each file under its sha256.

    Parameters
    ----------
    layout : Layout
        The output folder.
    regions : iterable of Region
        The regions; atlases that they fetch are fetched, unless they are there.
    files : RegionFiles
        With the user's own files, which are copied.

    Raises
    ------
    BraindataError
        When a file has changed meanwhile, or an atlas cannot be fetched.
    """
    folder = layout.regions()
    there = RegionFiles(folder)
    for sha256, path in sorted(files.local.items()):
        if there.find(sha256) is None:
            _copy(path, folder, sha256)
    for region in regions:
        for image in region.definition.images():
            if image.file is not None:
                continue
            labels = folder / f"{image.request_key}{LABELS_SUFFIX}"
            if there.find(image.hash_of_image) is not None and labels.is_file():
                continue
            # Only who fetches an atlas pays for importing what can.
            from braindata.regions.fetching import fetch

            try:
                fetch(image, folder)
            except BraindataError as error:
                raise type(error)(
                    f"region {region.name}: {error.problem}", file=error.file, hint=error.hint
                ) from error


def _copy(path: Path, folder: Path, sha256: str) -> None:
    with atomic_path(folder / f"{sha256}{suffix_of(path)}") as part:
        shutil.copyfile(path, part)
        if sha256_file(part) != sha256:
            raise BraindataError(
                "the file changed while it was copied", file=path, hint="run again"
            )


def check_definitions(
    regions: Iterable[Region],
    placing: Placing,
    resolution: int,
    spaces: Collection[str] = (NATIVE,),
) -> None:
    """Check regions on the template's grid.

    Parameters
    ----------
    regions : iterable of Region
        The regions; with none, nothing is imported.
    placing : Placing
        Their files, and how they get into the template's space.
    resolution : int
        Voxel size of the grid in mm.
    spaces : collection of str
        The spaces that images are expected in.

    Raises
    ------
    UsageError
        Naming each region that is not what it says.
    """
    regions = list(regions)
    if not regions:
        return
    # Definitions are new once; at all other times planning does without numerical libraries.
    from braindata.regions.checks import check_region
    from braindata.regions.template import template_grid

    faults: list[BraindataError] = []
    for space in sorted(spaces):
        # Of the templates of MNI one stands for all: whether a region is where it says is told by
        # centimetres.
        grid = replace(template_grid(resolution), space=space)
        for region in regions:
            try:
                check_region(region, grid, placing)
            except BraindataError as error:
                faults.append(error)
    if len(faults) == 1:
        raise UsageError(faults[0].problem, file=faults[0].file, hint=faults[0].hint)
    if faults:
        told = "\n".join(f"  {fault}".replace("\n", "\n  ") for fault in faults)
        raise UsageError(f"{len(faults)} regions are not what they say\n{told}")
