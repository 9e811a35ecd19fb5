"""Names of what fMRIPrep derives, of every generation, and which of it belongs to a recording.

fMRIPrep 1.0 and 1.1 wrote ``…_bold_space-X_preproc.nii.gz``, ``…_bold_space-X_brainmask.nii.gz``
and ``…_bold_confounds.tsv``; 1.2 brought ``…_space-X_desc-preproc_bold.nii.gz`` with
``…_desc-confounds_regressors.tsv``, 20.2 ``…_desc-confounds_timeseries.tsv``. It imports little:
pulling reads it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from braindata.errors import DataError

Kind = Literal[
    "bold", "sidecar", "mask", "boldref", "confounds", "confounds_sidecar",
    "cifti", "gifti", "field_transform",
]  # fmt: skip
Key = tuple[tuple[str, str], ...]

# What tells the runs of a person apart. Echoes are combined, and complex images are reduced to
# their magnitude, so neither is in the name of what was derived.
RUN_KEYS = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run")
# Spaces of one person: nobody else's regions fit there.
OWN_SPACES = frozenset({"T1w", "T2w", "anat", "func", "bold", "boldref", "orig", "fsnative"})
_IMAGE = (".nii.gz", ".nii")
# The last parts of a name without the parts that are entities, by generation.
_KINDS: dict[tuple[tuple[str, ...], str | None], Kind] = {
    (("bold", "preproc"), None): "bold",
    (("bold", "brainmask"), None): "mask",
    (("bold",), "preproc"): "bold",
    (("mask",), "brain"): "mask",
    (("boldref",), None): "boldref",
}
_TABLES: dict[tuple[tuple[str, ...], str | None], Kind] = {
    (("bold", "confounds"), None): "confounds",
    (("regressors",), "confounds"): "confounds",
    (("timeseries",), "confounds"): "confounds",
}
_TO_ANATOMY = frozenset({"T1w", "T2w", "anat", "boldref", "scanner", "orig"})
SOURCE_HINT = "fetch its whole functional output, or leave the recording out"


@dataclass(frozen=True)
class DerivedFile:
    """A file that fMRIPrep wrote about a run.

    Attributes
    ----------
    path : str
        Below the root of the derivatives.
    kind : str
        What it is.
    run : tuple of (str, str)
        The entities of the run, as written.
    space, resolution : str or None
        As written; None of what is in the run's own space.
    """

    path: str
    kind: Kind
    run: Key
    space: str | None
    resolution: str | None


@dataclass(frozen=True)
class DerivedRun:
    """What was derived from one run, in the space that was chosen.

    Attributes
    ----------
    space : str
        Of `bold`.
    resolution : str or None
        As in its name.
    bold, confounds : str
        Paths below the root of the derivatives.
    sidecar, mask, boldref, confounds_sidecar : str or None
        Likewise, where they are.
    distortion_corrected : bool or None
        True where a transform to a field map was written (fMRIPrep 23 and later); None otherwise:
        that none was written says nothing.
    """

    space: str
    resolution: str | None
    bold: str
    confounds: str
    sidecar: str | None = None
    mask: str | None = None
    boldref: str | None = None
    confounds_sidecar: str | None = None
    distortion_corrected: bool | None = None

    def paths(self) -> list[str]:
        """Return the paths of all its files, images first."""
        named = (
            self.bold, self.sidecar, self.mask, self.boldref, self.confounds,
            self.confounds_sidecar,
        )  # fmt: skip
        return [path for path in named if path is not None]


def parse(path: str) -> DerivedFile | None:
    """Return what a file of derivatives is; None where it is of no use here."""
    parts = PurePosixPath(path).parts
    if len(parts) < 2 or parts[-2] != "func":
        return None
    name, dot, extension = parts[-1].partition(".")
    extension = dot + extension
    tokens = name.split("_")
    named = dict(t.split("-", 1) for t in tokens if "-" in t)
    if "sub" not in named:
        return None
    words = tuple(token for token in tokens if "-" not in token)
    kind = _kind(words, named, extension)
    if kind is None:
        return None
    run = tuple((key, named[key]) for key in RUN_KEYS if key in named)
    return DerivedFile(path, kind, run, named.get("space"), named.get("res"))


def _kind(words: tuple[str, ...], named: dict[str, str], extension: str) -> Kind | None:
    if extension.endswith(".dtseries.nii"):
        return "cifti"
    if extension.endswith(".func.gii"):
        return "gifti"
    # Denoised variants and single echoes are other images of the same run.
    if {"variant", "echo", "label"} & named.keys():
        return None
    what = (words, named.get("desc"))
    if extension in _IMAGE:
        return _KINDS.get(what)
    if extension == ".tsv":
        return _TABLES.get(what)
    if extension == ".json":
        return "confounds_sidecar" if what in _TABLES else _sidecar(what)
    if words == ("xfm",) and named.get("from") == "boldref":
        return None if named.get("to") in _TO_ANATOMY else "field_transform"
    return None


def _sidecar(what: tuple[tuple[str, ...], str | None]) -> Kind | None:
    return "sidecar" if _KINDS.get(what) == "bold" else None


def run_of(recording: str) -> Key:
    """Return the entities that tell a raw recording from the person's others."""
    name = PurePosixPath(recording).name.partition(".")[0]
    named = dict(t.split("-", 1) for t in name.split("_") if "-" in t)
    return tuple((key, named[key]) for key in RUN_KEYS if key in named)


