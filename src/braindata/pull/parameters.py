"""What a user can set about pulling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Download(BaseModel):
    """How contents are downloaded: none of it changes what is pulled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connections: int = Field(default=4, ge=1, le=64, description="Downloads of a data set at once.")
    megabytes_per_second: float | None = Field(
        default=None, gt=0, description="Limit for a data set, all its connections together."
    )
    timeout: float = Field(
        default=60, gt=0, description="Seconds without a byte after which a connection is given up."
    )
    attempts: int = Field(
        default=6, ge=1, le=20, description="How often one address of a file is tried."
    )
    pause: float = Field(
        default=1,
        ge=0,
        description="Seconds before the second attempt; twice that before each later one, less a "
        "random part.",
    )


class PullParameters(BaseModel):
    """How data sets come under `raw/`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["link", "copy"] = Field(
        default="link",
        description="`link` makes symbolic links to a local folder, `copy` copies it. The source "
        "is never changed.",
    )


Labels = tuple[Annotated[str, Field(min_length=1)], ...]


class Subset(BaseModel):
    """Which recordings of a data set are pulled; a key that is not given asks for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: Labels = Field(
        default=(), description='Labels in quotes (`"01"`), with or without `sub-`.'
    )
    session: Labels = Field(default=(), description="Labels, with or without `ses-`.")
    task: Labels = Field(default=(), description="Labels, with or without `task-`.")
    datatype: Labels = Field(default=(), description="Folders: `func`, `anat`, `eeg`.")
    suffix: Labels = Field(default=(), description="Last parts of names: `bold`, `T1w`, `eeg`.")

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return any(self.model_dump().values())


class Published(BaseModel):
    """What of others' derivatives a job pulls beside the raw data they were made from.

    Attributes
    ----------
    source : str
        The folder, or what the configuration calls the repository.
    address, tag, commit : str or None
        The repository, and its version.
    spaces : tuple of str
        Template spaces, the preferred one first.
    resolution : str or None
        Index of the resolution that is preferred.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    address: str | None = None
    tag: str | None = None
    commit: str | None = None
    spaces: tuple[str, ...]
    resolution: str | None = None


class PullJob(BaseModel):
    """What of a source one job pulls; a local folder has neither address nor commit.

    Attributes
    ----------
    address, tag, commit : str or None
        The repository, and its version.
    derivatives : bool
        Whether it holds what others made of raw data.
    subset : Subset
        What of it.
    published : Published or None
        Derivatives that others made of it. With them, raw MRI images are named, but not fetched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str | None = None
    tag: str | None = None
    commit: str | None = None
    derivatives: bool = False
    subset: Subset = Field(default_factory=Subset)
    published: Published | None = None


class PullSection(PullParameters):
    """What a configuration can say of pulling."""

    openneuro: str = Field(
        default="https://github.com/OpenNeuroDatasets/{id}.git",
        pattern=r"^(https?|file)://.*\{id\}",
        description="Where `openneuro:ID` lies.",
    )
    openneuro_derivatives: str = Field(
        default="https://github.com/OpenNeuroDerivatives/{id}.git",
        pattern=r"^(https?|file)://.*\{id\}",
        description="Where `openneuro-derivatives:ID` lies.",
    )
    download: Download = Field(
        default_factory=Download,
        description="How contents are downloaded; changing it pulls nothing again.",
    )
