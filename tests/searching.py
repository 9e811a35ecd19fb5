"""Looking for bytes in a folder, decompressed and decoded: nothing hides in a format."""

from __future__ import annotations

import base64
import binascii
import gzip
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq


def files_holding(folder: Path, texts: Iterable[str], numbers: Iterable[float] = ()) -> list[str]:
    """Return the files whose name or contents hold one of some texts or numbers.

    Contents are read as they are, decompressed (gzip, zip, zlib, Parquet, HDF5 with attributes,
    objects of git) and decoded (base 64 in names). Numbers are looked for as text and as binary
    numbers of 4 and 8 bytes. Links are not followed, but where they lead to is read.
    """
    needles = [text.encode() for text in texts] + [repr(one).encode() for one in numbers]
    for one in numbers:
        needles += [struct.pack(f"{order}{kind}", one) for order in "<>" for kind in "fd"]
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if any(needle in content for content in _contents(path, name) for needle in needles):
            found.append(name)
    return found


def _contents(path: Path, name: str) -> Iterator[bytes]:
    yield name.encode()
    for part in name.split("/"):
        try:
            yield base64.urlsafe_b64decode(part.removeprefix("@") + "==")
        except (binascii.Error, ValueError):
            continue
    if path.is_symlink():
        yield str(path.readlink()).encode()
        return
    if not path.is_file():
        return
    raw = path.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    elif raw[:4] == b"PAR1":
        table = pq.read_table(path, partitioning=None)
        yield str(table.schema.metadata).encode()
        for column in table.columns:
            yield repr(column.to_pylist()).encode()
    elif raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                yield member.encode()
                yield archive.read(member)
    elif raw[:8] == b"\x89HDF\r\n\x1a\n":
        with h5py.File(path, "r") as file:
            yield from _of_hdf5(file)
    elif raw[:6] == b"SQLite":
        with sqlite3.connect(path) as database:
            yield "\n".join(database.iterdump()).encode()
    elif raw[:1] == b"\x78":
        try:
            yield zlib.decompress(raw)
        except zlib.error:
            return


def _of_hdf5(file: h5py.File) -> Iterator[bytes]:
    objects: list[h5py.HLObject] = [file]
    file.visititems(lambda _, one: objects.append(one))
    for one in objects:
        yield str(one.name).encode()
        for key, value in one.attrs.items():
            yield f"{key}={value!r}".encode()
        if isinstance(one, h5py.Dataset):
            try:
                value = one[()]
            except OSError:
                # Compressed by a filter that belongs to a reader of ours.
                import hdf5plugin  # noqa: F401

                value = one[()]
            yield value if isinstance(value, bytes) else np.asarray(value).tobytes()
