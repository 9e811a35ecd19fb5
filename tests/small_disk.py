"""A disk of some megabytes, to be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mount a disk in memory on a folder; where that is not permitted, the test is skipped."""
    try:
        _mount(folder, f"size={megabytes}m")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a small disk, and this process may not mount one ({error})")
    try:
        yield
    finally:
        # Lazily: greedy leaves a file open that it could not write.
        subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(folder: Path, megabytes: int) -> None:
    """Make the disk that is mounted on a folder larger or smaller."""
    resize_to(folder, megabytes << 20)


def resize_to(folder: Path, n_bytes: int) -> None:
    """Give the disk that is mounted on a folder a size in bytes."""
    _mount(folder, f"remount,size={n_bytes}")


def _mount(folder: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    subprocess.run(command, capture_output=True, check=True)
