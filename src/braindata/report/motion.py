"""A recording's motion as a small SVG that reads on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.report.carpet import MARGIN
from braindata.report.outlines import path_data, simplified

WIDTH = 800
_LEFT = round(WIDTH * MARGIN)
_PANEL_HEIGHT = 68
_HEADER = 20
_FOOTER = 22
# How many vertices a curve may have, and how far, in pixels, it may be from its values: the first
# pair with which the curves of a panel fit into so many characters, for three curves or for one.
_DETAIL = (
    (600, 0.5),
    (600, 0.8),
    (600, 1.2),
    (300, 0.8),
    (300, 1.7),
    (300, 3.0),
    (160, 3.0),
    (80, 3.0),
)
_BUDGETS = (1_500, 1_300)
# `:root` holds for the file by itself, never for a page that the SVG stands in. The curves' colours
# have a contrast of 3 or more with white and with black.
_STYLE = (
    "svg:root{color:#222}"
    "@media(prefers-color-scheme:dark){svg:root{color:#ddd}}"
    ".bd-motion{font:12px system-ui,sans-serif}"
    ".bd-motion text{fill:currentColor}"
    ".bd-motion path{fill:none;stroke-width:1.3;stroke-linejoin:round;"
    "vector-effect:non-scaling-stroke}"
    ".bd-motion .a{stroke:#3d85c6}.bd-motion .b{stroke:#cf6a1c}.bd-motion .c{stroke:#2a9d6f}"
    ".bd-motion tspan{stroke:none!important;font-weight:700}.bd-motion tspan.a{fill:#3d85c6}"
    ".bd-motion tspan.b{fill:#cf6a1c}.bd-motion tspan.c{fill:#2a9d6f}"
    ".bd-motion .g{stroke:currentColor;stroke-width:1;stroke-opacity:.22}"
    ".bd-motion .t{stroke:#e5484d;stroke-dasharray:5 4}"
    ".bd-motion .o{fill:#e5484d;fill-opacity:.3}"
    ".bd-motion .n{fill:currentColor;fill-opacity:.18}"
)


@dataclass(frozen=True)
class _Panel:
    """Curves on one scale: what stands above them, by name; smallest extent of the scale."""

    title: str
    curves: dict[str, NDArray[np.float64]]
    extent: float
    threshold: float | None = None
    from_zero: bool = False

    def limits(self) -> tuple[float, float]:
        """Return the ends of the scale."""
        values = np.concatenate(list(self.curves.values()))
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if self.from_zero:
            return min(low, 0.0), 1.05 * max(high, self.extent)
        short = max(0.0, self.extent - (high - low)) / 2
        return low - short - 0.04 * (high - low), high + short + 0.04 * (high - low)


def motion_svg(
    confounds: pd.DataFrame, tr: float | None = None, *, fd_threshold: float = 0.5
) -> str | None:
    """Draw motion parameters, framewise displacement and DVARS over time, one panel each.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Confounds under fMRIPrep's names (translations in mm, rotations in rad); NaN where one is
        missing.
    tr : float, optional
        Repetition time in s; without it the axis counts volumes.
    fd_threshold : float
        Where to draw the line of framewise displacement, in mm, when there are columns of outliers.

    Returns
    -------
    str or None
        SVG as wide as what it stands in. Time takes all of the width but the first
        `braindata.report.carpet.MARGIN`, as in the carpet plot. None without any such column.
    """
    n_volumes = len(confounds)
    has_outliers = any(name.startswith("motion_outlier") for name in confounds.columns)
    panels = _panels(confounds, fd_threshold if has_outliers else None)
    if not panels:
        return None
    bottom = len(panels) * (_HEADER + _PANEL_HEIGHT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="bd-motion" role="img" width="100%" '
        f'viewBox="0 0 {WIDTH} {bottom + _FOOTER}">',
        f"<title>Motion of the head</title><desc>{_summary(confounds)}</desc>",
        f"<style>{_STYLE}</style>",
    ]
    for letter, prefix in (("n", "non_steady_state_outlier"), ("o", "motion_outlier")):
        data = _bands(_flagged(confounds, prefix), n_volumes, bottom)
        if data:
            parts.append(f'<path class="{letter}" d="{data}"/>')
    curves = _paths(panels, n_volumes)
    for number, panel in enumerate(panels):
        parts += _draw(panel, curves[number], number * (_HEADER + _PANEL_HEIGHT), n_volumes)
    parts += _time_axis(n_volumes, tr, bottom)
    return "".join(parts) + "</svg>"


def _panels(confounds: pd.DataFrame, threshold: float | None) -> list[_Panel]:
    def curves(names: dict[str, str], scale: float = 1.0) -> dict[str, NDArray[np.float64]]:
        found = {
            label: confounds[name].to_numpy(np.float64) * scale
            for label, name in names.items()
            if name in confounds.columns
        }
        return {label: values for label, values in found.items() if np.isfinite(values).any()}

    panels = [
        _Panel("translation (mm)", curves({a: f"trans_{a}" for a in "xyz"}), 0.4),
        _Panel("rotation (°)", curves({a: f"rot_{a}" for a in "xyz"}, 180 / np.pi), 0.4),
        _Panel(
            "FD (mm)",
            curves({"": "framewise_displacement"}),
            1.1 * (threshold or 0.5),
            threshold,
            True,
        ),
        _Panel("DVARS (standardised)", curves({"": "std_dvars"}), 1.5, None, True),
    ]
    return [panel for panel in panels if panel.curves]


def _paths(panels: list[_Panel], n_volumes: int) -> list[list[str]]:
    """Return the data of each panel's curves, in volumes and in pixels from its top."""
    dx = (WIDTH - _LEFT) / n_volumes
    result = []
    for panel in panels:
        low, high = panel.limits()
        heights = [_PANEL_HEIGHT * (high - v) / (high - low) for v in panel.curves.values()]
        for detail in _DETAIL:
            paths = [_curve(curve, dx, *detail) for curve in heights]
            if sum(len(path) for path in paths) <= _BUDGETS[len(paths) == 1]:
                break
        result.append(paths)
    return result


