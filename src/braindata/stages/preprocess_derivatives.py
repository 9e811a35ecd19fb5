"""`preprocess`, backend `derivatives`: what others have preprocessed, under our names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braindata.bids.derived import Derivatives
from braindata.errors import DataError
from braindata.fmri.backends import DerivativesParameters
from braindata.fmri.derived import RawRun, Source, collect_run, pipeline_of
from braindata.fmri.outputs import describe_dataset
from braindata.layout import Layout
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, content_hash
from braindata.stages.job import Result

BACKEND = "derivatives"
LIBRARIES = ("nibabel", "numpy", "pandas")


def inputs(layout: Layout, dataset: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the content hash of all that was derived from each recording."""
    manifest = read_manifest(layout.published_manifest(dataset))
    there = Derivatives(manifest)
    hashes = {}
    for row in rows:
        try:
            files = [file.path for file in there.files(row["path"])]
        except DataError:
            files = []
        contents = {path: manifest[path].sha256 for path in files}
        hashes[row["recording"]] = content_hash([contents, row["tr"], row["n_volumes"]])
    return hashes


def preprocess(
    layout: Layout, dataset: str, rows: list[dict[str, Any]], parameters: DerivativesParameters
) -> Result:
    """Bring the derivatives of a unit's recordings under our names."""
    root = layout.published(dataset)
    source = Source(root, pipeline_of(root), layout.output)
    there = Derivatives(read_manifest(layout.published_manifest(dataset)))
    return collect(layout, dataset, rows, parameters, source, there, BACKEND)


def collect(
    layout: Layout,
    dataset: str,
    rows: list[dict[str, Any]],
    parameters: DerivativesParameters,
    source: Source,
    there: Derivatives,
    backend: str,
) -> Result:
    """Collect the derivatives of recordings, as any backend does that fMRIPrep stands behind.

    Parameters
    ----------
    layout, dataset, rows
        As of a backend's `preprocess`.
    parameters : DerivativesParameters
        Which spaces are preferred.
    source : Source
        The folder of derivatives.
    there : Derivatives
        What is in it.
    backend : str
        Its name, for the tables.
    """
    result = Result([])
    notes: dict[str, dict[str, Any]] = {
        name: {} for name in ("quality", "files", "space", "backend", "distortion_corrected")
    }
    notes["pipeline"] = {}
    describe_dataset(layout.derivatives(dataset))
    for row in rows:
        name = row["recording"]
        run = RawRun(name, row["tr"], row["n_volumes"])
        try:
            found = there.choose(row["path"], parameters.spaces, parameters.resolution)
            outputs = collect_run(run, found, source, layout.derivatives(dataset))
        except DataError as error:
            result.recordings[name] = Outcome.quarantine(in_folder(error, source.root))
            continue
        result.recordings[name] = Outcome("done")
        result.outputs += outputs
        facts: Mapping[str, Any] = {
            "quality": {},
            "files": [path.relative_to(layout.output).as_posix() for path in outputs],
            "space": found.space,
            "backend": backend,
            "distortion_corrected": found.distortion_corrected,
            "pipeline": source.pipeline,
        }
        for key, value in facts.items():
            notes[key][name] = value
    result.notes = dict(notes)
    return result


def in_folder(error: DataError, root: Path) -> DataError:
    """Return an error whose file is named in full."""
    if error.file is None or Path(error.file).is_absolute():
        return error
    return DataError(error.problem, file=root / error.file, hint=error.hint)
