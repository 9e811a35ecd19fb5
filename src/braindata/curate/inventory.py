"""The inventory: every recording of a data set, used or not, and why."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import bids2table
import pyarrow as pa

from braindata.bids.description import dataset_description
from braindata.bids.entities import entity_columns, stem, unit_of
from braindata.bids.events import find_events, read_events
from braindata.bids.sidecars import sidecar, stated_in
from braindata.curate.header import BoldHeader, check_tr, read_bold_header
from braindata.curate.parameters import Choice, CurateParameters
from braindata.curate.validator import Verdict
from braindata.errors import DataError
from braindata.receipts import Outcome
from braindata.tables.rules import first_match
from braindata.tables.schemas import RECORDINGS

BOLD_NAME = re.compile(r"_bold\.nii(\.gz)?$")
IMAGE_EXTENSIONS = (".nii.gz", ".nii")
# More events than this share after the end of the run: another run's file, or milliseconds.
MAX_SHARE_BEYOND = 0.5
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
    """

    dataset: str
    version: str
    root: Path
    sha256: Mapping[str, str]


def index_images(root: Path) -> list[str]:
    """Return the paths of all images of a BIDS folder, sorted, from bids2table's index."""
    table = bids2table.index_dataset(root)
    rows = table.select(["path", "ext"]).to_pylist()
    return sorted(row["path"] for row in rows if row["ext"] in IMAGE_EXTENSIONS)


def build_inventory(
    source: Source, verdict: Verdict, parameters: CurateParameters, choice: Choice = EVERYTHING
) -> tuple[pa.Table, dict[str, Outcome]]:
    """List the recordings of a data set with what is known of them before preprocessing.

    Only what makes a recording unusable excludes it; the validator's errors are kept beside it.

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

    Returns
    -------
    inventory : pyarrow.Table
        Schema `RECORDINGS`, one row per functional recording, sorted by name. What later stages
        find out (`space`, quality) is null.
    left_out : dict of str to Outcome
        By recording, those that are not used.
    """
    images = index_images(source.root)
    licence = dataset_description(source.root).get("License")
    bolds = [path for path in images if stem(path).endswith("_bold")]
    t1ws = [path for path in images if stem(path).endswith("_T1w")]
    sessions: dict[str, set[str | None]] = {}
    for path in bolds:
        names = entity_columns(path)
        sessions.setdefault(names["subject"] or "", set()).add(names["session"])
    rows = []
    left_out: dict[str, Outcome] = {}
    for path in bolds:
        names = entity_columns(path)
        subject = names["subject"] or ""
        one_job = len(sessions[subject]) == 1
        row: dict[str, Any] = dict.fromkeys(RECORDINGS.names) | names
        row |= {
            "dataset": source.dataset,
            "dataset_version": source.version,
            "recording": stem(path),
            "modality": "fmri",
            "unit": unit_of(subject, None if one_job else names["session"]),
            "path": path,
            "sha256": source.sha256.get(path),
            "t1w": _choose_t1w(t1ws, subject, names["session"]),
            "events": find_events(source.root, path),
            "licence": None if licence is None else str(licence),
        }
        beside = path.removesuffix(".nii.gz").removesuffix(".nii") + ".json"
        row["validator_errors"] = verdict.errors_of(path, beside, row["events"], row["t1w"])
        row["status"] = "used"
        outcome = _judge(source.root, row, parameters, choice)
        if outcome.state != "done":
            _leave_out(source.root, row, outcome, left_out)
        rows.append(row)
    rows += _misnamed(source, set(bolds), left_out)
    _quarantine_doubles(source.root, rows, left_out)
    rows.sort(key=lambda row: (str(row["recording"]), str(row["path"])))
    return pa.Table.from_pylist(rows, schema=RECORDINGS), left_out


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


def _choose_t1w(t1ws: list[str], subject: str, session: str | None) -> str | None:
    """Return the subject's T1w, of the same session where there is one; the first by name."""
    own = [path for path in t1ws if entity_columns(path)["subject"] == subject]
    same = [path for path in own if entity_columns(path)["session"] == session]
    return min(same or own, default=None)


