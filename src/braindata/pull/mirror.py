"""Where the repositories of data sets lie, and the contents that they share."""

from __future__ import annotations

import shutil
from pathlib import Path

from braindata.pull.git import fetch_commit
from braindata.pull.source import Pin, Remote
from braindata.pull.store import Store


class Mirror:
    """Where repositories and contents of all data sets lie.

    Parameters
    ----------
    folder : Path
        The store's folder.
    repositories : Path, optional
        Where repositories lie, if not there.
    """

    def __init__(self, folder: Path, repositories: Path | None = None):
        self.folder = repositories or folder
        self.store = Store(folder)

    def repository(self, dataset: str, pin: Pin) -> Path:
        """The bare repository of one version."""
        return self.folder / "repositories" / f"{dataset}-{pin.commit}.git"

    def fetch(self, dataset: str, remote: Remote, pin: Pin) -> Path:
        """Bring a version's repository here, unless it is, and return where it lies."""
        target = self.repository(dataset, pin)
        refs = [] if pin.tag is None else [f"refs/tags/{pin.tag}"]
        fetch_commit(remote.address, pin.commit, refs, target)
        return target

    def remove_others(self, dataset: str, pin: Pin) -> None:
        """Remove the repositories of the data set's other versions."""
        keep = self.repository(dataset, pin)
        for other in keep.parent.glob(f"{dataset}-*.git"):
            if other != keep and len(other.stem) == len(keep.stem):
                shutil.rmtree(other, ignore_errors=True)
