"""Where the secret key of the pseudonyms lies."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from braindata.config import Config
from braindata.config_lines import locate, read_document
from braindata.config_paths import base_folder
from braindata.errors import UsageError
from braindata.tables.pseudonyms import KEY_VARIABLE


def pseudonym_key(
    config: Config, values: Mapping[str, Any], files: Sequence[Path], output: Path
) -> Path | None:
    """Return the file of the key, there or not; None where people keep their labels.

    Parameters
    ----------
    config : Config
        The validated configuration.
    values : mapping
        What it was validated from.
    files : sequence of Path
        The files that were merged into it. The key lies beside the one that names it, or that asks
        for pseudonyms.
    output : Path
        The output folder.

    Raises
    ------
    UsageError
        When the key lies in the output folder, or a rule names a person.
    """
    if not config.pseudonymise:
        return None
    documents = [read_document(file) for file in files]
    rule = next((rule for rule in config.publish.exclude if rule.startswith("subject ")), None)
    if rule is not None:
        raise UsageError(
            f"publish.exclude: the rule {rule} would be in the tables beside the pseudonyms",
            file=locate(("publish", "exclude"), values, documents),
            hint="leave out people in curate.exclude, or in the exclusions of their data set",
        )
    key = "pseudonym_key" if "pseudonym_key" in values else "pseudonymise"
    stated = os.environ.get(KEY_VARIABLE) or config.pseudonym_key
    folder = base_folder(key, values.get(key), documents)
    path: Path = (folder / Path(stated).expanduser()).resolve()
    if path.is_relative_to(output):
        raise UsageError(
            "pseudonym_key: the key lies in the output folder, where it would be passed on",
            file=path,
            hint="keep it outside: who has it and the tables knows who is who",
        )
    return path
