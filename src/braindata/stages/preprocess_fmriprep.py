"""`preprocess`, backend `fmriprep`: one run of fMRIPrep, in a container, for each unit."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from braindata.bids.derived import Derivatives
from braindata.curate.made_from import ABOUT_ALL
from braindata.errors import BraindataError, DataError, UsageError
from braindata.files import write_text
from braindata.fmri.backends import DerivativesParameters
from braindata.fmri.derived import Source, bring, pipeline_of, read_to_end
from braindata.fmri.fmriprep.command import TEMPLATES_IN_OUTPUT, Limits, Place, command
from braindata.fmri.fmriprep.outcome import KILLED, NOT_STARTED, crash_of, find_crashes
from braindata.fmri.fmriprep.parameters import FmriprepParameters
from braindata.fmri.fmriprep.staging import bids_filter, select_files, stage_files
from braindata.layout import Layout
from braindata.pull.derivatives import list_derivatives
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, content_hash
from braindata.stages.job import Result
from braindata.stages.preprocess_derivatives import collect

BACKEND = "fmriprep"
LIBRARIES = ("nibabel", "numpy", "pandas")
log = logging.getLogger("braindata")
# Of the anatomical outputs, what reports and others may use; surfaces stay with fMRIPrep's own.
_ANATOMICAL = (".nii.gz", ".json", ".h5", ".txt")
_NO_T1W = Outcome(
    "quarantined",
    "there is no T1w image of this subject",
    "add sub-…/anat/sub-…_T1w.nii.gz: fMRIPrep needs one",
)


@dataclass(frozen=True)
class _Job:
    """One unit's run of fMRIPrep."""

    layout: Layout
    dataset: str
    unit: str
    subject: str
    parameters: FmriprepParameters

    @property
    def folder(self) -> Path:
        return self.layout.fmriprep(self.dataset, self.unit)

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def work(self) -> Path:
        """On the node's own disk, the same for a retry: what was computed there is used again."""
        base = Path(self.parameters.run.work or tempfile.gettempdir())
        # Several users and output folders may share that disk.
        mark = content_hash([str(self.layout.output), os.getuid()])[:12]
        return base / f"fmriprep-{self.dataset}-{self.unit}-{mark}"


