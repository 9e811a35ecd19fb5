"""`templateflow`: the templates of fMRIPrep, fetched once before any person is preprocessed."""

from __future__ import annotations

from braindata.files import write_text
from braindata.fmri.fmriprep.parameters import FmriprepParameters
from braindata.fmri.fmriprep.templates import fetch_templates
from braindata.layout import Layout


def run(layout: Layout, parameters: FmriprepParameters) -> None:
    """Fetch the templates into the output folder, and list them."""
    home = layout.templateflow()
    names = [path.relative_to(home).as_posix() for path in fetch_templates(parameters, home)]
    # Read by nobody but Snakemake, and people.
    write_text(layout.templates(), "".join(f"{name}\n" for name in names))
