"""`extract`: sample stores × one region → its series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from braindata.extract.parameters import ExtractParameters
from braindata.extract.series import extract_region
from braindata.layout import Layout
from braindata.pack.store import open_store
from braindata.receipts import receipt_beside
from braindata.regions.definition import Region
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.resolve import resolve
from braindata.regions.spaces import Spaces
from braindata.regions.template import grey_matter
from braindata.stages.job import (
    Result,
    read_inventory,
    receipts_hash,
    run_job,
    unit_receipts,
    used,
)
from braindata.tables.keys import RecordingKey
from braindata.tables.shards import write_shard


class Parameters(BaseModel):
    """What decides a region's series: the region, how it is placed and its series made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: Region
    extract: ExtractParameters
    spaces: Spaces = Spaces()


def run(layout: Layout, dataset: str, parameters: Parameters) -> bool:
    """Extract one region from all packed recordings of a data set."""
    packed = unit_receipts(layout, "packed", dataset)
    shard = layout.series(dataset, parameters.region.key)
    placing = Placing(RegionFiles(layout.regions()), parameters.spaces)

    def work() -> Result:
        done = {name for receipt in packed.values() for name in receipt.with_state("done")}
        stores = [
            (RecordingKey.from_row(row), layout.store(dataset, row["recording"]))
            for row in used(read_inventory(layout, dataset))
            if row["recording"] in done and row["modality"] == "fmri"
        ]
        table, recordings = extract_region(parameters.region, stores, parameters.extract, placing)
        write_shard(table, shard, "series")
        readable = [path for key, path in stores if recordings[key.recording].state == "done"]
        return Result([shard], recordings, {"size": _size(parameters.region, readable, placing)})

    return run_job(
        layout,
        "extract",
        f"{dataset}/{parameters.region.key}",
        receipt_beside(shard),
        parameters=parameters,
        inputs={"packed": receipts_hash(packed)},
        libraries=("h5py", "nilearn", "numpy", "scipy"),
        work=work,
    )


def _size(region: Region, stores: list[Path], placing: Placing) -> dict[str, Any]:
    """Return where and how large the region is on the grid of the recordings, for `regions`."""
    if not stores:
        return {}
    with open_store(stores[0]) as store:
        grid = store.grid
    probability = grey_matter(grid.affine, grid.shape)
    resolved = resolve(region, grid.affine, grid.shape, probability, grid.space, placing)
    x, y, z = resolved.center_of_mass
    return {
        "template": grid.space,
        "placement": resolved.placement,
        "x": x,
        "y": y,
        "z": z,
        "n_voxels": resolved.n_voxels,
        "volume": resolved.volume,
    }