def _by_number(run: Key) -> Key:
    """Return a run with its index as a number: ``run-01`` and ``run-1`` are one."""
    return tuple((k, str(int(v)) if k == "run" and v.isdecimal() else v) for k, v in run)


@dataclass
class Derivatives:
    """The files of one folder of derivatives, by run.

    Parameters
    ----------
    paths : iterable of str
        All paths below the folder.
    """

    paths: Iterable[str]
    runs: dict[Key, list[DerivedFile]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for path in sorted(self.paths):
            file = parse(path)
            if file is not None:
                self.runs.setdefault(file.run, []).append(file)
        self._numbered: dict[Key, list[Key]] = {}
        for run in self.runs:
            self._numbered.setdefault(_by_number(run), []).append(run)

    def files(self, recording: str) -> list[DerivedFile]:
        """Return what was derived from a raw recording, given by path or name.

        A run that is called ``run-01`` there and ``run-1`` here is the same one, unless there are
        both.

        Raises
        ------
        DataError
            When there is nothing, or nobody knows which one is meant.
        """
        return self.runs[self._find(recording)]

    def _find(self, recording: str) -> Key:
        run = run_of(recording)
        if run in self.runs:
            return run
        alike = self._numbered.get(_by_number(run), [])
        if len(alike) > 1:
            names = ", ".join("_".join(map("-".join, one)) for one in alike)
            raise DataError(
                f"the derivatives have several runs that could be this one: {names}",
                hint="rename one: indices of runs must differ in their number",
            )
        if not alike:
            raise DataError(
                "the derivatives hold nothing of this recording",
                hint="was it left out, or did fMRIPrep fail on it? Names must agree in "
                + ", ".join(RUN_KEYS),
            )
        return alike[0]

    def without_recording(self, recordings: Iterable[str]) -> list[str]:
        """Return what was derived from none of some raw recordings: one name for each run."""
        found = set()
        for recording in recordings:
            try:
                found.add(self._find(recording))
            except DataError:
                continue
        return sorted("_".join(map("-".join, run)) for run in self.runs.keys() - found)

    def choose(self, recording: str, spaces: Sequence[str], resolution: str | None) -> DerivedRun:
        """Return the files of a raw recording in the first of some spaces that is there.

        Parameters
        ----------
        recording : str
            Its path or name.
        spaces : sequence of str
            Template spaces, the preferred one first.
        resolution : str or None
            Index of the resolution (``res-``) that is preferred where there are several; without
            it, or where it is not there, the one without an index, or else the first by name.

        Raises
        ------
        DataError
            When there is none in these spaces, or no confounds.
        """
        return choose(self.files(recording), spaces, resolution)


def choose(
    files: Sequence[DerivedFile], spaces: Sequence[str], resolution: str | None
) -> DerivedRun:
    """Return the files of one run in the first of some spaces that is there.

    See `Derivatives.choose`.
    """
    bolds = [file for file in files if file.kind == "bold"]
    space = next((one for one in spaces if any(file.space == one for file in bolds)), None)
    if space is None:
        raise _nothing_usable(files, spaces)
    known = sorted(
        (file for file in bolds if file.space == space),
        key=lambda f: (f.resolution != resolution, f.resolution is not None, f.path),
    )
    bold = known[0]
    confounds = [file.path for file in files if file.kind == "confounds"]
    if not confounds:
        raise DataError(
            "the derivatives have no confounds of this recording", file=bold.path, hint=SOURCE_HINT
        )

    def beside(kind: Kind) -> str | None:
        same = (space, bold.resolution)
        found = [f.path for f in files if f.kind == kind and (f.space, f.resolution) == same]
        return found[0] if found else None

    tables = [file.path for file in files if file.kind == "confounds_sidecar"]
    corrected = any(file.kind == "field_transform" for file in files)
    return DerivedRun(
        space=space,
        resolution=bold.resolution,
        bold=bold.path,
        # Of two generations in one folder the newer one, whose name sorts last.
        confounds=confounds[-1],
        sidecar=beside("sidecar"),
        mask=beside("mask"),
        boldref=beside("boldref"),
        confounds_sidecar=tables[-1] if tables else None,
        distortion_corrected=True if corrected else None,
    )


def _nothing_usable(files: Sequence[DerivedFile], spaces: Sequence[str]) -> DataError:
    """Say why no image of a run can be used."""
    wanted = ", ".join(spaces)
    there = sorted({f.space or "the run's own space" for f in files if f.kind == "bold"})
    surfaces = sorted({f.kind.upper() for f in files if f.kind in ("cifti", "gifti")})
    # The images before the tables.
    telling = sorted(files, key=lambda f: f.kind not in ("bold", "cifti", "gifti"))
    first = telling[0].path if telling else None
    if not there and surfaces:
        return DataError(
            f"the derivatives have this recording on surfaces only ({', '.join(surfaces)}), "
            "which are not read yet",
            file=first,
            hint=f"run fMRIPrep with --output-spaces {spaces[0]}:res-2",
        )
    if not there:
        return DataError(
            "the derivatives have no preprocessed image of this recording",
            file=first,
            hint=SOURCE_HINT,
        )
    foreign = [space for space in there if space not in OWN_SPACES and "own space" not in space]
    return DataError(
        f"the derivatives have this recording in {', '.join(there)} only; asked for: {wanted}",
        file=first,
        hint=f"add {foreign[0]} to the spaces of the backend, if regions can be placed there"
        if foreign
        else f"run fMRIPrep with --output-spaces {spaces[0]}:res-2",
    )
