"""One recording's voxels in one HDF5 file, so that a region reads only its own.

Only this module knows the format. Voxels of a fixed mask lie along Morton's curve, in chunks of
`CHUNK_VOXELS` voxels by all time points, as the numbers of the source; bits are shuffled and packed
by zstd (hdf5plugin's Blosc). `tests/bench/stores.py` is how it was chosen among HDF5, zarr and
blosc2, and how the size of the chunks was.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.errors import BraindataError, DamageError, UsageError, first_line
from braindata.files import atomic_path
from braindata.pack.hdf5 import ERRORS, new_file, write_array
from braindata.pack.mask import MASK_VERSION
from braindata.pack.moments import Moments
from braindata.pack.order import VoxelOrder, packed_order, voxel_order
from braindata.pack.sums import RegionMean

FORMAT = "braindata-store"
FORMAT_VERSION = 4
CHUNK_VOXELS = 256
# Of the moments, which hold one number a voxel: small chunks cost more to open than to read.
MOMENT_CHUNK = 4096
HINT = "delete it and run again: it is made anew"
REMOTE_HINT = (
    "check the address and the network, and that the server answers requests for ranges; if the "
    "file is at fault, put it there again"
)


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
    order : VoxelOrder
        The stored voxels in their order.
    has_data : ndarray of bool, shape (n_voxels,)
        Whether the recording covers the voxel; elsewhere its samples are 0. False throughout
        where no samples are held.
    n_volumes : int
        Number of time points.
    tr : float
        Repetition time in s.
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Confounds under fMRIPrep's names; NaN as fMRIPrep leaves it in first rows.
    attributes : dict
        Further facts about the recording (JSON).
    slope, intercept : float
        From stored numbers to image units.
    path : Path
        Where it lies.
    """

    grid: Grid
    order: VoxelOrder
    has_data: NDArray[np.bool_]
    n_volumes: int
    tr: float
    confounds: pd.DataFrame
    attributes: dict[str, Any]
    slope: float
    intercept: float
    path: Path
    _file: Any
    _remote: bool = False

    @property
    def voxels(self) -> NDArray[np.int64]:
        """Flat C-order index into the grid of each stored voxel, in the order of storage."""
        return self.order.voxels

    @property
    def has_samples(self) -> bool:
        """Whether it holds voxels, and not only the means of regions (`pack.store: false`)."""
        try:
            return "samples" in self._file
        except ERRORS as error:
            raise self._damage(error) from error

    def means(self) -> dict[str, RegionMean]:
        """Return the means that were made while the image was open, by the region's key.

        Raises
        ------
        DamageError
            When a checksum is wrong.
        """
        try:
            group = self._file.get("means", {})
            return {
                key: RegionMean(one[:], float(one.attrs["coverage"]), int(one.attrs["n_voxels"]))
                for key, one in group.items()
            }
        except ERRORS as error:
            raise self._damage(error) from error

    def read_moments(self, positions: NDArray[np.int64] | None = None) -> Moments | None:
        """Read mean and standard deviation over time of some voxels.

        Parameters
        ----------
        positions : ndarray of int, shape (n,), optional
            Positions in `voxels`, in any order; without them, of all.

        Returns
        -------
        Moments or None
            In the order of `positions`; None for a store that was written without.

        Raises
        ------
        DamageError
            When a checksum is wrong.
        """
        try:
            if "moments" not in self._file:
                return None
            group = self._file["moments"]
            if positions is None:
                return Moments(group["mean"][:], group["sd"][:])
            mean, sd = (_in_chunks(group[name], positions) for name in ("mean", "sd"))
        except (*ERRORS, IndexError) as error:
            raise self._damage(error) from error
        return Moments(mean, sd)

    def read_voxels(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the samples of some voxels.

        Parameters
        ----------
        positions : ndarray of int, shape (n,)
            Positions in `voxels` (not grid indices), in any order. `VoxelOrder.positions` gives -1
            for a voxel that is not stored: leave these out.

        Returns
        -------
        ndarray of float32, shape (n, n_volumes)
            Samples in image units, in the order of `positions`.

        Raises
        ------
        UsageError
            When there is no such position.
        DamageError
            When a checksum is wrong.
        BraindataError
            When the store holds no voxels.
        """
        return (self.read_raw(positions) * self.slope + self.intercept).astype(np.float32)

    def read_raw(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        """Read the samples of some voxels as the source's numbers, see `read_voxels`."""
        if not self.has_samples:
            raise BraindataError(
                "this recording was packed without its voxels",
                file=self.path,
                hint="set pack.store: true and run again",
            )
        beyond = (positions < 0) | (positions >= len(self.order.voxels))
        if beyond.any():
            raise UsageError(
                f"{int(beyond.sum())} of {len(positions)} voxels are not in the store",
                file=self.path,
                hint="a position of -1 means that the store does not hold the voxel: leave it out",
            )
        try:
            samples = self._file["samples"]
            result = np.empty((len(positions), self.n_volumes), samples.dtype)
            chunks = positions // CHUNK_VOXELS
            for chunk in np.unique(chunks):
                wanted = chunks == chunk
                start = int(chunk) * CHUNK_VOXELS
                result[wanted] = samples[start : start + CHUNK_VOXELS][positions[wanted] - start]
        except (*ERRORS, IndexError) as error:
            raise self._damage(error) from error
        return result

    def _damage(self, error: Exception) -> DamageError:
        why = f" or cannot be read ({first_line(error)})" if self._remote else ""
        return _unreadable(f"the sample store is damaged{why}", self.path, self._remote)


def _in_chunks(values: Any, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    result = np.empty(len(positions), np.float32)
    chunks = positions // MOMENT_CHUNK
    for chunk in np.unique(chunks):
        wanted = chunks == chunk
        start = int(chunk) * MOMENT_CHUNK
        result[wanted] = values[start : start + MOMENT_CHUNK][positions[wanted] - start]
    return result


def _unreadable(problem: str, path: Path, remote: bool) -> DamageError:
    # One that lies elsewhere may be whole, and is not made anew by running again.
    return DamageError(problem, file=path, hint=REMOTE_HINT if remote else HINT)


def write_store(
    path: Path,
    samples: NDArray[np.integer[Any] | np.floating[Any]] | None,
    grid: Grid,
    voxels: NDArray[np.int64],
    has_data: NDArray[np.bool_],
    tr: float,
    confounds: pd.DataFrame,
    attributes: dict[str, Any],
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    means: Mapping[str, RegionMean] | None = None,
    moments: Moments | None = None,
) -> None:
    """Write a sample store atomically.

    Parameters
    ----------
    path : Path
        Where to.
    samples : ndarray, shape (n_voxels, n_volumes), or None
        The samples in the source's own type; image units are ``samples * slope + intercept``.
        None for a store that holds `means` only.
    grid, has_data, tr, confounds, attributes
        As in `Store`; `has_data` in the order of `voxels`.
    voxels : ndarray of int64, shape (n_voxels,)
        Flat C-order index into the grid of each row of `samples`, in any order, each once.
    slope, intercept : float
        From stored numbers to image units.
    means : mapping of str to RegionMean, optional
        Means of regions, by their keys.
    moments : Moments, optional
        Mean and standard deviation over time, in the order of `voxels`.
    """
    if len(has_data) != len(voxels) or (
        samples is not None and samples.shape != (len(voxels), len(confounds))
    ):
        raise ValueError("samples, voxels, has_data and confounds differ in length")
    mask = np.zeros(grid.shape, bool)
    mask.ravel()[voxels] = True
    order = voxel_order(mask)
    if not np.array_equal(order.voxels, voxels):
        rows = np.empty(len(voxels), np.intp)
        rows[order.positions(voxels)] = np.arange(len(voxels))
        samples = None if samples is None else samples[rows]
        has_data = has_data[rows]
        moments = None if moments is None else Moments(moments.mean[rows], moments.sd[rows])
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "mask_version": MASK_VERSION,
        "shape": list(grid.shape),
        "affine": grid.affine.tolist(),
        "space": grid.space,
        "n_volumes": len(confounds),
        "tr": tr,
        "slope": slope,
        "intercept": intercept,
        "confounds": list(confounds.columns),
        "attributes": attributes,
    }
    with new_file(path.name) as file:
        # No attribute: HDF5 keeps no checksum of texts, and a flipped bit there may hang it.
        text = json.dumps(header, sort_keys=True).encode()
        write_array(file, "header", np.frombuffer(text, np.uint8))
        write_array(file, "mask", np.packbits(mask))
        write_array(file, "has_data", np.packbits(has_data.astype(bool)))
        write_array(file, "confounds", confounds.to_numpy(np.float64))
        for key, mean in sorted((means or {}).items()):
            write_array(file, f"means/{key}", mean.values)
            file[f"means/{key}"].attrs.update(coverage=mean.coverage, n_voxels=mean.n_voxels)
        if moments is not None:
            for name in ("mean", "sd"):
                numbers: NDArray[Any] = getattr(moments, name)
                write_array(file, f"moments/{name}", numbers, (min(MOMENT_CHUNK, len(numbers)),))
        if samples is not None:
            n_voxels, n_volumes = samples.shape
            write_array(file, "samples", samples, (min(CHUNK_VOXELS, n_voxels), n_volumes))
        file.flush()
        image = file.id.get_file_image()
    with atomic_path(path) as part:
        part.write_bytes(image)


@contextmanager
def open_store(source: Path | io.RawIOBase) -> Iterator[Store]:
    """Open a sample store for reading.

    Parameters
    ----------
    source : Path or file object
        Where it lies; or an object that reads and seeks in it, such as one of
        `braindata.pack.remote.RangeFile`.

    Raises
    ------
    DamageError
        When the file is missing, truncated, no sample store, or one of another version; when one
        that lies elsewhere cannot be read.
    """
    remote = not isinstance(source, Path)
    path = source if isinstance(source, Path) else Path(str(getattr(source, "name", "store")))
    try:
        file = h5py.File(source, "r")
    except OSError as error:
        raise _unreadable(
            f"the sample store cannot be opened ({first_line(error)})", path, remote
        ) from error
    with file:
        try:
            header = json.loads(file["header"][:].tobytes())
            if (header["format"], header["format_version"]) != (FORMAT, FORMAT_VERSION):
                raise DamageError("a sample store of another version", file=path, hint=HINT)
            if header["mask_version"] != MASK_VERSION:
                raise DamageError("a sample store of another mask", file=path, hint=HINT)
            shape = tuple(header["shape"])
            order = packed_order(file["mask"][:].tobytes(), shape)
            covered = np.unpackbits(file["has_data"][:], count=len(order.voxels))
            store = Store(
                grid=Grid(shape, np.array(header["affine"]), header["space"]),
                order=order,
                has_data=covered.astype(bool),
                n_volumes=header["n_volumes"],
                tr=header["tr"],
                confounds=pd.DataFrame(file["confounds"][:], columns=header["confounds"]),
                attributes=header["attributes"],
                slope=header["slope"],
                intercept=header["intercept"],
                path=path,
                _file=file,
                _remote=remote,
            )
        except ERRORS as error:
            raise _unreadable("this is no sample store", path, remote) from error
        yield store