def _draw(panel: _Panel, curves: list[str], top: int, n_volumes: int) -> list[str]:
    low, high = panel.limits()
    dx = (WIDTH - _LEFT) / n_volumes
    top += _HEADER

    def y(value: float) -> float:
        return round(top + _PANEL_HEIGHT * (high - value) / (high - low), 1)

    parts = [f'<text x="{_LEFT}" y="{top - 6}">{panel.title}']
    parts += [
        f'<tspan class="{letter}" dx="9">{label}</tspan>'
        for letter, label in zip("abc", panel.curves, strict=False)
        if label
    ]
    parts.append("</text>")
    ticks = _ticks(low, high)
    parts += [f'<path class="g" d="M{_LEFT} {y(tick)}H{WIDTH}"/>' for tick in ticks]
    parts += [
        f'<text x="{_LEFT - 5}" y="{y(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
        for tick in ticks
    ]
    if panel.threshold is not None:
        parts.append(f'<path class="t" d="M{_LEFT} {y(panel.threshold)}H{WIDTH}"/>')
    parts.append(f'<g transform="translate({_LEFT + dx / 2:.3f} {top})scale({dx:.5f} 1)">')
    parts += [
        f'<path class="{letter}" d="{curve}"/>'
        for letter, curve in zip("abc", curves, strict=False)
    ]
    parts.append("</g>")
    return parts


def _curve(heights: NDArray[np.float64], dx: float, most: int, tolerance: float) -> str:
    """Return the path of a curve; volume `i` is at x = i, which is drawn `dx` pixels wide."""
    volumes = _extremes(heights, most)
    finite = np.isfinite(volumes[:, 1])
    lines = []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], finite.astype(int), [0]])))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        line = volumes[first:last] * [dx, 1.0]
        lines.append(simplified(line, tolerance) / [dx, 1.0])
    return path_data(lines, closed=False)


def _extremes(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return volume and value of what is drawn: of a long recording, the extremes of each bin."""
    volumes = np.arange(len(values))
    if len(values) > most:
        keep = set()
        for part in np.array_split(volumes, most // 2):
            known = part[np.isfinite(values[part])]
            # A bin without a value keeps the gap.
            ends = known if len(known) else part
            keep |= {int(ends[values[ends].argmin()]), int(ends[values[ends].argmax()])}
        volumes = np.array(sorted(keep))
    return np.column_stack([volumes, values[volumes]]).astype(np.float64)


def _flagged(confounds: pd.DataFrame, prefix: str) -> NDArray[np.bool_]:
    columns = [name for name in confounds.columns if name.startswith(prefix)]
    flagged: NDArray[np.bool_] = (confounds[columns] == 1).any(axis=1).to_numpy(bool)
    return flagged


def _bands(flagged: NDArray[np.bool_], n_volumes: int, height: int) -> str:
    dx = (WIDTH - _LEFT) / n_volumes
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flagged.astype(int), [0]])))
    parts = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        # In a long recording one volume would be too thin to be seen.
        width = max((last - first) * dx, 1.0)
        parts.append(f"M{_LEFT + first * dx:.1f} {_HEADER}h{width:.1f}V{height}h{-width:.1f}z")
    return "".join(parts)


def _time_axis(n_volumes: int, tr: float | None, top: int) -> list[str]:
    length = n_volumes * (tr or 1.0)
    steps: Sequence[float] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
    if tr is not None:
        steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
    step = next((step for step in steps if length / step <= 8), steps[-1])
    parts = []
    for value in np.arange(0, length, step):
        x = _LEFT + (WIDTH - _LEFT) * value / length
        if x > WIDTH - 30 and value > 0:
            continue
        if tr is None:
            label = f"{value:g}" if value else "volume 0"
        elif step >= 60:
            label = f"{value / 60:g} min"
        else:
            label = f"{value:g} s"
        anchor = "start" if value == 0 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{top + 16}" text-anchor="{anchor}">{label}</text>')
        parts.append(f'<path class="g" d="M{x:.1f} {_HEADER}V{top}"/>')
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Return the fewest round numbers, two at least, between the ends of a scale."""
    power = 10.0 ** np.ceil(np.log10(high - low))
    for step in (m * power for m in (1, 0.5, 0.2, 0.1, 0.05)):
        ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
        if len(ticks) >= 2:
            break
    return [float(tick) for tick in ticks]


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "−") if abs(value) > 1e-12 else "0"


def _summary(confounds: pd.DataFrame) -> str:
    parts = [f"{len(confounds)} volumes."]
    if "framewise_displacement" in confounds.columns:
        displacement = confounds["framewise_displacement"].to_numpy(np.float64)
        if np.isfinite(displacement).any():
            parts.append(
                f"Framewise displacement: mean {np.nanmean(displacement):.2f} mm, largest "
                f"{np.nanmax(displacement):.2f} mm at volume {int(np.nanargmax(displacement))}."
            )
    n_outliers = int(_flagged(confounds, "motion_outlier").sum())
    parts.append(f"{n_outliers} motion outliers." if n_outliers != 1 else "1 motion outlier.")
    return " ".join(parts)
