"""Exporting a release: plain Parquet folders, with what describes them to people and programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from braindata.errors import BraindataError, UsageError
from braindata.files import PART_PREFIX, sha256_file, write_text
from braindata.tables.cards import dataset_card, dataset_description, source_datasets
from braindata.tables.croissant import croissant
from braindata.tables.reading import Tables, find_tables
from braindata.tables.releases import Release, read_release
from braindata.tables.view import HINT, TableView

CROISSANT = "croissant.json"


def export_release(
    path: Path | str, folder: Path, version: int | str | None = None, name: str = "braindata"
) -> Release:
    """Write one release as a folder to pass on, or write nothing.

    Parameters
    ----------
    path : path-like
        An output folder, or its `tables` folder.
    folder : Path
        Where to; it must not be there yet, or be empty.
    version : int or str, optional
        Which release, by its number or a tag; the latest by default.
    name : str
        What the data set is called.

    Returns
    -------
    Release
        The release.

    Raises
    ------
    UsageError
        When there is no such release, or the folder is in use.
    BraindataError
        When a file of the release is missing or damaged.
    """
    tables_folder = find_tables(path)
    release = read_release(tables_folder, version)
    folder = folder.expanduser().resolve()
    output = Path(path).expanduser().resolve()
    if folder.is_relative_to(tables_folder) or folder.is_relative_to(output):
        raise UsageError(
            "an output folder is no place for an export, which nothing there knows of",
            file=folder,
            hint="name a folder outside of it",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "this is there already", file=folder, hint="delete it, or name another folder"
        )
    # Whole or not at all: what is half an export would be passed on as one.
    part = folder.with_name(f"{PART_PREFIX}{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        _write(release, part, name)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return release


def _write(release: Release, folder: Path, name: str) -> None:
    tables = Tables(release.folder, release)
    sources = source_datasets(tables["recordings"])
    for view in map(tables.__getitem__, tables):
        _copy(view, folder / view.name)
    write_text(folder / "README.md", dataset_card(name, tables, release, sources))
    for file, content in (
        (CROISSANT, croissant(name, tables, release, sources)),
        ("dataset_description.json", dataset_description(name, sources)),
        (
            "provenance.json",
            {
                "release": release.number,
                "created": release.created,
                "schema_version": release.schema_version,
                "provenance": release.provenance,
            },
        ),
    ):
        write_text(folder / file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _copy(view: TableView, folder: Path) -> None:
    """Copy the files of a table, in the order in which they are read."""
    folder.mkdir()
    for number, file in enumerate(view.files):
        target = folder / f"{number:05d}-{file.stem[:12]}.parquet"
        try:
            shutil.copyfile(file, target)
        except FileNotFoundError as error:
            raise BraindataError("a file of the table is missing", file=file, hint=HINT) from error
        if sha256_file(target) != file.stem:
            raise BraindataError(
                "a file of the table is not what was published", file=file, hint=HINT
            )
    if not view.files:
        # Readers ask for a file. Without a row group: Hugging Face's fails on an empty one.
        # Delta gives the metadata of a column in any order.
        fields = [f.with_metadata(dict(sorted((f.metadata or {}).items()))) for f in view.schema]
        pq.ParquetWriter(folder / "00000-empty.parquet", pa.schema(fields)).close()
