"""A full disk, too little memory, faults of our own: what a user is told of them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from braindata.errors import BraindataError, UsageError
from braindata.faults import explain, full_disk, is_full_disk, naming_a_full_disk, require_space
from braindata.files import write_text
from braindata.fmri.greedy import Pair, register_deformable
from braindata.fmri.images import Image, load_volume, write_volume
from braindata.pack.store import Grid, open_store, write_store
from braindata.pull.local import pull_local
from braindata.tables.delta import commit_files
from braindata.tables.shards import read_shard, write_shard

from ..small_disk import small_disk

NOISE = np.random.default_rng(0)
SIZE_MB = 4
SAMPLES = NOISE.integers(0, 30000, (20_000, 50)).astype(np.int16)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, SIZE_MB):
        yield folder


def text(folder: Path) -> None:
    write_text(folder / "a.txt", "x" * 2_000_000)
    assert len((folder / "a.txt").read_text()) == 2_000_000


def image(folder: Path) -> None:
    data = NOISE.normal(size=(80, 80, 80))
    write_volume(folder / "a.nii.gz", data, np.eye(4), np.float32, space_code=1)
    assert np.array_equal(load_volume(folder / "a.nii.gz").data, data.astype(np.float32))


def store(folder: Path) -> None:
    n_voxels, n_volumes = SAMPLES.shape
    grid = Grid((20, 20, 50), np.eye(4), "MNI152NLin2009aSym")
    voxels, covered = np.arange(n_voxels), np.ones(n_voxels, bool)
    confounds = pd.DataFrame({"csf": np.zeros(n_volumes)})
    write_store(folder / "a.h5", SAMPLES, grid, voxels, covered, 2.0, confounds, {})
    with open_store(folder / "a.h5") as written:
        assert np.array_equal(written.read_voxels(written.order.positions(voxels)), SAMPLES)


def shard(folder: Path) -> None:
    values = [NOISE.normal(size=10_000).astype(np.float32).tolist() for _ in range(40)]
    names = [f"r{number:02}" for number in range(40)]
    write_shard(pa.table({"recording": names, "values": values}), folder / "a.parquet", "series")
    assert read_shard(folder / "a.parquet", "series")["recording"].to_pylist() == names


def log(folder: Path) -> None:
    beside = folder.parent.parent / "beside.parquet"
    if not beside.exists():
        write_shard(pa.table({"dataset": ["d"]}), beside, "series")
    assert commit_files(folder / "series", "series", {"a.parquet": beside}).delta_version == 0


def registration(folder: Path) -> None:
    noise = Image(NOISE.normal(size=(40, 40, 40)).astype(np.float32), np.eye(4))
    pair = Pair(noise, noise, np.ones((40, 40, 40), np.bool_))
    assert register_deformable(pair, np.eye(4), "1x0", 0, folder).shape == (40, 40, 40, 3)


def copies(folder: Path) -> None:
    source = folder.parent.parent / "source"
    (source / "sub-01").mkdir(parents=True, exist_ok=True)
    (source / "dataset_description.json").write_text("{}")
    (source / "big.bin").write_bytes(b"x" * 2_000_000)
    assert [file.size for file in pull_local(source, folder / "raw", "copy")] == [2_000_000, 2]


@pytest.mark.parametrize(
    ("write", "free_kb"),
    [
        (text, 100),
        (image, 100),
        (store, 4),
        (store, 100),
        (store, 1000),
        (shard, 100),
        (log, 0),
        (registration, 0),
        (registration, 500),
        # The images have room, greedy's warp has not, and greedy does not say so.
        (registration, 1000),
        (copies, 100),
    ],
)
def test_a_full_disk_is_named_and_nothing_is_half_written(
    disk: Path, write: Callable[[Path], None], free_kb: int
) -> None:
    output = disk / "results"
    output.mkdir()
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * ((SIZE_MB << 20) - (free_kb << 10)))
    with pytest.raises(BraindataError) as caught, naming_a_full_disk(output):
        write(output)
    assert caught.value.problem == f"the disk of {output} is full"
    assert "free some space" in str(caught.value.hint)
    assert caught.value.exit_code == 1
    left = [path.name for path in output.rglob("*") if path.is_file()]
    assert left in ([], ["dataset_description.json"])
    # With space again the same call succeeds.
    ballast.unlink()
    write(output)


def test_the_disk_for_temporary_files_has_its_own_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    error = OSError(errno.ENOSPC, "No space left on device", str(scratch / "gone" / "fixed.nii"))
    told = full_disk(error, tmp_path / "results")
    assert told.problem == f"the disk of {scratch} is full"
    assert "TMPDIR" in str(told.hint)


def test_a_link_that_finds_no_room_names_the_folder_it_was_to_be_in(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    error = OSError(errno.ENOSPC, "x", "/elsewhere/a.nii", None, str(tmp_path / "results/a.nii"))
    assert full_disk(error, tmp_path / "results").problem.startswith(f"the disk of {tmp_path}/res")


def test_only_a_full_disk_is_called_so() -> None:
    assert is_full_disk(OSError(errno.ENOSPC, "x"))
    assert is_full_disk(OSError(errno.EDQUOT, "x"))
    assert is_full_disk(RuntimeError("file write failed: errno = 28, error message = '…'"))
    assert not is_full_disk(OSError(errno.EACCES, "x"))
    assert not is_full_disk(ValueError("28"))
    caused = RuntimeError("greedy failed")
    caused.__cause__ = OSError(errno.ENOSPC, "x")
    assert is_full_disk(caused)
    with pytest.raises(KeyError), naming_a_full_disk():
        raise KeyError("other errors pass")


def test_space_is_asked_for_before_anything_begins(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "there")
    with pytest.raises(BraindataError, match="MB free, at least 1000000000 MB are needed"):
        require_space(tmp_path / "not" / "there", 1_000_000_000)


def test_what_nobody_foresaw_is_one_error() -> None:
    assert explain(UsageError("as it is")).problem == "as it is"
    told = explain(ZeroDivisionError("division\nby zero"))
    assert told.problem == "unexpected ZeroDivisionError: division by zero"
    assert "BRAINDATA_DEBUG=1" in str(told.hint)
    assert explain(AssertionError()).problem == "unexpected AssertionError"
    told = explain(np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("f8")))
    assert "not enough memory" in told.problem
    assert "--cores 1" in str(told.hint)
    told = explain(PermissionError(errno.EACCES, "Permission denied", "/a/b"))
    assert (told.file, told.problem) == ("/a/b", "Permission denied")
