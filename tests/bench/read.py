"""Bench: how fast a training loop gets shuffled windows of series.

    python -m tests.bench.read [--recordings 1000] [--regions 18] [--samples 300] [--seconds 5]

Publishes a release of that many recordings, a shard per region as jobs write them, and reads
windows of 64 samples of all regions at once, in random order over people, each reader in a process
of its own, for some seconds. The share of a core says how busy the machine was with other things.

- `open_tables(…).windows(64, 1)` from its cache; and through PyTorch's loader, if there is torch;
- all values decoded into arrays in memory, each window cut in a plain loop;
- Hugging Face `datasets` on the exported files: the rows of a recording for each window;
- pyarrow: the row groups of a recording for each batch, of which all windows are of that recording.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from braindata.tables.export import export_release
from braindata.tables.publish import publish
from braindata.tables.reading import open_tables
from braindata.tables.schemas import TABLES
from braindata.tables.shards import write_shard

LENGTH = 64
BATCH = 256
MIN_PER_SECOND = 200_000


def _exported(folder: Path) -> Path:
    """Return where the release of an output folder is exported to."""
    return folder.with_name("exported")


def make_release(folder: Path, n_recordings: int, n_regions: int, n_samples: int) -> None:
    """Publish random series; each region has the same values but for a number."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((n_recordings, n_samples)).astype(np.float32)
    who = [
        {"dataset": "bench", "recording": f"sub-{n:04d}_bold", "subject": f"{n:04d}"}
        for n in range(n_recordings)
    ]
    regions = [f"region{number:02d}" for number in range(n_regions)]
    rows = {
        "recordings": [row | {"modality": "fmri", "status": "used"} for row in who],
        "regions": [{"region": region, "level": "valuation"} for region in regions],
    }
    shards: dict[str, list[Path]] = {"series": []}
    for name, content in rows.items():
        shards[name] = [folder / f"{name}.parquet"]
        write_shard(pa.Table.from_pylist(content, TABLES[name]), shards[name][0], name)
    kept = pa.ListArray.from_arrays(
        np.arange(n_recordings + 1) * n_samples, pa.array(np.ones(values.size, bool))
    )
    for number, region in enumerate(regions):
        path = folder / f"{region}.parquet"
        lists = pa.ListArray.from_arrays(kept.offsets, (values + number).ravel())
        table = pa.Table.from_pylist(
            [row | {"region": region, "strategy": "none", "sampling_frequency": 0.5} for row in who]
        )
        table = table.append_column("values", lists).append_column("kept", kept)
        write_shard(table, path, "series")
        shards["series"].append(path)
    publish(folder / "tables", shards, {})


def measure(
    name: str, folder: Path, n_samples: int, seconds: float
) -> tuple[float, float, float] | str:
    """Return windows a second, windows per CPU second and peak MB, of this process."""
    try:
        batches = READERS[name](folder, n_samples)
        next(batches)
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed"
    n_windows, began, cpu = 0, time.perf_counter(), time.process_time()
    for count in batches:
        n_windows += count
        if time.perf_counter() - began > seconds:
            break
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return n_windows / wall, n_windows / cpu, peak


def from_cache(folder: Path, n_samples: int) -> Iterator[int]:
    windows = open_tables(folder).windows(LENGTH, 1, batch_size=BATCH)
    for epoch in itertools.count():
        for batch in windows.batches(epoch):
            yield len(batch.values)


def from_torch(folder: Path, n_samples: int) -> Iterator[int]:
    from torch.utils.data import DataLoader

    windows = open_tables(folder).windows(LENGTH, 1)
    while True:
        for batch in DataLoader(windows.to_torch(), batch_size=BATCH, shuffle=True):
            yield len(batch["values"])


