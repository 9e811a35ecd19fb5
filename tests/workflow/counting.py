"""How many files there are of each recording: clusters give people quotas of them."""

from __future__ import annotations

import base64

from .conftest import Project


def files_of_person(project: Project, label: str) -> list[str]:
    """Return all files that are there because a person is, beyond raw data and BIDS derivatives.

    Parameters
    ----------
    project : Project
        Has run to its end.
    label : str
        The person, as in ``sub-<label>``.

    Returns
    -------
    list of str
        Of the output folder, with logs, benchmarks, receipts and pages of the report; and the files
        that Snakemake's notes are about, one note each.
    """
    person = f"sub-{label}"
    found = []
    for path in sorted(project.results.rglob("*")):
        name = path.relative_to(project.results)
        if path.is_dir() or name.parts[0] == "raw" or person not in name.as_posix():
            continue
        # Below the folder of a data set lie the person's derivatives, beside it the receipts.
        if name.parts[0] == "derivatives" and name.parts[2:3] == (person,):
            continue
        found.append(name.as_posix())
    # In the working directory, the output folder among them.
    for path in sorted((project.folder / ".snakemake").rglob("*")):
        if path.is_file() and path.parts[-2] in ("metadata", "incomplete"):
            about = base64.urlsafe_b64decode(path.name).decode()
            found += [f"note: {about}"] if person in about else []
        elif path.is_file() and person in path.name:
            found.append(path.name)
    return found