def inputs(layout: Layout, dataset: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the content hash of what each recording is made from: all that fMRIPrep is given.

    But for what the data set says of all its people, or one who is new would have everybody
    preprocessed again.
    """
    manifest = read_manifest(layout.manifest(dataset))
    of_unit = [path for path in select_files(manifest, rows) if not path.startswith(ABOUT_ALL)]
    given = content_hash([[path, manifest[path].sha256] for path in of_unit])
    return {
        row["recording"]: content_hash([row["path"], row["tr"], row["n_volumes"], given])
        for row in rows
    }


def preprocess(
    layout: Layout, dataset: str, rows: list[dict[str, Any]], parameters: FmriprepParameters
) -> Result:
    """Run fMRIPrep for a unit, and bring what it wrote under our names."""
    with_t1w = [row for row in rows if row["t1w"] is not None]
    result = Result([], {row["recording"]: _NO_T1W for row in rows if row["t1w"] is None})
    if not with_t1w:
        result.notes = {name: {} for name in ("quality", "files", "space", "backend")}
        result.notes |= {"distortion_corrected": {}, "pipeline": {}}
        return result
    job = _Job(layout, dataset, rows[0]["unit"], rows[0]["subject"], parameters)
    code = _run(job, with_t1w)
    found = _collect(job, with_t1w)
    _judge(job, found, code)
    found.outputs += _anatomy(job) if found.outputs else []
    result.recordings |= found.recordings
    result.outputs += found.outputs
    result.notes = found.notes
    return result


def _run(job: _Job, rows: list[dict[str, Any]]) -> int:
    """Run the container and return its exit code."""
    layout, run = job.layout, job.parameters.run
    if run.license_file is None:
        raise UsageError(
            "fMRIPrep needs FreeSurfer's licence file, and --machine names none",
            hint="run Snakemake: it tells jobs what the configuration says",
        )
    if run.work is not None and not Path(run.work).is_dir():
        raise UsageError(
            f"preprocess.fmri.fmriprep.run.work: {platform.node()} has no folder {run.work}",
            hint="name one that every node has, or leave it out: TMPDIR is then used",
        )
    bids = job.folder / "bids"
    shutil.rmtree(bids, ignore_errors=True)
    # What an earlier attempt wrote would pass for this one's; FreeSurfer's folder is gone on with.
    for name in (f"sub-{job.subject}", "logs"):
        shutil.rmtree(job.output / name, ignore_errors=True)
    manifest = read_manifest(layout.manifest(job.dataset))
    there = [path for path in select_files(manifest, rows) if manifest[path].sha256]
    stage_files(layout.raw(job.dataset), there, bids)
    filters = job.folder / "bids_filter.json"
    write_text(filters, json.dumps(bids_filter(rows), indent=1) + "\n")
    for folder in (job.output, job.work):
        folder.mkdir(parents=True, exist_ok=True)
    templates = Path(run.templateflow) if run.templateflow else layout.templateflow()
    if run.engine == "docker":
        mounted = job.output / TEMPLATES_IN_OUTPUT
        shutil.rmtree(mounted, ignore_errors=True)
        names = [p.relative_to(templates).as_posix() for p in templates.rglob("*") if p.is_file()]
        stage_files(templates, sorted(names), mounted)
        templates = mounted
    place = Place(bids, job.output, job.work, filters, Path(run.license_file), templates)
    line = command(
        job.parameters,
        job.subject,
        Limits(run.threads, run.memory_mb),
        place,
        f"{os.getuid()}:{os.getgid()}",
    )
    log.info("%s", " ".join(line))
    try:
        code = subprocess.run(line, check=False, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        raise BraindataError(
            f"{line[0]} cannot be started ({error.strerror})", hint=_HOW_TO_GET[run.engine]
        ) from error
    finally:
        for folder in (bids, job.output / TEMPLATES_IN_OUTPUT):
            shutil.rmtree(folder, ignore_errors=True)
    if code in NOT_STARTED:
        raise BraindataError(
            f"{line[0]} could not run the container (exit code {code})",
            hint=f"its own words are in the log above; {_HOW_TO_GET[run.engine]}",
        )
    return code


_HOW_TO_GET = {
    "docker": "is Docker running, and fmriprep-docker installed (pip install 'braindata[fmriprep]')"
    "? Where there is no Docker: preprocess.fmri.fmriprep.run.engine: apptainer",
    "apptainer": "is Apptainer on the PATH of this node, and the image a file that it can run?",
    "singularity": "is Singularity on the PATH of this node, and the image a file it can run?",
}


def _collect(job: _Job, rows: list[dict[str, Any]]) -> Result:
    has_output = (job.output / f"sub-{job.subject}").is_dir()
    there = Derivatives(list_derivatives(job.output) if has_output else ())
    chosen = DerivativesParameters(
        spaces=job.parameters.spaces, resolution=job.parameters.resolution
    )
    source = Source(job.output, pipeline_of(job.output), job.layout.output)
    if source.pipeline and job.parameters.version not in source.pipeline.values():
        log.warning(
            "asked for fMRIPrep %s, the image is %s", job.parameters.version, source.pipeline
        )
    return collect(job.layout, job.dataset, rows, chosen, source, there, BACKEND)


def _judge(job: _Job, found: Result, code: int) -> None:
    """Complete the outcomes by what the crash files say, and remove what is not needed any more.

    Raises
    ------
    BraindataError
        When the machine is at fault, or nobody knows what: the job is tried again.
    """
    if code != 0:
        _check_whole(job, found)
    crashes = find_crashes(job.output)
    missing = [name for name, one in found.recordings.items() if one.state != "done"]
    for name in missing:
        crash = crash_of(name, crashes, found.recordings)
        if code in KILLED or (crash is not None and crash.is_machines):
            raise BraindataError(
                f"fMRIPrep ran out of memory or disk: {crash.error if crash else f'code {code}'}",
                file=crash.path if crash else None,
                hint=f"give it more (preprocess.fmri.fmriprep.run); it goes on from {job.work}",
            )
        if crash is not None:
            found.recordings[name] = Outcome(
                "quarantined",
                f"fMRIPrep failed on it: {crash.error}",
                "the crash file says in which step; correct the data, or leave the recording out",
                str(crash.path),
            )
        elif code != 0:
            raise BraindataError(
                f"fMRIPrep ended with code {code}, without {name} and without a crash file",
                hint=f"its own words are in the log above; it goes on from {job.work}",
            )
        else:
            outcome = found.recordings[name]
            found.recordings[name] = replace(
                outcome,
                reason=f"fMRIPrep ended without an error, but: {outcome.reason}",
                file=outcome.file or str(job.output),
            )
    if missing:
        log.warning("intermediate files are kept in %s", job.work)
        return
    if code != 0:
        log.warning("fMRIPrep ended with code %d, but all that was asked for is there", code)
    shutil.rmtree(job.work, ignore_errors=True)


def _check_whole(job: _Job, found: Result) -> None:
    """After an error, images that are there may have been cut off."""
    files: Mapping[str, list[str]] = found.notes["files"]
    for name in [name for name, one in found.recordings.items() if one.state == "done"]:
        for path in (job.layout.output / file for file in files[name]):
            if not path.name.endswith(".nii.gz"):
                continue
            try:
                read_to_end(path)
            except DataError as error:
                found.recordings[name] = Outcome.quarantine(error)
                own = {job.layout.output / file for file in files[name]}
                found.outputs = [one for one in found.outputs if one not in own]
                for notes in found.notes.values():
                    notes.pop(name, None)
                break


def _anatomy(job: _Job) -> list[Path]:
    """Bring the person's anatomical outputs beside those of the recordings.

    Of one session's job only those of that session: others have made the person's own, too, and two
    jobs never write one file.
    """
    target = job.layout.derivatives(job.dataset)
    folder = job.output.joinpath(*job.unit.split("_"), "anat")
    return [
        bring(path, target / path.relative_to(job.output), job.layout.output)
        for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if path.name.endswith(_ANATOMICAL)
    ]
