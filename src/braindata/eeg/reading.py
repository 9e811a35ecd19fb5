"""Reading EEG in any format that mne-bids reads, with what the BIDS tables say of it."""

from __future__ import annotations

import configparser
import csv
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mne
import numpy as np

from braindata.bids.entities import EEG_EXTENSIONS
from braindata.eeg.lengths import require_whole
from braindata.errors import DataError, first_line

# BIDS's types of channels that MNE has a type for; all others are `misc`.
CHANNEL_TYPES = {
    "EEG": "eeg",
    "EOG": "eog",
    "VEOG": "eog",
    "HEOG": "eog",
    "ECG": "ecg",
    "EMG": "emg",
    "TRIG": "stim",
}
# Names that manufacturers and laboratories give to what is no EEG.
_TYPE_BY_NAME = {
    "eog": re.compile(r"(?<![a-z])[hv]?eog(?![a-z])", re.IGNORECASE),
    "ecg": re.compile(r"(?<![a-z])e[ck]g(?![a-z])", re.IGNORECASE),
    "emg": re.compile(r"(?<![a-z])emg(?![a-z])", re.IGNORECASE),
}
# What MNE's readers raise for files that are broken.
_READ_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(RuntimeError, AssertionError, OverflowError, struct.error, configparser.Error),
)
# Relative difference above which two sampling rates or durations contradict each other.
RATE_TOLERANCE = 0.01


@dataclass(frozen=True)
class EegFiles:
    """The files of one recording.

    Attributes
    ----------
    recording : str
        File name of the recording without its extension.
    path : Path
        The recording.
    channels, electrodes, coordsystem : Path or None
        The BIDS tables that apply to it.
    metadata : mapping
        Of all its sidecars.
    """

    recording: str
    path: Path
    channels: Path | None = None
    electrodes: Path | None = None
    coordsystem: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def open_recording(path: Path) -> Any:
    """Return MNE's object of a recording; its samples are not read yet.

    Raises
    ------
    DataError
        When a file of it is missing, shorter than its header says, or MNE cannot read it.
    """
    if path.suffix.lower() not in EEG_EXTENSIONS:
        raise DataError(
            f"EEG in {path.suffix} cannot be read",
            file=path,
            hint=f"formats that can be are {', '.join(EEG_EXTENSIONS)}",
        )
    require_whole(path)
    try:
        raw = mne.io.read_raw(path, preload=False, verbose="ERROR")
    except ImportError as error:
        raise DataError(
            f"MNE cannot read {path.suffix} here ({first_line(error)})",
            file=path,
            hint="convert it to BrainVision or EDF, which BIDS asks for",
        ) from error
    except FileNotFoundError as error:
        # Of EEGLAB only MNE knows which file the samples are in.
        raise DataError(
            f"a file that belongs to it is not there ({_without_folder(error, path)})",
            file=path,
            hint="fetch it (git annex get, datalad get), or correct its name in the header",
        ) from error
    except _READ_ERRORS as error:
        raise DataError(
            f"the recording cannot be read ({_without_folder(error, path)})",
            file=path,
            hint="is it truncated, or are there epochs in it? fetch it again",
        ) from error
    require_whole(path, raw.n_times, len(raw.ch_names))
    return raw


def _without_folder(error: Exception, path: Path) -> str:
    """Return what an error says, for tables: they know nothing of this machine's folders."""
    return first_line(error).replace(f"{path.parent.absolute()}/", "")


def read_recording(files: EegFiles) -> tuple[Any, list[str]]:
    """Read a recording, its channels typed and its bad ones marked as `channels.tsv` says.

    Parameters
    ----------
    files : EegFiles
        Which recording.

    Returns
    -------
    raw : mne.io.BaseRaw
        With its samples, in V.
    warnings : list of str
        What is odd.

    Raises
    ------
    DataError
        When a file is missing, cut off or unreadable, or when files contradict each other.
    """
    raw = open_recording(files.path)
    warnings = require_agreement(raw.info["sfreq"], raw.n_times, files.metadata, files.path)
    if files.channels is not None:
        warnings += _apply_channels(raw, files.channels)
    else:
        warnings += _type_by_name(raw)
    try:
        raw.load_data(verbose="ERROR")
    except _READ_ERRORS as error:
        raise DataError(
            f"the samples cannot be read ({first_line(error)})",
            file=files.path,
            hint="is it truncated? fetch it again",
        ) from error
    return raw, warnings


