"""Regions made from an image: what atlases and masks share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from braindata.errors import UsageError
from braindata.files import sha256_file
from braindata.receipts import content_hash
from braindata.regions.files import suffix_of
from braindata.regions.kinds.base import Kind

Option = str | int | float | bool


class ImageKind(Kind):
    """A region made from an image that is a file of the user's, or is fetched once."""

    file: str | None = Field(
        default=None,
        min_length=1,
        description="A NIfTI of yours, relative to the region file. Jobs get it by its sha256.",
    )
    templateflow: dict[str, Option] | None = Field(
        default=None,
        min_length=1,
        description="Entities that name one image of TemplateFlow, such as `{template: "
        "MNI152NLin2009cAsym, atlas: Schaefer2018, desc: 400Parcels7Networks, resolution: 2, "
        "suffix: dseg}`. Needs the extra `templateflow`.",
    )
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="sha256 of the image file. Required for what is fetched; of a file of yours it "
        "is computed, and compared where it is stated.",
    )
    version: str | None = Field(
        default=None, min_length=1, description="Version of the atlas or mask, for people."
    )
    source: str = Field(
        min_length=10,
        description="Where the image comes from: publication, and where it can be had.",
    )

    # Fields that name an image; each kind has its own.
    ORIGINS: ClassVar[tuple[str, ...]] = ("file", "templateflow")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        stated = [name for name in self.ORIGINS if getattr(self, name) is not None]
        if len(stated) != 1:
            raise ValueError(f"state exactly one of {', '.join(self.ORIGINS)}")
        if stated != ["file"] and self.sha256 is None:
            raise ValueError(f"sha256 is missing: what is fetched ({stated[0]}) must be pinned")
        return self

    @property
    def hash_of_image(self) -> str:
        """The sha256 of its image.

        Raises
        ------
        ValueError
            When its files have not been looked at yet.
        """
        if self.sha256 is None:
            raise ValueError("the definition's files have not been read (Kind.with_files)")
        return self.sha256

    def request(self) -> dict[str, Any] | None:
        """Return what is to be fetched; None for a file."""
        return None if self.templateflow is None else {"templateflow": self.templateflow}

    @property
    def request_key(self) -> str:
        """Under which name the label table of a fetched atlas is kept."""
        return content_hash({"request": self.request(), "sha256": self.hash_of_image})

    def sources(self) -> list[str]:
        """Return where the image comes from."""
        version = f", {self.version}" if self.version else ""
        return [f"{self.source}{version}, sha256 {self.hash_of_image}"]

    def images(self) -> list[ImageKind]:
        """Return itself."""
        return [self]

    def with_files(self, folders: Sequence[Path]) -> tuple[Self, dict[str, Path]]:
        """Return the definition with its file's hash and without its folder, and that file."""
        if self.file is None:
            return self, {}
        path = find_file(self.file, folders, self.source)
        if suffix_of(path) not in (".nii", ".nii.gz"):
            raise UsageError(
                "this is no NIfTI file", file=path, hint="it must end in .nii or .nii.gz"
            )
        sha256 = hashed(path, self.sha256, self.source)
        return self.model_copy(update={"file": path.name, "sha256": sha256}), {sha256: path}


def find_file(stated: str, folders: Sequence[Path], source: str | None = None) -> Path:
    """Return the file that a definition names.

    Raises
    ------
    UsageError
        When it is in none of the folders.
    """
    for folder in folders:
        try:
            path: Path = (folder / Path(stated).expanduser()).resolve()
            if path.is_file():
                return path
        except (RuntimeError, ValueError):
            # `~somebody` who is not known here, or a character that no path has.
            continue
    looked = " and in ".join(dict.fromkeys(str(folder) for folder in folders))
    raise UsageError(
        f"there is no file {stated}",
        hint=f"looked in {looked}" + (f". It comes from: {source}" if source else ""),
    )


def hashed(path: Path, stated: str | None, source: str | None = None) -> str:
    """Return the sha256 of a file, which must be the one that is stated, if one is.

    Raises
    ------
    UsageError
        When it is another.
    """
    state = path.stat()
    found = _sha256(path, state.st_size, state.st_mtime_ns)
    if stated is not None and found != stated:
        raise UsageError(
            f"its sha256 is {found}, stated is {stated}",
            file=path,
            hint="it is another version, or damaged: get the file anew"
            + (f" ({source})" if source else "")
            + "; or, if this one is meant, state its sha256",
        )
    return found


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, time: int) -> str:
    # Many regions are made from one atlas, which may be large.
    del size, time
    return sha256_file(path)
