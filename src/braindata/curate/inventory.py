"""The inventory: every recording of a data set, used or not, and why."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from braindata.bids.description import dataset_description
from braindata.bids.entities import entity_columns, stem, unit_of
from braindata.bids.events import find_events, read_event_times
from braindata.bids.inheritance import Tree
from braindata.bids.sidecars import sidecar, stated_in
from braindata.curate.accounting import MISNAMED, account
from braindata.curate.acquisition import (
    acquisition,
    check_slice_timing,
    echo_counts,
    first_echoes,
)
from braindata.curate.behaviour import ONLY_BEHAVIOUR, without_image
from braindata.curate.checks import check_events, check_text, same_bytes
from braindata.curate.derived import Derived, without_recording
from braindata.curate.field_maps import FieldMaps
from braindata.curate.header import check_tr, read_bold_header, require_same_tr, stated_tr
from braindata.curate.judging import (
    excluded_before_reading,
    excluded_by_rule,
    require_contents,
    require_events_within,
    told_to_who_included,
    unless_included,
)
from braindata.curate.licences import licence_class
from braindata.curate.parameters import Choice, CurateParameters
from braindata.curate.participants import FILE, Participants, against_folders, read_participants
from braindata.curate.recording_files import (
    choose_t1w,
    index_images,
    not_asked_for,
    recordings_of,
    t1ws_by_subject,
)
from braindata.curate.terms import terms
from braindata.curate.validator import Verdict
from braindata.curate.variants import name_variants
from braindata.errors import DataError
from braindata.receipts import Outcome
from braindata.tables.schemas.recordings import RECORDINGS

# The file of a recording that is opened; others belong to it, such as .vmrk and .fdt.
BOLD_NAME = re.compile(r"_bold\.nii(\.gz)?$")
EVERYTHING = Choice()


@dataclass(frozen=True)
class Source:
    """A data set under `raw/`.

    Attributes
    ----------
    dataset, version : str
        Its identifier and its pinned version.
    root : Path
        The BIDS folder.
    sha256 : mapping of str to str
        Hash of each of its files by path.
    derived : Derived or None
        What others made of it.
    """

    dataset: str
    version: str
    root: Path
    sha256: Mapping[str, str]
    derived: Derived | None = None


@dataclass(frozen=True)
class Inventory:
    """What is known of a data set before preprocessing.

    Attributes
    ----------
    table : pyarrow.Table
        Schema `RECORDINGS`, one row per functional recording, sorted by name. What later stages
        find out (`space`, quality) is null.
    left_out : dict of str to Outcome
        By recording, those that are not used.
    roles : dict of str to str
        What becomes of every image file, by path.
    participants : Participants
        What the data set says of its people.
    warnings : list of str
        What is odd about the data set as a whole.
    terms : dict
        What it states of consent and re-use (see `terms`).
    """

    table: pa.Table
    left_out: dict[str, Outcome]
    roles: dict[str, str] = field(default_factory=dict)
    participants: Participants = field(default_factory=Participants)
    warnings: list[str] = field(default_factory=list)
    terms: dict[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what the data set's card says, as JSON: numbers, no person's values."""
        return {
            "participants": {
                "n": len(self.participants.labels),
                "columns": self.participants.columns,
            },
            "images": dict(sorted(Counter(self.roles.values()).items())),
            "misnamed": [path for path, role in self.roles.items() if role == MISNAMED],
            "warnings": self.warnings,
            "terms": self.terms,
        }


