"""How a recording was acquired, as its sidecars say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from braindata.bids.entities import entities

AXES = ("i", "i-", "j", "j-", "k", "k-")
# An echo of a BOLD image comes within this time; what is more is in milliseconds.
LONGEST_ECHO = 0.5
STRONGEST_FIELD = 25.0


def acquisition(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the columns of `recordings` that the metadata fill, and what is odd in them.

    Parameters
    ----------
    metadata : mapping
        Of all sidecars that apply.

    Returns
    -------
    columns : dict
        `manufacturer`, `scanner`, `field_strength`, `echo_time`, `flip_angle`, `phase_encoding`
        and `slice_timing`; None where nothing usable is stated.
    oddities : list of str
        What is stated and cannot be meant.
    """
    odd: list[str] = []
    columns: dict[str, Any] = {
        "manufacturer": _text(metadata, "Manufacturer", odd),
        "scanner": _text(metadata, "ManufacturersModelName", odd),
        "field_strength": _number(metadata, "MagneticFieldStrength", odd),
        "echo_time": _number(metadata, "EchoTime", odd),
        "flip_angle": _number(metadata, "FlipAngle", odd),
        "phase_encoding": _text(metadata, "PhaseEncodingDirection", odd),
        "slice_timing": bool(metadata.get("SliceTiming")),
    }
    if columns["echo_time"] is not None and columns["echo_time"] > LONGEST_ECHO:
        odd.append(f"EchoTime is {columns['echo_time']:g} s: is it in milliseconds?")
        columns["echo_time"] = None
    strength = columns["field_strength"]
    if strength is not None and not 0 < strength < STRONGEST_FIELD:
        odd.append(f"MagneticFieldStrength is {strength:g} T: is it in gauss or MHz?")
        columns["field_strength"] = None
    if columns["phase_encoding"] not in (None, *AXES):
        odd.append(f"PhaseEncodingDirection is {columns['phase_encoding']}, not one of i, j, k")
        columns["phase_encoding"] = None
    return columns, odd


def check_slice_timing(metadata: Mapping[str, Any], shape: tuple[int, ...], tr: float) -> list[str]:
    """Return what is odd in the slice times of an image of a shape and repetition time (s)."""
    times = metadata.get("SliceTiming")
    if not times:
        return []
    if not isinstance(times, list) or not all(_is_number(time) for time in times):
        return ["SliceTiming is no list of numbers"]
    odd = []
    axis = {"i": 0, "j": 1}.get(str(metadata.get("SliceEncodingDirection", "k"))[:1], 2)
    if len(times) != shape[axis]:
        odd.append(f"SliceTiming has {len(times)} times, the image {shape[axis]} slices")
    if max(times) > tr:
        unit = ": are they in milliseconds?" if max(times) > 20 * tr else ""
        odd.append(f"SliceTiming has times up to {max(times):g} s in a TR of {tr:g} s{unit}")
    if min(times) < 0:
        odd.append(f"SliceTiming has a negative time, {min(times):g} s")
    return odd


def echo_counts(paths: list[str]) -> dict[str, int]:
    """Return, for each recording, how many echoes of it there are: 1 where it is the only one."""
    keys = {path: _without_echo(path) for path in paths}
    counts: dict[tuple[tuple[str, str], ...], int] = {}
    for key in keys.values():
        counts[key] = counts.get(key, 0) + 1
    return {path: counts[key] if "echo" in entities(path) else 1 for path, key in keys.items()}


def first_echoes(paths: list[str]) -> dict[str, str]:
    """Return, for each recording, the echo that stands for its run: itself where it is alone."""
    first: dict[tuple[tuple[str, str], ...], str] = {}
    for path in sorted(paths, key=_echo_order):
        first.setdefault(_without_echo(path), path)
    return {
        path: first[_without_echo(path)] if "echo" in entities(path) else path for path in paths
    }


def _echo_order(path: str) -> tuple[int, str]:
    echo = entities(path).get("echo", "")
    return (int(echo) if echo.isdecimal() else 0, path)


def _without_echo(path: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, v) for key, v in entities(path).items() if key != "echo"))


def _text(metadata: Mapping[str, Any], key: str, odd: list[str]) -> str | None:
    value = metadata.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        odd.append(f"{key} is {_short(value)}, not a text")
        return None
    return value.strip() or None


def _number(metadata: Mapping[str, Any], key: str, odd: list[str]) -> float | None:
    value = metadata.get(key)
    if value is None:
        return None
    if not _is_number(value):
        # A combined image has the list of its echoes, which is no fault.
        if not isinstance(value, list):
            odd.append(f"{key} is {_short(value)}, not a number")
        return None
    return float(value)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _short(value: object, length: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}…"
