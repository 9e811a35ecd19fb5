"""`preprocess`: the recordings of a subject (or of one session) → BIDS derivatives."""

from __future__ import annotations

from typing import Any

from braindata.bids.entities import stem
from braindata.errors import BraindataError, DataError
from braindata.files import scratch_folder
from braindata.fmri.native import SPACE, AnatomicalImage, BoldRun, preprocess_unit
from braindata.fmri.parameters import NativeParameters
from braindata.layout import Layout
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, content_hash
from braindata.stages.job import Result, read_inventory, run_job, used

BACKEND = "native"


def run(layout: Layout, dataset: str, unit: str, parameters: NativeParameters) -> bool:
    """Preprocess one unit of a data set."""
    rows = [row for row in used(read_inventory(layout, dataset)) if row["unit"] == unit]
    if not rows:
        raise BraindataError(
            f"{unit} has no recording in use",
            file=layout.inventory(dataset),
            hint="run curate again, or look there why its recordings are left out",
        )
    # What the images hold and how often they were sampled: another person's data change nothing.
    sha256 = {path: file.sha256 for path, file in read_manifest(layout.manifest(dataset)).items()}
    inputs = {
        row["recording"]: content_hash(
            [row["path"], sha256[row["path"]], row["t1w"], sha256[row["t1w"]], row["tr"]]
        )
        for row in rows
    }
    return run_job(
        layout,
        "preprocess",
        f"{dataset}/{unit}",
        layout.receipt("derivatives", dataset, unit),
        parameters=parameters,
        inputs=inputs,
        libraries=("nibabel", "nilearn", "numba", "numpy", "picsl-greedy", "scipy"),
        work=lambda: _work(layout, dataset, rows, parameters),
    )


def _work(
    layout: Layout, dataset: str, rows: list[dict[str, Any]], parameters: NativeParameters
) -> Result:
    raw, derivatives = layout.raw(dataset), layout.derivatives(dataset)
    needed = {row[key] for row in rows for key in ("path", "t1w")}
    gone = sorted(path for path in needed if not (raw / path).is_file())
    if gone:
        # Not bad data: somebody removed what pull had put there.
        raise BraindataError(
            f"{len(gone)} pulled files are gone",
            file=raw / gone[0],
            hint=f"delete {layout.receipt('raw', dataset)} and run again: they are pulled anew",
        )
    result = Result([])
    quality: dict[str, dict[str, float | str]] = {}
    files: dict[str, list[str]] = {}
    # Runs of one unit may have different T1w images; usually there is one.
    for t1w in sorted({row["t1w"] for row in rows}):
        runs = [
            BoldRun(row["recording"], raw / row["path"], row["tr"])
            for row in rows
            if row["t1w"] == t1w
        ]
        anatomical = AnatomicalImage(stem(t1w), raw / t1w)
        with scratch_folder() as scratch:
            try:
                outputs, results = preprocess_unit(
                    runs, anatomical, derivatives, parameters, scratch
                )
            except DataError as error:
                # Without its anatomical image no run of the person can be normalised.
                outcome = Outcome.quarantine(error)
                result.recordings |= {one.recording: outcome for one in runs}
                continue
        result.outputs += outputs
        for name, one in results.items():
            result.outputs += one.outputs
            result.recordings[name] = one.outcome
            quality[name] = one.quality
            files[name] = [path.relative_to(layout.output).as_posix() for path in one.outputs]
    result.notes = {"quality": quality, "files": files, "space": SPACE, "backend": BACKEND}
    return result
