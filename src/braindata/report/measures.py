"""The quality figures that the report shows, and how a recording's compare with the others'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Farther from the data set's median than so many median absolute deviations, in their scale of a
# standard deviation, a figure is pointed at (Leys et al. 2013, doi:10.1016/j.jesp.2013.03.013).
FAR = 3.0
_MAD_TO_SD = 1.4826
# Of fewer recordings nothing is far.
_LEAST = 6


@dataclass(frozen=True)
class Measure:
    """A quality figure of recordings: its column, how it is shown, and the least of its axis."""

    column: str
    title: str
    unit: str
    digits: int
    usual: tuple[float, float]
    meaning: str
    # Whether it is on the first page: a page of all, for thousands of recordings, would be slow.
    first: bool = False


MEASURES = (
    Measure(
        "fd_mean",
        "mean FD",
        "mm",
        3,
        (0, 0.3),
        "Framewise displacement, mean over volumes; less is better",
        first=True,
    ),
    Measure("fd_max", "max FD", "mm", 2, (0, 1), "Largest framewise displacement; less is better"),
    Measure(
        "std_dvars_mean",
        "mean std. DVARS",
        "",
        2,
        (0.8, 1.6),
        "Standardised DVARS, mean over volumes: 1 is what noise alone would give",
    ),
    Measure(
        "outlier_share",
        "outlier volumes",
        "",
        3,
        (0, 0.2),
        "Share of volumes above the thresholds of FD or standardised DVARS; less is better",
    ),
    Measure(
        "tsnr_median",
        "median tSNR",
        "",
        1,
        (0, 60),
        "Temporal signal-to-noise ratio, median over the brain; more is better",
        first=True,
    ),
    Measure(
        "registration_dice",
        "Dice with template",
        "",
        3,
        (0.7, 1),
        "Overlap of the recording's brain with the template's; more is better",
        first=True,
    ),
    Measure(
        "boundary_cost",
        "boundary cost",
        "",
        2,
        (0.2, 1),
        "Contrast across the template's border of white matter; less is better, 1 is chance",
        first=True,
    ),
    Measure(
        "brain_coverage",
        "brain coverage",
        "",
        3,
        (0.8, 1),
        "Share of the template's brain that the recording covers; more is better",
    ),
    Measure(
        "ofc_signal_loss",
        "signal lost in OFC",
        "",
        2,
        (0, 1),
        "Share of orbitofrontal voxels that are too dark to hold a signal; less is better",
        first=True,
    ),
    Measure(
        "vmpfc_signal_loss",
        "signal lost in vmPFC",
        "",
        2,
        (0, 1),
        "Share of ventromedial prefrontal voxels that are too dark; less is better",
    ),
)

# Of EEG.
EEG_MEASURES = (
    Measure(
        "n_bad_channels",
        "bad channels",
        "",
        0,
        (0, 5),
        "Channels of EEG that were found or marked as bad; less is better",
        first=True,
    ),
    Measure(
        "n_components_removed",
        "components removed",
        "",
        0,
        (0, 10),
        "Independent components that were removed as artefacts",
    ),
    Measure(
        "share_rejected",
        "epochs rejected",
        "",
        3,
        (0, 0.5),
        "Share of events without a clean epoch; less is better",
        first=True,
    ),
    Measure(
        "line_noise_ratio",
        "line noise",
        "",
        1,
        (0, 20),
        "Power at the line frequency of the raw EEG over that of its neighbourhood; 1 is none",
    ),
    Measure(
        "evoked_snr",
        "evoked SNR",
        "",
        2,
        (0, 2),
        "Signal-to-noise ratio (power) of the evoked responses by split halves; 0 is none",
        first=True,
    ),
    Measure(
        "aperiodic_exponent",
        "aperiodic exponent",
        "",
        2,
        (0, 2),
        "Exponent of the aperiodic part of the cleaned spectrum",
    ),
)

Row = Mapping[str, Any]


def measures_of(rows: Sequence[Row]) -> tuple[Measure, ...]:
    """Return the figures that recordings of these modalities have."""
    kinds = {row["modality"] == "eeg" for row in rows}
    return (MEASURES if kinds != {True} else ()) + (EEG_MEASURES if True in kinds else ())


@dataclass(frozen=True)
class Compared:
    """A recording's figure beside those of its data set; all are None where unknown."""

    measure: Measure
    value: float | None
    median: float | None
    low: float | None
    high: float | None
    is_far: bool


def compare(rows: Sequence[Row]) -> list[tuple[Compared, ...]]:
    """Return each recording's figures beside those of its data set, in the order of the rows."""
    of_datasets: dict[str, list[Row]] = {}
    for row in rows:
        of_datasets.setdefault(row["dataset"], []).append(row)
    known = {
        (dataset, one.column): np.array(
            [row[one.column] for row in members if row[one.column] is not None], np.float64
        )
        for dataset, members in of_datasets.items()
        for one in (*MEASURES, *EEG_MEASURES)
    }
    spreads = {key: _spread(values) for key, values in known.items()}
    return [
        tuple(
            _compared(one, row[one.column], spreads[row["dataset"], one.column])
            for one in measures_of([row])
        )
        for row in rows
    ]


def loss_words(rows: Sequence[Row]) -> str | None:
    """Say how much signal recordings have lost in OFC and vmPFC; None where that is not known."""
    parts = []
    for column, name in (("ofc_signal_loss", "OFC"), ("vmpfc_signal_loss", "vmPFC")):
        values = [row[column] for row in rows if row[column] is not None]
        if values:
            median, most = 100 * float(np.median(values)), 100 * max(values)
            parts.append(f"{median:.0f} % of {name} (up to {most:.0f} %)")
    return " and ".join(parts) or None


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, ...] | None:
    if not len(values):
        return None
    median = float(np.median(values))
    deviation = _MAD_TO_SD * float(np.median(np.abs(values - median)))
    # Without a spread nothing is far: all but a few are the same.
    far = FAR * deviation if len(values) >= _LEAST and deviation > 0 else np.inf
    return median, float(values.min()), float(values.max()), far


def _compared(measure: Measure, value: float | None, spread: tuple[float, ...] | None) -> Compared:
    if spread is None:
        return Compared(measure, value, None, None, None, False)
    median, low, high, far = spread
    is_far = value is not None and abs(value - median) > far
    return Compared(measure, value, median, low, high, is_far)
