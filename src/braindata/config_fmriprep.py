"""Where fMRIPrep finds its image, licence and folders on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from braindata.config import Config
from braindata.config_lines import locate, read_document
from braindata.config_paths import base_folder, existing, looked_in
from braindata.errors import UsageError
from braindata.fmri.fmriprep.parameters import FmriprepRun
from braindata.fmri.fmriprep.templates import nearest

LICENSE_URL = "https://surfer.nmr.mgh.harvard.edu/registration.html"
_LICENSE_HINT = f"get one, it is free: {LICENSE_URL}"
_KEYS = ("preprocess", "fmri", "fmriprep", "run")


def place_fmriprep(config: Config, values: Mapping[str, Any], files: Sequence[Path]) -> FmriprepRun:
    """Return how fMRIPrep is run, with absolute paths of what is there.

    Parameters
    ----------
    config : Config
        The validated configuration.
    values : mapping
        The merged configuration.
    files : sequence of Path
        The files that it was merged from.

    Raises
    ------
    UsageError
        When the licence, the container's file or a folder is not there.
    """
    run = config.preprocess.fmri.fmriprep.run
    documents = [read_document(file) for file in files]
    base = base_folder("preprocess", values.get("preprocess"), documents)

    def place(key: str, path: str | None, hint: str) -> str | None:
        if path is None:
            return None
        found = existing(path, base, Path.cwd())
        # An image may be a folder, too: a sandbox of Apptainer.
        wrong = found is not None and key != "image" and found.is_file() != (key == "license_file")
        if found is None or wrong:
            kind = "file" if key == "license_file" else "folder"
            raise UsageError(
                f"{'.'.join(_KEYS)}.{key}: "
                + (f"{path} is no {kind}" if wrong else f"there is no {path}"),
                file=locate((*_KEYS, key), values, documents),
                hint=hint,
            )
        return str(found)

    looked = looked_in(base, Path.cwd())
    placed = {
        "license_file": place("license_file", run.license_file, _LICENSE_HINT) or _license(),
        "templateflow": place("templateflow", run.templateflow, looked),
        # An absolute one may be a disk of the nodes, which is not there where jobs are planned.
        "work": run.work
        if run.work and Path(run.work).is_absolute()
        else place("work", run.work, looked),
    }
    _require_templates(
        config, placed["templateflow"], locate((*_KEYS, "templateflow"), values, documents)
    )
    if run.engine != "docker":
        build = (
            f"apptainer build fmriprep.sif docker://nipreps/fmriprep:"
            f"{config.preprocess.fmri.fmriprep.version}"
        )
        if run.image is None:
            raise UsageError(
                f"{'.'.join(_KEYS)}.image is missing: {run.engine} needs the container's file",
                file=locate(_KEYS, values, documents),
                hint=build,
            )
        placed["image"] = place("image", run.image, f"{looked}; {build}")
    return run.model_copy(update=placed)


def _require_templates(config: Config, folder: str | None, stated: str | None) -> None:
    """Refuse a folder of TemplateFlow that lacks one of the output spaces."""
    if folder is None:
        return
    for space in config.preprocess.fmri.fmriprep.spaces:
        if not (Path(folder) / f"tpl-{space}").is_dir():
            raise UsageError(
                f"preprocess.fmri.fmriprep.output_spaces: {folder} has no template {space}",
                file=stated,
                hint=nearest(
                    space, [one.name.removeprefix("tpl-") for one in Path(folder).glob("tpl-*")]
                ),
            )


def _license() -> str:
    """Return FreeSurfer's licence where FreeSurfer itself looks for it."""
    home = os.environ.get("FREESURFER_HOME")
    named = os.environ.get("FS_LICENSE") or (home and str(Path(home) / "license.txt"))
    if named and Path(named).is_file():
        return str(Path(named).resolve())
    told = f"there is none at {named}" if named else "FS_LICENSE is not set either"
    raise UsageError(
        f"fMRIPrep needs FreeSurfer's licence file: {'.'.join(_KEYS)}.license_file names none, "
        f"and {told}",
        hint=_LICENSE_HINT,
    )
