"""`preprocess`, backend `native`: the chain of `braindata.fmri.native`."""

from __future__ import annotations

from typing import Any

from braindata.bids.entities import stem
from braindata.bids.inheritance import Tree
from braindata.bids.sidecars import sidecar
from braindata.errors import DataError
from braindata.files import scratch_folder
from braindata.fmri.native import SPACE, AnatomicalImage, BoldRun, preprocess_unit
from braindata.fmri.parameters import NativeParameters
from braindata.layout import Layout
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, content_hash
from braindata.stages.job import Result, require_pulled

BACKEND = "native"
LIBRARIES = ("nibabel", "nilearn", "numba", "numpy", "picsl-greedy", "scipy")


def inputs(layout: Layout, dataset: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the content hash of what each recording is made from.

    That is what the images hold, how often they were sampled and when which slice was: another
    person's data change nothing.
    """
    timings = _slice_timings(layout, dataset, rows)
    sha256 = {path: file.sha256 for path, file in read_manifest(layout.manifest(dataset)).items()}
    return {
        row["recording"]: content_hash(
            [
                *(row["path"], sha256[row["path"]]),
                *(row["t1w"], row["t1w"] and sha256[row["t1w"]]),
                *(row["tr"], *timings[row["recording"]]),
            ]
        )
        for row in rows
    }


def _slice_timings(
    layout: Layout, dataset: str, rows: list[dict[str, Any]]
) -> dict[str, tuple[object, object]]:
    """Return what the sidecars of each recording say of when its slices were acquired."""
    tree = Tree(layout.raw(dataset))
    found: dict[str, tuple[object, object]] = {}
    for row in rows:
        metadata = sidecar(tree, row["path"])
        found[row["recording"]] = (
            metadata.get("SliceTiming"),
            metadata.get("SliceEncodingDirection"),
        )
    return found


def _refuse(row: dict[str, Any]) -> Outcome:
    return Outcome(
        "excluded",
        f"it is a run of {row['n_echoes']} echoes, which native preprocessing does not combine",
        "choose preprocess.fmri.backend: fmriprep, or name derivatives of its data set",
    )


def preprocess(
    layout: Layout, dataset: str, rows: list[dict[str, Any]], parameters: NativeParameters
) -> Result:
    """Preprocess recordings of one unit."""
    raw, derivatives = layout.raw(dataset), layout.derivatives(dataset)
    refused = {row["recording"]: _refuse(row) for row in rows if (row["n_echoes"] or 1) > 1}
    rows = [row for row in rows if row["recording"] not in refused]
    needed = {row[key] for row in rows for key in ("path", "t1w") if row[key] is not None}
    require_pulled(layout, dataset, needed)
    result = Result([], refused)
    quality: dict[str, dict[str, float | str | None]] = {}
    files: dict[str, list[str]] = {}
    normalisation: dict[str, str] = {}
    timings = _slice_timings(layout, dataset, rows)
    # Runs of one unit may have different T1w images, or none; usually there is one.
    for t1w in sorted({row["t1w"] for row in rows}, key=str):
        runs = [
            BoldRun(row["recording"], raw / row["path"], row["tr"], *timings[row["recording"]])
            for row in rows
            if row["t1w"] == t1w
        ]
        anatomical = None if t1w is None else AnatomicalImage(stem(t1w), raw / t1w)
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
            if one.normalisation is not None:
                normalisation[name] = one.normalisation
            files[name] = [path.relative_to(layout.output).as_posix() for path in one.outputs]
    done = sorted(files)
    result.notes = {
        "quality": quality,
        "files": files,
        "normalisation": normalisation,
        "space": dict.fromkeys(done, SPACE),
        "backend": dict.fromkeys(done, BACKEND),
        "distortion_corrected": dict.fromkeys(done, False),
    }
    return result
