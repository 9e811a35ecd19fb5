"""Others' derivatives under the names and columns of today, as if they had been made here.

Images are not copied: they get one more name. Only the tables of confounds of older fMRIPrep and
the JSON beside an image are written anew.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from braindata.bids.confound_names import HINT as CONFOUNDS_HINT
from braindata.bids.confound_names import current_confounds, current_metadata
from braindata.bids.derived import DerivedRun
from braindata.bids.inheritance import read_object
from braindata.errors import DataError, first_line
from braindata.files import atomic_path
from braindata.fmri.outputs import Names, write_json

log = logging.getLogger("braindata")

# Relative difference above which two repetition times are two.
TR_TOLERANCE = 0.01
_HINT = "fetch it again, or preprocess the recording anew"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class RawRun:
    """What is known of a run from its raw data.

    Attributes
    ----------
    recording : str
        Its BIDS stem with suffix.
    tr : float
        Repetition time in s.
    n_volumes : int
        Its length.
    """

    recording: str
    tr: float
    n_volumes: int


@dataclass(frozen=True)
class Source:
    """A folder of derivatives.

    Attributes
    ----------
    root : Path
        The folder.
    pipeline : dict of str to str
        Name and version of what wrote it; empty where nobody says.
    within : Path
        The folder that may be moved as a whole: links inside of it are relative.
    """

    root: Path
    pipeline: dict[str, str]
    within: Path


def pipeline_of(root: Path) -> dict[str, str]:
    """Return name and version of what wrote derivatives, as their description says.

    fMRIPrep wrote `PipelineDescription` before 20.2 and `GeneratedBy` since then.
    """
    path = root / "dataset_description.json"
    if not path.is_file():
        return {}
    try:
        body = read_object(path)
    except DataError:
        return {}
    listed = body.get("GeneratedBy") or [body.get("PipelineDescription")]
    first = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(first, dict) or not first.get("Name"):
        return {}
    return {str(first["Name"]): str(first.get("Version", "unknown"))}


def names_of(derivatives: Path, recording: str, found: DerivedRun) -> Names:
    """Return the names of a recording's derivatives: echoes are combined by then."""
    own = [p for p in recording.split("_") if not p.startswith(("echo-", "part-"))]
    names = Names.of(derivatives, "_".join(own), "func", found.space, 0)
    resolution = "" if found.resolution is None else f"_res-{found.resolution}"
    return Names(names.folder, names.entities, f"_space-{found.space}{resolution}")


def collect_run(run: RawRun, found: DerivedRun, source: Source, derivatives: Path) -> list[Path]:
    """Bring what was derived from a run under the names of today and return their paths.

    Parameters
    ----------
    run : RawRun
        The run.
    found : DerivedRun
        Its files below `source.root`.
    source : Source
        Where they are.
    derivatives : Path
        Root of our derivatives.

    Raises
    ------
    DataError
        When a file is not there or cannot be read, or the image is not one of this run: another
        length, another repetition time.
    """
    names = names_of(derivatives, run.recording, found)
    for path in found.paths():
        if not (source.root / path).is_file():
            raise DataError(
                "the contents of this file are not there",
                file=source.root / path,
                hint="fetch them (git annex get, datalad get), run again",
            )
    bold = source.root / found.bold
    stated = read_object(source.root / found.sidecar) if found.sidecar else {}
    _check_image(bold, run, stated)
    described = source.root / found.confounds_sidecar if found.confounds_sidecar else None
    table = names.native("desc-confounds_timeseries.tsv")
    # First what can be refused: of a recording that is left out there shall be nothing.
    confounds = write_confounds_of_today(
        source.root / found.confounds, described, table, source.within
    )
    outputs = [bring(bold, names.standard("desc-preproc_bold.nii.gz"), source.within)]
    sidecar = {
        "RepetitionTime": run.tr,
        **stated,
        "Sources": [f"bids:derivatives:{found.bold}"],
        **({"SoftwareVersions": source.pipeline} if source.pipeline else {}),
    }
    outputs.append(write_json(names.standard("desc-preproc_bold.json"), sidecar))
    if found.mask is not None:
        mask = names.standard("desc-brain_mask.nii.gz")
        outputs.append(bring(source.root / found.mask, mask, source.within))
    if found.boldref is not None and _is_whole(source.root / found.boldref):
        boldref = names.standard("boldref.nii.gz")
        outputs.append(bring(source.root / found.boldref, boldref, source.within))
    outputs += confounds
    return outputs


def _is_whole(picture: Path) -> bool:
    """Whether an image that is only looked at can be read; without it there is a picture less."""
    try:
        np.asanyarray(nib.load(picture).dataobj)
    except (ImageFileError, HeaderDataError, EOFError, OSError, zlib.error, ValueError) as error:
        log.warning("%s: left out, as it cannot be read (%s)", picture.name, first_line(error))
        return False
    return True


