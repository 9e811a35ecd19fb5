"""Which files an output folder should hold, and whose they are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from braindata.files import PART_PREFIX, sha256_file
from braindata.layout import PER_UNIT, Layout
from braindata.locking import NAME as LOCK_NAME
from braindata.receipts import SUFFIX, VOID
from braindata.regions.files import SUFFIXES
from braindata.snakemake_notes import SNAKEMAKE
from braindata.status.damage import Finding, Kind
from braindata.status.jobs import Job
from braindata.tables.releases import FOLDER, TAGS
from braindata.withdrawn import NAME as WITHDRAWN

_REGION_FILE = re.compile(r"(?P<folder>[^/]+)/(?P<sha256>[0-9a-f]{64})(?P<suffix>\.[a-z0-9.]+)")
STAGING = "tables/.staging/"
# Files that no receipt names because they are no job's result: what fMRIPrep wrote beside what is
# used of it.
BESIDE = ("logs/", "benchmarks/", "fmriprep/", "templateflow/")


@dataclass(frozen=True)
class Expected:
    """What a file should be.

    Attributes
    ----------
    sha256 : str
        Hash of its contents; empty if only its presence is known.
    hint : str
        What to do when it is not so.
    delete : tuple of str
        What is to be deleted then.
    size : int or None
        In bytes, where it is known.
    """

    sha256: str
    hint: str
    delete: tuple[str, ...]
    size: int | None = None


@dataclass
class Hashed:
    """How much was hashed, and what is wrong."""

    findings: list[Finding] = field(default_factory=list)
    n_files: int = 0
    n_bytes: int = 0


def list_all(output: Path) -> set[str]:
    """Return all files and links below the output folder, relative to it."""
    found = set()
    for folder, folders, files in os.walk(output):
        relative = os.path.relpath(folder, output)
        if relative == ".":
            folders[:] = [name for name in folders if name != SNAKEMAKE]
        prefix = "" if relative == "." else f"{relative}/"
        found |= {prefix + name for name in files}
        # Links to folders are files to us: pull makes links to files only.
        found |= {prefix + name for name in folders if Path(folder, name).is_symlink()}
    return found


def expect_region_files(layout: Layout, there: Collection[str]) -> dict[str, Expected]:
    """Return the files that regions are made from: each is named by what it holds.

    Label tables of fetched atlases are named by the atlas; only their presence is known.
    """
    folder = layout.regions().relative_to(layout.output).as_posix()
    found = {}
    for name in there:
        match = _REGION_FILE.fullmatch(name)
        if match and match["folder"] == folder:
            sha256 = match["sha256"] if match["suffix"] in SUFFIXES else ""
            hint = "delete it and run again: it is copied or fetched anew"
            found[name] = Expected(sha256, hint, (name,))
    return found


def is_temporary(name: str) -> bool:
    """Whether a file is one that a killed job left under a temporary name."""
    last = name.rpartition("/")[2]
    return last.startswith(PART_PREFIX) or last.endswith(SUFFIX + VOID) or name.startswith(STAGING)


def job_of_receipt(name: str) -> Job | None:
    """Return the job whose receipt lies at a path relative to the output folder."""
    if not name.endswith(SUFFIX):
        return None
    match name.removesuffix(SUFFIX).split("/"):
        case ["raw", dataset]:
            return Job("pull", (dataset,))
        case ["curated", dataset]:
            return Job("curate", (dataset,))
        case ["derivatives", dataset, unit]:
            return Job("preprocess", (dataset, unit))
        case ["packed", dataset, unit]:
            return Job("pack", (dataset, unit))
        case ["aligned", dataset, group]:
            return Job("align", (dataset, group))
        case ["head", "head"]:
            return Job("head")
        case ["series", dataset, region]:
            return Job("extract", (dataset, region))
        case ["derived", dataset, "trials", region]:
            return Job("derive", (dataset, region))
        case ["derived", dataset, "signals", process]:
            return Job("signals", (dataset, process))
        case ["derived", dataset, "latents"]:
            return Job("latents", (dataset,))
        case ["derived", dataset, "connectivity"]:
            return Job("connectivity", (dataset,))
        case ["tables", "publish"]:
            return Job("publish")
        case ["report", "report"]:
            return Job("report")
        case _:
            return None


class Unfinished:
    """Tells the files of jobs that are not done, or are to be done again, from nobody's.

    Parameters
    ----------
    receipts : collection of Job
        The jobs that have a receipt.
    planned : collection of Job
        The jobs that there should be.
    """

    def __init__(self, receipts: Collection[Job], planned: Collection[Job]):
        self._done = {_place(job) for job in receipts}
        self._open = {_place(job) for job in set(planned) - set(receipts)}

    def __contains__(self, name: str) -> bool:
        """Whether no receipt can name the file yet."""
        place: tuple[str, ...]
        match name.split("/"):
            case ["derivatives", dataset, folder, _, *_]:
                place = ("preprocess", dataset, folder)
            case ["packed", dataset, file]:
                place = ("pack", dataset, file.split("_")[0])
            case ["curated", file]:
                place = ("curate", file.split(".")[0])
            case ["raw", file] | ["raw", file, _, *_]:
                place = ("pull", file.split(".")[0])
            case ["series", dataset, file]:
                place = ("extract", dataset, file.split(".")[0])
            case ["aligned", dataset, file]:
                place = ("align", dataset, file.split(".")[0])
            case ["derived", dataset, "trials", file]:
                place = ("derive", dataset, file.split(".")[0])
            case ["derived", dataset, file] if file.startswith("connectivity."):
                place = ("connectivity", dataset)
            case ["derived", dataset, "signals" | "signal_fits", file]:
                place = ("signals", dataset, file.split(".")[0])
            case ["derived", dataset, _]:
                place = ("latents", dataset)
            case ["head" | "report" as stage, *_]:
                place = (stage,)
            case _:
                return False
        return place in self._open or place not in self._done


def _place(job: Job) -> tuple[str, ...]:
    """Return where a job writes: the sessions of a person share a folder."""
    if job.stage in PER_UNIT:
        return (job.stage, job.key[0], job.key[1].split("_")[0])
    return (job.stage, *job.key)


def is_beside(name: str) -> bool:
    """Whether a file is one that we write and that no receipt names."""
    ours = (LOCK_NAME, f"tables/{LOCK_NAME}", ".plan.json", WITHDRAWN, f"tables/{FOLDER}/{TAGS}")
    if name.startswith(BESIDE) or name in ours:
        return True
    match name.split("/"):
        case ["raw", file]:
            return file.endswith(".state")
        case ["raw", ".store", *_]:
            # Its contents are files of data sets under another name, and hashed as those.
            return True
        case ["packed", file]:
            return file.endswith(".units.json")
        case ["derivatives", _, file]:
            return file in (".bidsignore", "dataset_description.json")
        case ["tables", _, "_delta_log", *_] | ["tables", ".cache", *_]:
            # A cache may be deleted at any moment: its contents are nobody's concern.
            return True
        case _:
            return False


def check_contents(
    output: Path,
    expected: Mapping[str, Expected],
    progress: Callable[[int, int], None],
) -> Hashed:
    """Compare files with what they should be; a file under several names is hashed once.

    Parameters
    ----------
    output : Path
        The output folder.
    expected : mapping of str to Expected
        Path relative to the folder, and what should be there.
    progress : callable
        Called with the bytes that are hashed so far, and with all that there are.
    """
    result = Hashed()
    by_identity: dict[tuple[int, int], list[str]] = {}
    sizes: dict[tuple[int, int], int] = {}
    for name, file in sorted(expected.items()):
        try:
            status = (output / name).stat()
        except OSError as error:
            kind, problem = _why_unreadable(output / name, error)
            result.findings.append(Finding(name, kind, problem, file.hint, file.delete))
            continue
        if file.size is not None and status.st_size != file.size:
            problem = f"it has {status.st_size:,} bytes instead of {file.size:,}"
            result.findings.append(Finding(name, "altered", problem, file.hint, file.delete))
        elif file.sha256:
            identity = (status.st_dev, status.st_ino)
            by_identity.setdefault(identity, []).append(name)
            sizes[identity] = status.st_size
    total = sum(sizes.values())
    digests = _digests([output / names[0] for names in by_identity.values()])
    for (identity, names), digest in zip(by_identity.items(), digests, strict=True):
        result.n_files += 1
        result.n_bytes += sizes[identity]
        progress(result.n_bytes, total)
        for name in names:
            file = expected[name]
            if isinstance(digest, OSError):
                problem = f"it cannot be read ({digest.strerror})"
                result.findings.append(Finding(name, "unreadable", problem, file.hint, file.delete))
            elif digest != file.sha256:
                problem = (
                    "it is empty"
                    if sizes[identity] == 0
                    else "its contents are not what was written: altered, or cut off"
                )
                result.findings.append(Finding(name, "altered", problem, file.hint, file.delete))
    return result


def _why_unreadable(path: Path, error: OSError) -> tuple[Kind, str]:
    if path.is_symlink() and not path.exists():
        return "missing", f"it is a link to {path.readlink()}, which is not there"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "missing", "it is not there"
    return "unreadable", f"it cannot be read ({error.strerror})"


def _digests(paths: list[Path]) -> Iterable[str | OSError]:
    # Hashing and reading release the interpreter: a few threads keep processor and disk busy.
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        yield from pool.map(_digest, paths)


def _digest(path: Path) -> str | OSError:
    try:
        return sha256_file(path)
    except OSError as error:
        return error
