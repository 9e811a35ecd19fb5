"""What a user can set about fMRIPrep. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

# Arguments that are made from the inventory, the job's resources or keys of their own.
OWN_ARGUMENTS = frozenset(
    (
        "--participant-label", "--participant_label", "--session-label", "--bids-filter-file",
        "--skip-bids-validation", "--skip_bids_validation", "-t", "--task-id", "--echo-idx",
        "-d", "--derivatives", "--bids-database-dir", "--nprocs", "--nthreads", "--n_cpus",
        "--n-cpus", "--omp-nthreads", "--mem", "--mem_mb", "--mem-mb", "--output-spaces",
        "--output-layout", "--fs-license-file", "--fs-subjects-dir", "--fs-no-reconall", "-w",
        "--work-dir", "--config-file", "--use-plugin", "--nipype-plugin-file", "--random-seed",
        "--skull-strip-fixed-seed", "--notrack", "--ignore", "--force", "--slice-time-ref",
        "--dummy-scans", "--bold2anat-init", "--bold2anat-dof", "--use-syn-sdc",
        "--subject-anatomical-reference", "--skull-strip-t1w", "--skull-strip-template",
        "--fd-spike-threshold", "--dvars-spike-threshold", "--return-all-components",
        "--fallback-total-readout-time", "--clean-workdir", "--version", "-h", "--help",
        "--anat-only", "--level", "--boilerplate-only", "--reports-only", "--image", "-i",
        "--user", "-u", "--env", "-e", "--network", "--shell", "--patch", "--no-tty", "--config",
    )
)  # fmt: skip
OutputSpace = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+(:(cohort|res)-[A-Za-z0-9]+)*$")]


class FmriprepRun(BaseModel):
    """How fMRIPrep is run here: nothing of it changes what comes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["docker", "apptainer", "singularity"] = Field(
        default="docker", description="What runs the container; Docker through `fmriprep-docker`."
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        description="Of Docker, the image's name; without, `nipreps/fmriprep` of `version`. Of "
        "Apptainer and Singularity, the file (`apptainer build fmriprep.sif "
        "docker://nipreps/fmriprep:VERSION`).",
    )
    license_file: str | None = Field(
        default=None,
        min_length=1,
        description="FreeSurfer's licence, which is free. Without: what FS_LICENSE names, or "
        "license.txt in FREESURFER_HOME.",
    )
    work: str | None = Field(
        default=None,
        min_length=1,
        description="Folder for intermediate files (some 20 GB a person), best on the node's own "
        "disk (an absolute path is looked for there only); without, what TMPDIR names where the "
        "job runs. What a job wrote there is removed when all its recordings are done, and kept "
        "otherwise.",
    )
    templateflow: str | None = Field(
        default=None,
        min_length=1,
        description="A folder of TemplateFlow that holds the templates. Without, they are fetched "
        "once, to `templateflow/` in the output folder; jobs need no network.",
    )
    threads: int = Field(default=4, ge=1, le=128, description="Threads of a job.")
    memory_mb: int = Field(
        default=16_000,
        ge=4_000,
        description="Memory of a job in MB; twice that when it is retried.",
    )
    runtime: int = Field(default=480, ge=30, description="Longest duration of a job in minutes.")


class FmriprepParameters(BaseModel):
    """Preprocessing by fMRIPrep."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(
        default="25.2.7", pattern=r"^25\.2\.\d+$", description="Of fMRIPrep: which image is run."
    )
    output_spaces: tuple[OutputSpace, ...] = Field(
        default=("MNI152NLin2009cAsym:res-2",),
        min_length=1,
        description="Template spaces as fMRIPrep names them; the first one is used.",
    )
    reconall: bool = Field(
        default=False, description="Run FreeSurfer's recon-all, which takes hours more."
    )
    ignore: tuple[
        Literal["fieldmaps", "slicetiming", "sbref", "t2w", "flair", "fmap-jacobian"], ...
    ] = Field(default=(), description="Parts of the data that are not used.")
    force: tuple[Literal["bbr", "no-bbr", "syn-sdc", "fmap-jacobian"], ...] = Field(
        default=(), description="Choices that fMRIPrep does not make by itself."
    )
    use_syn_sdc: Literal["no", "warn", "error"] = Field(
        default="no",
        description="Correct distortion without field maps; `warn` goes on where it cannot.",
    )
    slice_time_ref: float = Field(
        default=0.5, ge=0, le=1, description="Which moment of a volume slices are shifted to."
    )
    dummy_scans: int | None = Field(
        default=None, ge=0, description="Number of non-steady-state volumes; without, detected."
    )
    bold2anat_init: Literal["auto", "t1w", "t2w", "header"] = Field(
        default="auto", description="What the registration to the anatomical image begins with."
    )
    bold2anat_dof: Literal[6, 9, 12] = Field(
        default=6, description="Degrees of freedom of that registration."
    )
    anatomical_reference: Literal["first-lex", "unbiased", "sessionwise"] = Field(
        default="first-lex", description="How several anatomical images of a person are used."
    )
    skull_strip_t1w: Literal["auto", "skip", "force"] = Field(
        default="force", description="Whether the brain is extracted from the T1w image."
    )
    skull_strip_template: OutputSpace = Field(
        default="OASIS30ANTs", description="With which template."
    )
    fd_threshold: float = Field(
        default=0.5, gt=0, description="Framewise displacement in mm of a motion outlier."
    )
    std_dvars_threshold: float = Field(
        default=1.5, gt=0, description="Standardised DVARS of a motion outlier."
    )
    all_components: bool = Field(
        default=False, description="Keep all components of CompCor, not half of the variance."
    )
    fallback_total_readout_time: Literal["estimated"] | float | None = Field(
        default=None, description="Readout time in s where the sidecars state none."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of everything random.")
    extra: tuple[str, ...] = Field(
        default=(), description="Further arguments of fMRIPrep, each a text of its own."
    )
    run: FmriprepRun = Field(
        default_factory=FmriprepRun,
        exclude=True,
        description="How it is run here; changing it computes nothing again.",
    )

    @field_validator("extra")
    @classmethod
    def _others(cls, extra: tuple[str, ...]) -> tuple[str, ...]:
        own = sorted({one.partition("=")[0] for one in extra} & OWN_ARGUMENTS)
        if own:
            raise ValueError(f"{', '.join(own)} is set by a key of its own, or by the job")
        return extra

    @property
    def spaces(self) -> tuple[str, ...]:
        """The names of the output spaces."""
        return tuple(space.partition(":")[0] for space in self.output_spaces)

    @property
    def resolution(self) -> str | None:
        """Index of the resolution of the first output space; None where it has none."""
        named = [one for one in self.output_spaces[0].split(":") if one.startswith("res-")]
        return named[0].removeprefix("res-") if named else None