def require_agreement(
    sfreq: float, n_samples: int, metadata: Mapping[str, Any], path: Path
) -> list[str]:
    """Check a recording's sampling rate and duration against its sidecar.

    Raises
    ------
    DataError
        When they contradict each other, and when the recording is shorter than its sidecar says.
    """
    stated = _number(metadata, "SamplingFrequency")
    if stated is not None and abs(stated - sfreq) > RATE_TOLERANCE * sfreq:
        raise DataError(
            f"the sidecar states a sampling rate of {stated:g} Hz, the recording {sfreq:g} Hz",
            file=path,
            hint="find out which one is right and correct the other",
        )
    duration, stated = n_samples / sfreq, _number(metadata, "RecordingDuration")
    if stated is None or metadata.get("RecordingType", "continuous") != "continuous":
        return []
    short = stated - duration
    if short > max(1.0, RATE_TOLERANCE * stated):
        raise DataError(
            f"the recording has {duration:.1f} s, its sidecar says {stated:.1f} s",
            file=path,
            hint="is it truncated? fetch it again, or correct RecordingDuration",
        )
    if -short > max(1.0, RATE_TOLERANCE * stated):
        return [f"it lasts {duration:.1f} s, its sidecar says {stated:.1f} s"]
    return []


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a small BIDS table as texts.

    Raises
    ------
    DataError
        When it is no table with a column `name`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the table cannot be read ({first_line(error)})",
            file=path,
            hint="it must be a table with tabs between the columns, in UTF-8",
        ) from error
    if not rows or "name" not in rows[0]:
        raise DataError("the table has no rows with a name", file=path, hint="BIDS requires `name`")
    return [{key: (value or "").strip() for key, value in row.items() if key} for row in rows]


def _apply_channels(raw: Any, path: Path) -> list[str]:
    """Set types and bad channels by name."""
    rows = read_table(path)
    own = {name.strip().lower(): name for name in raw.ch_names}
    table = {row["name"].lower(): row for row in rows}
    unknown = [row["name"] for row in rows if row["name"].lower() not in own]
    if unknown:
        raise DataError(
            f"{len(unknown)} of {len(rows)} channels of {path.name} are not in the recording: "
            f"{', '.join(unknown[:5])}",
            file=path,
            hint="correct their names: channels are found by name, not by their order",
        )
    rates = {row.get("sampling_frequency", "") for row in rows} - {"", "n/a"}
    for text in sorted(rates):
        try:
            rate = float(text)
        except ValueError:
            continue
        if abs(rate - raw.info["sfreq"]) > RATE_TOLERANCE * raw.info["sfreq"]:
            raise DataError(
                f"{path.name} states a sampling rate of {rate:g} Hz, the recording "
                f"{raw.info['sfreq']:g} Hz",
                file=path,
                hint="find out which one is right and correct the other",
            )
    kinds = {
        name: CHANNEL_TYPES.get(table[lower].get("type", "").upper(), "misc")
        for lower, name in own.items()
        if lower in table
    }
    raw.set_channel_types(kinds, on_unit_change="ignore", verbose="ERROR")
    raw.info["bads"] = [
        name for lower, name in own.items() if table.get(lower, {}).get("status") == "bad"
    ]
    unlisted = [name for lower, name in own.items() if lower not in table]
    # A trigger channel is often left out of the table.
    extra = [n for n in unlisted if raw.get_channel_types([n])[0] == "eeg"]
    if extra:
        raw.set_channel_types(
            dict.fromkeys(extra, "misc"), on_unit_change="ignore", verbose="ERROR"
        )
        return [f"{path.name} lacks {', '.join(extra)}: not used"]
    return []


def _type_by_name(raw: Any) -> list[str]:
    """Set the types of channels whose names say that they are no EEG, where nothing else tells."""
    kinds = {
        name: kind
        for name, now in zip(raw.ch_names, raw.get_channel_types(), strict=True)
        for kind, pattern in _TYPE_BY_NAME.items()
        if now == "eeg" and pattern.search(name)
    }
    if not kinds:
        return []
    raw.set_channel_types(kinds, on_unit_change="ignore", verbose="ERROR")
    named = ", ".join(f"{name} ({kind.upper()})" for name, kind in kinds.items())
    return [f"there is no channels.tsv: by their names no EEG are {named}"]


def _number(metadata: Mapping[str, Any], key: str) -> float | None:
    value = metadata.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if np.isfinite(value) else None
