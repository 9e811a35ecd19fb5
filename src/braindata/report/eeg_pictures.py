"""What the page of an EEG recording shows: its channels, components, spectrum and responses."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from braindata.eeg.quality import split_half_correlation
from braindata.errors import DamageError, first_line
from braindata.report.raster import webp

Floats = NDArray[np.float64]

# Fewer channels than this make no map.
MIN_PLACED = 8
# The most frequent kinds of events are shown.
MAX_KINDS = 3
# Fewer epochs of a kind than this have no halves.
MIN_EPOCHS = 4
# In m: the sphere that a scalp is projected from where electrodes are too few to fit one.
USUAL_SPHERE = (0.0, 0.0, 0.04, 0.095)
# Of a head, in m. A fit beyond these is that of electrodes on one side.
RADIUS = (0.06, 0.13)
# Radii from the middle of the disc: what lies further down the neck or the face is drawn there.
FURTHEST = 1.35
MAP_PIXELS = 220
MAP_BYTES = 12_000
# Read on light and on dark pages.
_OUTLINE = "#8a919c"
_HINT = "delete the receipt of its preprocessing (derivatives/…receipt.json), run again"


def eeg_pictures(
    sidecar: Mapping[str, Any], continuous: Path, epochs: Path | None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Draw maps of one recording, and collect what is drawn by the page itself.

    Parameters
    ----------
    sidecar : mapping
        What lies beside the cleaned recording (`describe` in `eeg.outputs`).
    continuous : Path
        The cleaned recording.
    epochs : Path or None
        Its clean epochs.

    Returns
    -------
    pictures : dict of str to bytes
        Maps as WebP, by file name.
    data : dict
        As JSON: `channels`, `components`, `spectrum`, `evoked`, `epochs`.

    Raises
    ------
    DamageError
        When an input cannot be read.
    """
    info = _read(mne.io.read_raw_fif, continuous).info
    places = _places(info)
    steps = {step["step"]: step for step in sidecar["Steps"]}
    pictures: dict[str, bytes] = {}
    data: dict[str, Any] = {
        "channels": _channels(info.ch_names, places, steps.get("bad channels", {}), steps),
        "components": _components(steps.get("ica", {}), info.ch_names, places, pictures),
        "spectrum": sidecar.get("Spectrum") or None,
        "evoked": [],
        "epochs": _outcomes(sidecar.get("Events")),
    }
    if epochs is not None:
        clean = _read(mne.read_epochs, epochs)
        data["evoked"] = _evoked(clean, _places(clean.info), pictures)
    return pictures, data


