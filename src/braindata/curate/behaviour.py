"""Recordings of which there are events and no image: what people did is known all the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from braindata.receipts import Outcome

_SUFFIX = "_events.tsv"

ONLY_BEHAVIOUR = Outcome(
    "excluded",
    "the data set holds its events and no image: only its behaviour is in the tables",
    "nothing need be done; with the image, its brain activity is there too",
)


def without_image(files: Collection[str], images: Collection[str]) -> list[str]:
    """Return the recordings that some events are about, and whose images are not there.

    Parameters
    ----------
    files : collection of str
        Paths of all files of the data set.
    images : collection of str
        Those of its images.

    Returns
    -------
    list of str
        The paths that the images would have without their extension, sorted: only events of one
        subject's run, in a folder `func`.
    """
    there = {path.removesuffix(".gz").removesuffix(".nii") for path in images}
    of_echoes = {_without_echo(path) for path in there}
    found = []
    for path in files:
        folder, _, name = path.rpartition("/")
        if not name.endswith(_SUFFIX) or not name.startswith("sub-") or "/func" not in folder:
            continue
        bold = f"{path.removesuffix(_SUFFIX)}_bold"
        if bold not in there and bold not in of_echoes:
            found.append(bold)
    return sorted(found)


def has_behaviour_only(row: Mapping[str, Any]) -> bool:
    """Whether a recording's image is not there and nothing else speaks against using its events.

    Parameters
    ----------
    row : mapping
        Its row of the inventory.
    """
    if row["events"] is None or row["fetched"] or row["fetched"] is None:
        return False
    return bool(row["status"] == "quarantined" or row["reason"] == ONLY_BEHAVIOUR.reason)


def _without_echo(path: str) -> str:
    return "_".join(part for part in path.split("_") if not part.startswith(("echo-", "part-")))
