"""BIDS derivatives of a cleaned recording: the same recording gives the same bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from braindata.eeg.chain import Cleaned
from braindata.eeg.epochs import kept_samples
from braindata.eeg.parameters import EegParameters
from braindata.files import atomic_path, write_text
from braindata.receipts import library_versions

BIDS_VERSION = "1.10.0"
CONTINUOUS = "_desc-preproc_eeg.fif"
EPOCHS = "_desc-clean_epo.fif"
LIBRARIES = (
    "autoreject",
    "mne",
    "mne-icalabel",
    "numpy",
    "onnxruntime",
    "pyprep",
    "python-picard",
    "scikit-learn",
    "scipy",
    "specparam",
)
# FIF: a tag is kind, type, size and where the next one is; type 31 is an identifier of a file or
# block, made of the machine's number and the time.
_TAG = struct.Struct(">iiii")
_ID_TYPE = 31
_NEXT_FOLLOWS = 0


def derivative_folder(derivatives: Path, recording: str) -> Path:
    """Return the folder of a recording's derivatives."""
    parts = recording.split("_")
    return derivatives.joinpath(*(p for p in parts if p.startswith(("sub-", "ses-"))), "eeg")


def write_derivatives(
    cleaned: Cleaned, derivatives: Path, recording: str, path: str, parameters: EegParameters
) -> list[Path]:
    """Write a cleaned recording, its clean epochs and their sidecar.

    Parameters
    ----------
    cleaned : Cleaned
        The recording.
    derivatives : Path
        Folder of the data set's derivatives.
    recording : str
        File name of the raw recording without its extension.
    path : str
        Its path below the data set.
    parameters : EegParameters
        With which it was cleaned.

    Returns
    -------
    list of Path
        The files.
    """
    folder = derivative_folder(derivatives, recording)
    entities = recording.removesuffix("_eeg")
    continuous = folder / f"{entities}{CONTINUOUS}"
    write_fif(cleaned.raw, continuous)
    made = [continuous]
    judged = cleaned.judged
    if judged is not None and judged.epochs is not None:
        epochs = folder / f"{entities}{EPOCHS}"
        write_fif(judged.epochs, epochs)
        made.append(epochs)
    sidecar = continuous.with_suffix(".json")
    text = json.dumps(describe(cleaned, path, parameters), indent=2, ensure_ascii=False)
    write_text(sidecar, f"{text}\n")
    return [*made, sidecar]


def describe(cleaned: Cleaned, path: str, parameters: EegParameters) -> dict[str, Any]:
    """Return what the sidecar of a cleaned recording says."""
    raw, placement = cleaned.raw, cleaned.placement
    return {
        "Description": "Cleaned EEG in V, all EEG channels of the recording.",
        "Sources": [f"bids:raw:{path}"],
        "SamplingFrequency": raw.info["sfreq"],
        "RecordingDuration": raw.n_times / raw.info["sfreq"],
        "EEGReference": cleaned.reference,
        "EEGChannelCount": len(raw.ch_names),
        "BadChannels": list(raw.info["bads"]),
        "Positions": placement.source,
        "StandardMontage": placement.montage,
        "Steps": [step.as_json() for step in cleaned.steps],
        "Events": None if cleaned.judged is None else list(cleaned.judged.reasons),
        "Quality": cleaned.quality,
        # In µV²/Hz, median over channels.
        "Spectrum": cleaned.spectrum,
        "ShareMarked": float(1 - kept_samples(raw).mean()),
        "Warnings": cleaned.warnings,
        "Parameters": parameters.model_dump(mode="json"),
    }


def write_description(derivatives: Path, dataset: str) -> Path:
    """Write `dataset_description.json` of the derivatives, and return its path."""
    path = derivatives / "dataset_description.json"
    body = {
        "Name": f"{dataset}: EEG cleaned by braindata",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {
                "Name": "braindata",
                "Version": library_versions("braindata")["braindata"],
                "Description": f"cleaned with {', '.join(LIBRARIES)}",
            }
        ],
    }
    write_text(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")
    return path


def write_fif(instance: Any, path: Path) -> None:
    """Write MNE's raw data or epochs atomically, without the time and the machine's number.

    Parameters
    ----------
    instance : mne.io.BaseRaw or mne.BaseEpochs
        What to write, in single precision.
    path : Path
        Where to.
    """
    with atomic_path(path) as part:
        instance.save(part, fmt="single", overwrite=True, verbose="ERROR")
        _without_identity(part)


def _without_identity(path: Path) -> None:
    with path.open("r+b") as handle:
        position = 0
        while True:
            handle.seek(position)
            head = handle.read(_TAG.size)
            if len(head) < _TAG.size:
                return
            _, kind, size, following = _TAG.unpack(head)
            if kind == _ID_TYPE:
                handle.write(bytes(size))
            if following < 0:
                return
            position = following if following > _NEXT_FOLLOWS else position + _TAG.size + size
