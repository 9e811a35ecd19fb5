"""What becomes of every image file of a data set."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from braindata.bids.entities import stem

IMAGE_EXTENSIONS = (".nii.gz", ".nii")
RECORDING = "recording"
T1W = "T1w of a recording"
FIELD_MAP = "field map of a recording"
MISNAMED = "not used: its path is not one of BIDS"


def account(
    files: Iterable[str], indexed: Collection[str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Return what every image file is to us.

    Parameters
    ----------
    files : iterable of str
        Paths of all files.
    indexed : collection of str
        The images that bids2table knows.
    rows : sequence of mapping
        Of `recordings`.

    Returns
    -------
    dict of str to str
        By path, sorted.
    """
    roles: dict[str, str] = {}
    for row in rows:
        roles |= dict.fromkeys(row["field_maps"] or (), FIELD_MAP)
        if row["t1w"] is not None:
            roles[row["t1w"]] = T1W
    roles |= {row["path"]: RECORDING for row in rows if row["path"] is not None}
    known = set(indexed)
    images = sorted(path for path in files if path.endswith(IMAGE_EXTENSIONS))
    return {path: roles.get(path) or _other(path, path in known) for path in images}


def _other(path: str, is_known: bool) -> str:
    if not is_known:
        return MISNAMED
    folder = PurePosixPath(path).parent.name
    return f"not used: {folder}/{stem(path).rpartition('_')[2]}"
