"""`extract`: sample stores × one region → its series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from braindata.eeg.source_parameters import SourceParameters
from braindata.extract.parameters import ExtractParameters
from braindata.extract.series import extract_region
from braindata.layout import Layout
from braindata.pack.store import open_store
from braindata.receipts import merkle, receipt_beside
from braindata.regions.definition import Region
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.resolve import resolve
from braindata.regions.spaces import Spaces
from braindata.regions.template import grey_matter
from braindata.stages.extract_eeg import extract_recordings, head_receipt
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
    """What decides a region's series.

    Attributes
    ----------
    region : Region
        The region.
    extract : ExtractParameters
        How its series is made from images.
    spaces : Spaces
        How it is placed.
    sources : SourceParameters or None
        How its series is made from EEG; None where none of the data set is used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: Region
    extract: ExtractParameters
    spaces: Spaces = Spaces()
    sources: SourceParameters | None = None

    @model_serializer(mode="wrap")
    def _without_eeg(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Say nothing of EEG where there is none: no option of it reruns a job of images."""
        body: dict[str, Any] = handler(self)
        if self.sources is None:
            del body["sources"]
        return body


def run(layout: Layout, dataset: str, parameters: Parameters) -> bool:
    """Extract one region from all packed recordings of a data set."""
    packed = unit_receipts(layout, "packed", dataset)
    inputs = {"packed": receipts_hash(packed)}
    if parameters.sources is not None:
        inputs["head"] = merkle(head_receipt(layout).outputs)
    shard = layout.series(dataset, parameters.region.key)
    placing = Placing(RegionFiles(layout.regions()), parameters.spaces)

    def work() -> Result:
        done = {name for receipt in packed.values() for name in receipt.with_state("done")}
        stores: dict[str, list[tuple[RecordingKey, Path]]] = {"fmri": [], "eeg": []}
        for row in used(read_inventory(layout, dataset)):
            if row["recording"] in done:
                one = (RecordingKey.from_row(row), layout.store(dataset, row["recording"]))
                stores[row["modality"]].append(one)
        region, images = parameters.region, stores["fmri"]
        table, recordings = extract_region(region, images, parameters.extract, placing)
        readable = [path for key, path in images if recordings[key.recording].state == "done"]
        if parameters.sources is not None:
            courses, of_eeg = extract_recordings(
                layout, region, stores["eeg"], parameters.sources, placing
            )
            table = pa.concat_tables([table, courses]).sort_by("recording")
            recordings |= of_eeg
        write_shard(table, shard, "series")
        return Result([shard], recordings, {"size": _size(region, readable, placing)})

    return run_job(
        layout,
        "extract",
        f"{dataset}/{parameters.region.key}",
        receipt_beside(shard),
        parameters=parameters,
        inputs=inputs,
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
