"""What every stage's job has in common: compare with the receipt, work, write the receipt."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel

from braindata.errors import BraindataError
from braindata.faults import naming_a_full_disk
from braindata.layout import UNIT_FOLDERS, Layout
from braindata.receipts import (
    SUFFIX,
    Outcome,
    Receipt,
    hash_outputs,
    library_versions,
    merkle,
    output_sizes,
    read_or_none,
    up_to_date,
    void_beside,
)
from braindata.stages import STEP_VERSION
from braindata.stages.costs import describe_use

log = logging.getLogger("braindata")


@dataclass
class Result:
    """What a job made: its files, the outcome of each recording, and notes for later stages."""

    outputs: list[Path]
    recordings: dict[str, Outcome] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def run_job(
    layout: Layout,
    stage: str,
    job: str,
    receipt: Path,
    *,
    parameters: BaseModel | dict[str, Any],
    inputs: dict[str, str],
    libraries: tuple[str, ...],
    work: Callable[[], Result],
    marks: Mapping[str, Any] | None = None,
) -> bool:
    """Do `work` unless the receipt says that it is done, and write the receipt.

    Parameters
    ----------
    layout : Layout
        The output folder.
    stage, job : str
        The stage, and which of its jobs.
    receipt : Path
        Where the receipt lies.
    parameters : BaseModel or dict
        What changes the result.
    inputs : dict of str to str
        Name and content hash of each input.
    libraries : tuple of str
        Distributions that touch the numbers.
    work : callable
        Makes the outputs.
    marks : mapping, optional
        Notes by which planning knows that the job need not be started; of work that is done
        already, they are brought up to date.

    Returns
    -------
    bool
        Whether anything was done.
    """
    chosen = parameters if isinstance(parameters, dict) else parameters.model_dump(mode="json")
    planned = Receipt(stage, job, STEP_VERSION[stage], chosen, inputs)
    if up_to_date(planned, receipt, layout.output):
        earlier = Receipt.read(receipt)
        # The log of the earlier run is gone by now: this one has to say it too.
        _warn(earlier)
        if marks and earlier.notes != earlier.notes | dict(marks):
            earlier.notes |= marks
            earlier.write(receipt)
        log.info("%s %s: up to date", stage, job)
        return False
    with naming_a_full_disk(layout.output):
        result = work()
        planned.outputs = hash_outputs(result.outputs, layout.output)
        planned.sizes = output_sizes(result.outputs, layout.output)
        planned.recordings = {
            name: _portable(outcome, layout) for name, outcome in result.recordings.items()
        }
        planned.notes = result.notes | dict(marks or {})
        planned.versions = library_versions(*libraries)
        planned.write(receipt)
    _warn(planned)
    log.info("%s", describe_use())
    log.info("%s %s: done, %d files", stage, job, len(planned.outputs))
    return True


def remove_superseded(layout: Layout, receipt: Path, outputs: Iterable[Path]) -> None:
    """Remove what an earlier run of a job made and this one did not.

    Another backend makes files of other names, and of a recording that is quarantined now there is
    nothing to be made: what is left of it would pass for results. It is called before the new
    receipt is written: after a kill in between, the old one names files that are gone, and the
    job runs again.

    Parameters
    ----------
    layout : Layout
        The output folder.
    receipt : Path
        The job's; of the earlier run, where there was one.
    outputs : iterable of Path
        What this run made.
    """
    void = void_beside(receipt)
    known = (read_or_none(path) for path in (receipt, void))
    earlier = {name for one in known if one is not None for name in one.outputs}
    kept = {path.relative_to(layout.output).as_posix() for path in outputs}
    gone = earlier - kept
    if gone:
        gone -= _of_other_sessions(receipt)
    for name in sorted(gone):
        path = layout.output / name
        # Anybody may have edited a receipt: none leads out of the job's own folder.
        if ".." not in path.parts and path.is_relative_to(receipt.parent):
            path.unlink(missing_ok=True)
    void.unlink(missing_ok=True)


def void_other_division(layout: Layout, dataset: str, unit: str, units: Collection[str]) -> None:
    """Let receipts of a person no longer hold that are of other units than the person has now.

    Somebody of one session is one unit, and each session is one where there are more. The files of
    a recording have the same name in both: what is made now takes the place of what such a receipt
    names, which would count again once the other session is gone.

    Parameters
    ----------
    layout : Layout
        The output folder.
    dataset : str
        Identifier of the data set.
    unit : str
        Whose files are about to be made.
    units : collection of str
        Those of the data set now. Of recordings of which some have a session and some have none,
        both are there.
    """
    person, _, session = unit.partition("_")
    for folder in UNIT_FOLDERS:
        whole = layout.receipt(folder, dataset, person)
        for other in [whole] if session else sorted(whole.parent.glob(f"{person}_ses-*{SUFFIX}")):
            if other.name.removesuffix(SUFFIX) in units:
                continue
            # Another session's job may do the same at the same time.
            with contextlib.suppress(FileNotFoundError):
                other.replace(void_beside(other))


def _of_other_sessions(receipt: Path) -> set[str]:
    """Return what other jobs of the same person made: sessions may share a T1w image."""
    person = receipt.name.removesuffix(SUFFIX).split("_")[0]
    others = set(receipt.parent.glob(f"{person}[._]*{SUFFIX.removeprefix('.')}")) - {receipt}
    known = (read_or_none(path) for path in others)
    return {name for one in known if one is not None for name in one.outputs}


def _warn(receipt: Receipt) -> None:
    for name in receipt.with_state("quarantined"):
        outcome = receipt.recordings[name]
        where = f" ({outcome.file})" if outcome.file else ""
        log.warning("%s: quarantined: %s%s; hint: %s", name, outcome.reason, where, outcome.hint)


def _portable(outcome: Outcome, layout: Layout) -> Outcome:
    """Name the file at fault relative to the output folder: a receipt holds no machine's paths."""
    if outcome.file is None or not Path(outcome.file).is_relative_to(layout.output):
        return outcome
    return replace(outcome, file=Path(outcome.file).relative_to(layout.output).as_posix())


