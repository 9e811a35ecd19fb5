"""Bench: which container and which size of chunk a sample store should have.

    python -m tests.bench.stores [bold.nii.gz]

Writes the voxels of one preprocessed image (by default one made for benches; better a real one in
template space) with HDF5 (several filters of hdf5plugin), zarr v3 (one shard) and blosc2, in chunks
of 128, 256 and 512 voxels, as int16 and as float32, and reads regions of 500 voxels: size, CPU
seconds to write, milliseconds to open and read cold (page cache dropped, which needs root) and
warm, median over regions. tests/unit/test_pack_remote.py counts what a region moves over HTTP.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import h5py
import hdf5plugin
import numpy as np
import zarr
from numpy.typing import NDArray

from braindata.pack.derivatives import read_samples
from braindata.pack.mask import store_mask
from braindata.pack.order import VoxelOrder, voxel_order
from braindata.pack.volumes import open_volumes
from tests.bench.images import write_bold

FILTERS = {
    "HDF5 blosc zstd bitshuffle": hdf5plugin.Blosc(cname="zstd", clevel=3, shuffle=2),
    "HDF5 bitshuffle zstd": hdf5plugin.Bitshuffle(cname="zstd", clevel=3),
    "HDF5 bitshuffle lz4": hdf5plugin.Bitshuffle(cname="lz4"),
    "HDF5 shuffle lzf": {"compression": "lzf", "shuffle": True},
}
N_REGIONS = 20
N_COLD = 5
Reader = Callable[[int], NDArray[Any]]


def write(name: str, path: Path, samples: NDArray[Any], chunk: int) -> Callable[[], Reader]:
    """Write a store; return what opens it and gives its chunks by number."""
    n_voxels, n_volumes = samples.shape
    if name in FILTERS:
        with h5py.File(path, "w", libver="v110") as file:
            file.create_dataset(
                "s", data=samples, chunks=(chunk, n_volumes), fletcher32=True, **FILTERS[name]
            )

        def open_hdf5() -> Reader:
            data = h5py.File(path, "r")["s"]
            return lambda number: data[number * chunk : (number + 1) * chunk]

        return open_hdf5
    if name == "zarr v3":
        array = zarr.create_array(
            str(path),
            shape=samples.shape,
            dtype=samples.dtype,
            chunks=(chunk, n_volumes),
            shards=(-(-n_voxels // chunk) * chunk, n_volumes),
            compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        )
        array[:] = samples

        def open_zarr() -> Reader:
            data = zarr.open_array(str(path), mode="r")
            return lambda number: data[number * chunk : (number + 1) * chunk]

        return open_zarr
    blosc2.asarray(
        samples,
        chunks=(chunk, n_volumes),
        blocks=(chunk, n_volumes),
        urlpath=str(path),
        mode="w",
        cparams={
            "codec": blosc2.Codec.ZSTD,
            "clevel": 3,
            "filters": [blosc2.Filter.BITSHUFFLE],
            "nthreads": 1,
        },
    )

    def open_blosc2() -> Reader:
        data = blosc2.open(str(path), mode="r", dparams={"nthreads": 1})
        return lambda number: data[number * chunk : (number + 1) * chunk]

    return open_blosc2


def gather(read: Reader, positions: NDArray[np.int64], chunk: int, like: NDArray[Any]) -> Any:
    """Read voxels chunk by chunk, as a store does."""
    result = np.empty((len(positions), like.shape[1]), like.dtype)
    chunks = positions // chunk
    for number in np.unique(chunks):
        wanted = chunks == number
        result[wanted] = read(int(number))[positions[wanted] - int(number) * chunk]
    return result


def regions(order: VoxelOrder, shape: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Return the positions of compact regions of 500 voxels, anywhere."""
    rng = np.random.default_rng(1)
    indices = np.column_stack(np.unravel_index(order.voxels, shape))
    found = []
    for center in rng.choice(len(indices), N_REGIONS):
        distance = ((indices - indices[center]) ** 2).sum(axis=1)
        found.append(np.sort(np.argsort(distance, kind="stable")[:500]))
    return found


def forget() -> None:
    """Empty the page cache."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def compare(samples: NDArray[Any], wanted: list[NDArray[np.int64]], folder: Path) -> None:
    """Print a line for each container and size of chunk."""
    for chunk in (128, 256, 512):
        for name in (*FILTERS, "zarr v3", "blosc2"):
            path = folder / f"{samples.dtype}-{chunk}-{name.replace(' ', '-')}"
            began = time.process_time()
            opened = write(name, path, samples, chunk)
            writing = time.process_time() - began
            files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
            size = sum(file.stat().st_size for file in files)
            times: dict[bool, list[float]] = {True: [], False: []}
            for number, positions in enumerate(wanted):
                cold = number < N_COLD
                if cold:
                    forget()
                start = time.perf_counter()
                got = gather(opened(), positions, chunk, samples)
                times[cold].append(1000 * (time.perf_counter() - start))
                assert np.array_equal(got, samples[positions])
            print(
                f"{samples.dtype!s:8} {chunk:4d} {name:27} {size / 1e6:6.1f} MB, writing "
                f"{writing:5.2f} s, cold {np.median(times[True]):6.1f} ms, "
                f"warm {np.median(times[False]):6.2f} ms",
                flush=True,
            )


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bold", type=Path, nargs="?")
    options = parser.parse_args()
    blosc2.set_nthreads(1)
    with tempfile.TemporaryDirectory(prefix="stores-") as scratch:
        folder = Path(scratch)
        volumes = open_volumes(options.bold or write_bold(folder / "bold.nii.gz", "int16"))
        order = voxel_order(store_mask(volumes.shape, volumes.affine))
        samples, _ = read_samples(volumes, order)
        wanted = regions(order, volumes.shape)
        compare(samples, wanted, folder)
        # Interpolated data fill all bits of a float: so do these, below the integers' steps.
        noise = np.random.default_rng(0).random(samples.shape, np.float32)
        scaled = (samples + noise) * np.float32(volumes.slope)
        compare(scaled.astype(np.float32), wanted, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
