"""Where in an output folder, and in Snakemake's notes, somebody is named."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from braindata.files import PART_PREFIX
from braindata.layout import Layout
from braindata.locking import NAME as LOCK_NAME
from braindata.receipts import SUFFIX
from braindata.snakemake_notes import KINDS, SNAKEMAKE, noted_file
from braindata.status.files import list_all
from braindata.withdrawn import MAX_TEXT, NAME, Gone, is_of_all

# Folders of stages whose jobs are of a whole data set: their shards are of many people.
_OF_MANY = ("series", "derived", "aligned")
# Folders in which names of data sets are one level deeper, below the stage's.
_BY_STAGE = ("logs", "benchmarks")
_TEXTS = (".json", ".tsv", ".txt", ".log", ".html", ".svg", ".md", ".csv", ".gz")
# What Snakemake keeps that is none of its notes, and large.
_ENVIRONMENTS = ("conda", "conda-archive", "singularity", "shadow", "source-cache")


@dataclass
class Traces:
    """What has to go, relative to the output folder where nothing else is said.

    Attributes
    ----------
    remove : list of str
        Files that go.
    mend : list of str
        Shards that are written anew without rows.
    texts : list of str
        Texts about all people of a data set, written anew without lines.
    refit : list of str
        What was fitted with the person, among others: ``<data set>/<what>``.
    notes : list of Path
        Snakemake's own notes, as paths of their own.
    """

    remove: list[str] = field(default_factory=list)
    mend: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    refit: list[str] = field(default_factory=list)
    notes: list[Path] = field(default_factory=list)


def find_traces(layout: Layout, dataset: str, gone: Gone, projects: Sequence[Path]) -> Traces:
    """Return what of an output folder and of Snakemake's notes has to go.

    Receipts of the data set as a whole go too: the next run makes its inventory, and what rests on
    it, anew. So does the report, whose figures are of everybody.

    Parameters
    ----------
    layout : Layout
        The output folder.
    dataset : str
        Identifier of the data set.
    gone : Gone
        Who is withdrawn from it.
    projects : sequence of Path
        Folders in which Snakemake was called.
    """
    traces = Traces()
    for name in sorted(list_all(layout.output)):
        _sort(layout, dataset, gone, name, traces)
    for project in projects:
        traces.notes += find_notes(project, layout.output, dataset, gone)
    traces.refit = sorted(set(traces.refit))
    return traces


def _sort(layout: Layout, dataset: str, gone: Gone, name: str, traces: Traces) -> None:
    folder, _, rest = name.partition("/")
    path = layout.output / name
    if folder == "report" or name == f"tables/publish{SUFFIX}":
        traces.remove.append(name)
    elif folder == "tables" or name in (NAME, LOCK_NAME, ".plan.json"):
        return
    elif path.name.startswith(PART_PREFIX):
        # Left by a killed job, of whomever.
        traces.remove.append(name)
    elif folder in _BY_STAGE:
        below = rest.partition("/")[2]
        if _may_name(below, dataset) and (gone.named_in(below) or _names(path, gone)):
            traces.remove.append(name)
    elif not is_of(rest, dataset):
        return
    elif gone.named_in(rest):
        traces.remove.append(name)
    elif folder == "raw":
        _sort_raw(dataset, gone, name, path, traces)
    elif folder == "curated" or name == f"packed/{dataset}.units.json":
        traces.remove.append(name)
    elif folder in _OF_MANY:
        if path.suffix == ".parquet":
            traces.mend.append(name)
            # Of a data set without models these are empty.
            if path.name == "latents.parquet" and _has_rows(path):
                traces.refit.append(f"{dataset}/latents")
        else:
            traces.remove.append(name)
        if folder == "aligned":
            traces.refit.append(f"{dataset}/{path.name.split('.')[0]}")
    elif _is_text(path) and _names(path, gone):
        traces.remove.append(name)


def _sort_raw(dataset: str, gone: Gone, name: str, path: Path, traces: Traces) -> None:
    below = name.split("/", 2)
    if len(below) < 3:
        # Manifest, receipt and state: pull makes them anew.
        traces.remove.append(name)
    elif not path.is_symlink() and is_of_all(below[2]) and path.stat().st_size <= MAX_TEXT:
        traces.texts.append(name)


def is_of(rest: str, dataset: str) -> bool:
    """Whether what lies below a stage's folder is of a data set."""
    return rest.split("/")[0].split(".")[0] == dataset


