"""The pictures of regions for the report, each on a grid that holds the region."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braindata.layout import Layout
from braindata.pack.store import Grid, open_store
from braindata.receipts import Receipt, receipt_beside
from braindata.regions.definition import Region
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.spaces import Spaces
from braindata.report.pictures import PictureSet, Shelf
from braindata.report.region_pictures import region_pictures
from braindata.stages import STEP_VERSION


def region_sets(
    layout: Layout,
    keys: Mapping[str, str],
    regions: list[dict[str, Any]],
    stores: Mapping[str, Mapping[str, Path]],
    shelf: Shelf,
) -> dict[str, PictureSet]:
    """Return each region's pictures, on the grid of the first recording that has it.

    Parameters
    ----------
    layout : Layout
        The output folder.
    keys : mapping of str to str
        ``name-hash`` of each region by its name.
    regions : list of dict
        Rows of the table `regions`.
    stores : mapping of str to mapping of str to Path
        The stores of images, by data set and recording.
    shelf : Shelf
        The pictures; those that are there are not drawn again.

    Returns
    -------
    dict of str to PictureSet
        By name; without regions that no recording of images has, as one that is too small for the
        voxels of all data sets.
    """
    grids: dict[Path, Grid] = {}
    files = RegionFiles(layout.regions())
    pictures = {}
    for row in regions:
        region = _region(row)
        receipts = {
            dataset: Receipt.read(receipt_beside(layout.series(dataset, keys[region.name])))
            for dataset in stores
        }
        there = (
            (dataset, stores[dataset][name])
            for dataset, receipt in receipts.items()
            for name in receipt.with_state("done")
            if name in stores[dataset] and stores[dataset][name].is_file()
        )
        dataset, path = next(there, (None, None))
        if dataset is None or path is None:
            continue
        if path not in grids:
            with open_store(path) as opened:
                grids[path] = opened.grid
        grid = grids[path]
        spaces = Spaces.model_validate(receipts[dataset].parameters.get("spaces", {}))
        # Somebody may have tidied up; what was drawn stays.
        images = {image.hash_of_image for image in region.definition.images()}
        missing = sorted(sha256 for sha256 in images if files.find(sha256) is None)

        def draw(
            region: Region = region,
            grid: Grid = grid,
            placing: Placing = Placing(files, spaces),  # noqa: B008
            drawable: bool = not missing,
        ) -> tuple[dict[str, bytes], None]:
            if not drawable:
                return {}, None
            return region_pictures(region, grid.affine, grid.shape, grid.space, placing), None

        key = {
            "pictures": "region",
            "version": STEP_VERSION["report"],
            "region": region.name,
            "definition": row["definition_hash"],
            "affine": grid.affine.tolist(),
            "shape": list(grid.shape),
            "space": grid.space,
            "spaces": spaces.model_dump(mode="json"),
        }
        pictures[region.name] = shelf.get(key, draw, missing)
    return pictures


def _region(row: Mapping[str, Any]) -> Region:
    """Return the definition that a row of `regions` was made from."""
    own = {key: row[key] for key in ("level", "processes", "references", "space")}
    definition = json.loads(row["definition"])
    return Region.model_validate({"name": row["region"], **own, "definition": definition})