def _check_image(bold: Path, run: RawRun, stated: dict[str, Any]) -> None:
    try:
        shape = nib.load(bold).shape
    except (ImageFileError, HeaderDataError, EOFError, OSError, zlib.error, ValueError) as error:
        raise DataError(f"the image cannot be opened ({error})", file=bold, hint=_HINT) from error
    n_volumes = shape[3] if len(shape) == 4 else 1
    if n_volumes != run.n_volumes:
        raise DataError(
            f"the preprocessed image has {n_volumes} volumes, the recording {run.n_volumes}",
            file=bold,
            hint="were volumes cut off? Onsets of events count from the first one that was "
            "recorded",
        )
    tr = stated.get("RepetitionTime", run.tr)
    if not isinstance(tr, int | float) or abs(tr - run.tr) > TR_TOLERANCE * run.tr:
        raise DataError(
            f"the preprocessed image states a repetition time of {tr} s, the recording {run.tr:g}",
            file=bold,
            hint="find out which one is right and correct the other",
        )


def bring(source: Path, target: Path, within: Path) -> Path:
    """Give a file one more name, without copying what it holds, and return that.

    A link to a user's file becomes a link to the same file; a file of ours a hard link, or where
    the file system has none, a link. An uncompressed image is compressed.

    Parameters
    ----------
    source, target : Path
        The file, and its new name.
    within : Path
        The folder inside of which links are relative.
    """
    if source.suffix == ".nii" and target.suffix == ".gz":
        # Without name and time in its header: the same image gives the same bytes.
        with (
            atomic_path(target) as part,
            source.open("rb") as plain,
            part.open("wb") as raw,
            gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed,
        ):
            shutil.copyfileobj(plain, packed, _BLOCK)
        return target
    real = Path(os.path.realpath(source))
    if target.exists() and target.samefile(real):
        return target
    with atomic_path(target) as part:
        if source.is_symlink():
            part.symlink_to(_shown(real, part.parent, within))
            return target
        try:
            part.hardlink_to(source)
        except OSError:
            part.symlink_to(_shown(real, part.parent, within))
    return target


def _shown(real: Path, start: Path, within: Path) -> str:
    base = Path(os.path.realpath(within))
    if not real.is_relative_to(base):
        return str(real)
    return os.path.relpath(real, os.path.realpath(start))


def write_confounds_of_today(
    table: Path, sidecar: Path | None, target: Path, within: Path
) -> list[Path]:
    """Bring a table of confounds under the names of today, and return its path and its JSON's.

    The numbers stay as they are written; derivatives and squares that are missing are added behind
    them. A table of today gets one more name, and so does its JSON.

    Parameters
    ----------
    table, sidecar : Path
        As any version of fMRIPrep wrote them; None where there is no JSON.
    target : Path
        The new table; its JSON lies beside it.
    within : Path
        See `bring`.

    Raises
    ------
    DataError
        When the table cannot be read, or two of its columns mean the same.
    """
    try:
        numbers = pd.read_csv(table, sep="\t", na_values="n/a")
        texts = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"the confounds cannot be read ({error})", file=table, hint=_HINT
        ) from error
    described = read_object(sidecar) if sidecar is not None else {}
    try:
        current = current_confounds(numbers)
    except DataError as error:
        raise DataError(error.problem, file=table, hint=CONFOUNDS_HINT) from error
    metadata = current_metadata(numbers, described)
    beside = target.with_suffix(".json")
    if list(current.columns) == list(numbers.columns):
        outputs = [bring(table, target, within)]
    else:
        texts.columns = current.columns[: texts.shape[1]]
        for name in current.columns[texts.shape[1] :]:
            texts[name] = [_shortest(value) for value in current[name].to_numpy(np.float64)]
        with atomic_path(target) as part:
            texts.to_csv(part, sep="\t", index=False, lineterminator="\n")
        outputs = [target]
    if sidecar is not None and metadata == described:
        return [*outputs, bring(sidecar, beside, within)]
    # nilearn asks for a JSON, whatever it says.
    return [*outputs, write_json(beside, metadata)]


def _shortest(value: float) -> str:
    """Return a number as text that is read as the same number."""
    return "n/a" if np.isnan(value) else repr(float(value))


def read_to_end(image: Path) -> None:
    """Check that a compressed image is whole.

    Raises
    ------
    DataError
        When it ends early or its checksum is wrong.
    """
    try:
        with gzip.open(image) as packed:
            while packed.read(_BLOCK):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"the image cannot be read to its end ({error})", file=image, hint=_HINT
        ) from error
