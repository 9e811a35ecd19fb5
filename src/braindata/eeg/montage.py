"""Where the electrodes are: as measured, or as a standard montage has them by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import mne
import numpy as np
from numpy.typing import NDArray

from braindata.bids.inheritance import read_object
from braindata.eeg.reading import EegFiles, read_table
from braindata.errors import DataError

Positions = dict[str, NDArray[np.float64]]
PositionSource = Literal["measured", "standard", "none"]

# MNE 1.13 renamed it.
TEN_FIVE = next(
    name
    for name in ("colin27_1005", "standard_1005")
    if name in mne.channels.get_builtin_montages()
)
# The 10-05 system first: its names mean the same everywhere. The others name electrodes by number.
STANDARD = (
    TEN_FIVE,
    "GSN-HydroCel-32",
    "GSN-HydroCel-64_1.0",
    "GSN-HydroCel-128",
    "GSN-HydroCel-256",
    "biosemi128",
    "biosemi160",
    "biosemi256",
)
METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
# Radii of heads in m, generously: positions outside are in another unit, or no positions.
RADII = (0.05, 0.16)
# A standard montage is taken when it has this share of the names.
MIN_SHARE_NAMED = 0.5
LANDMARKS = {"nasion": ("NAS", "nasion", "Nz"), "lpa": ("LPA",), "rpa": ("RPA",)}


@dataclass(frozen=True)
class Placement:
    """Where the channels of a recording are.

    Attributes
    ----------
    positions : ndarray of float64, shape (n_channels, 3)
        In m, in MNE's head coordinates; NaN where one is not known.
    source : {"measured", "standard", "none"}
        How they are known.
    montage : str or None
        Which standard montage.
    warnings : list of str
        What is odd.
    """

    positions: NDArray[np.float64]
    source: PositionSource
    montage: str | None
    warnings: list[str]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which channels have a position, shape (n_channels,)."""
        finite: NDArray[np.bool_] = np.isfinite(self.positions)
        return np.asarray(finite.all(axis=1))


def place_channels(names: Sequence[str], files: EegFiles, own: Positions) -> Placement:
    """Find the positions of channels.

    Parameters
    ----------
    names : sequence of str
        Names of the EEG channels.
    files : EegFiles
        Of the recording: its table of electrodes counts most.
    own : dict of str to ndarray
        Positions in head coordinates that the recording itself holds, which count next. A standard
        montage is what is left.

    Raises
    ------
    DataError
        When the table of electrodes has none of the channels.
    """
    warnings: list[str] = []
    for found, told in (_from_table(names, files), _plausible(own, "the recording")):
        if told is not None:
            warnings.append(told)
        if found and any(name in found for name in names):
            return Placement(_array(names, found), "measured", None, warnings)
    montage, found = standard_positions(names)
    if montage is not None:
        return Placement(_array(names, found), "standard", montage, warnings)
    return Placement(np.full((len(names), 3), np.nan), "none", None, warnings)


def own_positions(raw: Any) -> Positions:
    """Return the positions that a recording itself holds, in m, in head coordinates."""
    places = {one["ch_name"]: one["loc"][:3].astype(np.float64) for one in raw.info["chs"]}
    return {name: p for name, p in places.items() if np.isfinite(p).all() and p.any()}


def standard_positions(names: Sequence[str]) -> tuple[str | None, Positions]:
    """Return the standard montage that has most of the names, and the positions of these.

    Parameters
    ----------
    names : sequence of str
        Names of EEG channels; case, blanks and dots do not count.

    Returns
    -------
    montage : str or None
        MNE's name of it; None when each lacks more than half of them.
    positions : dict of str to ndarray
        In m, in head coordinates.
    """
    best, most = None, MIN_SHARE_NAMED * len(names)
    for montage in STANDARD:
        has = sum(_plain(name) in _standard(montage) for name in names)
        if has > 0 and (has > most or (best is None and has >= most)):
            best, most = montage, has
    if best is None:
        return None, {}
    known = _standard(best)
    return best, {name: known[_plain(name)] for name in names if _plain(name) in known}


def _plain(name: str) -> str:
    # EDF files have names like "Fc5." and "EEG Fz".
    return re.sub(r"^EEG[ _-]+", "", name.strip(), flags=re.IGNORECASE).strip(". ").lower()


