"""`pack`: BIDS derivatives → one sample store per recording."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from braindata.errors import DamageError, DataError, EmptyRegionError
from braindata.files import sha256_file
from braindata.layout import Layout
from braindata.pack.derivatives import pack_recording
from braindata.pack.parameters import PackParameters
from braindata.pack.store import Grid
from braindata.receipts import MADE_FROM, Outcome, Receipt, merkle
from braindata.regions.definition import Region
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.resolve import ResolvedRegion, resolve
from braindata.regions.spaces import Spaces
from braindata.regions.template import grey_matter
from braindata.stages.job import Result, read_inventory, remove_superseded, run_job, used
from braindata.stages.quality import recording_quality

BOLD = "_desc-preproc_bold.nii.gz"
EEG = "_desc-preproc_eeg.fif"
EEG_SIDECAR = "_desc-preproc_eeg.json"
CONFOUNDS = "_desc-confounds_timeseries.tsv"
NATIVE = "native"
COLLECTED_HINT = "it came so: fetch the derivatives again, or preprocess the recording anew"


class Parameters(BaseModel):
    """What decides what is kept of a recording.

    Attributes
    ----------
    pack : PackParameters
        What the user chose.
    regions : tuple of Region
        The regions whose means are made while the image is open; empty where its voxels are kept,
        so that a new region packs nothing again.
    spaces : Spaces
        How these are placed on images in another space.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pack: PackParameters
    regions: tuple[Region, ...] = ()
    spaces: Spaces = Spaces()


def run(layout: Layout, dataset: str, unit: str, parameters: Parameters) -> bool:
    """Pack the recordings of one unit of a data set."""
    preprocessed = Receipt.read(layout.receipt("derivatives", dataset, unit))
    rows = {row["recording"]: row for row in used(read_inventory(layout, dataset))}

    placing = Placing(RegionFiles(layout.regions()), parameters.spaces)
    regions = None if parameters.pack.store else _resolver(parameters.regions, placing)

    receipt = layout.receipt("packed", dataset, unit)

    def work() -> Result:
        result = Result([])
        quality: dict[str, dict[str, Any]] = {}
        for name in preprocessed.with_state("done"):
            files = [layout.output / path for path in preprocessed.notes["files"][name]]
            if rows[name]["modality"] == "eeg":
                result.outputs.append(_pack_eeg(layout, dataset, name, files, preprocessed))
                result.recordings[name] = Outcome("done")
                continue
            bold, confounds = _one(files, BOLD), _one(files, CONFOUNDS)
            target = layout.store(dataset, name)
            try:
                packed = pack_recording(
                    bold,
                    confounds,
                    target,
                    space=preprocessed.notes["space"][name],
                    tr=rows[name]["tr"],
                    attributes={
                        "dataset": dataset,
                        "recording": name,
                        # Of which image these are the voxels.
                        "source": preprocessed.outputs[bold.relative_to(layout.output).as_posix()],
                    },
                    regions=regions,
                    signal_floor=parameters.pack.quality.signal_floor,
                )
                known = preprocessed.notes["quality"].get(name, {})
                quality[name] = recording_quality(packed, files, known, parameters.pack.quality)
            except DataError as error:
                result.recordings[name] = Outcome.quarantine(error)
                continue
            except DamageError as error:
                if not _came_so(error, name, preprocessed, layout):
                    raise
                bad = DataError(error.problem, file=error.file, hint=COLLECTED_HINT)
                result.recordings[name] = Outcome.quarantine(bad)
                continue
            result.outputs.append(target)
            result.recordings[name] = Outcome("done")
        result.notes = {"quality": quality}
        remove_superseded(layout, receipt, result.outputs)
        return result

    return run_job(
        layout,
        "pack",
        f"{dataset}/{unit}",
        receipt,
        parameters=parameters,
        inputs={"derivatives": merkle(preprocessed.outputs)},
        libraries=("h5py", "hdf5plugin", "nibabel", "nilearn", "numpy", "scipy"),
        work=work,
        marks={MADE_FROM: preprocessed.notes.get(MADE_FROM)},
    )


def _came_so(error: DamageError, name: str, preprocessed: Receipt, layout: Layout) -> bool:
    """Whether a file that cannot be used was so when it was collected: then it is bad data.

    What was made here and cannot be read is no fault of the data, and neither is what has changed
    since.
    """
    if preprocessed.notes["backend"].get(name) == NATIVE or error.file is None:
        return False
    path = Path(error.file)
    if not path.is_relative_to(layout.output):
        return False
    known = preprocessed.outputs.get(path.relative_to(layout.output).as_posix())
    return known is not None and path.is_file() and sha256_file(path) == known


def _pack_eeg(
    layout: Layout, dataset: str, name: str, files: list[Path], preprocessed: Receipt
) -> Path:
    # Imports MNE, which fMRI does not need.
    from braindata.pack.eeg_recording import pack_eeg

    continuous, sidecar = _one(files, EEG), _one(files, EEG_SIDECAR)
    target = layout.store(dataset, name)
    source = preprocessed.outputs[continuous.relative_to(layout.output).as_posix()]
    pack_eeg(
        continuous,
        sidecar,
        target,
        {"dataset": dataset, "recording": name, "source": source},
    )
    return target


def _resolver(
    regions: tuple[Region, ...], placing: Placing
) -> Callable[[Grid], Mapping[str, ResolvedRegion]]:
    """Return what places regions on a grid; the runs of one person mostly have the same.

    A region without a voxel on the grid is left out: the recording's other regions are fine, and
    `extract`, which looks the region up again, says why it has no series.
    """
    known: dict[bytes, dict[str, ResolvedRegion]] = {}

    def on(grid: Grid) -> Mapping[str, ResolvedRegion]:
        key = grid.affine.tobytes() + repr((grid.shape, grid.space)).encode()
        if key not in known:
            probability = grey_matter(grid.affine, grid.shape)
            known[key] = {}
            for one in regions:
                with contextlib.suppress(EmptyRegionError):
                    known[key][one.key] = resolve(
                        one, grid.affine, grid.shape, probability, grid.space, placing
                    )
        return known[key]

    return on


def _one(files: list[Path], ending: str) -> Path:
    found = [path for path in files if path.name.endswith(ending)]
    if len(found) != 1 or not found[0].is_file():
        raise DamageError(
            f"the preprocessed {ending.removeprefix('_')} is gone",
            file=found[0] if found else None,
            hint="delete the receipt of its preprocessing (derivatives/…receipt.json), run again",
        )
    return found[0]
