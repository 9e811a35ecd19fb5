"""The pictures of one recording: carpet plot, motion, and its images on the template."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from braindata.errors import DamageError
from braindata.pack.store import open_store
from braindata.report.carpet import carpet_picture
from braindata.report.mosaic import mosaic, template_mosaic
from braindata.report.motion import motion_svg

# What stands under each picture.
CAPTIONS = {
    "carpet.webp": "Carpet plot: voxels of grey matter (blue), white matter (orange) and "
    "ventricles (green) over time. Each row is the mean of up to six neighbouring voxels without "
    "linear and quadratic trend, in z-units; black is −2.5, white is 2.5.",
    "motion.svg": "Motion: translations, rotations, framewise displacement (FD) and standardised "
    "DVARS per volume. Red: motion outliers; grey: volumes before the steady state.",
    "boldref.webp": "The BOLD reference in template space. Red: outline of the template's brain "
    "and of the fluid inside it.",
    "t1w.webp": "The T1w image in template space. Red: outline of the template's brain and of the "
    "fluid inside it.",
}


def recording_pictures(
    store: Path,
    confounds: Path | None,
    boldref: Path | None,
    t1w: Path | None,
    *,
    fd_threshold: float = 0.5,
) -> dict[str, bytes]:
    """Draw the pictures of one recording.

    Parameters
    ----------
    store : Path
        Its sample store.
    confounds : Path or None
        ``desc-confounds_timeseries.tsv``.
    boldref, t1w : Path or None
        Images in template space, on any grid.
    fd_threshold : float
        Framewise displacement in mm above which a volume is an outlier: a line in the picture.

    Returns
    -------
    dict of str to bytes
        Some of ``carpet.webp``, ``motion.svg``, ``boldref.webp`` and ``t1w.webp``: a picture
        whose input is None, not there or without what it shows is left out.

    Raises
    ------
    DamageError
        When an input is there and cannot be read.
    """
    pictures: dict[str, bytes | None] = {}
    tr = None
    if store.is_file():
        with open_store(store) as opened:
            tr = opened.tr
            pictures["carpet.webp"] = carpet_picture(opened)
    if confounds is not None and confounds.is_file():
        svg = motion_svg(_read_confounds(confounds), tr, fd_threshold=fd_threshold)
        pictures["motion.svg"] = None if svg is None else svg.encode()
    for name, image in (("boldref.webp", boldref), ("t1w.webp", t1w)):
        if image is not None and image.is_file():
            pictures[name] = mosaic(image)
    return {name: content for name, content in pictures.items() if content is not None}


def template_picture() -> bytes:
    """Draw the template's T1w on the slices and in the frame of the recordings' images, as WebP."""
    return template_mosaic()


def _read_confounds(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep="\t", na_values="n/a")
    except (OSError, ValueError) as error:
        raise DamageError(
            "the confounds cannot be read",
            file=path,
            hint="delete the receipt of its preprocessing (derivatives/…receipt.json), run again",
        ) from error
