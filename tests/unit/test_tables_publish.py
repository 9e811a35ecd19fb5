"""Releases: they grow, replace, survive kills, and never rewrite a file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from braindata.errors import BraindataError
from braindata.files import sha256_file
from braindata.tables import publish as publish_module
from braindata.tables import releases as releases_module
from braindata.tables.publish import publish
from braindata.tables.reading import open_tables
from braindata.tables.releases import list_releases, read_release
from braindata.tables.schemas import TABLES
from braindata.tables.schemas.trials import TRIALS
from braindata.tables.shards import write_shard
from tests.bench import publishers


def shard(folder: Path, region: str, value: float = 1.0, n: int = 3, dataset: str = "ds") -> Path:
    path = folder / f"{dataset}-{region}.parquet"
    rows = [
        {"dataset": dataset, "region": region, "trial": i, "estimate": value + i, "subject": "01"}
        for i in range(n)
    ]
    write_shard(pa.Table.from_pylist(rows, TRIALS), path, "trials")
    return path


def fingerprint(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Inode, time and content of every Parquet file."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            sha256_file(path),
        )
        for path in sorted(folder.rglob("*.parquet"))
    }


def log_entries(tables: Path, name: str = "trials") -> list[str]:
    return sorted(path.name for path in (tables / name / "_delta_log").glob("*.json"))


def actions(tables: Path, version: int, name: str = "trials") -> list[str]:
    path = tables / name / "_delta_log" / f"{version:020d}.json"
    kinds = [next(iter(json.loads(line))) for line in path.read_text().splitlines()]
    return sorted(kind for kind in kinds if kind in ("add", "remove"))


def regions(tables: Path, version: int | None = None) -> list[str]:
    return open_tables(tables, version).trials.to_pyarrow()["region"].unique().to_pylist()


def test_the_first_release_has_every_table(tmp_path):
    tables = tmp_path / "tables"
    release = publish(tables, {"trials": [shard(tmp_path, "a")]}, {"config": {"x": 1}})
    assert release.new and release.number == 1
    assert list(release.tables) == list(TABLES)
    assert release.tables["trials"].rows == 3
    assert release.tables["stimuli"].rows == 0
    opened = open_tables(tables)
    assert opened.release == 1 and opened.provenance == {"config": {"x": 1}}
    for name, schema in TABLES.items():
        delta = DeltaTable(str(tables / name))
        assert delta.metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
        assert delta.metadata().partition_columns == []
        assert delta.to_pyarrow_table().schema.equals(schema, check_metadata=True)
        assert opened[name].schema.equals(schema, check_metadata=True)
        assert opened[name].to_pyarrow().schema.equals(schema)
    (path,) = release.paths()
    assert sha256_file(tables / path) == release.tables["trials"].files[0].sha256
    assert "=" not in path


def test_a_new_region_rewrites_nothing(tmp_path):
    tables = tmp_path / "tables"
    shards = [shard(tmp_path, "b"), shard(tmp_path, "a")]
    first = publish(tables, {"trials": shards}, {})
    before = fingerprint(tables)
    second = publish(tables, {"trials": [shard(tmp_path, "c"), *shards]}, {})
    after = fingerprint(tables)
    assert (first.number, second.number, second.new) == (1, 2, True)
    assert before.items() < after.items() and len(after) == 3
    assert set(first.paths()) < set(second.paths()) == after.keys()
    assert actions(tables, 1) == ["add"]
    # Tables whose files did not change have no second commit.
    assert len(log_entries(tables, "series")) == 1
    assert regions(tables) == ["a", "b", "c"]
    assert regions(tables, 1) == ["a", "b"]


def test_replacing_a_shard_is_one_commit(tmp_path):
    tables = tmp_path / "tables"
    other = shard(tmp_path, "b")
    publish(tables, {"trials": [shard(tmp_path, "a", 1.0), other]}, {})
    before = fingerprint(tables)
    publish(tables, {"trials": [shard(tmp_path, "a", 5.0), other]}, {})
    assert actions(tables, 1) == ["add", "remove"]
    assert len(log_entries(tables)) == 2
    assert before.items() < fingerprint(tables).items()
    where = {"region": "a"}
    assert open_tables(tables).trials.to_pyarrow(["estimate"], where)["estimate"].to_pylist() == [
        5.0,
        6.0,
        7.0,
    ]
    old = open_tables(tables, version=1).trials.to_pyarrow(["estimate"], where)
    assert old["estimate"].to_pylist() == [1.0, 2.0, 3.0]
    # And back: the file is still there, the release is a new one.
    third = publish(tables, {"trials": [shard(tmp_path, "a", 1.0), other]}, {})
    assert third.number == 3
    assert third.paths() == read_release(tables, 1).paths()
    # Nothing left of a table.
    assert publish(tables, {}, {}).tables["trials"].rows == 0
    assert actions(tables, 3) == ["remove", "remove"]
    assert open_tables(tables).trials.to_pandas().empty
    assert regions(tables, 3) == ["a", "b"]


def test_nothing_changed_makes_no_release(tmp_path):
    tables = tmp_path / "tables"
    names = ["a", "b", "c"]
    publish(tables, {"trials": [shard(tmp_path, name) for name in names]}, {"run": 1})
    before = {p: p.stat().st_mtime_ns for p in tables.rglob("*") if p.is_file()}
    # Jobs that ran again: other inodes, the same bytes, another order.
    again = publish(tables, {"trials": [shard(tmp_path, name) for name in names[::-1]]}, {"run": 2})
    assert (again.number, again.new) == (1, False)
    after = {p: p.stat().st_mtime_ns for p in tables.rglob("*") if p.is_file()}
    assert before == after


def test_empty_shards_and_double_shards(tmp_path):
    tables = tmp_path / "tables"
    one = shard(tmp_path, "a")
    release = publish(
        tables, {"trials": [shard(tmp_path, "x", n=0), shard(tmp_path, "y", n=0), one]}, {}
    )
    assert len(release.paths()) == 1
    copy = tmp_path / "copy.parquet"
    shutil.copyfile(one, copy)
    with pytest.raises(BraindataError, match="the same rows"):
        publish(tables, {"trials": [one, copy]}, {})
    with pytest.raises(ValueError, match="no table trails"):
        publish(tables, {"trails": []}, {})


def test_wrong_shards_are_refused_before_any_commit(tmp_path):
    tables = tmp_path / "tables"
    good = shard(tmp_path, "a")
    publish(tables, {"trials": [good]}, {})
    with pytest.raises(BraindataError, match="columns of `series`"):
        publish(tables, {"trials": [good], "series": [good]}, {})
    with pytest.raises(BraindataError, match="missing"):
        publish(tables, {"trials": [good, tmp_path / "none.parquet"]}, {})
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1")
    with pytest.raises(BraindataError, match="cannot be read"):
        publish(tables, {"trials": [good, bad]}, {})
    assert len(log_entries(tables)) == 1
    assert list_releases(tables) == [1]


def test_killed_before_the_release_file(tmp_path, monkeypatch):
    tables = tmp_path / "tables"
    a, b, c = (shard(tmp_path, name) for name in "abc")
    publish(tables, {"trials": [a]}, {})

    def killed(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(releases_module, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(tables, {"trials": [a, b]}, {})
    assert len(log_entries(tables)) == 2
    assert list_releases(tables) == [1]
    assert regions(tables) == ["a"]
    # What was committed is used …
    second = publish(tables, {"trials": [a, b]}, {})
    assert second.number == 2 and len(log_entries(tables)) == 2
    assert regions(tables) == ["a", "b"]
    # … or superseded, without a release if the files are those of the latest.
    with monkeypatch.context() as patch:
        patch.setattr(releases_module, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(tables, {"trials": [a, b, c]}, {})
    third = publish(tables, {"trials": [a, b]}, {})
    assert (third.number, third.new) == (2, False)
    assert regions(tables) == ["a", "b"] and regions(tables, 1) == ["a"]


def test_killed_between_the_commits(tmp_path, monkeypatch):
    tables = tmp_path / "tables"
    a, b = shard(tmp_path, "a"), shard(tmp_path, "b")
    publish(tables, {"trials": [a]}, {})
    real = publish_module.commit_files

    def killed(folder, name, wanted):
        if name == "stimuli":
            raise KeyboardInterrupt
        return real(folder, name, wanted)

    with monkeypatch.context() as patch:
        patch.setattr(publish_module, "commit_files", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(tables, {"trials": [a, b]}, {})
    assert regions(tables) == ["a"]
    assert publish(tables, {"trials": [a, b]}, {}).number == 2
    assert regions(tables) == ["a", "b"]


def test_a_changed_schema_is_a_new_release(tmp_path, monkeypatch):
    tables = tmp_path / "tables"
    publish(tables, {"trials": [shard(tmp_path, "a")]}, {})
    wider = TRIALS.append(pa.field("extra", pa.string(), metadata={"description": "Another one."}))
    monkeypatch.setitem(TABLES, "trials", wider)
    with pytest.raises(BraindataError, match="written by another version"):
        publish(tables, {"trials": [tmp_path / "ds-a.parquet"]}, {})
    path = tmp_path / "wider.parquet"
    write_shard(pa.table({"region": ["z"], "extra": ["x"]}), path, "trials")
    assert publish(tables, {"trials": [path]}, {}).number == 2
    assert open_tables(tables).trials.to_pyarrow()["extra"].to_pylist() == ["x"]
    assert open_tables(tables, 1).trials.to_pyarrow().schema.names == TRIALS.names


def test_the_folder_can_be_moved(tmp_path):
    output = tmp_path / "output"
    publish(output / "tables", {"trials": [shard(tmp_path, "a")]}, {})
    publish(output / "tables", {"trials": [shard(tmp_path, "b")]}, {})
    moved = tmp_path / "elsewhere" / "results"
    moved.parent.mkdir()
    output.rename(moved)
    assert regions(moved) == ["b"] and regions(moved, 1) == ["a"]
    assert DeltaTable(str(moved / "tables" / "trials"), version=0).to_pandas().shape[0] == 3
    assert publish(moved / "tables", {"trials": [shard(tmp_path, "c")]}, {}).number == 3


def test_shards_of_another_file_system_are_copied(tmp_path, monkeypatch):
    def refuse(*_args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    one = shard(tmp_path, "a")
    release = publish(tmp_path / "tables", {"trials": [one]}, {})
    (path,) = release.paths()
    assert (tmp_path / "tables" / path).stat().st_ino != one.stat().st_ino
    assert (tmp_path / "tables" / path).read_bytes() == one.read_bytes()
    assert not publish(tmp_path / "tables", {"trials": [one]}, {}).new


def test_a_file_cut_short_is_entered_again(tmp_path):
    tables = tmp_path / "tables"
    one = shard(tmp_path, "a")
    copy = tmp_path / "kept.parquet"
    shutil.copyfile(one, copy)
    (path,) = publish(tables, {"trials": [one]}, {}).paths()
    os.truncate(tables / path, 100)
    with pytest.raises(BraindataError, match="100 bytes instead of"):
        open_tables(tables).trials.to_pandas()
    assert not publish(tables, {"trials": [copy]}, {}).new
    assert regions(tables) == ["a"]


def test_two_publishers_at_once(tmp_path):
    tables = tmp_path / "tables"
    shards = {name: [shard(tmp_path, name)] for name in "abcd"}
    failures = []

    def work(name: str) -> None:
        try:
            publish(tables, {"trials": shards[name]}, {})
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(name,)) for name in shards]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert list_releases(tables) == [1, 2, 3, 4]
    assert sorted(regions(tables, n)[0] for n in (1, 2, 3, 4)) == list("abcd")


KILLED = """
import sys
from pathlib import Path
from braindata.tables.publish import publish
tables, shards = Path(sys.argv[1]), sorted(Path(sys.argv[2]).glob("*.parquet"))
print("ready", flush=True)
for n in range(2, len(shards) + 1):
    publish(tables, {"trials": shards[:n]}, {})
