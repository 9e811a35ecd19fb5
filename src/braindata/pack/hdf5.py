"""HDF5 files that hold the same bytes for the same contents, with a checksum on every array."""

from __future__ import annotations

from typing import Any

import h5py
import hdf5plugin
from numpy.typing import NDArray

# What h5py raises for a file that is damaged, or that somebody else made.
ERRORS = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError)


def new_file(name: str) -> Any:
    """Return a new file in memory.

    Without time stamps and with a fixed library version the same contents give the same bytes. In
    memory: on a full disk HDF5 loses chunks without a word, and then crashes.
    """
    return h5py.File(name, "w", "core", ("v110", "v110"), backing_store=False)


def write_array(
    file: Any, name: str, values: NDArray[Any], chunks: tuple[int, ...] | None = None
) -> None:
    """Write an array, packed by zstd with its bits shuffled.

    Parameters
    ----------
    file : h5py.File
        As `new_file` returns it.
    name : str
        Name of the data set.
    values : ndarray
        What it holds.
    chunks : tuple of int, optional
        Shape of its chunks; one chunk if it is not given.
    """
    if not values.size:
        file.create_dataset(name, data=values)
        return
    file.create_dataset(
        name,
        data=values,
        chunks=chunks or values.shape,
        # Blosc has no checksum of its own, and a flipped bit must not become a value.
        fletcher32=True,
        **hdf5plugin.Blosc(cname="zstd", clevel=3, shuffle=hdf5plugin.Blosc.BITSHUFFLE),
    )