def _judge(
    root: Path, row: dict[str, Any], parameters: CurateParameters, choice: Choice
) -> Outcome:
    """Complete a row with header and events, and say whether the recording can be used."""
    back = choice.decisions.including(row)
    by_choice = _of_another_kind(row) or (
        None if back else _excluded_by_choice(row, parameters, choice)
    )
    if by_choice is not None:
        return by_choice
    try:
        for key in ("path", "events", "t1w"):
            if row[key] is not None:
                _require_contents(root / row[key])
        header = read_bold_header(root / row["path"])
        row["n_volumes"] = header.n_volumes
        stating = stated_in(root, row["path"], "RepetitionTime") or root / row["path"]
        row["tr"] = check_tr(header, sidecar(root, row["path"]), stating)
        row["sampling_frequency"] = 1.0 / row["tr"]
        if row["events"] is not None:
            _check_events(root / row["events"], header, row["tr"])
    except DataError as error:
        return Outcome.quarantine(error)
    by_rule = None if back else _excluded_by_rule(row, parameters)
    if by_rule is not None:
        return by_rule
    if row["t1w"] is None:
        return Outcome(
            "quarantined",
            "there is no T1w image of this subject",
            "add sub-…/anat/sub-…_T1w.nii.gz: without it the EPI cannot be normalised",
        )
    return Outcome("done")


def _require_contents(path: Path) -> None:
    if path.is_dir():
        raise DataError(
            "this is a folder, where a file is due", file=path, hint="put the image in its place"
        )
    if not path.is_file():
        raise DataError(
            "the contents of this file are not there",
            file=path,
            hint="fetch them into the source (git annex get, datalad get), run again",
        )
    if not os.access(path, os.R_OK):
        raise DataError(
            "nobody permits you to read this file", file=path, hint="chmod u+r FILE, run again"
        )


def _excluded_by_choice(
    row: dict[str, Any], parameters: CurateParameters, choice: Choice
) -> Outcome | None:
    if parameters.tasks and row["task"] not in parameters.tasks:
        return Outcome(
            "excluded", f"task {row['task']} is not asked for", "see curate.tasks in the config"
        )
    for column, asked in (("subject", choice.subjects), ("task", choice.tasks)):
        if asked and row[column] not in asked:
            return Outcome(
                "excluded",
                f"{column} {row[column]} is not asked for",
                f"see {column}s of this data set in the config",
            )
    decision = choice.decisions.excluding(row)
    if decision is not None:
        return Outcome("excluded", decision.signed(), f"see the exclusions of {row['dataset']}")
    return None


def _excluded_by_rule(row: dict[str, Any], parameters: CurateParameters) -> Outcome | None:
    if row["n_volumes"] < parameters.min_volumes:
        return Outcome(
            "excluded",
            f"it has {row['n_volumes']} volumes, fewer than {parameters.min_volumes}",
            "lower curate.min_volumes to use it",
        )
    rule = first_match(parameters.exclude, row)
    if rule is not None:
        return Outcome(
            "excluded",
            rule.reason(row, "curate.exclude"),
            "change the rule, or bring the recording back under `include` in the exclusions of "
            f"{row['dataset']}",
        )
    return None


def _of_another_kind(row: dict[str, Any]) -> Outcome | None:
    if row["echo"] is not None:
        return Outcome(
            "excluded",
            "it is one echo of a multi-echo run, which is not combined here",
            "preprocess multi-echo data with fMRIPrep",
        )
    if row["part"] not in (None, "mag"):
        return Outcome("excluded", f"it is the {row['part']} part of a complex image", None)
    return None


def _check_events(path: Path, header: BoldHeader, tr: float) -> None:
    events = read_events(path)
    end = header.n_volumes * tr
    beyond = int((events["onset"] >= end).sum())
    if beyond > MAX_SHARE_BEYOND * len(events):
        raise DataError(
            f"{beyond} of {len(events)} events start after the end of the run at {end:g} s",
            file=path,
            hint="are the onsets in milliseconds, or is it another run's events file?",
        )
