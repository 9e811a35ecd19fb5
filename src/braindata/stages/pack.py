"""`pack`: BIDS derivatives → one sample store per recording."""

from __future__ import annotations

from pathlib import Path

from braindata.errors import DamageError
from braindata.layout import Layout
from braindata.pack.derivatives import pack_recording
from braindata.receipts import Outcome, Receipt, merkle
from braindata.stages.job import Result, read_inventory, run_job, used

BOLD = "_desc-preproc_bold.nii.gz"
CONFOUNDS = "_desc-confounds_timeseries.tsv"


def run(layout: Layout, dataset: str, unit: str) -> bool:
    """Pack the recordings of one unit of a data set."""
    preprocessed = Receipt.read(layout.receipt("derivatives", dataset, unit))
    trs = {row["recording"]: row["tr"] for row in used(read_inventory(layout, dataset))}

    def work() -> Result:
        result = Result([])
        for name in preprocessed.with_state("done"):
            files = [layout.output / path for path in preprocessed.notes["files"][name]]
            bold, confounds = _one(files, BOLD), _one(files, CONFOUNDS)
            target = layout.store(dataset, name)
            pack_recording(
                bold,
                confounds,
                target,
                space=preprocessed.notes["space"],
                tr=trs[name],
                attributes={"dataset": dataset, "recording": name},
            )
            result.outputs.append(target)
            result.recordings[name] = Outcome("done")
        return result

    return run_job(
        layout,
        "pack",
        f"{dataset}/{unit}",
        layout.receipt("packed", dataset, unit),
        parameters={},
        inputs={"derivatives": merkle(preprocessed.outputs)},
        libraries=("h5py", "nibabel", "nilearn", "numpy"),
        work=work,
    )


def _one(files: list[Path], ending: str) -> Path:
    found = [path for path in files if path.name.endswith(ending)]
    if len(found) != 1 or not found[0].is_file():
        raise DamageError(
            f"the preprocessed {ending.removeprefix('_')} is gone",
            file=found[0] if found else None,
            hint="delete the receipt of its preprocessing (derivatives/…receipt.json), run again",
        )
    return found[0]