"""


def test_kill_9_at_any_moment_leaves_readable_releases(tmp_path):
    tables, folder = tmp_path / "tables", tmp_path / "shards"
    folder.mkdir()
    shards = [shard(folder, f"r{i:02d}") for i in range(40)]
    publish(tables, {"trials": shards[:1]}, {})
    for wait in (0.0, 0.02, 0.05, 0.11):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tables), str(folder)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        numbers = list_releases(tables)
        assert numbers == list(range(1, len(numbers) + 1))
        for number in {1, *numbers[-2:]}:
            opened = open_tables(tables, number)
            assert len(opened.trials.to_pyarrow(["region"])) == len(opened.trials)
    last = publish(tables, {"trials": shards}, {})
    assert regions(tables) == [f"r{i:02d}" for i in range(40)]
    assert last.number == list_releases(tables)[-1]
    assert pl.read_delta(str(tables / "trials")).height == 120


def test_bounds_in_the_log_leave_files_out(tmp_path):
    tables = tmp_path / "tables"
    publish(tables, {"trials": [shard(tmp_path, name) for name in "abc"]}, {})
    view = open_tables(tables).trials
    # The file of region c is gone, and a query that cannot concern it does not notice.
    gone = view.files[2]
    dataset = DeltaTable(str(tables / "trials")).to_pyarrow_dataset()
    gone.unlink()
    assert view.to_pyarrow(where={"region": "a"}).num_rows == 3
    # The same for whoever reads the Delta table by other means.
    assert dataset.to_table(filter=pa.dataset.field("region") == "a").num_rows == 3
    with pytest.raises(BraindataError, match="missing") as missing:
        view.to_pandas()
    assert missing.value.file == str(gone)


def test_publishers_that_are_killed_and_several_at_once(tmp_path):
    """The same with 40 kills and 4 at once is `python -m tests.bench.publishers`."""
    watch = publishers.run(tmp_path, kills=3, at_once=3)
    assert watch.faults == []
    assert len(watch.seen) >= 7 and watch.n_read >= 10
