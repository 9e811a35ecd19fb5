"""The report's figures, as SVG text without dates, so that the same data give the same page."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from braindata.report.responses import Average, times

# Okabe and Ito's palette: distinguishable with any kind of colour vision.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
COLUMNS = 4
STYLE = {
    "svg.hashsalt": "braindata",
    "svg.fonttype": "none",
    "font.size": 8,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def responses_figure(averages: list[Average], regions: list[str]) -> str:
    """Draw each region's average responses, one panel per region.

    Parameters
    ----------
    averages : list of Average
        What to draw.
    regions : list of str
        The panels, in this order; a region without data has an empty one that says so.

    Returns
    -------
    str
        SVG.
    """
    types = sorted({average.trial_type for average in averages})
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(types)}
    n_rows = max(1, -(-len(regions) // COLUMNS))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 1.75 * n_rows + 0.5), layout="constrained")
        axes = np.atleast_1d(figure.subplots(n_rows, COLUMNS, sharex=True, squeeze=False)).ravel()
        for axis, region in zip(axes, regions, strict=False):
            own = [average for average in averages if average.region == region]
            for average in own:
                colour = colours[average.trial_type]
                axis.plot(times(), average.mean, color=colour, lw=1.2)
                low, high = average.mean - average.sem, average.mean + average.sem
                axis.fill_between(times(), low, high, color=colour, alpha=0.2, lw=0)
            if not own:
                axis.text(0.5, 0.5, "no trials", transform=axis.transAxes, ha="center")
            axis.axvline(0, color="0.6", lw=0.7)
            axis.axhline(0, color="0.8", lw=0.7)
            axis.set_title(region, fontsize=9)
        for axis in axes[len(regions) :]:
            axis.set_axis_off()
        figure.supxlabel("time from onset (s)")
        figure.supylabel("response (z)")
        handles = [mpl.lines.Line2D([], [], color=colours[name], label=name) for name in types]
        if handles:
            figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 8))
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