def build_inventory(
    source: Source, verdict: Verdict, parameters: CurateParameters, choice: Choice = EVERYTHING
) -> Inventory:
    """List the recordings of a data set with what is known of them before preprocessing.

    Only what makes a recording unusable excludes it; the validator's errors and what our own
    checks find are kept beside it.

    Parameters
    ----------
    source : Source
        The data set.
    verdict : Verdict
        What the official validator said.
    parameters : CurateParameters
        What the user excludes in all data sets.
    choice : Choice
        What is chosen of this one.
    """
    images = index_images(source.root)
    if source.sha256:
        # The index follows linked folders, round and round; what is pulled is what counts. A folder
        # under an image's name counts too: it is told of, not passed over.
        folders = {path.rpartition("/")[0] for path in source.sha256}
        images = [path for path in images if path in source.sha256 or path in folders]
    tree = Tree(source.root)
    description = dataset_description(source.root)
    stated = description.get("License")
    licence = None if stated is None else str(stated)
    modalities = recordings_of(source.root, images, choice.modalities)
    t1ws = t1ws_by_subject(images)
    sessions: dict[str, set[str | None]] = {}
    for path in modalities:
        names = entity_columns(path)
        sessions.setdefault(names["subject"] or "", set()).add(names["session"])
    bolds = [path for path, modality in modalities.items() if modality == "fmri"]
    echoes, firsts, field_maps = echo_counts(bolds), first_echoes(bolds), FieldMaps(tree, images)
    participants = read_participants(source.root)
    errors = verdict.by_location()
    rows = []
    left_out: dict[str, Outcome] = {}
    for path, modality in modalities.items():
        names = entity_columns(path)
        subject = names["subject"] or ""
        one_job = len(sessions[subject]) == 1
        row: dict[str, Any] = dict.fromkeys(RECORDINGS.names) | names
        row |= {
            "dataset": source.dataset,
            "dataset_version": source.version,
            "recording": stem(path),
            "modality": modality,
            "unit": unit_of(subject, None if one_job else names["session"]),
            "path": path,
            "sha256": source.sha256.get(path) or None,
            "t1w": None,
            "events": find_events(tree, path),
            "fetched": (source.root / path).exists(),
            "n_echoes": echoes.get(path),
            "licence": licence,
            "licence_class": licence_class(licence),
            "fits_alignment": choice.alignment.fits(names["task"], names["run"]),
            "participant": participants.people.get(subject),
            "warnings": [],
        }
        if modality == "fmri":
            row["t1w"], odd = choose_t1w(t1ws.get(subject, ()), names["session"])
            row["warnings"] += odd
        if participants.labels and subject not in participants.labels:
            row["warnings"].append(f"sub-{subject} has no row in {FILE}")
        beside = f"{path.rpartition('/')[0]}/{stem(path)}.json"
        concerned = {f"/{one}" for one in (path, beside, row["events"], row["t1w"]) if one}
        if source.derived is not None:
            # Images that nobody asked for are links that lead nowhere: no fault of the data set.
            concerned -= {f"/{one}" for one in (path, row["t1w"]) if not source.sha256.get(one)}
        row["validator_errors"] = sorted(e for one in concerned for e in errors.get(one, ()))
        row["status"] = "used"
        by_choice = excluded_before_reading(row, parameters, choice, firsts.get(path))
        outcome = _judge(tree, row, field_maps, parameters, choice, by_choice, source.derived)
        if outcome.state != "done":
            _leave_out(source.root, row, outcome, left_out)
        rows.append(row)
    if "fmri" in choice.modalities:
        rows += _behaviour_only(source, tree, images, licence, parameters, choice, left_out)
        rows += _misnamed(source, set(bolds), left_out)
    _quarantine_doubles(source.root, rows, left_out)
    _warn_of_same_bytes(source, rows)
    name_variants(rows)
    rows.sort(key=lambda row: (str(row["recording"]), str(row["path"])))
    return Inventory(
        pa.Table.from_pylist(rows, schema=RECORDINGS),
        left_out,
        account({*source.sha256, *images}, images, rows),
        participants,
        [
            *participants.warnings,
            *against_folders(participants, _people(source.root)),
            *without_recording(source.derived, bolds),
            *not_asked_for(source.sha256, choice.modalities),
        ],
        terms(description, source.sha256),
    )


def _people(root: Path) -> set[str]:
    with os.scandir(root) as entries:
        return {one.name[len("sub-") :] for one in entries if one.name.startswith("sub-")}


def _leave_out(
    root: Path, row: dict[str, Any], outcome: Outcome, left_out: dict[str, Outcome]
) -> None:
    file = outcome.file or str(root / row["path"])
    left_out[row["recording"]] = replace(outcome, file=file)
    row |= {
        "status": outcome.state,
        "stage": "curate",
        "reason": outcome.reason_in(row["path"]),
        "hint": outcome.hint,
    }


def _behaviour_only(
    source: Source,
    tree: Tree,
    images: Sequence[str],
    licence: str | None,
    parameters: CurateParameters,
    choice: Choice,
    left_out: dict[str, Outcome],
) -> list[dict[str, Any]]:
    """Return rows for recordings of which the data set has events and no image."""
    rows = []
    for path in without_image(source.sha256, images):
        row: dict[str, Any] = dict.fromkeys(RECORDINGS.names) | entity_columns(path)
        row |= {
            "dataset": source.dataset,
            "dataset_version": source.version,
            "recording": stem(path),
            "modality": "fmri",
            "events": find_events(tree, path),
            "fetched": False,
            "licence": licence,
            "licence_class": licence_class(licence),
            "warnings": [],
        }
        outcome = excluded_before_reading(row, parameters, choice, None) or ONLY_BEHAVIOUR
        try:
            events = read_event_times(source.root / row["events"])
            row |= {"n_events": len(events.onset), "event_columns": events.columns}
        except DataError as error:
            outcome = Outcome.quarantine(error)
        left_out[row["recording"]] = outcome
        row |= {
            "status": outcome.state,
            "stage": "curate",
            "reason": outcome.reason_in(None),
            "hint": outcome.hint,
        }
        rows.append(row)
    return rows


