"""What is known of an EEG recording before it is preprocessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from braindata.bids.events import read_event_times, read_events
from braindata.bids.inheritance import Tree
from braindata.curate.checks import check_events, check_text
from braindata.curate.judging import require_contents
from braindata.eeg.events import check_onsets
from braindata.eeg.reading import open_recording, require_agreement


def read_eeg(tree: Tree, row: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Complete a row with what the recording's header and its events say.

    Raises
    ------
    DataError
        When it cannot be used: see `open_recording` and `check_onsets`.
    """
    root = tree.root
    path = root / row["path"]
    # MFF is a folder.
    if path.suffix != ".mff":
        require_contents(path)
    if row["events"] is not None:
        require_contents(root / row["events"])
    raw = open_recording(path)
    sfreq = float(raw.info["sfreq"])
    row |= {
        "sampling_frequency": sfreq,
        "n_samples": int(raw.n_times),
        "duration": raw.n_times / sfreq,
        "n_channels": _n_channels(raw, metadata),
    }
    row["warnings"] += require_agreement(sfreq, raw.n_times, metadata, path)
    if row["events"] is not None:
        _check_events(root / row["events"], row, sfreq, raw.n_times)


def _check_events(path: Path, row: dict[str, Any], sfreq: float, n_samples: int) -> None:
    events = read_event_times(path)
    row |= {"n_events": len(events.onset), "event_columns": events.columns}
    row["warnings"] += check_onsets(read_events(path), sfreq, n_samples, path)
    row["warnings"] += check_text(path)
    row["warnings"] += check_events(events, path.name, n_samples / sfreq, 1 / sfreq)


def _n_channels(raw: Any, metadata: dict[str, Any]) -> int:
    """Return how many channels of EEG there are: the sidecar tells EEG from EOG, headers seldom."""
    stated = metadata.get("EEGChannelCount")
    if isinstance(stated, int) and not isinstance(stated, bool) and 0 < stated <= len(raw.ch_names):
        return stated
    return sum(kind == "eeg" for kind in raw.get_channel_types())
