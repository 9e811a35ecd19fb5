"""Cleaned EEG → its store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mne
import numpy as np

from braindata.errors import DamageError, first_line
from braindata.pack.eeg_store import Montage, write_eeg_store

HINT = "delete the receipt of its preprocessing (derivatives/…receipt.json), run again"


def pack_eeg(continuous: Path, sidecar: Path, target: Path, attributes: dict[str, Any]) -> None:
    """Write the store of a cleaned recording.

    Channels that are bad and could not be interpolated are left out: what holds no signal is no
    value. What became of each event is kept among the attributes, as `rejected`: the reason by the
    event's row.

    Parameters
    ----------
    continuous, sidecar : Path
        The derivative and its JSON.
    target : Path
        Where to.
    attributes : dict
        Further facts about the recording.

    Raises
    ------
    DamageError
        When the derivative cannot be read.
    """
    try:
        raw = mne.io.read_raw_fif(continuous, preload=True, verbose="ERROR")
        facts = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError) as error:
        raise DamageError(
            f"the cleaned recording cannot be read ({first_line(error)})",
            file=continuous,
            hint=HINT,
        ) from error
    raw.pick("eeg", exclude="bads", verbose="ERROR")
    places = np.array([one["loc"][:3] for one in raw.info["chs"]], np.float64)
    # MNE has zeros where it knows no place.
    places[~(np.isfinite(places).all(axis=1) & places.any(axis=1))] = np.nan
    kept = np.ones(raw.n_times, bool)
    for one in raw.annotations:
        start, end = one["onset"], one["onset"] + one["duration"]
        if str(one["description"]).lower().startswith("bad"):
            sfreq = raw.info["sfreq"]
            kept[max(0, round(start * sfreq)) : round(end * sfreq) + 1] = False
    reasons = facts["Events"] or []
    rejected = {str(row): reason for row, reason in enumerate(reasons) if reason is not None}
    write_eeg_store(
        target,
        raw.get_data(),
        Montage(tuple(raw.ch_names), places, facts["Positions"], facts["EEGReference"]),
        float(raw.info["sfreq"]),
        kept=kept,
        attributes=attributes | {"rejected": rejected},
    )
