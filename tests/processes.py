"""Waiting for processes to end."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def still_working(processes: Iterable[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait up to `timeout` seconds; return the processes that have not ended by then.

    One that has ended but that nobody has collected is not working: in a container whose first
    process collects no orphans, it stays in the process table for good.
    """
    deadline = time.monotonic() + timeout
    left = list(processes)
    while left := [process for process in left if _works(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return left


def _works(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
