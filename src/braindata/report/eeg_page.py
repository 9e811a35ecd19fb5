"""The sections about EEG on the page of a recording: numbers turned into what templates show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from braindata.report.charts import Axis, axis_over, axis_within
from braindata.report.pictures import PictureSet

Row = Mapping[str, Any]

CLASSES = ("good", "fair", "not_claimed")
# dB below the highest value of a spectrum, at most: a filter's depth would press the rest flat.
DEPTH = 80.0


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its colour, its points as SVG has them."""

    name: str
    colour: int
    points: str


@dataclass(frozen=True)
class LineChart:
    """A chart of a few lines.

    Attributes
    ----------
    x, y : Axis
        The axes.
    lines : tuple of Line
        The lines.
    x_name, y_name : str
        What stands at the axes.
    """

    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    x_name: str
    y_name: str


@dataclass(frozen=True)
class EegPage:
    """What is shown of an EEG recording.

    Attributes
    ----------
    channels, components : mapping
        As `eeg_pictures` has them.
    epochs : mapping or None
        What became of its events.
    spectrum : LineChart or None
        Before and after cleaning.
    evoked : sequence of mapping
        Responses by kind, each with a `chart`.
    files : mapping of str to str
        Pictures, and their paths below the report's folder.
    regions : sequence of mapping
        How far each region can be trusted, the best first.
    without_regions : str or None
        Why there are none at all.
    """

    channels: Mapping[str, Any]
    components: Mapping[str, Any]
    epochs: Mapping[str, Any] | None
    spectrum: LineChart | None
    evoked: Sequence[Mapping[str, Any]]
    files: Mapping[str, str] = field(default_factory=dict)
    regions: Sequence[Row] = ()
    without_regions: str | None = None


def eeg_page(pictures: PictureSet, series: Sequence[Row]) -> EegPage:
    """Return the sections of one recording.

    Parameters
    ----------
    pictures : PictureSet
        With the data of `eeg_pictures`.
    series : sequence of mapping
        Its rows of `series`, without values.
    """
    data = pictures.data
    judged = [row for row in series if row["eeg_class"] is not None]
    reasons = sorted({str(row["reason"]) for row in series if row["eeg_class"] is None})
    return EegPage(
        channels=data["channels"],
        components=data["components"],
        epochs=data["epochs"],
        spectrum=spectrum_chart(data["spectrum"]),
        evoked=_evoked(data["evoked"]),
        files=pictures.files,
        regions=sorted(
            judged, key=lambda row: (CLASSES.index(row["eeg_class"]), row["localisation_error"])
        ),
        without_regions=None if judged else "; ".join(reasons) or None,
    )


def spectrum_chart(spectrum: Mapping[str, Sequence[float]] | None) -> LineChart | None:
    """Return the spectra before and after cleaning, in decibel; None without one."""
    if not spectrum:
        return None
    found = {name: _decibel(spectrum[name]) for name in ("before", "after")}
    values = [value for one in found.values() for value in one if value is not None]
    if not values:
        return None
    least = max(values) - DEPTH
    x = axis_within(0.0, max(spectrum["frequencies"]), 6)
    y = axis_over([max(v, least) for v in values])
    lines = [
        Line(
            name,
            colour,
            _points(
                x, y, spectrum["frequencies"], [None if v is None else max(v, least) for v in one]
            ),
        )
        for colour, (name, one) in enumerate(found.items())
    ]
    return LineChart(x, y, tuple(lines), "frequency (Hz)", "power (dB of µV²/Hz)")


def _evoked(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if not found:
        return []
    # One scale: responses to several kinds are compared.
    y = axis_over([0.0, *(v for one in found for half in ("odd", "even") for v in one[half])])
    shown = []
    for one in found:
        x = axis_within(min(one["times"]), max(one["times"]), 6)
        lines = [
            Line(f"{half} epochs", colour, _points(x, y, one["times"], one[half]))
            for colour, half in enumerate(("odd", "even"))
        ]
        name = f"potential at {one['channel']} (µV)"
        shown.append(dict(one) | {"chart": LineChart(x, y, tuple(lines), "time (s)", name)})
    return shown


def _decibel(power: Sequence[float]) -> list[float | None]:
    return [10 * math.log10(one) if one > 0 else None for one in power]


def _points(x: Axis, y: Axis, at: Sequence[float], values: Sequence[float | None]) -> str:
    pairs = zip(at, values, strict=True)
    return " ".join(f"{x.at(a):.4g},{100 - y.at(v):.4g}" for a, v in pairs if v is not None)
