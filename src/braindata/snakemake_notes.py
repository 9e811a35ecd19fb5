"""What Snakemake notes of files, in `.snakemake` of the folder where it was called."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

# Below the working directory, which an output folder may be.
SNAKEMAKE = ".snakemake"
# A job has begun to make this file, and Snakemake has not seen it end.
INCOMPLETE = "incomplete"
# What a job that ended was given.
METADATA = "metadata"
# Folders of notes, each about one file.
KINDS = (METADATA, INCOMPLETE)


def noted_file(parts: Sequence[str]) -> str | None:
    """Return which file a note is about: its name is in base 64, cut where it is long.

    Parameters
    ----------
    parts : sequence of str
        Of the note's path, below the folder of its kind.

    Returns
    -------
    str or None
        The file; None where this is no note of Snakemake's.
    """
    coded = "".join(part.removeprefix("@") for part in parts)
    try:
        name = base64.urlsafe_b64decode(coded).decode()
    except ValueError:
        return None
    # No path can hold it.
    return None if "\0" in name else name


def drop_incomplete(project: Path, output: Path) -> list[Path]:
    """Remove the marks of jobs that were at work in an output folder, and return their paths.

    Snakemake leaves them when it is killed while its jobs live on and end. No file of ours is ever
    half there, and whether it holds its receipt says. Only for whoever holds the folder's lock.

    What was noted of such a file goes too: it is about an earlier one. Of an input whose contents
    are those noted, Snakemake passes over the date, so that of data that were changed and taken
    back, it would keep what such a job has made of the change.

    Parameters
    ----------
    project : Path
        Where Snakemake was called.
    output : Path
        The output folder.
    """
    home, noted = (project / SNAKEMAKE / kind for kind in (INCOMPLETE, METADATA))
    dropped = []
    for path in sorted(home.rglob("*")) if home.is_dir() else ():
        about = noted_file(path.relative_to(home).parts) if path.is_file() else None
        if about is not None and (project / about).resolve().is_relative_to(output.resolve()):
            # The mark last: after a kill in between, it is still known what is in doubt.
            (noted / path.relative_to(home)).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            dropped.append(path)
    return dropped
