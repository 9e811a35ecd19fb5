"""What is pulled of fMRIPrep's output: of each run, the image in one space and its confounds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from braindata.bids.derived import Derivatives, DerivedFile, Key, choose
from braindata.errors import DataError, UsageError
from braindata.pull.parameters import Published, Subset

DESCRIPTION = "dataset_description.json"
_HINT = "give the folder of fMRIPrep's output that holds the sub-… folders"


@dataclass(frozen=True)
class Selection:
    """Files of a folder of derivatives.

    Attributes
    ----------
    paths : list of str
        What is asked for, sorted.
    named : frozenset of str
        Those of them of which only the name is: what there is of a run that cannot be used.
    """

    paths: list[str]
    named: frozenset[str]


def require_derivatives(source: Path) -> None:
    """Check that a folder is the output of fMRIPrep.

    Raises
    ------
    UsageError
        When there is no folder of a subject in it.
    """
    if _has_subjects(source):
        return
    below = source / "fmriprep"
    meant = f"do you mean {below}?" if below.is_dir() and _has_subjects(below) else _HINT
    raise UsageError("this folder holds no derivatives of a subject", file=source, hint=meant)


def _has_subjects(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.name.startswith("sub-") and entry.is_dir() for entry in entries)


def list_derivatives(source: Path) -> list[str]:
    """Return the paths of fMRIPrep's functional outputs below a local folder, sorted.

    Other folders (anat, figures, log, FreeSurfer's) are not even looked into.

    Raises
    ------
    UsageError
        When there is no folder of a subject.
    """
    require_derivatives(source)
    found = [DESCRIPTION] if (source / DESCRIPTION).is_file() else []
    for pattern in ("sub-*/func", "sub-*/ses-*/func"):
        for folder in source.glob(pattern):
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if not entry.name.startswith(".")]
            found += [(folder.relative_to(source) / name).as_posix() for name in names]
    return sorted(found)


def select_derivatives(paths: Sequence[str], asked: Published, subset: Subset) -> Selection:
    """Return what is pulled of a folder of derivatives.

    Parameters
    ----------
    paths : sequence of str
        All paths below it.
    asked : Published
        In which spaces.
    subset : Subset
        Of which people, sessions and tasks.
    """
    wanted = {DESCRIPTION} & set(paths)
    named = set()
    for run, files in Derivatives(paths).runs.items():
        if not _is_asked(run, subset):
            continue
        try:
            wanted |= set(choose(files, asked.spaces, asked.resolution).paths())
        except DataError:
            # Curation says why it cannot be used, for which it needs to know what there is.
            named |= {file.path for file in files}
        wanted |= {file.path for file in files if _is_text(file)}
    named -= wanted
    return Selection(sorted(wanted | named), frozenset(named))


def _is_text(file: DerivedFile) -> bool:
    # Whether distortion was corrected is told by a small file that is there or not.
    return file.kind == "field_transform"


def _is_asked(run: Key, subset: Subset) -> bool:
    named = dict(run)
    asked = {"sub": subset.subject, "ses": subset.session, "task": subset.task}
    return all(
        not labels or named.get(key) in {label.removeprefix(f"{key}-") for label in labels}
        for key, labels in asked.items()
    )
