"""One recording's voxels in one HDF5 file, so that a region reads only its own.

The format is provisional; only this module knows it. Voxels of a mask lie in C order of the grid,
in chunks of `CHUNK_VOXELS` voxels by all time points.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.errors import DamageError
from braindata.files import atomic_path

FORMAT = "braindata-store"
FORMAT_VERSION = 1
CHUNK_VOXELS = 512
HINT = "delete it and run again: it is made anew"


@dataclass(frozen=True)
class Grid:
    """The image grid of a store.

    Attributes
    ----------
    shape : tuple of int
        Number of voxels along x, y and z.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm in `space`.
    space : str
        Template space, as BIDS names it.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    space: str


@dataclass(frozen=True)
class Store:
    """An open sample store; made by `open_store`.

    Attributes
    ----------
    grid : Grid
        The grid on which the voxels lie.
    voxels : ndarray of int64, shape (n_voxels,)
        Flat C-order index into the grid of each stored voxel, ascending.
    has_data : ndarray of bool, shape (n_voxels,)
        Whether the recording covers the voxel; elsewhere its samples are 0.
    n_volumes : int
        Number of time points.
    tr : float
        Repetition time in s.
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Confounds under fMRIPrep's names; NaN as fMRIPrep leaves it in first rows.
    attributes : dict
        Further facts about the recording (JSON).
    """

    grid: Grid
    voxels: NDArray[np.int64]
    has_data: NDArray[np.bool_]
    n_volumes: int
    tr: float
    confounds: pd.DataFrame
    attributes: dict[str, Any]
    _samples: Any
    _slope: float
    _intercept: float

    def read_voxels(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the samples of some voxels.

        Parameters
        ----------
        positions : ndarray of int, shape (n,)
            Positions in `voxels` (not grid indices), in any order.

        Returns
        -------
        ndarray of float32, shape (n, n_volumes)
            Samples in image units, in the order of `positions`.

        Raises
        ------
        DamageError
            When a checksum is wrong.
        """
        result = np.empty((len(positions), self.n_volumes), self._samples.dtype)
        chunks = positions // CHUNK_VOXELS
        for chunk in np.unique(chunks):
            wanted = chunks == chunk
            start = int(chunk) * CHUNK_VOXELS
            try:
                block = self._samples[start : start + CHUNK_VOXELS]
            except OSError as error:
                file = self._samples.file.filename
                raise DamageError("the sample store is damaged", file=file, hint=HINT) from error
            result[wanted] = block[positions[wanted] - start]
        return (result * self._slope + self._intercept).astype(np.float32)


def write_store(
    path: Path,
    samples: NDArray[np.integer[Any] | np.floating[Any]],
    grid: Grid,
    voxels: NDArray[np.int64],
    has_data: NDArray[np.bool_],
    tr: float,
    confounds: pd.DataFrame,
    attributes: dict[str, Any],
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
) -> None:
    """Write a sample store atomically.

    Parameters
    ----------
    path : Path
        Where to.
    samples : ndarray, shape (n_voxels, n_volumes)
        The samples in the source's own type; image units are ``samples * slope + intercept``.
    grid, voxels, has_data, tr, confounds, attributes
        As in `Store`.
    slope, intercept : float
        From stored numbers to image units.
    """
    n_voxels, n_volumes = samples.shape
    if len(voxels) != n_voxels or len(has_data) != n_voxels or len(confounds) != n_volumes:
        raise ValueError("samples, voxels, has_data and confounds differ in length")
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "shape": list(grid.shape),
        "affine": grid.affine.tolist(),
        "space": grid.space,
        "tr": tr,
        "slope": slope,
        "intercept": intercept,
        "confounds": list(confounds.columns),
        "attributes": attributes,
    }
    # Without time stamps and with a fixed library version the same samples give the same bytes.
    # In memory: on a full disk HDF5 loses chunks without a word, and then crashes.
    with h5py.File(path.name, "w", "core", ("v110", "v110"), backing_store=False) as file:
        file.attrs["header"] = json.dumps(header, sort_keys=True)
        # Checksums everywhere: lzf has none of its own, and a flipped bit must not become a value.
        checked = {"compression": "gzip", "fletcher32": True}
        file.create_dataset("voxels", data=voxels.astype(np.int64), **checked)
        file.create_dataset("has_data", data=has_data.astype(np.bool_), **checked)
        file.create_dataset("confounds", data=confounds.to_numpy(np.float64), **checked)
        file.create_dataset(
            "samples",
            data=samples,
            chunks=(min(CHUNK_VOXELS, n_voxels), n_volumes),
            shuffle=True,
            compression="lzf",
            fletcher32=True,
        )
        file.flush()
        image = file.id.get_file_image()
    with atomic_path(path) as part:
        part.write_bytes(image)


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """Open a sample store for reading.

    Raises
    ------
    DamageError
        When the file is missing, truncated or no sample store.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DamageError(
            f"the sample store cannot be opened ({error})", file=path, hint=HINT
        ) from error
    with file:
        try:
            header = json.loads(file.attrs["header"])
            if (header["format"], header["format_version"]) != (FORMAT, FORMAT_VERSION):
                raise DamageError("a sample store of another version", file=path, hint=HINT)
            samples = file["samples"]
            store = Store(
                grid=Grid(
                    shape=tuple(header["shape"]),
                    affine=np.array(header["affine"]),
                    space=header["space"],
                ),
                voxels=file["voxels"][:],
                has_data=file["has_data"][:],
                n_volumes=samples.shape[1],
                tr=header["tr"],
                confounds=pd.DataFrame(file["confounds"][:], columns=header["confounds"]),
                attributes=header["attributes"],
                _samples=samples,
                _slope=header["slope"],
                _intercept=header["intercept"],
            )
        except (KeyError, ValueError, OSError) as error:
            raise DamageError("this is no sample store", file=path, hint=HINT) from error
        yield store