def _misnamed(
    source: Source, indexed: set[str], left_out: dict[str, Outcome]
) -> list[dict[str, Any]]:
    """Return rows for BOLD images whose names BIDS does not allow: they are not in the index."""
    rows = []
    for path in sorted(source.sha256):
        if path in indexed or not BOLD_NAME.search(path):
            continue
        row = dict.fromkeys(RECORDINGS.names) | {
            "dataset": source.dataset,
            "dataset_version": source.version,
            "recording": BOLD_NAME.sub("_bold", PurePosixPath(path).name),
            "modality": "fmri",
            "path": path,
            "sha256": source.sha256[path],
        }
        outcome = Outcome(
            "quarantined",
            "its path is not one that BIDS allows for a recording",
            "labels hold letters and digits only; rename it, see the validator's word",
        )
        _leave_out(source.root, row, outcome, left_out)
        rows.append(row)
    return rows


def _quarantine_doubles(
    root: Path, rows: list[dict[str, Any]], left_out: dict[str, Outcome]
) -> None:
    """Leave out recordings of which there are two under one name, such as .nii and .nii.gz."""
    paths: dict[str, list[str]] = {}
    for row in rows:
        paths.setdefault(row["recording"], []).append(row["path"])
    for row in rows:
        if len(paths[row["recording"]]) > 1 and row["status"] == "used":
            outcome = Outcome(
                "quarantined",
                f"there are two files of it: {', '.join(sorted(paths[row['recording']]))}",
                "remove the one that is not meant",
            )
            _leave_out(root, row, outcome, left_out)


def _warn_of_same_bytes(source: Source, rows: list[dict[str, Any]]) -> None:
    paths = {row[key] for row in rows for key in ("path", "t1w") if row[key] is not None}
    same = same_bytes(source.sha256, paths)
    for row in rows:
        for path in (row["path"], row["t1w"]):
            if path in same and row["warnings"] is not None:
                others = ", ".join(same[path][:3]) + (" …" if len(same[path]) > 3 else "")
                row["warnings"].append(f"{PurePosixPath(path).name} has the same bytes as {others}")


def _judge(
    tree: Tree,
    row: dict[str, Any],
    field_maps: FieldMaps,
    parameters: CurateParameters,
    choice: Choice,
    by_choice: Outcome | None,
    derived: Derived | None,
) -> Outcome:
    """Complete a row with sidecars, header and events, and say whether it can be used.

    What is excluded `by_choice` is not opened.
    """
    try:
        metadata = sidecar(tree, row["path"])
        columns, odd = acquisition(metadata)
        row |= columns | {"field_maps": field_maps.of(row["path"], metadata)}
        row["warnings"] += odd
        tr = stated_tr(metadata)
        if tr is not None:
            row |= {"tr": tr, "sampling_frequency": 1.0 / tr}
        if by_choice is not None:
            return by_choice
        _read(tree, row, metadata, choice, derived)
    except DataError as error:
        # Of what nobody asked for, nobody need mend the sidecars.
        return by_choice or told_to_who_included(Outcome.quarantine(error), row, choice)
    by_rule = excluded_by_rule(row, parameters, choice)
    if by_rule is not None:
        return by_rule
    if row["modality"] == "fmri" and row["t1w"] is None and derived is None:
        row["warnings"].append(
            "there is no T1w image of this subject: the EPI is normalised by itself, less exactly"
        )
    return Outcome("done")


def _read(
    tree: Tree,
    row: dict[str, Any],
    metadata: dict[str, Any],
    choice: Choice,
    derived: Derived | None,
) -> None:
    """Complete a row with what its image's header and its events say."""
    if row["modality"] == "eeg":
        # Imports MNE, which takes a second.
        from braindata.curate.eeg import read_eeg

        read_eeg(tree, row, metadata)
        return
    root = tree.root
    for key in ("events",) if derived else ("path", "events", "t1w"):
        if row[key] is not None:
            require_contents(root / row[key])
    image = root / row["path"]
    if derived is not None:
        preprocessed = derived.image(row["path"])
        # The raw image says more, but need not be there.
        image = image if image.is_file() else preprocessed
    header = read_bold_header(image)
    row["n_volumes"] = header.n_volumes
    stating = stated_in(tree, row["path"], "RepetitionTime") or image
    row["tr"] = tr = check_tr(header, metadata, stating)
    with unless_included(row, choice):
        require_same_tr(header, tr, stating)
    row |= {"sampling_frequency": 1.0 / tr, "duration": header.n_volumes * tr}
    if image == root / row["path"]:
        row |= {"shape": header.shape, "voxel_size": header.voxel_size}
        row["warnings"] += check_slice_timing(metadata, header.shape, tr)
    if row["events"] is not None:
        path = root / row["events"]
        events = read_event_times(path)
        end = header.n_volumes * tr
        row |= {"n_events": len(events.onset), "event_columns": events.columns}
        with unless_included(row, choice):
            require_events_within(events, end, path)
        row["warnings"] += check_text(path) + check_events(events, path.name, end, tr)
