"""`preprocess`, EEG: recordings → BIDS derivatives, cleaned by MNE and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from braindata.bids.electrodes import ChannelTables, channel_tables
from braindata.bids.entities import entities, stem
from braindata.bids.events import read_events
from braindata.bids.inheritance import Tree
from braindata.bids.sidecars import sidecar
from braindata.eeg.chain import TooShortError, preprocess_recording
from braindata.eeg.events import event_labels
from braindata.eeg.outputs import LIBRARIES, write_derivatives, write_description
from braindata.eeg.parameters import EegParameters
from braindata.eeg.reading import EegFiles
from braindata.errors import DataError
from braindata.layout import Layout
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, content_hash
from braindata.stages.job import Result, require_pulled

__all__ = ["LIBRARIES", "input_hash", "inputs", "preprocess"]

BACKEND = "native"

# Files beside a recording or above it, in which something is said of it.
SIDECARS = ("eeg", "channels", "electrodes", "coordsystem", "events")


def inputs(layout: Layout, dataset: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the content hash of what each recording is made from."""
    sha256 = {path: file.sha256 for path, file in read_manifest(layout.manifest(dataset)).items()}
    return {row["recording"]: input_hash(row, sha256) for row in rows}


def input_hash(row: Mapping[str, Any], sha256: Mapping[str, str]) -> str:
    """Return a hash over all files that may say something of a recording.

    From the manifest alone, so that nothing need be read to know that nothing changed.

    Parameters
    ----------
    row : mapping
        Of the inventory.
    sha256 : mapping of str to str
        Of each file of the data set, by path.
    """
    path = PurePosixPath(row["path"])
    own = f"{path.parent}/{stem(row['path'])}."
    # A recording in MFF is a folder.
    concerned = [one for one in sha256 if one.startswith((own, f"{path}/")) or _applies(one, path)]
    return content_hash([[one, sha256[one]] for one in sorted(concerned)])


def _applies(file: str, recording: PurePosixPath) -> bool:
    if not file.endswith((".tsv", ".json")) or PurePosixPath(file).parent not in recording.parents:
        return False
    named, own = entities(file), entities(recording.name)
    if named.pop("suffix", "") not in SIDECARS:
        return False
    return all(own.get(key) == value for key, value in named.items() if key not in ("ext", "space"))


def preprocess(
    layout: Layout, dataset: str, rows: list[dict[str, Any]], parameters: EegParameters
) -> Result:
    """Clean the EEG recordings of one unit of a data set.

    Parameters
    ----------
    layout : Layout
        The output folder.
    dataset : str
        Identifier of the data set.
    rows : list of dict
        Rows of its inventory.
    parameters : EegParameters
        What the user chose.

    Returns
    -------
    Result
        In its notes, by recording: `quality` (columns of `recordings`) and `files`.
    """
    raw, derivatives = layout.raw(dataset), layout.derivatives(dataset)
    require_pulled(layout, dataset, (row["path"] for row in rows))
    tree = Tree(raw)
    result = Result([])
    quality: dict[str, dict[str, Any]] = {}
    files: dict[str, list[str]] = {}
    for row in rows:
        name = row["recording"]
        tables = channel_tables(tree, row["path"])
        try:
            events = None if row["events"] is None else read_events(raw / row["events"])
            cleaned = preprocess_recording(
                _files(tree, row, tables),
                parameters,
                None if events is None else events["onset"].to_numpy(),
                () if events is None else event_labels(events),
            )
        except DataError as error:
            result.recordings[name] = Outcome.quarantine(error)
            continue
        except TooShortError as error:
            hint = "lower preprocess.eeg.min_duration to use it"
            result.recordings[name] = Outcome("excluded", str(error), hint)
            continue
        made = write_derivatives(cleaned, derivatives, name, row["path"], parameters)
        result.outputs += made
        files[name] = [path.relative_to(layout.output).as_posix() for path in made]
        quality[name] = {
            **cleaned.quality,
            "electrode_positions": cleaned.placement.source,
            "reference": cleaned.reference,
        }
        if cleaned.warnings:
            # Those of curation are said by the inventory: they may change when this does not.
            quality[name]["warnings"] = list(cleaned.warnings)
        result.recordings[name] = Outcome("done")
    write_description(derivatives, dataset)
    result.notes = {
        "quality": quality,
        "files": files,
        "backend": dict.fromkeys(sorted(files), BACKEND),
    }
    return result


def _files(tree: Tree, row: dict[str, Any], tables: ChannelTables) -> EegFiles:
    paths = (tables.channels, tables.electrodes, tables.coordsystem)
    channels, electrodes, coordsystem = (None if p is None else tree.root / p for p in paths)
    return EegFiles(
        recording=row["recording"],
        path=tree.root / row["path"],
        channels=channels,
        electrodes=electrodes,
        coordsystem=coordsystem,
        metadata=_metadata(tree, row),
    )


def _metadata(tree: Tree, row: dict[str, Any]) -> dict[str, Any]:
    return sidecar(tree, row["path"])
