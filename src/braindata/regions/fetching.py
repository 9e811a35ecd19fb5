"""Atlases that nilearn and TemplateFlow distribute: fetched once, checked against their sha256."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import pandas as pd

from braindata.errors import BraindataError, UsageError
from braindata.files import atomic_path, write_text
from braindata.regions.files import LABELS_SUFFIX, suffix_of
from braindata.regions.kinds.atlas import Atlas
from braindata.regions.kinds.images import ImageKind
from braindata.regions.labels import BACKGROUND, nearest

_PREFIX = "fetch_atlas_"
_LABELS_HEADER = "index\tname\n"


def fetch(image: ImageKind, folder: Path) -> None:
    """Fetch an image, and the label table of an atlas.

    Parameters
    ----------
    image : ImageKind
        An atlas or a mask that states `nilearn` or `templateflow`.
    folder : Path
        Where the image goes under its sha256, and its labels under `image.request_key`.

    Raises
    ------
    UsageError
        When there is no such atlas, or what was fetched has another sha256.
    BraindataError
        When the network does not answer.
    """
    if isinstance(image, Atlas) and image.nilearn is not None:
        path, contents, labels = _from_nilearn(image)
    else:
        path, contents, labels = _from_templateflow(image)
    found = hashlib.sha256(contents).hexdigest()
    if found != image.sha256:
        raise UsageError(
            f"what was fetched has the sha256 {found}, the region file states {image.sha256}",
            file=path,
            hint="it is another version, or was cut off: delete it and run again; or, if this one "
            "is meant, state its sha256",
        )
    with atomic_path(folder / f"{found}{suffix_of(path)}") as part:
        part.write_bytes(contents)
    rows = "".join(f"{index}\t{name}\n" for name, index in labels)
    write_text(folder / f"{image.request_key}{LABELS_SUFFIX}", _LABELS_HEADER + rows)


def _from_nilearn(atlas: Atlas) -> tuple[Path, bytes, list[tuple[str, int]]]:
    from nilearn import datasets

    known = [n.removeprefix(_PREFIX) for n in dir(datasets) if n.startswith(_PREFIX)]
    if atlas.nilearn not in known:
        near = nearest(atlas.nilearn or "", known) or known
        raise UsageError(f"nilearn has no atlas {atlas.nilearn}", hint=f"it has {', '.join(near)}")
    function = getattr(datasets, f"{_PREFIX}{atlas.nilearn}")
    with _network(f"nilearn's {atlas.nilearn}"):
        try:
            bunch = function(**{**atlas.options, "verbose": 0})
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"nilearn's {function.__name__} does not take these options ({error})",
                hint="see nilearn's documentation of it",
            ) from error
    maps = bunch["maps"]
    if isinstance(maps, nib.Nifti1Image):
        # Made in memory: its bytes without compression, which differs between versions of zlib.
        path, contents = Path(f"{atlas.nilearn}.nii"), maps.to_bytes()
    elif isinstance(maps, str | Path) and suffix_of(Path(maps)) in (".nii", ".nii.gz"):
        path = Path(maps)
        contents = path.read_bytes()
    else:
        raise UsageError(
            f"nilearn's {atlas.nilearn} is no image of the volume",
            hint="regions are made from volumes; surface atlases are not",
        )
    raw = gzip.decompress(contents) if contents.startswith(b"\x1f\x8b") else contents
    shape = nib.Nifti1Image.from_bytes(raw).shape
    return path, contents, _nilearn_labels(bunch, shape)


def _nilearn_labels(bunch: Any, shape: tuple[int, ...]) -> list[tuple[str, int]]:
    """Return name and number of each parcel: of a 4D image, which map it is, from 1."""
    table = bunch.get("lut")
    if len(shape) == 3 and table is not None:
        return [(_text(n), int(i)) for n, i in zip(table["name"], table["index"], strict=True)]
    labels = bunch.get("labels")
    if isinstance(labels, pd.DataFrame):
        # DiFuMo's: the column of names is called so.
        named = [column for column in labels.columns if "name" in str(column)]
        labels = labels[named[0]] if named else labels.iloc[:, -1]
    names = [] if labels is None else [_text(label) for label in labels]
    if len(shape) == 3:
        return [(name, index) for index, name in enumerate(names)]
    n_maps = shape[3]
    if len(names) == n_maps + 1 and names[0].casefold() in BACKGROUND:
        names = names[1:]
    if len(names) != n_maps:
        # Without names of their own, maps are called by their number.
        names = [str(index) for index in range(1, n_maps + 1)]
    return [(name, index) for index, name in enumerate(names, 1)]


def _text(label: object) -> str:
    text = label.decode() if isinstance(label, bytes) else str(label)
    return " ".join(text.split())


def _from_templateflow(image: ImageKind) -> tuple[Path, bytes, list[tuple[str, int]]]:
    try:
        from templateflow import api
    except ImportError as error:
        raise UsageError(
            "the package templateflow is not installed",
            hint="pip install 'braindata[templateflow]'; or get the file by other means and state "
            "`file:` and `sha256:`",
        ) from error
    entities = {"extension": ".nii.gz", **(image.templateflow or {})}
    path = _one_file(api, entities)
    labels: list[tuple[str, int]] = []
    if isinstance(image, Atlas):
        of_table = {k: v for k, v in entities.items() if k not in ("resolution", "extension")}
        table = _one_file(api, {**of_table, "extension": ".tsv"})
        frame = pd.read_csv(table, sep="\t")
        if not {"index", "name"} <= set(frame.columns):
            raise UsageError("this label table has no columns index and name", file=table)
        labels = [(_text(n), int(i)) for n, i in zip(frame["name"], frame["index"], strict=True)]
    return path, path.read_bytes(), labels


def _one_file(api: Any, entities: dict[str, Any]) -> Path:
    shown = ", ".join(f"{key}: {value}" for key, value in entities.items())
    with _network(f"TemplateFlow's {shown}"):
        found = api.get(**entities)
    paths = [Path(path) for path in (found if isinstance(found, list) else [found])]
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths) or "none"
        raise UsageError(
            f"these entities must name one file of TemplateFlow ({shown}): {names}",
            hint="state more of them: atlas, desc, resolution, suffix",
        )
    return paths[0]


@contextmanager
def _network(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # requests' and urllib's errors are OSErrors, too.
        raise BraindataError(
            f"{what} could not be fetched: no network, or its server does not answer "
            f"({type(error).__name__})",
            hint="run once where there is a network: what was fetched is kept; or get the file by "
            "other means, put it beside the region file and state `file:`, `labels:` and `sha256:`",
        ) from error
