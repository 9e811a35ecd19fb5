"""Files of exclusions: what people decided about the recordings of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from braindata.config_errors import wrong
from braindata.config_lines import read_document
from braindata.errors import UsageError
from braindata.tables.exclusions import Decisions

_EXAMPLE = (
    "the least is `exclude: [{subject: '01', who: NAME, when: 2026-01-31, why: REASON}]`; "
    "`include:` brings recordings back"
)
# What one argument of a command can be on Linux is 128 KiB, and the rest needs room too.
MAX_LENGTH = 100_000


def read_exclusions(folder: Path | None, datasets: Sequence[str]) -> dict[str, Decisions]:
    """Read ``<data set>.yaml`` of each data set that has one.

    Parameters
    ----------
    folder : Path or None
        Where the files lie; None where there are none.
    datasets : sequence of str
        Identifiers of the data sets in use. A file of another one counts when that is used.

    Raises
    ------
    UsageError
        When a file is wrong, or its name is a slip of the pen of a data set without a file.
    """
    if folder is None:
        return {}
    files = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    found = {}
    for dataset in datasets:
        if dataset in files:
            found[dataset] = _read(files[dataset])
            continue
        others = [name for name in files if name not in datasets]
        # Another data set may well have a name that is near: only case and punctuation are slips.
        meant = [name for name in others if _plain(name) == _plain(dataset)]
        if meant:
            raise UsageError(
                f"this file is of no data set; is {dataset} meant?",
                file=files[meant[0]],
                hint=f"name it {dataset}.yaml",
            )
    return found


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _read(file: Path) -> Decisions:
    document = read_document(file)
    body = {} if document.value is None else document.value
    if not isinstance(body, dict):
        raise UsageError(
            "exclusions are a mapping with the keys `exclude` and `include`",
            file=file,
            hint=_EXAMPLE,
        )
    try:
        decisions = Decisions.model_validate(body)
    except ValidationError as error:
        raise wrong(error, Decisions, body, [document]) from error
    if len(decisions.model_dump_json()) > MAX_LENGTH:
        raise UsageError(
            "these are more exclusions than a job can be told of",
            file=file,
            hint="say in one line what several have in common: `subject`, `session`, `task`",
        )
    return decisions
