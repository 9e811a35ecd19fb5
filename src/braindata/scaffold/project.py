"""Write a project: Snakefile, rules, profiles, region sets and a configuration to fill in.

The repository's own files are the only source: a wheel carries a copy of them, a clone has them at
its root. A record of what was written lies in the project, so that a later `braindata init` can
tell what its user has edited from what is merely old.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.resources
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from braindata.config_datasets import DATASET_PATTERN
from braindata.errors import BraindataError, UsageError
from braindata.files import atomic_path, write_text
from braindata.pull.local import require_bids
from braindata.pull.parameters import PullSection
from braindata.pull.source import parse_source

RECORD = ".braindata.json"
CONFIG = "config/config.yaml"
# Snakemake looks for its default profile here; it is a link, as in the repository.
PROFILE, PROFILE_SOURCE = "profiles/default", "workflow/profiles/default"
# What of the repository belongs to a project; a test holds the wheel against it.
PATTERNS = (
    "Snakefile",
    "environment.yml",
    "config/schema.json",
    "config/regions/*/*.yaml",
    "rules/*.smk",
    "workflow/**/*",
)


@dataclass(frozen=True)
class Changes:
    """What `init_project` did, each a list of paths relative to the project, sorted.

    Attributes
    ----------
    written : list of str
        New files.
    updated : list of str
        Files that were as an earlier braindata had written them.
    removed : list of str
        Files of an earlier braindata, unedited, that this one has no more.
    kept : list of str
        Files that the user has edited and braindata has not changed since.
    differing : list of str
        Files that the user has edited and that have changed in braindata too: to be compared.
    """

    written: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Record:
    """The version of braindata that wrote a project, and the sha256 of each file it wrote."""

    version: str
    files: dict[str, str]


def project_root() -> Path:
    """Return the folder that holds a project's files: within the wheel, else the clone's root.

    Raises
    ------
    BraindataError
        When neither is there.
    """
    package = Path(__file__).resolve().parent
    for root in (package / "project", package.parents[2]):
        if (root / "Snakefile").is_file():
            return root
    raise BraindataError(
        "this installation of braindata holds no Snakefile", hint="install it again"
    )


def project_files() -> dict[str, Path]:
    """Return the files of a project by their path within it, sorted; not its configuration."""
    root = project_root()
    found = {
        path.relative_to(root).as_posix(): path
        for pattern in PATTERNS
        for path in root.glob(pattern)
        if path.is_file() and not path.name.startswith(".")
    }
    return dict(sorted(found.items()))


def starter_config(
    datasets: Mapping[str, str], modalities: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return the configuration of a new project.

    Parameters
    ----------
    datasets : mapping of str to str
        Source by identifier; empty leaves it to be filled in.
    modalities : mapping of str to sequence of str, optional
        By identifier, where they are other than the default.
    """
    text = (importlib.resources.files("braindata.scaffold") / "starter.yaml").read_text("utf-8")
    modalities = modalities or {}
    # A JSON string is a YAML string, whatever the path holds.
    entries = "".join(
        f"  - id: {json.dumps(name)}\n    source: {json.dumps(source, ensure_ascii=False)}\n"
        + (f"    modalities: [{', '.join(modalities[name])}]\n" if name in modalities else "")
        for name, source in datasets.items()
    )
    return text.replace("\ndatasets:\n", f"\ndatasets:\n{entries}")


def parse_datasets(options: Sequence[str]) -> dict[str, Path | str]:
    """Read ``ID=PATH`` options; a repository, such as ``openneuro:ds000005``, stays as it is.

    Raises
    ------
    UsageError
        When one has another form, or an identifier comes twice.
    """
    datasets: dict[str, Path | str] = {}
    for option in options:
        name, separator, path = option.partition("=")
        if not (name and separator and path):
            raise UsageError(
                f"--dataset {option}: a name and a BIDS folder are needed",
                hint="such as --dataset localizer=../my-bids-folder, or x=openneuro:ds000005",
            )
        if name.lower() in map(str.lower, datasets):
            raise UsageError(f"--dataset {name}: the name is used twice")
        datasets[name] = Path(path) if parse_source(path, PullSection()) is None else path
    return datasets


