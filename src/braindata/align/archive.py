"""Arrays and what they mean in one file: a zip of numpy arrays and one JSON, always the same bytes.

`numpy.load` reads the arrays too.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from braindata.align.procrustes import Array
from braindata.errors import DamageError
from braindata.files import atomic_path

_META = "meta.json"
# Zip files name a time for each entry; the same contents must be the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def write_archive(path: Path, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Write arrays and their meta data atomically.

    Parameters
    ----------
    path : Path
        Ends in `.npz`.
    arrays : mapping of str to array
    meta : mapping
        As JSON holds it.
    """
    with atomic_path(path) as part, zipfile.ZipFile(part, "w") as archive:
        text = json.dumps(meta, sort_keys=True, indent=1)
        archive.writestr(zipfile.ZipInfo(_META, _TIME), text)
        for name, array in sorted(arrays.items()):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _TIME), buffer.getvalue())


def read_archive(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what `write_archive` wrote.

    Raises
    ------
    DamageError
        The file is none of that.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(archive.read(_META))
            arrays = {
                name.removesuffix(".npy"): np.lib.format.read_array(
                    io.BytesIO(archive.read(name)), allow_pickle=False
                )
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DamageError(
            f"no template or maps can be read: {error}", file=path, hint="fit them again"
        ) from error
    return arrays, meta
