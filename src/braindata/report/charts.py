"""Charts as numbers in percent of their plot's width and height; templates make them visible.

Drawn by the browser, they take the page's fonts and its light or dark colours, and their text keeps
its size on a narrow screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from braindata.report.responses import Average, Responses, Values, times

# Columns of a distribution: as many dots as a phone's screen has room for.
N_COLUMNS = 50
# Distance of two dots in a column, in px, and the height that the highest column may have.
DOT_PITCH = 8.0
STRIP_HEIGHT = 96.0
LEAST_HEIGHT = 28.0
# More curves than these in one plot hide each other: then each has a plot of its own.
MAX_TOGETHER = 3


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where it is, in percent, and its text."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """An axis: its ticks, and the values at 0 and 100 percent."""

    ticks: tuple[Tick, ...]
    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where a value lies, in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def axis_over(values: Iterable[float], n_ticks: int = 5) -> Axis:
    """Return an axis with round ticks that holds all values."""
    numbers = list(values)
    low, high = min(numbers), max(numbers)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):
        margin = 0.1 * abs(low) or 1.0
        low, high = low - margin, high + margin
    found = MaxNLocator(n_ticks, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    inner = Axis((), float(found[0]), float(found[-1]))
    digits = max(0, math.ceil(-math.log10(found[1] - found[0]) - 1e-9))
    # A step of 2.5 or 0.25 needs one digit more than its size says.
    if any(abs(tick * 10**digits - round(tick * 10**digits)) > 1e-6 for tick in found):
        digits += 1
    ticks = [Tick(inner.at(tick), f"{tick + 0.0:.{digits}f}".replace("-", "−")) for tick in found]
    return Axis(tuple(ticks), inner.low, inner.high)


def axis_within(low: float, high: float, n_ticks: int = 5) -> Axis:
    """Return an axis from one value to another, with round ticks between them."""
    wide = axis_over([low, high], n_ticks)
    axis = Axis((), low, high)
    # Ticks are known to a hundredth of a percent.
    rounding = 1e-4 * (wide.high - wide.low)
    places = [wide.low + tick.at / 100 * (wide.high - wide.low) for tick in wide.ticks]
    ticks = [
        Tick(min(max(axis.at(at), 0.0), 100.0), tick.label)
        for at, tick in zip(places, wide.ticks, strict=True)
        if low - rounding <= at <= high + rounding
    ]
    return Axis(tuple(ticks), low, high)


@dataclass(frozen=True)
class Measured:
    """One recording's value of a measure."""

    value: float
    index: int


@dataclass(frozen=True)
class Dot:
    """One recording in a distribution: `x` in percent, `y` in px from the top."""

    x: float
    y: float
    index: int
    value: float


@dataclass(frozen=True)
class Strip:
    """The distribution of a measure.

    Attributes
    ----------
    axis : Axis
        Its values.
    dots : tuple of Dot
        From the smallest value to the largest.
    median : float
        Of all values.
    height : float
        In px: that of the highest column.
    """

    axis: Axis
    dots: tuple[Dot, ...]
    median: float
    height: float


def distribution(values: Sequence[Measured], usual: tuple[float, float]) -> Strip:
    """Stack one dot per value in columns, as a histogram whose every unit is a recording.

    Parameters
    ----------
    values : sequence of Measured
        Not empty; of those in one column the first lies at the bottom.
    usual : tuple of float
        Values that the axis always reaches, so that small differences look small.
    """
    axis = axis_over([*usual, *(one.value for one in values)])
    columns: dict[int, list[Measured]] = {}
    for one in values:
        column = min(int(axis.at(one.value) / 100 * N_COLUMNS), N_COLUMNS - 1)
        columns.setdefault(column, []).append(one)
    highest = max(len(column) for column in columns.values())
    height = min(max(highest * DOT_PITCH, LEAST_HEIGHT), STRIP_HEIGHT)
    pitch = min(DOT_PITCH, (STRIP_HEIGHT - DOT_PITCH) / max(highest - 1, 1))
    dots = [
        Dot(
            round(100 * (number + 0.5) / N_COLUMNS, 2),
            round(height - DOT_PITCH / 2 - level * pitch, 1),
            one.index,
            one.value,
        )
        for number, column in columns.items()
        for level, one in enumerate(column)
    ]
    dots.sort(key=lambda dot: (dot.x, -dot.y))
    ordered = sorted(one.value for one in values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else sum(ordered[middle - 1 : middle + 1]) / 2
    return Strip(axis, tuple(dots), median, height)


@dataclass(frozen=True)
class Curve:
    """An average response: its lines and the outlines of its band, as SVG `points`."""

    average: Average
    colour: int
    lines: tuple[str, ...]
    bands: tuple[str, ...]


@dataclass(frozen=True)
class Panel:
    """One plot of average responses."""

    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class ResponseChart:
    """The plots of one region, all with the same axes: of all curves, or one plot per curve."""

    x: Axis
    y: Axis
    panels: tuple[Panel, ...]
    n_hidden: int


def response_chart(responses: Responses) -> ResponseChart | None:
    """Return the plots of a region's responses; None when it has none."""
    heights = [
        height
        for average in responses.averages
        for mean, sem in zip(average.mean, average.sem, strict=True)
        if mean is not None
        for height in (mean - (sem or 0.0), mean + (sem or 0.0))
    ]
    if not heights:
        return None
    x = axis_over(times().tolist(), 6)
    y = axis_over([0.0, *heights])
    curves = tuple(
        Curve(average, number, *_outlines(average.mean, average.sem, x, y))
        for number, average in enumerate(responses.averages)
    )
    if len(curves) <= MAX_TOGETHER:
        panels: tuple[Panel, ...] = (Panel(curves),)
    else:
        panels = tuple(Panel((curve,)) for curve in curves)
    return ResponseChart(x, y, panels, responses.n_types - len(curves))


def _outlines(
    mean: Values, sem: Values, x: Axis, y: Axis
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rows = [(x.at(t), m, s) for t, m, s in zip(times().tolist(), mean, sem, strict=True)]
    lines = [_points([(at, y.at(m)) for at, m, _ in run if m is not None]) for run in _runs(rows)]
    with_error = [(at, m if s is not None else None, s) for at, m, s in rows]
    bands = []
    for run in _runs(with_error):
        there = [(at, m, s) for at, m, s in run if m is not None and s is not None]
        above = [(at, y.at(m + s)) for at, m, s in there]
        below = [(at, y.at(m - s)) for at, m, s in reversed(there)]
        bands.append(_points(above + below))
    return tuple(lines), tuple(bands)


def _runs(
    rows: Sequence[tuple[float, float | None, float | None]],
) -> list[list[tuple[float, float | None, float | None]]]:
    """Split at missing values: a line across a gap would invent data."""
    runs: list[list[tuple[float, float | None, float | None]]] = [[]]
    for row in rows:
        if row[1] is None:
            runs.append([])
        else:
            runs[-1].append(row)
    return [run for run in runs if run]


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.4g},{100 - y:.4g}" for x, y in pairs)
