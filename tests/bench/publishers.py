"""Bench: publishers that are killed at random moments, and several at once.

    python -m tests.bench.publishers --kills 40 --at-once 4

Each publisher makes releases of the same folder, one after the other, and is killed (SIGKILL) at a
random moment of that. After each kill, and all the time in between by a reader of its own, the
releases are looked at: their numbers have no gap, none that was seen once is gone or altered, and
each holds exactly the rows that one call of `publish` was given. Ends with code 1 when one does
not.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from braindata.errors import UsageError
from braindata.files import sha256_file
from braindata.tables.publish import publish
from braindata.tables.reading import open_tables
from braindata.tables.releases import list_releases, release_path
from braindata.tables.schemas.trials import TRIALS
from braindata.tables.shards import write_shard

ROWS = 4
PUBLISHER = """
import json, sys
from pathlib import Path
from braindata.tables.publish import publish
tables, shards = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
for names in json.loads(sys.argv[3]):
    publish(tables, {"trials": [shards / f"{name}.parquet" for name in names]}, {"names": names})
"""


@dataclass
class Watch:
    """What was seen of a folder of tables.

    Attributes
    ----------
    tables : Path
        The folder.
    seen : dict of int to str
        Hash of each release file.
    n_read : int
        How many releases were read.
    faults : list of str
        What is not as it should be.
    """

    tables: Path
    seen: dict[int, str] = field(default_factory=dict)
    n_read: int = 0
    faults: list[str] = field(default_factory=list)

    def look(self, n_newest: int = 2) -> None:
        """Look at all release files, and read the newest releases."""
        numbers = list_releases(self.tables)
        if numbers != list(range(1, len(numbers) + 1)):
            self.faults.append(f"gaps: {numbers}")
        for number in numbers:
            digest = sha256_file(release_path(self.tables, number))
            if self.seen.setdefault(number, digest) != digest:
                self.faults.append(f"release {number} was altered")
        self.faults += [f"release {n} is gone" for n in self.seen.keys() - set(numbers)]
        for number in numbers[-n_newest:]:
            self.read(number)

    def read(self, number: int | None = None) -> None:
        """Read a release, and compare it with what its publisher was given."""
        try:
            opened = open_tables(self.tables, number)
        except UsageError:
            # Before the first one.
            return
        regions = opened.trials.to_pyarrow(["region"])["region"].to_pylist()
        given = sorted(name for name in opened.provenance["names"] for _ in range(ROWS))
        if regions != given:
            self.faults.append(f"release {opened.release} holds {sorted(set(regions))}")
        self.n_read += 1


def write_shards(folder: Path, names: list[str]) -> None:
    """Write a shard for each name."""
    folder.mkdir(parents=True)
    for name in names:
        rows = [{"dataset": "ds", "region": name, "trial": i} for i in range(ROWS)]
        write_shard(pa.Table.from_pylist(rows, TRIALS), folder / f"{name}.parquet", "trials")


def start(tables: Path, shards: Path, batches: list[list[str]]) -> subprocess.Popen[bytes]:
    """Start a publisher, and return when it is about to publish."""
    command = [sys.executable, "-c", PUBLISHER, str(tables), str(shards), json.dumps(batches)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def run(work: Path, kills: int, at_once: int, seed: int = 0) -> Watch:
    """Kill publishers, then let several publish at once; return what was seen."""
    chance = random.Random(seed)
    names = [f"r{i:02d}" for i in range(24)]
    tables, shards = work / "tables", work / "shards"
    write_shards(shards, names)
    watch, reader = Watch(tables), Watch(tables)
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            reader.look(n_newest=1)
            time.sleep(0.01)

    thread = threading.Thread(target=read_on)
    thread.start()
    try:
        for _ in range(kills):
            batches = [sorted(chance.sample(names, chance.randint(1, 6))) for _ in range(20)]
            process = start(tables, shards, batches)
            time.sleep(chance.uniform(0, 1.0))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            watch.look()
        # Each has shards that the others do not have.
        batches = [[names[i], names[i + at_once]] for i in range(at_once)]
        before = len(list_releases(tables))
        together = [start(tables, shards, [batch, batch[:1]]) for batch in batches]
        for process in together:
            process.communicate()
        if any(process.returncode for process in together):
            watch.faults.append("a publisher failed beside others")
        watch.look(n_newest=2 * at_once)
        made = [open_tables(tables, n).provenance["names"] for n in list_releases(tables)[before:]]
        if sorted(made) != sorted([*batches, *(batch[:1] for batch in batches)]):
            watch.faults.append(f"releases of {made}")
    finally:
        done.set()
        thread.join()
    last = publish(tables, {"trials": [shards / f"{n}.parquet" for n in names]}, {"names": names})
    watch.look(n_newest=last.number)
    watch.faults += reader.faults
    watch.n_read += reader.n_read
    return watch


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        watch = run(Path(folder), arguments.kills, arguments.at_once, arguments.seed)
    for fault in watch.faults:
        print(fault)
    print(
        f"{arguments.kills} publishers killed, {arguments.at_once} at once: {len(watch.seen)} "
        f"releases, read {watch.n_read} times, {len(watch.faults)} faults, "
        f"{time.monotonic() - began:.0f} s"
    )
    return bool(watch.faults)


if __name__ == "__main__":
    sys.exit(main())