def read_inventory(layout: Layout, dataset: str) -> list[dict[str, Any]]:
    """Return the rows of a data set's inventory.

    Raises
    ------
    BraindataError
        When the data set is not curated yet.
    """
    Receipt.read(layout.receipt("curated", dataset))
    rows: list[dict[str, Any]] = pq.read_table(layout.inventory(dataset)).to_pylist()
    return rows


def used(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of an inventory whose recordings are used."""
    return [row for row in rows if row["status"] == "used"]


def require_pulled(layout: Layout, dataset: str, paths: Iterable[str]) -> None:
    """Check that files of a data set are where pull has put them.

    Parameters
    ----------
    layout : Layout
        The output folder.
    dataset : str
        Identifier of the data set.
    paths : iterable of str
        Below its root: files, and recordings in MFF, which are folders.

    Raises
    ------
    BraindataError
        When some are gone. That is not bad data: somebody removed them.
    """
    raw = layout.raw(dataset)
    files = {path: raw / path for path in paths}
    gone = sorted(
        path
        for path, file in files.items()
        if not (file.is_dir() if file.suffix == ".mff" else file.is_file())
    )
    if gone:
        raise BraindataError(
            f"{len(gone)} pulled files are gone",
            file=raw / gone[0],
            hint=f"delete {layout.receipt('raw', dataset)} and run again: they are pulled anew",
        )


def unit_receipts(layout: Layout, folder: str, dataset: str) -> dict[str, Receipt]:
    """Return the receipts of a per-unit stage for all units of a data set, by unit.

    Raises
    ------
    BraindataError
        When one is missing.
    """
    units = sorted({row["unit"] for row in used(read_inventory(layout, dataset))})
    return {unit: Receipt.read(layout.receipt(folder, dataset, unit)) for unit in units}


def receipts_hash(receipts: dict[str, Receipt]) -> str:
    """Return one hash over what the jobs of several receipts made."""
    return merkle({name: merkle(receipt.outputs) for name, receipt in receipts.items()})


def pairing_hash(series: Receipt, trials: Receipt) -> str:
    """Return one hash over what a region's pairs with others are made from."""
    # Which samples of EEG are kept, the store says.
    return merkle(series.outputs | trials.outputs | {"packed": series.inputs["packed"]})