@lru_cache(maxsize=len(STANDARD))
def _standard(montage: str) -> Positions:
    made = mne.channels.make_standard_montage(montage)
    info = mne.create_info(made.ch_names, 100.0, "eeg", verbose="ERROR").set_montage(made)
    return {one["ch_name"].lower(): one["loc"][:3].astype(np.float64) for one in info["chs"]}


def _from_table(names: Sequence[str], files: EegFiles) -> tuple[Positions | None, str | None]:
    if files.electrodes is None:
        return None, None
    where = files.electrodes.name
    rows = {row["name"].lower(): row for row in read_table(files.electrodes)}
    if not any(name.strip().lower() in rows for name in names):
        raise DataError(
            f"{where} has none of the recording's channels",
            file=files.electrodes,
            hint="electrodes are found by name: write them as the channels are",
        )
    places: Positions = {}
    for name in names:
        row = rows.get(name.strip().lower())
        if row is None:
            continue
        try:
            place = np.array([float(row.get(axis, "n/a")) for axis in "xyz"])
        except ValueError:
            continue
        if np.isfinite(place).all():
            places[name] = place
    if not places:
        return None, f"{where} holds no positions"
    if files.coordsystem is None:
        return None, f"{where} has no coordsystem.json, without which its positions mean nothing"
    return _in_head(places, rows, read_object(files.coordsystem), where)


def _in_head(
    places: Positions, rows: dict[str, dict[str, str]], system: dict[str, Any], where: str
) -> tuple[Positions | None, str | None]:
    """Turn positions into m and into head coordinates."""
    unit = str(system.get("EEGCoordinateUnits", "n/a"))
    name = str(system.get("EEGCoordinateSystem", "n/a"))
    if unit not in METRES:
        return None, f"{where}: the unit of its coordinates is {unit}: they are not used"
    scaled = {key: place * METRES[unit] for key, place in places.items()}
    if name == "CapTrak":
        # x through the ears to the right, y through the nasion: MNE's head coordinates.
        return _plausible(scaled, where)
    if name in ("EEGLAB", "EEGLAB-HJ", "CTF"):
        # x to the nasion, y to the left ear.
        turned = {key: np.array([-y, x, z]) for key, (x, y, z) in scaled.items()}
        return _plausible(turned, where)
    landmarks = _landmarks(system, rows, METRES[unit])
    if landmarks is None:
        return None, f"{where}: its coordinates are in {name}, without landmarks: they are not used"
    montage = mne.channels.make_dig_montage(scaled, **landmarks, coord_frame="unknown")
    info = mne.create_info(list(scaled), 100.0, "eeg", verbose="ERROR").set_montage(montage)
    found = {one["ch_name"]: one["loc"][:3].astype(np.float64) for one in info["chs"]}
    return _plausible(found, where)


def _landmarks(
    system: dict[str, Any], rows: dict[str, dict[str, str]], electrode_unit: float
) -> dict[str, NDArray[np.float64]] | None:
    stated = system.get("AnatomicalLandmarkCoordinates")
    unit = METRES.get(str(system.get("AnatomicalLandmarkCoordinateUnits")), electrode_unit)
    found = {}
    for landmark, names in LANDMARKS.items():
        for name in names:
            place = stated.get(name) if isinstance(stated, dict) else None
            row = rows.get(name.lower(), {})
            try:
                if place is not None:
                    found[landmark] = np.array(place, np.float64) * unit
                elif row:
                    found[landmark] = np.array([float(row[x]) for x in "xyz"]) * electrode_unit
            except (KeyError, TypeError, ValueError):
                continue
    return found if len(found) == len(LANDMARKS) else None


def _plausible(places: Positions, where: str) -> tuple[Positions | None, str | None]:
    there = {
        key: place for key, place in places.items() if np.isfinite(place).all() and place.any()
    }
    if len(there) < 2:
        return None, None
    cloud = np.array(list(there.values()))
    # Of a cap; few electrodes may all lie at the front.
    radius = float(np.median(np.linalg.norm(cloud, axis=1)))
    if not RADII[0] <= radius <= RADII[1]:
        return None, (
            f"{where}: electrodes {radius * 1000:.3g} mm from the middle of the head cannot be "
            "meant: is the unit wrong? they are not used"
        )
    return there, None


def _array(names: Sequence[str], places: Positions) -> NDArray[np.float64]:
    nowhere = np.full(3, np.nan)
    return np.array([places.get(name, nowhere) for name in names])
