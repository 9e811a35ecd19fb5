"""What `braindata init` says."""

from __future__ import annotations

import shlex
from pathlib import Path

from braindata.scaffold.project import CONFIG, Changes

FILL_IN = f"""Name your data in {CONFIG}, under datasets:
         - id: my-study
           source: ../my-bids-folder
"""


def describe_changes(folder: Path, changes: Changes, *, filled_in: bool) -> str:
    """Return what was done to a project, and for a new one the first steps.

    Parameters
    ----------
    folder : Path
        The project, as the user named it.
    changes : Changes
        What `init_project` did.
    filled_in : bool
        Whether the configuration names a data set.
    """
    if CONFIG in changes.written:
        return _first_steps(folder, len(changes.written), filled_in)
    parts = [
        ("new", changes.written),
        ("updated", changes.updated),
        ("removed, as they are no longer needed", changes.removed),
        ("edited by you and kept", changes.kept),
        (
            "edited by you and kept, though changed in braindata too: compare them",
            changes.differing,
        ),
    ]
    lines = []
    for heading, names in parts:
        if names:
            lines += [f"{heading}:\n", *(f"  {name}\n" for name in names)]
    if changes.kept or changes.differing:
        lines.append("--force replaces what you edited.\n")
    if not (changes.written or changes.updated or changes.removed):
        lines.append("Nothing to do: the project is up to date.\n")
    return "".join(lines).rstrip()


def _first_steps(folder: Path, n_files: int, filled_in: bool) -> str:
    steps = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    steps += [] if filled_in else [FILL_IN.rstrip()]
    steps += [
        "snakemake --cores all --dry-run    # what would be done",
        "snakemake --cores all              # do it; killed, the same line goes on from there",
        "braindata tables results           # what came out; read with braindata.open_tables",
    ]
    listed = "".join(f"  {number}. {step}\n" for number, step in enumerate(steps, 1))
    return f"{folder} is ready ({n_files} files). Next:\n\n{listed}".rstrip()
