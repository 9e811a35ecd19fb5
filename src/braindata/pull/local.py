"""A local BIDS folder, brought under `raw/` and never changed."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from braindata.bids.description import dataset_description
from braindata.errors import BraindataError, UsageError
from braindata.files import atomic_path, sha256_file, write_text
from braindata.pull.derivatives import list_derivatives, select_derivatives
from braindata.pull.parameters import Published, PullJob, Subset
from braindata.pull.subset import select
from braindata.withdrawn import MAX_TEXT, Gone, is_of_all, without_people

# Not part of the raw data set: version control, and what others made from it.
SKIPPED_FOLDERS = frozenset({"derivatives", "sourcedata"})


@dataclass(frozen=True)
class PulledFile:
    """One file of a pulled data set.

    Attributes
    ----------
    path : str
        Below the data set's root.
    size : int
        In bytes; 0 where the contents are not there.
    sha256 : str
        Hash of its contents; empty where they are not there (a link that leads nowhere, as of an
        annexed file that was not fetched) or may not be read.
    """

    path: str
    size: int
    sha256: str


def require_bids(source: Path) -> None:
    """Check that a folder is a raw BIDS data set.

    Raises
    ------
    UsageError
        When it has no dataset_description.json, one that is no JSON or says that the folder holds
        derivatives, or when there is no folder of a subject.
    """
    hint = "give the folder that holds dataset_description.json and the sub-… folders"
    description = source / "dataset_description.json"
    if not description.is_file():
        raise UsageError(
            "this folder is no BIDS data set: it has no dataset_description.json",
            file=source,
            hint=hint,
        )
    if not any(entry.name.startswith("sub-") and entry.is_dir() for entry in os.scandir(source)):
        raise UsageError(
            "this folder is no BIDS data set: it has no sub-… folder", file=source, hint=hint
        )
    if dataset_description(source).get("DatasetType") == "derivative":
        raise UsageError(
            "this folder holds derivatives, not raw data (its DatasetType says so)",
            file=description,
            hint="give the raw data set that they were made from",
        )


def list_files(source: Path) -> list[str]:
    """Return the paths of all files of a local data set, relative and sorted.

    Hidden files and folders, `derivatives/` and `sourcedata/` of the top level are left out.

    Raises
    ------
    UsageError
        When the folder is no BIDS data set.
    """
    require_bids(source)
    found = []
    root = str(source)
    # This is read whenever a run is planned: no `Path` for each of thousands of files and folders.
    for folder, folders, files in os.walk(root, followlinks=True):
        at_top = folder == root
        prefix = "" if at_top else f"{folder.removeprefix(root).lstrip('/')}/"
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and not (at_top and name in SKIPPED_FOLDERS)
            and not _leads_back(f"{folder}/{name}")
        )
        # .bidsignore is hidden and part of the data set: the validator reads it.
        found += [
            f"{prefix}{name}"
            for name in files
            if not name.startswith(".") or (at_top and name == ".bidsignore")
        ]
    return sorted(found)


def listing_hash(source: Path) -> str:
    """Return a hash over names, sizes and modification times of a local data set.

    Cheap enough to be computed whenever the workflow is planned: a file that is new, changed or
    gone gives another hash.
    """
    return _hash_of_listing(source, list_files(source))


def _hash_of_listing(source: Path, names: Iterable[str]) -> str:
    digest = hashlib.sha256()
    root = str(source)
    for name in names:
        # A file that may not be read counts as one that is not there, until somebody permits it.
        facts = _facts_of_readable(f"{root}/{name}")
        size, changed = (facts.st_size, facts.st_mtime_ns) if facts else (-1, -1)
        digest.update(os.fsencode(f"{name}\0{size}\0{changed}\n"))
    return digest.hexdigest()


def source_state(source: str, job: PullJob) -> str:
    """Return what changes when a data set has to be pulled again.

    Of a version of a repository, that is its commit: nothing has to be listed.
    """
    subset = job.subset.model_dump_json() if job.subset else ""
    state = listing_hash(Path(source)) if job.commit is None else job.commit
    return f"{state} {subset} {_published_state(job.published)}".strip()


def _published_state(published: Published | None) -> str:
    if published is None:
        return ""
    state = published.commit
    if state is None:
        folder = Path(published.source)
        state = _hash_of_listing(folder, list_derivatives(folder))
    return f"{state} {','.join(published.spaces)} {published.resolution}"


def is_image(path: str) -> bool:
    """Whether a file is an image of MRI, which nobody needs who has derivatives."""
    return path.endswith((".nii", ".nii.gz")) and "/" in path


def pull_local(
    source: Path,
    target: Path,
    mode: Literal["link", "copy"],
    subset: Subset | None = None,
    *,
    images: bool = True,
    gone: Gone | None = None,
) -> list[PulledFile]:
    """Link or copy a local data set to `target`, and remove from there what it no longer has.

    Parameters
    ----------
    source, target : Path
        The data set, and the folder that becomes its image.
    mode : {"link", "copy"}
        Symbolic links, or copies that are verified by their checksum.
    subset : Subset, optional
        What is asked for.
    images : bool, default=True
        Whether images are asked for; without, they are linked and not read.
    gone : Gone, optional
        Who was withdrawn: their files are left out, and texts about all people are copied without
        what they say of them.

    Returns
    -------
    list of PulledFile
        Sorted by path.

    Raises
    ------
    BraindataError
        When reading a file of the source fails, its name is no UTF-8, or it changed while it was
        copied.
    """
    names = select(list_files(source), subset or Subset())
    left = frozenset() if images else frozenset(filter(is_image, names))
    return _pull_files(source, target, mode, names, left, gone)


def pull_local_derivatives(
    target: Path,
    mode: Literal["link", "copy"],
    asked: Published,
    subset: Subset,
    gone: Gone | None = None,
) -> list[PulledFile]:
    """Link or copy what is asked for of a local folder of derivatives; see `pull_local`."""
    source = Path(asked.source)
    chosen = select_derivatives(list_derivatives(source), asked, subset)
    return _pull_files(source, target, mode, chosen.paths, chosen.named, gone)


def _pull_files(
    source: Path,
    target: Path,
    mode: Literal["link", "copy"],
    names: Sequence[str],
    left: frozenset[str],
    gone: Gone | None,
) -> list[PulledFile]:
    """Link or copy files; those that are left are linked, whatever they hold."""
    pulled = []
    for name in names:
        if gone and gone.named_in(name):
            continue
        _require_utf8(source, name)
        origin, image = source / name, target / name
        if name in left or not _readable(origin):
            # One file that nobody fetched is no reason to refuse the others: curation names it.
            _link(origin, image)
            pulled.append(PulledFile(name, 0, ""))
            continue
        if gone and (rest := rest_of(name, origin, gone)) is not None:
            pulled.append(write_rest(name, rest, image))
            continue
        try:
            digest = sha256_file(origin)
            size = origin.stat().st_size
        except OSError as error:
            raise BraindataError(
                f"this file cannot be read ({error.strerror})",
                file=origin,
                hint="check its permissions and the disk",
            ) from error
        if mode == "link":
            _link(origin, image)
        elif image.is_symlink() or not image.is_file() or sha256_file(image) != digest:
            _copy(origin, image, digest)
        pulled.append(PulledFile(name, size, digest))
    remove_others(target, {file.path for file in pulled})
    return pulled


def rest_of(name: str, file: Path, gone: Gone) -> bytes | None:
    """Return what a text about all people says without those withdrawn; None where that is all."""
    if not is_of_all(name) or file.stat().st_size > MAX_TEXT:
        return None
    return without_people(name, file.read_bytes(), gone)


def write_rest(name: str, rest: bytes, image: Path) -> PulledFile:
    """Write what is left of a text, in place of a link or a copy."""
    if image.is_symlink() or not image.is_file() or image.read_bytes() != rest:
        with atomic_path(image) as part:
            part.write_bytes(rest)
    return PulledFile(name, len(rest), hashlib.sha256(rest).hexdigest())


def write_manifest(path: Path, files: list[PulledFile]) -> None:
    """Write path, size and sha256 of each file as a TSV table."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["path", "size", "sha256"])
    writer.writerows([file.path, file.size, file.sha256] for file in files)
    write_text(path, text.getvalue())