def topography(places: Floats, values: Floats) -> bytes:
    """Draw a map of the scalp as WebP, nose up, without a background.

    Parameters
    ----------
    places : ndarray, shape (n_channels, 3)
        In head coordinates in m.
    values : ndarray, shape (n_channels,)
        Red where they are positive, blue where negative.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [str(index) for index in range(len(values))]
    info = mne.create_info(names, 100.0, "eeg", verbose="ERROR")
    montage = mne.channels.make_dig_montage(
        dict(zip(names, places, strict=True)), coord_frame="head"
    )
    info.set_montage(montage, verbose="ERROR")
    figure = Figure(figsize=(1, 1), dpi=MAP_PIXELS)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    limit = float(np.abs(values).max()) or 1.0
    mne.viz.plot_topomap(
        values,
        info,
        axes=axes,
        show=False,
        sensors=False,
        contours=4,
        cmap="RdBu_r",
        vlim=(-limit, limit),
        sphere=head_sphere(places),
    )
    for line in axes.lines:
        line.set_color(_OUTLINE)
        line.set_linewidth(1.2)
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    target = io.BytesIO()
    canvas.print_png(target)
    return webp(Image.open(target).convert("RGBA"), MAP_BYTES)


def head_sphere(places: Floats) -> tuple[float, float, float, float]:
    """Return middle and radius in m of the sphere that fits electrodes best.

    Positions of different devices have their origin between the ears or in the middle of the head.

    Parameters
    ----------
    places : ndarray, shape (n_channels, 3)
        In head coordinates in m.
    """
    if len(places) < MIN_PLACED:
        return USUAL_SPHERE
    # |p|² = 2 p·c + r² - |c|², which is linear in what is unknown.
    design = np.column_stack([2 * places, np.ones(len(places))])
    (x, y, z, rest), *_ = np.linalg.lstsq(design, (places**2).sum(axis=1), rcond=None)
    square = rest + x**2 + y**2 + z**2
    if not RADIUS[0] ** 2 <= square <= RADIUS[1] ** 2:
        return USUAL_SPHERE
    return float(x), float(y), float(z), float(np.sqrt(square))


def project(places: Floats) -> Floats:
    """Return where places on the head lie on a disc, nose up: the rim is level with its middle.

    Parameters
    ----------
    places : ndarray, shape (n_channels, 3)
        In head coordinates in m.

    Returns
    -------
    ndarray, shape (n_channels, 2)
        To the right and upwards, the rim at 1: angles from the vertex keep their proportions.
    """
    x, y, z = (places - head_sphere(places)[:3]).T
    angle = np.minimum(np.arctan2(np.hypot(x, y), z) / (np.pi / 2), FURTHEST)
    azimuth = np.arctan2(y, x)
    return np.column_stack([angle * np.cos(azimuth), angle * np.sin(azimuth)])


def _read(reader: Any, path: Path) -> Any:
    try:
        return reader(path, preload=True, verbose="ERROR")
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        # The last is what mne says of a file that is no FIF.
        raise DamageError(
            f"the cleaned EEG cannot be read ({first_line(error)})", file=path, hint=_HINT
        ) from error


def _places(info: Any) -> dict[str, Floats]:
    """Return where channels are, as far as that is known; MNE has zeros where it is not."""
    found = {one["ch_name"]: np.asarray(one["loc"][:3], np.float64) for one in info["chs"]}
    return {name: at for name, at in found.items() if np.isfinite(at).all() and at.any()}


def _channels(
    names: Sequence[str],
    places: Mapping[str, Floats],
    step: Mapping[str, Any],
    steps: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    bad = {name: ", ".join(why) for name, why in step.get("bad", {}).items()}
    placed = [name for name in names if name in places]
    disc = project(np.array([places[name] for name in placed])) if placed else np.zeros((0, 2))
    return {
        "placed": [
            {"name": name, "x": round(float(x), 4), "y": round(float(y), 4), "bad": bad.get(name)}
            for name, (x, y) in zip(placed, disc, strict=True)
        ],
        "n": len(names),
        "bad": dict(sorted(bad.items())),
        "interpolated": steps.get("interpolation", {}).get("interpolated", []),
        "not_looked_for": step.get("reason"),
    }


def _components(
    step: Mapping[str, Any],
    names: Sequence[str],
    places: Mapping[str, Floats],
    pictures: dict[str, bytes],
) -> dict[str, Any]:
    removed = []
    every = step.get("components", [])
    for number, one in enumerate(every):
        if not one["removed"]:
            continue
        drawn = [name for name in names if name in places and name in one.get("topography", {})]
        file = None
        if len(drawn) >= MIN_PLACED:
            file = f"component-{number:03d}.webp"
            values = np.array([one["topography"][name] for name in drawn])
            pictures[file] = topography(np.array([places[name] for name in drawn]), values)
        likely = sorted(one["probabilities"].items(), key=lambda p: (-p[1], p[0]))
        removed.append(
            {
                "number": number,
                "kind": one["kind"],
                "probability": one["probabilities"][one["kind"]],
                "others": [pair for pair in likely if pair[0] != one["kind"]][:2],
                "file": file,
            }
        )
    return {"n": len(every), "removed": removed, "skipped": step.get("reason")}


def _outcomes(events: Sequence[str | None] | None) -> dict[str, Any] | None:
    if events is None:
        return None
    reasons = sorted({one for one in events if one is not None})
    return {
        "n": len(events),
        "n_clean": sum(one is None for one in events),
        "reasons": {reason: sum(one == reason for one in events) for reason in reasons},
    }


def _evoked(
    epochs: Any, places: Mapping[str, Floats], pictures: dict[str, bytes]
) -> list[dict[str, Any]]:
    """Return the responses to the most frequent kinds, of odd and even epochs apart.

    At the channel where both halves have most in common after the event, over all kinds shown.
    """
    data, codes = epochs.get_data(copy=False), epochs.events[:, 2]
    kinds = {label: data[codes == code] for label, code in epochs.event_id.items()}
    shown = sorted(kinds, key=lambda label: (-len(kinds[label]), label))[:MAX_KINDS]
    shown = [label for label in shown if len(kinds[label]) >= MIN_EPOCHS]
    if not shown:
        return []
    after = epochs.times >= 0
    halves = {label: [kinds[label][start::2].mean(axis=0) for start in (0, 1)] for label in shown}
    common = sum((odd * even)[:, after].sum(axis=1) for odd, even in halves.values())
    channel = int(np.argmax(common))
    found = []
    for number, label in enumerate(shown):
        odd, even = halves[label]
        mean = kinds[label].mean(axis=0)
        peak = int(np.argmax(np.where(after, (odd * even)[channel], -np.inf)))
        drawn = [i for i, name in enumerate(epochs.ch_names) if name in places]
        file = None
        if len(drawn) >= MIN_PLACED:
            file = f"evoked-{number}.webp"
            at = np.array([places[epochs.ch_names[i]] for i in drawn])
            pictures[file] = topography(at, mean[drawn, peak])
        found.append(
            {
                "label": label,
                "channel": epochs.ch_names[channel],
                "n": len(kinds[label]),
                "correlation": _rounded(split_half_correlation(kinds[label], epochs.times)),
                "peak": round(float(epochs.times[peak]), 3),
                "file": file,
                "times": [round(float(t), 4) for t in epochs.times],
                # In µV.
                "odd": [round(float(v), 3) for v in 1e6 * odd[channel]],
                "even": [round(float(v), 3) for v in 1e6 * even[channel]],
            }
        )
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, 3)
