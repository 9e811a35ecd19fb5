"""The command line of fMRIPrep in a container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from braindata.fmri.fmriprep.parameters import FmriprepParameters

REPOSITORY = "nipreps/fmriprep"
# Templates are all there, and are changed by nobody.
TEMPLATEFLOW = {"TEMPLATEFLOW_AUTOUPDATE": "off", "TEMPLATEFLOW_USE_DATALAD": "off"}
# fmriprep-docker can mount no folder of templates; the output folder is one that it mounts.
TEMPLATES_IN_OUTPUT = ".templateflow"
# nipype starts what it estimates to fit into this; the rest is its own and the system's.
MEMORY_SHARE = 0.9


@dataclass(frozen=True)
class Place:
    """The files of one job on this machine.

    Attributes
    ----------
    bids, output, work : Path
        The input, the output and the working folder.
    filters : Path
        The BIDS filter file.
    license : Path
        FreeSurfer's licence.
    templates : Path
        TemplateFlow's folder; with Docker it lies in the output folder, as `TEMPLATES_IN_OUTPUT`.
    """

    bids: Path
    output: Path
    work: Path
    filters: Path
    license: Path
    templates: Path


@dataclass(frozen=True)
class Limits:
    """What a job may use.

    Attributes
    ----------
    threads : int
        At once.
    memory_mb : int
        In MB.
    """

    threads: int
    memory_mb: int


def fmriprep_arguments(parameters: FmriprepParameters, subject: str, limits: Limits) -> list[str]:
    """Return the arguments of fMRIPrep that concern no path.

    Parameters
    ----------
    parameters : FmriprepParameters
        What changes the result.
    subject : str
        Label of the person.
    limits : Limits
        What the job may use.
    """
    p = parameters
    arguments = [
        *("--participant-label", subject),
        "--skip-bids-validation",
        "--notrack",
        *("--nprocs", str(limits.threads)),
        # Each process as many as it can use; ANTs gains little beyond.
        *("--omp-nthreads", str(min(limits.threads, 8))),
        # Spelt so that fmriprep-docker asks nothing on machines of less than 8 GB.
        *("--mem_mb", str(int(limits.memory_mb * MEMORY_SHARE))),
        *("--output-spaces", *p.output_spaces),
        *("--random-seed", str(p.seed)),
        "--skull-strip-fixed-seed",
        *("--skull-strip-t1w", p.skull_strip_t1w),
        *("--skull-strip-template", p.skull_strip_template),
        *("--slice-time-ref", f"{p.slice_time_ref:g}"),
        *("--bold2anat-init", p.bold2anat_init),
        *("--bold2anat-dof", str(p.bold2anat_dof)),
        *("--subject-anatomical-reference", p.anatomical_reference),
        *("--fd-spike-threshold", f"{p.fd_threshold:g}"),
        *("--dvars-spike-threshold", f"{p.std_dvars_threshold:g}"),
    ]
    if not p.reconall:
        arguments.append("--fs-no-reconall")
    if p.all_components:
        arguments.append("--return-all-components")
    if p.ignore:
        arguments += ["--ignore", *p.ignore]
    if p.force:
        arguments += ["--force", *p.force]
    if p.use_syn_sdc != "no":
        arguments += ["--use-syn-sdc", p.use_syn_sdc]
    if p.dummy_scans is not None:
        arguments += ["--dummy-scans", str(p.dummy_scans)]
    if p.fallback_total_readout_time is not None:
        arguments += ["--fallback-total-readout-time", str(p.fallback_total_readout_time)]
    return [*arguments, *p.extra]


def command(
    parameters: FmriprepParameters, subject: str, limits: Limits, place: Place, user: str
) -> list[str]:
    """Return the command that runs fMRIPrep for one person.

    Parameters
    ----------
    parameters : FmriprepParameters
        What changes the result, and which engine.
    subject : str
        Label of the person.
    limits : Limits
        What the job may use.
    place : Place
        The job's files.
    user : str
        ``UID:GID`` that Docker runs it as, so that its files belong to whoever runs the job.
    """
    arguments = fmriprep_arguments(parameters, subject, limits)
    if parameters.run.engine == "docker":
        return _docker(parameters, arguments, place, user)
    return _apptainer(parameters, arguments, place)


def _docker(
    parameters: FmriprepParameters, arguments: list[str], place: Place, user: str
) -> list[str]:
    environment = {"TEMPLATEFLOW_HOME": f"/out/{TEMPLATES_IN_OUTPUT}", **TEMPLATEFLOW}
    return [
        # The wrapper takes its paths first: after an unknown option it would lose them.
        *("fmriprep-docker", str(place.bids), str(place.output), "participant"),
        "--no-tty",
        *("--image", parameters.run.image or f"{REPOSITORY}:{parameters.version}"),
        *("--user", user),
        *(part for name, value in environment.items() for part in ("--env", name, value)),
        *("--fs-license-file", str(place.license)),
        *("--work-dir", str(place.work)),
        *("--bids-filter-file", str(place.filters)),
        *arguments,
    ]


def _apptainer(parameters: FmriprepParameters, arguments: list[str], place: Place) -> list[str]:
    # As fmriprep-docker mounts them, so that logs and reports name the same paths.
    mounts = {
        f"{place.bids}": "/data:ro",
        f"{place.output}": "/out",
        f"{place.work}": "/scratch",
        f"{place.license}": "/opt/freesurfer/license.txt:ro",
        f"{place.filters}": "/opt/bids_filter.json:ro",
        f"{place.templates}": "/templateflow:ro",
    }
    environment = {"TEMPLATEFLOW_HOME": "/templateflow", **TEMPLATEFLOW}
    return [
        *(parameters.run.engine, "run", "--cleanenv", "--containall"),
        *(part for a, b in mounts.items() for part in ("--bind", f"{a}:{b}")),
        *(part for a, b in environment.items() for part in ("--env", f"{a}={b}")),
        str(parameters.run.image),
        *("/data", "/out", "participant"),
        *("--fs-license-file", "/opt/freesurfer/license.txt"),
        *("--work-dir", "/scratch"),
        *("--bids-filter-file", "/opt/bids_filter.json"),
        *arguments,
    ]
