"""The pictures of one recording: carpet plot, motion, and its images on the template."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from braindata.errors import DamageError
from braindata.pack.store import open_store
from braindata.report.carpet import carpet_picture
from braindata.report.mosaic import before_mosaic, edges_mosaic, mosaic, template_mosaic
from braindata.report.motion import motion_svg
from braindata.report.signal_maps import TSNR_MAXIMUM, dropout_picture, tsnr_picture

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
    "before.webp": "Before: the first volume of the raw recording where its header places it, with "
    "the outline of the template's brain.",
    "edges.webp": "After, on the person: the BOLD reference in template space. Yellow: where the "
    "person's own T1w image passes from grey to white matter; in the EPI cortex is the brighter "
    "side of the line.",
    "tsnr.webp": "Temporal signal-to-noise ratio: mean over standard deviation of each voxel over "
    f"time, from 0 to {TSNR_MAXIMUM:.0f} and more, smoothed for the eye. All recordings have the "
    "same colours.",
    "dropout.webp": "Where signal is lost: the mean volume on low slices. Orange: voxels of the "
    "brain whose mean is below the floor that the configuration sets; blue: voxels without data; "
    "white: outlines of the areas of OFC and vmPFC whose loss is stated.",
}


def recording_pictures(
    store: Path,
    confounds: Path | None,
    boldref: Path | None,
    t1w: Path | None,
    *,
    raw: Path | None = None,
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
    raw : Path or None
        The raw recording.
    fd_threshold : float
        Framewise displacement in mm above which a volume is an outlier: a line in the picture.

    Returns
    -------
    dict of str to bytes
        Some of those in `CAPTIONS`: a picture whose input is None, not there or without what it
        shows is left out.

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
            pictures["tsnr.webp"] = tsnr_picture(opened)
            pictures["dropout.webp"] = dropout_picture(opened)
    if confounds is not None and confounds.is_file():
        svg = motion_svg(_read_confounds(confounds), tr, fd_threshold=fd_threshold)
        pictures["motion.svg"] = None if svg is None else svg.encode()
    for name, image in (("boldref.webp", boldref), ("t1w.webp", t1w)):
        if image is not None and image.is_file():
            pictures[name] = mosaic(image)
    if boldref is not None and t1w is not None and boldref.is_file() and t1w.is_file():
        pictures["edges.webp"] = edges_mosaic(boldref, t1w)
    if raw is not None and raw.is_file():
        pictures["before.webp"] = before_mosaic(raw)
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
