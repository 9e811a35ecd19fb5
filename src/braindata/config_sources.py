"""Where data sets and their derivatives are: folders on this machine, or repositories."""

from __future__ import annotations

from pathlib import Path

from braindata.config_paths import existing, looked_in
from braindata.errors import UsageError
from braindata.pull.derivatives import require_derivatives
from braindata.pull.local import require_bids
from braindata.pull.parameters import PullSection
from braindata.pull.source import Remote, parse_source


def remote_of(source: str, section: PullSection, stated: str | None) -> Remote | None:
    """Return the repository that a source names; None where it is a folder.

    Parameters
    ----------
    source : str
        As it is written.
    section : PullSection
        Where repositories are.
    stated : str or None
        File and line that state it.
    """
    try:
        return parse_source(source, section)
    except UsageError as error:
        raise UsageError(error.problem, file=stated, hint=error.hint) from error


def place_source(
    source: str, section: PullSection, base: Path, named: str, stated: str | None
) -> Path | None:
    """Return the folder of a raw data set; None where it comes from a repository.

    Parameters
    ----------
    source, section, stated
        See `remote_of`.
    base : Path
        The folder to which it is relative.
    named : str
        The data set's place in the configuration.

    Raises
    ------
    UsageError
        When it is no folder of a raw BIDS data set.
    """
    if remote_of(source, section, stated) is not None:
        return None
    folder = _folder(source, base, f"{named}.source", stated)
    try:
        require_bids(folder)
    except UsageError as error:
        raise _located(error, folder, f"{named}.source", stated) from error
    return folder


def place_derivatives(
    source: str, section: PullSection, base: Path, named: str, stated: str | None
) -> str:
    """Return the absolute path of derivatives, or the name of their repository.

    Parameters are those of `place_source`.

    Raises
    ------
    UsageError
        When they are no derivatives of a person.
    """
    if remote_of(source, section, stated) is not None:
        if source.startswith("openneuro:"):
            raise UsageError(
                f"{named}.derivatives: {source} holds raw data",
                file=stated,
                hint="derivatives are named openneuro-derivatives:ds000005-fmriprep",
            )
        return source
    folder = _folder(source, base, f"{named}.derivatives", stated)
    try:
        require_derivatives(folder)
    except UsageError as error:
        raise _located(error, folder, f"{named}.derivatives", stated) from error
    return str(folder)


def _folder(source: str, base: Path, named: str, stated: str | None) -> Path:
    folder = existing(source, base, Path.cwd())
    if folder is None or not folder.is_dir():
        raise UsageError(
            f"{named}: there is no folder {source}",
            file=stated,
            hint=looked_in(base, Path.cwd()),
        )
    return folder


def _located(error: UsageError, folder: Path, named: str, stated: str | None) -> UsageError:
    hint = f"{error.hint} ({named} in {stated})" if stated else error.hint
    return UsageError(error.problem, file=error.file or folder, hint=hint)
