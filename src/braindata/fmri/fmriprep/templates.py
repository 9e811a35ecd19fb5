"""The templates that fMRIPrep takes from TemplateFlow, fetched once: jobs need no network."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from braindata.errors import BraindataError, UsageError
from braindata.fmri.fmriprep.parameters import FmriprepParameters

# Head motion, reports and brain extraction use these whatever the output spaces are: as
# scripts/fetch_templates.py of fMRIPrep 25.2, which fills its own image.
ALWAYS = "MNI152NLin2009cAsym"


def queries(parameters: FmriprepParameters) -> list[tuple[str, dict[str, Any]]]:
    """Return what is asked of TemplateFlow: templates and entities of their files."""
    asked: list[tuple[str, dict[str, Any]]] = []
    for space in sorted({ALWAYS, *parameters.spaces}):
        asked += [
            (space, {"resolution": [1, 2], "desc": None, "atlas": None, "suffix": "T1w"}),
            (space, {"resolution": [1, 2], "desc": "brain", "suffix": "mask"}),
            (space, {"resolution": 1, "label": "brain", "suffix": "probseg"}),
            (space, {"resolution": 2, "desc": "fMRIPrep", "suffix": "boldref"}),
            (space, {"resolution": 1, "atlas": None, "desc": "carpet", "suffix": "dseg"}),
        ]
    asked.append((parameters.skull_strip_template.partition(":")[0], {"resolution": 1}))
    if parameters.reconall:
        asked += [
            ("fsaverage", {"suffix": "sphere"}),
            ("fsaverage", {"suffix": "dseg", "extension": ".tsv"}),
            ("fsLR", {"density": "32k"}),
        ]
    return asked


def fetch_templates(parameters: FmriprepParameters, home: Path) -> list[Path]:
    """Fetch what fMRIPrep needs into a folder of TemplateFlow, and return the files.

    What is there already is not fetched again.

    Parameters
    ----------
    parameters : FmriprepParameters
        Which spaces.
    home : Path
        The folder.

    Raises
    ------
    UsageError
        When TemplateFlow's client is not installed, or has no such template.
    BraindataError
        When the network does not answer.
    """
    home.mkdir(parents=True, exist_ok=True)
    # Read when the client is imported.
    os.environ["TEMPLATEFLOW_HOME"] = str(home)
    try:
        from templateflow import api
    except ImportError as error:
        raise UsageError(
            "the package templateflow is not installed, which fetches fMRIPrep's templates",
            hint="pip install 'braindata[templateflow]', or name a folder that holds them: "
            "preprocess.fmri.fmriprep.run.templateflow",
        ) from error
    known = set(api.templates())
    found: set[Path] = set()
    for template, entities in queries(parameters):
        if template not in known:
            raise UsageError(
                f"TemplateFlow has no template {template}",
                hint=f"{nearest(template, known)}; see preprocess.fmri.fmriprep.output_spaces",
            )
        try:
            files = api.get(template, raise_empty=False, **entities)
        except OSError as error:
            # requests' errors are OSErrors, too.
            raise BraindataError(
                f"the template {template} could not be fetched ({type(error).__name__})",
                hint="run once where there is a network: what was fetched is kept; or name a "
                "folder that holds it: preprocess.fmri.fmriprep.run.templateflow",
            ) from error
        found |= _paths(files)
    return sorted(found)


def nearest(template: str, known: Iterable[str]) -> str:
    """Return which template may be meant by a name that is none."""
    there = sorted(known)
    near = difflib.get_close_matches(template, there, n=3) or there[:8]
    return f"is it {' or '.join(near)}?" if near else "there is none at all"


def _paths(files: Iterable[Path] | Path) -> set[Path]:
    return {Path(files)} if isinstance(files, str | Path) else {Path(file) for file in files}
