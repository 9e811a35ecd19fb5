"""Damage: every file that a receipt or a release names is held against its hash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from braindata.errors import BraindataError, UsageError
from braindata.files import sha256_file
from braindata.layout import Layout
from braindata.locking import holder, lock
from braindata.pull.local import PulledFile, read_manifest
from braindata.receipts import Receipt, merkle
from braindata.stages import publish
from braindata.stages.job import pairing_hash, receipts_hash
from braindata.status.damage import Finding, Verdict
from braindata.status.files import (
    STAGING,
    Expected,
    Unfinished,
    check_contents,
    expect_region_files,
    is_beside,
    is_temporary,
    job_of_receipt,
    list_all,
)
from braindata.status.jobs import Job, existing_layout, find_work
from braindata.status.releases import MAKE_ANEW, check_logs, expect_releases

AGAIN = "and run again: it is made anew"


def verify(
    output: Path,
    *,
    raw: bool = False,
    locked: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verdict:
    """Look for damage in an output folder; nothing in it is changed.

    Parameters
    ----------
    output : Path
        The output folder.
    raw : bool
        Whether the raw data are hashed too; without, their sizes are compared.
    locked : bool
        Whether this process holds the lock: no run is going on.
    progress : callable
        Called with the bytes that are hashed so far, and with all that there are.

    Raises
    ------
    UsageError
        When it is no output folder.
    """
    layout = existing_layout(output)
    output = layout.output
    run = None if locked else holder(output)
    there = list_all(output)
    work = find_work(layout)
    receipts, findings = _read_receipts(output, there)
    if not receipts and not findings and not work.jobs:
        raise UsageError("this is no output folder: it holds no receipt", file=output)
    if layout.plan() in work.unreadable:
        findings.append(Finding(".plan.json", "unreadable", "it is no plan", "run again"))
    planned = set(work.jobs)
    releases = expect_releases(layout, there)
    expected = releases.files | expect_region_files(layout, there)
    for job, receipt in receipts.items():
        for name, sha256 in receipt.outputs.items():
            if name not in expected:
                expected[name] = _output(layout, job, receipt, name, sha256, job in planned)
    findings += releases.findings
    known = set(releases.known)
    for job, receipt in receipts.items():
        if job.stage == "pull":
            pulled = _expect_raw(layout, job, receipt, there, raw=raw)
            known |= pulled.keys()
            expected |= {name: file for name, file in pulled.items() if file is not None}
    hashed = check_contents(output, expected, progress)
    findings += hashed.findings
    findings += check_logs(layout)
    n_unfinished = 0
    if run is None:
        if work.planned is not None:
            findings += _outdated(layout, receipts, planned)
        mine = {job.receipt(layout).relative_to(output).as_posix() for job in receipts}
        unfinished = Unfinished(receipts.keys(), planned)
        known |= mine | expected.keys() | {finding.file for finding in findings}
        for name in sorted(there - known):
            if is_temporary(name):
                hint = "delete it" if name.startswith(STAGING) else "run again: it is removed"
                problem = "it is left of a run that was stopped"
                findings.append(Finding(name, "temporary", problem, hint, (name,)))
            elif is_beside(name):
                continue
            elif name in unfinished:
                n_unfinished += 1
            else:
                problem = "nobody knows this file: no receipt or release names it"
                hint = "if you did not put it there, delete it"
                findings.append(Finding(name, "unknown", problem, hint))
    return Verdict(
        output=output,
        # What was found first of a file says most.
        findings=tuple(sorted({one.file: one for one in reversed(findings)}.values())),
        n_files=hashed.n_files,
        n_bytes=hashed.n_bytes,
        n_superseded=releases.n_superseded,
        n_unfinished=n_unfinished,
        process=None if run is None else run.process,
    )


def repair(
    output: Path,
    *,
    raw: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Verdict, list[str]]:
    """Delete the receipts of what is damaged, so that the next run makes it anew.

    Only files of ours that are made again are deleted: receipts, damaged results, and what
    killed jobs left. Never raw data, nor files that nobody knows.

    Returns
    -------
    verdict : Verdict
        What was found.
    deleted : list of str
        The files that were deleted, relative to the output folder.

    Raises
    ------
    BraindataError
        When a run is going on.
    """
    lock(existing_layout(output).output)
    verdict = verify(output, raw=raw, locked=True, progress=progress)
    deleted = []
    for name in sorted({name for finding in verdict.findings for name in finding.delete}):
        path = verdict.output / name
        # Names come from receipts, which anybody may have edited: none leads out of the folder.
        if ".." in path.parts or not path.is_relative_to(verdict.output):
            continue
        if path.is_file() or path.is_symlink():
            path.unlink()
            deleted.append(name)
    return verdict, deleted


def _read_receipts(output: Path, there: set[str]) -> tuple[dict[Job, Receipt], list[Finding]]:
    receipts, findings = {}, []
    for name in sorted(there):
        job = job_of_receipt(name)
        if job is None or is_temporary(name):
            continue
        hint = f"delete it {AGAIN}"
        try:
            receipt = Receipt.read(output / name)
        except BraindataError:
            problem = "it is no receipt: altered, or cut off"
            findings.append(Finding(name, "unreadable", problem, hint, (name,)))
            continue
        if (receipt.stage, receipt.job) == (job.stage, job.name):
            receipts[job] = receipt
        else:
            problem = f"it is the receipt of another job: {receipt.stage} {receipt.job}"
            findings.append(Finding(name, "altered", problem, hint, (name,)))
    return receipts, findings


def _output(
    layout: Layout, job: Job, receipt: Receipt, name: str, sha256: str, planned: bool
) -> Expected:
    path = job.receipt(layout).relative_to(layout.output).as_posix()
    if job.stage == "publish":
        # Published files stay as they are while they are there.
        return Expected(sha256, MAKE_ANEW, (name,))
    if planned:
        return Expected(sha256, f"delete {path} {AGAIN}", (path,))
    hint = f"it is no longer asked for: delete {path} and the files that it names"
    return Expected(sha256, hint, (path, *receipt.outputs))


def _expect_raw(
    layout: Layout, job: Job, receipt: Receipt, there: set[str], *, raw: bool
) -> dict[str, Expected | None]:
    """Return what the manifest of a pulled data set says of its files; None where nothing."""
    (dataset,) = job.key
    found = _expect_pulled(
        layout, job, receipt, there, (layout.manifest(dataset), layout.raw(dataset)), raw=raw
    )
    of_others = (layout.published_manifest(dataset), layout.published(dataset))
    if of_others[0].relative_to(layout.output).as_posix() in receipt.outputs:
        found |= _expect_pulled(layout, job, receipt, there, of_others, raw=raw)
    return found


def _expect_pulled(
    layout: Layout,
    job: Job,
    receipt: Receipt,
    there: set[str],
    place: tuple[Path, Path],
    *,
    raw: bool,
) -> dict[str, Expected | None]:
    """Return what a manifest says of the files of its folder."""
    path = place[0]
    name = path.relative_to(layout.output).as_posix()
    folder = place[1].relative_to(layout.output).as_posix()
    if not path.is_file() or sha256_file(path) != receipt.outputs.get(name):
        # That is said of the manifest itself; what it lists is not to be relied on.
        return dict.fromkeys(file for file in there if file.startswith(f"{folder}/"))
    manifest = read_manifest(path)
    receipt_name = job.receipt(layout).relative_to(layout.output).as_posix()
    files = {f"{folder}/{path}": file for path, file in manifest.items()}
    # Contents that nobody had fetched when it was pulled have no hash: there is nothing to check.
    return {
        name: _raw_file(layout, name, file, receipt_name, raw=raw) if file.sha256 else None
        for name, file in files.items()
    }


def _raw_file(layout: Layout, name: str, file: PulledFile, receipt: str, *, raw: bool) -> Expected:
    image = layout.output / name
    hint, delete = f"delete {receipt} {AGAIN}", (receipt,)
    sha256 = file.sha256 if raw else ""
    if image.is_symlink():
        # The source is not ours: whether its change is meant, only its owner can say.
        hint = (
            "bring the source's file back as it was; or, if the change is meant, delete "
            f"{receipt} and run again: the data set is pulled as it is now"
        )
        return Expected(sha256, hint, (), file.size)
    return Expected(sha256, hint, delete, file.size)


def _outdated(layout: Layout, receipts: Mapping[Job, Receipt], planned: set[Job]) -> list[Finding]:
    """Return the receipts that rest on other results than those that are there.

    Only where both are there, and only of jobs that are asked for: the receipts of a region that
    was taken out of the configuration stay as they were.
    """
    findings = []
    for job in sorted(receipts.keys() & planned):
        basis = _basis(layout, job, receipts)
        said = receipts[job].inputs
        differing = sorted(key for key, value in basis.items() if said.get(key) != value)
        if differing:
            name = job.receipt(layout).relative_to(layout.output).as_posix()
            problem = f"it rests on other results than are there now: {', '.join(differing)}"
            findings.append(Finding(name, "outdated", problem, f"delete it {AGAIN}", (name,)))
    return findings


def _basis(layout: Layout, job: Job, receipts: Mapping[Job, Receipt]) -> dict[str, str]:
    """Return the inputs that a job's receipt should name, as far as they can be told cheaply."""

    def get(stage: str, *key: str) -> Receipt | None:
        return receipts.get(Job(stage, key))

    def regions() -> list[str]:
        # Those that it was made of: what is asked for now may be more.
        return list(map(str, receipts[job].parameters.get("regions", ())))

    match job.stage, job.key:
        case "curate", (dataset,):
            pulled = get("pull", dataset)
            return {} if pulled is None else {"raw": merkle(pulled.inputs)}
        case "pack", (dataset, unit):
            made = get("preprocess", dataset, unit)
            return {} if made is None else {"derivatives": merkle(made.outputs)}
        case "extract", (dataset, _):
            curated = get("curate", dataset)
            units = sorted(curated.notes.get("units", {})) if curated else []
            packed = {u: r for u in units if (r := get("pack", dataset, u)) is not None}
            whole = curated is not None and len(packed) == len(units)
            basis = {"packed": receipts_hash(packed)} if whole else {}
            head = get("head")
            if head is not None and "sources" in receipts[job].parameters:
                basis["head"] = merkle(head.outputs)
            return basis
        case "align", (dataset, _):
            curated = get("curate", dataset)
            units = sorted(curated.notes.get("units", {})) if curated else []
            packed = {u: r for u in units if (r := get("pack", dataset, u)) is not None}
            whole = curated is not None and len(packed) == len(units)
            return {"packed": receipts_hash(packed)} if whole else {}
        case "derive", (dataset, region):
            extracted = get("extract", dataset, region)
            if extracted is None:
                return {}
            packed_hash = extracted.inputs.get("packed", "")
            return {"series": merkle(extracted.outputs), "packed": packed_hash}
        case "connectivity", (dataset,):
            pairs = {r: (get("extract", dataset, r), get("derive", dataset, r)) for r in regions()}
            return {
                region: pairing_hash(series, trials)
                for region, (series, trials) in pairs.items()
                if series is not None and trials is not None and "packed" in series.inputs
            }
        case "signals", (dataset, _):
            basis = {}
            derived = {r: made for r in regions() if (made := get("derive", dataset, r))}
            if len(derived) == len(regions()):
                basis["trials"] = receipts_hash(derived)
            fitted = get("latents", dataset)
            if fitted is not None:
                own = layout.latents(dataset).relative_to(layout.output).as_posix()
                basis["latents"] = fitted.outputs.get(own, "")
            return basis
        case "publish", _:
            try:
                chosen = publish.Parameters.model_validate(receipts[job].parameters)
                return publish.inputs(publish.find_receipts(layout, chosen))
            except (BraindataError, ValidationError, OSError, pa.ArrowException):
                # What it rests on is gone or damaged, which is said elsewhere.
                return {}
        case "report", _:
            published = get("publish")
            return {} if published is None else {"release": merkle(published.outputs)}
        case _:
            return {}