def _may_name(below: str, dataset: str) -> bool:
    """Whether a log can name people of a data set: its own, or one of all data sets."""
    return not below or is_of(below, dataset)


def _has_rows(path: Path) -> bool:
    try:
        return bool(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid):
        # Nobody can say.
        return True


def _is_text(path: Path) -> bool:
    # Images are no texts, and large.
    return path.suffix in _TEXTS and not path.name.endswith(".nii.gz")


def _names(path: Path, gone: Gone) -> bool:
    """Whether a text names somebody withdrawn; compressed texts are read as what they are."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return False
    return gone.named_in(content.decode("utf-8", "replace"))


def find_notes(project: Path, output: Path, dataset: str, gone: Gone) -> list[Path]:
    """Return those of Snakemake's own notes that name somebody withdrawn.

    A note about a file of another output folder is none of ours.

    Parameters
    ----------
    project : Path
        Where Snakemake was called.
    output : Path
        The output folder.
    dataset : str
        Identifier of the data set.
    gone : Gone
        Who is withdrawn from it.
    """
    home = project / SNAKEMAKE
    found = []
    for path in _files_of(home):
        parts = path.relative_to(home).parts
        about = noted_file(parts[1:]) if parts[0] in KINDS else None
        if about is not None:
            if _is_noted(project / about, output, dataset) and (
                gone.named_in(about) or _names(path, gone)
            ):
                found.append(path)
        elif _names(path, gone) and _is_about(path, project, output):
            found.append(path)
    return found


def _files_of(home: Path) -> Iterator[Path]:
    if home.is_dir():
        for path in sorted(home.rglob("*")):
            if path.relative_to(home).parts[0] not in _ENVIRONMENTS and path.is_file():
                yield path


def _is_noted(file: Path, output: Path, dataset: str) -> bool:
    """Whether a file that Snakemake has noted is of an output folder, and not of other people."""
    try:
        rest = file.resolve().relative_to(output).as_posix().partition("/")[2]
    except ValueError:
        return False
    return "/" not in rest or is_of(rest, dataset)


def _is_about(path: Path, project: Path, output: Path) -> bool:
    names = {str(output)}
    if output.is_relative_to(project):
        names.add(output.relative_to(project).as_posix())
    text = path.read_bytes().decode("utf-8", "replace")
    return any(name in text for name in names)


def projects_of(output: Path, *named: Path) -> list[Path]:
    """Return the folders near an output folder in which Snakemake was called, and those named."""
    candidates = [output, output.parent, Path.cwd(), *named]
    found = {path.resolve() for path in candidates if (path / SNAKEMAKE).is_dir()}
    return sorted(found)


def remaining(layout: Layout, dataset: str, gone: Gone) -> list[str]:
    """Return the files that still name somebody: names of files, and texts, compressed or not.

    Texts about several data sets count only where no other one has somebody of that label.
    """
    found = []
    there = sorted(list_all(layout.output))
    stages = ("raw", "curated", "derivatives", "packed")
    elsewhere = any(
        gone.named_in(name)
        for name in there
        for folder, _, rest in (name.partition("/"),)
        if folder in stages and not is_of(rest, dataset)
    )
    for name in there:
        folder, _, rest = name.partition("/")
        path = layout.output / name
        below = rest.partition("/")[2] if folder in _BY_STAGE else rest
        named = is_of(below, dataset) and gone.named_in(below)
        of_all = folder in ("tables", "report") or (folder in _BY_STAGE and not below)
        ours = is_of(below, dataset) or (of_all and not elsewhere)
        # A link leads to the source, which is not ours; links to people's own files are gone.
        text = ours and not path.is_symlink() and _is_text(path)
        if named or (text and _names(path, gone)):
            found.append(name)
    return found