def init_project(
    folder: Path, datasets: Mapping[str, Path | str] | None = None, *, force: bool = False
) -> Changes:
    """Write a project, or bring one up to date.

    Each file is written atomically; a second call changes nothing. Of a project that an earlier
    braindata wrote, the files that its user has edited are kept, and the others updated. The
    configuration is its user's: once there, it is replaced only when `datasets` ask for it, and
    then only while nothing is filled in.

    Parameters
    ----------
    folder : Path
        The project; made if it is not there.
    datasets : mapping of str to Path or str, optional
        BIDS folder, or the name of a repository, by identifier, to fill into the configuration.
        Relative folders are relative to the working directory.
    force : bool
        Replace what has been edited; the configuration only together with `datasets`.

    Returns
    -------
    Changes

    Raises
    ------
    UsageError
        When a data set is none, the folder is one, or files are in the way that braindata did not
        write. Nothing is written then.
    """
    folder = folder.resolve()
    root = project_root()
    if folder == root:
        raise UsageError("this is braindata itself", file=folder, hint="choose another folder")
    record = read_record(folder)
    if record is None and (folder / "dataset_description.json").exists():
        raise UsageError(
            "this is a BIDS data set, which is left as it is",
            file=folder,
            hint="name a folder for the project, and the data set as --dataset ID=PATH",
        )
    known = record.files if record else {}
    wanted = {name: path.read_bytes() for name, path in project_files().items()}
    if datasets or not (folder / CONFIG).exists():
        sources = {name: _source(name, path, folder) for name, path in (datasets or {}).items()}
        wanted[CONFIG] = starter_config(sources, _modalities(datasets or {})).encode()
    there = {name: _sha256(folder / name) for name in {*wanted, *known}}
    changes = Changes()
    for name, content in sorted(wanted.items()):
        new, now = hashlib.sha256(content).hexdigest(), there[name]
        if now is None:
            changes.written.append(name)
        elif now == new:
            pass
        elif force or now == known.get(name):
            changes.updated.append(name)
        elif new == known.get(name):
            changes.kept.append(name)
        else:
            changes.differing.append(name)
    _refuse_strangers(folder, changes.differing, is_project=record is not None)
    for name in sorted(set(known) - set(wanted) - {CONFIG}):
        if there[name] is not None and (force or there[name] == known[name]):
            changes.removed.append(name)
    files = {name: known[name] for name in known if name in wanted or name == CONFIG}
    for name in (*changes.written, *changes.updated):
        with atomic_path(folder / name) as part:
            part.write_bytes(wanted[name])
    for name in changes.removed:
        (folder / name).unlink()
    _link_profile(folder)
    for name, content in wanted.items():
        if name not in (*changes.kept, *changes.differing):
            files[name] = hashlib.sha256(content).hexdigest()
    if datasets:
        # Filled in, it is the user's: from now on it counts as edited.
        files.pop(CONFIG, None)
    _write_record(folder, _Record(_version(), dict(sorted(files.items()))))
    return changes


def read_record(folder: Path) -> _Record | None:
    """Return what braindata wrote to a project; None when it is no project of braindata's."""
    try:
        body = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return _Record(str(body["braindata"]), dict(body["files"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def check_version(home: Path) -> None:
    """Check that the installed braindata is the one that wrote a project's rules.

    Parameters
    ----------
    home : Path
        Where the Snakefile lies. A clone has no record, and needs none.

    Raises
    ------
    UsageError
        When it is another: rules and commands of two versions need not fit.
    """
    record = read_record(home)
    if record is not None and record.version != _version():
        raise UsageError(
            f"these rules are those of braindata {record.version}, installed is {_version()}",
            file=home / RECORD,
            hint=f"bring them up to date with: braindata init {home}",
        )


def _refuse_strangers(folder: Path, differing: list[str], *, is_project: bool) -> None:
    """Stop before anything is written where a file is in the way that is not ours to judge."""
    refused = [name for name in differing if name == CONFIG or not is_project]
    if refused == [CONFIG]:
        raise UsageError(
            "there is a configuration already",
            file=folder / CONFIG,
            hint="add the data set to it in an editor, or let --force replace it",
        )
    if refused:
        raise UsageError(
            f"{len(refused)} files are in the way: {', '.join(refused)}",
            file=folder,
            hint="choose an empty folder, or let --force replace them",
        )


def _source(name: str, path: Path | str, folder: Path) -> str:
    """Return a data set's source as the configuration states it."""
    if not re.fullmatch(DATASET_PATTERN, name):
        raise UsageError(
            f"--dataset {name}: the name holds letters, digits, hyphens and underscores only"
        )
    if isinstance(path, str):
        return path
    path = path.expanduser()
    if not path.is_dir():
        raise UsageError(
            f"--dataset {name}: there is no folder {path}",
            hint=None if path.is_absolute() else f"looked in {Path.cwd()}",
        )
    require_bids(path)
    return str(path) if path.is_absolute() else Path(os.path.relpath(path, folder)).as_posix()


def _modalities(datasets: Mapping[str, Path | str]) -> dict[str, list[str]]:
    """Return what folders hold, of those that hold EEG: the default is fMRI alone."""
    found = {}
    for name, path in datasets.items():
        if isinstance(path, str):
            continue
        root = path.expanduser()
        if _has(root, "eeg"):
            found[name] = ["fmri", "eeg"] if _has(root, "func") else ["eeg"]
    return found


def _has(root: Path, datatype: str) -> bool:
    patterns = (f"sub-*/{datatype}", f"sub-*/ses-*/{datatype}")
    return any(True for pattern in patterns for _ in root.glob(pattern))


def _link_profile(folder: Path) -> None:
    link = folder / PROFILE
    if link.exists() or link.is_symlink():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(Path(os.pardir) / PROFILE_SOURCE)
    except OSError:
        # Some file systems know no links.
        shutil.copytree(folder / PROFILE_SOURCE, link)


def _write_record(folder: Path, record: _Record) -> None:
    body = {"braindata": record.version, "files": record.files}
    text = json.dumps(body, indent=1) + "\n"
    path = folder / RECORD
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _version() -> str:
    return importlib.metadata.version("braindata")