def from_memory(folder: Path, n_samples: int) -> Iterator[int]:
    """Decode everything into arrays in memory, and cut windows one by one in random order."""
    files = sorted((_exported(folder) / "series").iterdir())
    columns = [pq.read_table(path, columns=["values"])["values"].to_pylist() for path in files]
    whole = [np.array(one, np.float32).T for one in zip(*columns, strict=True)]
    del columns
    rng = np.random.default_rng(0)
    while True:
        recordings = rng.integers(0, len(whole), BATCH).tolist()
        starts = rng.integers(0, n_samples - LENGTH + 1, BATCH).tolist()
        both = zip(recordings, starts, strict=True)
        batch = np.stack([whole[recording][start : start + LENGTH] for recording, start in both])
        yield len(batch)


def from_parquet(folder: Path, n_samples: int) -> Iterator[int]:
    """Read the row groups of one recording's regions, and cut a batch of windows from them."""
    files = [pq.ParquetFile(path) for path in sorted((_exported(folder) / "series").iterdir())]
    n_recordings = files[0].metadata.num_rows
    rng = np.random.default_rng(0)
    while True:
        recording = int(rng.integers(n_recordings))
        starts = rng.integers(0, n_samples - LENGTH + 1, BATCH)
        group, row = divmod(recording, files[0].metadata.row_group(0).num_rows)
        series = [
            file.read_row_group(group, columns=["values"])["values"][row].values.to_numpy()
            for file in files
        ]
        whole = np.column_stack(series)
        batch = np.stack([whole[start : start + LENGTH] for start in starts])
        yield len(batch)


def from_datasets(folder: Path, n_samples: int) -> Iterator[int]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets

    datasets.disable_progress_bars()
    series = datasets.load_dataset(
        str(_exported(folder)), "series", split="train", cache_dir=str(folder / "hugging-face")
    ).select_columns(["recording", "values"])
    rows: dict[str, list[int]] = {}
    for number, name in enumerate(series["recording"]):
        rows.setdefault(name, []).append(number)
    series = series.with_format("numpy")
    names = sorted(rows)
    rng = np.random.default_rng(0)
    while True:
        chosen = rows[names[int(rng.integers(len(names)))]]
        start = int(rng.integers(0, n_samples - LENGTH + 1))
        values = np.stack(list(series[chosen]["values"]), axis=1)
        assert values[start : start + LENGTH].shape == (LENGTH, len(chosen))
        yield 1


OURS = "`windows`, from the cache"
READERS: dict[str, Callable[[Path, int], Iterator[int]]] = {
    OURS: from_cache,
    "`windows`, PyTorch's loader": from_torch,
    "arrays in memory, one by one": from_memory,
    "Hugging Face `datasets`": from_datasets,
    "loop over Parquet": from_parquet,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=1000)
    parser.add_argument("--regions", type=int, default=18)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "results"
        make_release(folder, chosen.recordings, chosen.regions, chosen.samples)
        export_release(folder, _exported(folder))
        began, cpu = time.perf_counter(), time.process_time()
        windows = open_tables(folder).windows(LENGTH, 1)
        print(
            f"{len(windows):,} windows of {LENGTH} samples of {chosen.regions} regions; cache made "
            f"in {time.process_time() - cpu:.1f} CPU s ({time.perf_counter() - began:.1f} s)"
        )
        began = time.perf_counter()
        open_tables(folder).windows(LENGTH, 1)
        print(f"opened again in {time.perf_counter() - began:.2f} s\n")
        print(
            "| reader | windows/s | windows per CPU s | memory, MB | share of a core |\n"
            "|---|---|---|---|---|"
        )
        speed = {}
        for reader in READERS:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                found = pool.submit(
                    measure, reader, folder, chosen.samples, chosen.seconds
                ).result()
            if isinstance(found, str):
                print(f"| {reader} | {found} | | | |", flush=True)
                continue
            per_second, per_cpu, peak = found
            speed[reader] = per_second
            print(
                f"| {reader} | {per_second:,.0f} | {per_cpu:,.0f} | {peak:,.0f} "
                f"| {per_second / per_cpu:.0%} |",
                flush=True,
            )
        ours = speed[OURS]
        enough = "reached" if ours >= MIN_PER_SECOND else "MISSED"
        print(f"\nAt least {MIN_PER_SECOND:,} windows/s from the cache: {enough}")


if __name__ == "__main__":
    main()