def read_manifest(path: Path) -> dict[str, PulledFile]:
    """Read a manifest; keys are the paths.

    Raises
    ------
    BraindataError
        When there is none.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
    except FileNotFoundError as error:
        raise BraindataError(
            "the manifest of the pulled data set is missing", file=path, hint="run pull again"
        ) from error
    return {row["path"]: PulledFile(row["path"], int(row["size"]), row["sha256"]) for row in rows}


def _require_utf8(source: Path, name: str) -> None:
    """Check that a name can be written into manifest, receipts and tables."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BraindataError(
            "the name of this file is no UTF-8",
            file=source / os.fsencode(name).decode(errors="backslashreplace"),
            hint="rename it: BIDS names are made of letters, digits, hyphens and underscores",
        ) from error


def _leads_back(folder: str) -> bool:
    """Whether a folder is a link to one on the way to it, which would go on for ever."""
    # No `Path` for each folder, nor for each file below.
    if not os.path.islink(folder):  # noqa: PTH114
        return False
    target = os.path.realpath(folder)
    return any(os.path.realpath(above) == target for above in Path(folder).parents)


def _facts_of_readable(path: str) -> os.stat_result | None:
    """Return size and times of a file whose contents may be read; a pipe would block for ever."""
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return facts if stat.S_ISREG(facts.st_mode) and os.access(path, os.R_OK) else None


def _readable(path: Path) -> bool:
    return _facts_of_readable(str(path)) is not None


def _link(origin: Path, image: Path) -> None:
    # Of a link to itself this is its own path, where `resolve` fails.
    target = Path(os.path.realpath(origin))
    if image.is_symlink() and image.readlink() == target:
        return
    image.parent.mkdir(parents=True, exist_ok=True)
    image.unlink(missing_ok=True)
    image.symlink_to(target)


def _copy(origin: Path, image: Path, digest: str) -> None:
    with atomic_path(image) as part:
        shutil.copyfile(origin, part)
        if sha256_file(part) != digest:
            raise BraindataError(
                "this file changed while it was copied", file=origin, hint="run again"
            )


def remove_others(target: Path, keep: set[str]) -> None:
    """Remove the files below a folder that are not among `keep`, and folders that are empty."""
    if not target.is_dir():
        return
    for folder, _, files in os.walk(target, topdown=False):
        for name in files:
            path = Path(folder) / name
            if path.relative_to(target).as_posix() not in keep:
                path.unlink()
        if not any(Path(folder).iterdir()) and Path(folder) != target:
            Path(folder).rmdir()
