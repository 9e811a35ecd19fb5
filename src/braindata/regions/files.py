"""The files that regions are made from, found by the hash of their contents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from braindata.errors import BraindataError
from braindata.regions.spaces import Spaces

# How region files are named below the output folder: <sha256> and one of these.
SUFFIXES = (".nii.gz", ".nii", ".h5")
LABELS_SUFFIX = ".labels.tsv"


def suffix_of(path: Path) -> str | None:
    """Return the suffix of a file's name, if it is one of `SUFFIXES`."""
    return next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)


@dataclass(frozen=True)
class RegionFiles:
    """Where the files of regions lie.

    Attributes
    ----------
    folder : Path or None
        The folder of an output folder that holds them under their hash.
    local : mapping of str to Path
        Files of the user's own, by sha256: used where a run has not copied them yet.
    """

    folder: Path | None = None
    local: Mapping[str, Path] = field(default_factory=dict)

    def find(self, sha256: str) -> Path | None:
        """Return the file with these contents, None where there is none."""
        if self.folder is not None:
            for suffix in SUFFIXES:
                path = self.folder / f"{sha256}{suffix}"
                if path.is_file():
                    return path
        return self.local.get(sha256)

    def path(self, sha256: str) -> Path:
        """Return the file with these contents.

        Raises
        ------
        BraindataError
            When it is not there.
        """
        found = self.find(sha256)
        if found is None:
            raise BraindataError(
                f"the region file {sha256[:12]}… is not there",
                file=self.folder,
                hint="run Snakemake again: it copies or fetches it before any job",
            )
        return found

    def labels(self, request: str) -> Path:
        """Return the label table that was fetched along with an atlas.

        Raises
        ------
        BraindataError
            When it is not there.
        """
        path = None if self.folder is None else self.folder / f"{request}{LABELS_SUFFIX}"
        if path is None or not path.is_file():
            raise BraindataError(
                "the label table of a fetched atlas is not there",
                file=path,
                hint="run Snakemake again: it fetches the atlas before any job",
            )
        return path


@dataclass(frozen=True)
class Placing:
    """What resolving a region needs besides the region and the grid.

    Attributes
    ----------
    files : RegionFiles
        The files of atlases, masks and transforms.
    spaces : Spaces
        How regions of other spaces are placed.
    """

    files: RegionFiles = field(default_factory=RegionFiles)
    spaces: Spaces = field(default_factory=Spaces)
