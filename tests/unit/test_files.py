"""Atomic writes."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from braindata.files import (
    atomic_path,
    remove_dead_scratch,
    remove_parts,
    sha256_file,
    write_text,
)


def test_a_file_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.nii.gz"
    with atomic_path(target) as part:
        part.write_bytes(b"half")
        assert not target.exists()
        assert part.parent == target.parent
        assert part.name.endswith(".nii.gz")
    assert target.read_bytes() == b"half"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old\n")
    with pytest.raises(RuntimeError), atomic_path(target) as part:
        part.write_text("new")
        raise RuntimeError
    assert target.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [target]


def test_sha256_equals_hashlib(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\0" * 100_000)
    assert sha256_file(path) == hashlib.sha256(b"\0" * 100_000).hexdigest()


def test_what_a_killed_job_left_is_removed(tmp_path: Path) -> None:
    kept = tmp_path / "sub" / "a.nii.gz"
    write_text(kept, "whole")
    (tmp_path / "sub" / ".part-123-b.nii.gz").write_text("half")
    assert remove_parts(tmp_path) == [tmp_path / "sub" / ".part-123-b.nii.gz"]
    assert list(kept.parent.iterdir()) == [kept]


def test_scratch_of_a_dead_process_is_removed_though_nobody_collected_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # It ends at once and, not waited for, stays in the process table.
    ended = subprocess.Popen([sys.executable, "-c", ""])
    while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    dead = tmp_path / f"braindata-{socket.gethostname()}-{ended.pid}-x"
    alive = tmp_path / f"braindata-{socket.gethostname()}-{os.getpid()}-x"
    dead.mkdir()
    alive.mkdir()
    assert remove_dead_scratch() == [dead]
    assert list(tmp_path.iterdir()) == [alive]
    ended.wait()
