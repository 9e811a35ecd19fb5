"""Many contents at once: downloaded into a store until all are there, or a server is down."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from braindata.errors import BraindataError
from braindata.pull.fetch import Fetcher, FetchError, Stopped
from braindata.pull.parameters import Download
from braindata.pull.repository import RemoteFile
from braindata.pull.store import Store

log = logging.getLogger("braindata")
# After so many files in a row that a network or server failed to give, it is down.
_GIVE_UP_AFTER = 8


def download_all(
    files: list[RemoteFile],
    store: Store,
    settings: Download,
    progress: Callable[[int], object] | None = None,
) -> tuple[dict[str, tuple[int, str]], dict[str, str]]:
    """Bring the contents of annexed files into a store, those that are there verified anew.

    Parameters
    ----------
    files : list of RemoteFile
        Annexed files.
    store : Store
        Where contents lie.
    settings : Download
        How many at once, and how.
    progress : callable, optional
        Called with the number of bytes that are there now, too; without, the log says how far it
        is.

    Returns
    -------
    hashes : dict of str to (int, str)
        Size and sha256 by path.
    absent : dict of str to str
        Paths whose contents nobody has, and why.

    Raises
    ------
    BraindataError
        When the network or a server fails; what is there by then is kept.
    """
    hashes: dict[str, tuple[int, str]] = {}
    absent: dict[str, str] = {}
    failed: list[FetchError] = []
    in_a_row = 0
    report = progress or _LogProgress(sum(file.size or 0 for file in files))
    fetcher = Fetcher(store, settings, progress=report)
    pool = ThreadPoolExecutor(settings.connections, thread_name_prefix="pull")
    try:
        running: dict[Future[Any], RemoteFile] = {}
        for file in [*files, None]:
            if file is not None:
                running[pool.submit(fetcher.fetch, file)] = file
            # Not more than a few wait: a list of a million would have to be taken back.
            while running and (file is None or len(running) >= 2 * settings.connections):
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    one = running.pop(future)
                    try:
                        content = future.result()
                        hashes[one.path] = (content.size, content.sha256)
                        in_a_row = 0
                    except FetchError as error:
                        if error.lasting:
                            absent[one.path] = error.problem
                        else:
                            failed.append(error)
                            in_a_row += 1
                    except Stopped:
                        pass
                if in_a_row >= _GIVE_UP_AFTER:
                    raise _incomplete(len(hashes), len(files), failed)
    finally:
        fetcher.stopped.set()
        pool.shutdown(cancel_futures=True)
        fetcher.close()
    if failed:
        raise _incomplete(len(hashes), len(files), failed)
    return hashes, absent


def _incomplete(n_here: int, n_all: int, failed: list[FetchError]) -> BraindataError:
    first = failed[0]
    return BraindataError(
        f"{n_here} of {n_all} annexed files are here and verified; the others could not be "
        f"downloaded: {first.problem}",
        file=first.file,
        hint="run the same command again: it goes on from here",
    )


class _LogProgress:
    """Says in a log every half minute how far it is."""

    def __init__(self, n_bytes: int):
        self._total, self._done = n_bytes, 0
        self._began = self._said = time.monotonic()

    def __call__(self, n_bytes: int) -> None:
        self._done += n_bytes
        now = time.monotonic()
        if now - self._said >= 30:
            self._said = now
            rate = self._done / (now - self._began)
            left = (self._total - self._done) / rate / 60 if rate > 0 else float("inf")
            log.info(
                "%.2f of %.2f GB, %.1f MB/s, %.0f min left",
                self._done / 1e9, self._total / 1e9, rate / 1e6, left,
            )  # fmt: skip
