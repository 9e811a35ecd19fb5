"""Ctrl-C, a scheduler's SIGTERM and a closed terminal: the jobs end, what is done is kept.

Left to itself, Snakemake waits for all running jobs at SIGTERM, leaves them running without it at
SIGHUP, and ends in a traceback at a second Ctrl-C. Jobs may be stopped at any moment, as they
rename what they wrote into place and write their receipt last.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

import psutil

from braindata.files import remove_dead_scratch

SENTENCE = "Stopped. What is done is kept; the same command goes on from there."
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds that jobs have to end by themselves (at Ctrl-C the terminal tells them, too), and then
# after they were asked to.
GRACE = 1.0
PATIENCE = 5.0


class Stopper:
    """What happens in Snakemake's process at a signal.

    The first signal leaves Snakemake's main thread by `SystemExit`, which waits for the jobs, while
    a thread sees to it that they end. A second one kills them.

    Parameters
    ----------
    local_jobs : bool, default=True
        Whether the jobs are children of this process. Those of a cluster are cancelled by
        Snakemake's executor, whose own commands must not be killed.
    """

    def __init__(self, local_jobs: bool = True):
        self.stopped = False
        self.local_jobs = local_jobs
        # A handler may run in the middle of anything; writing to a pipe is safe even then.
        self._wake, self._signal = os.pipe()
        threading.Thread(target=self._end_jobs, name="end jobs", daemon=True).start()
        atexit.register(self._say_so)

    def listen(self) -> None:
        """Handle the signals that are not ignored, as they are under nohup."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        first, self.stopped = not self.stopped, True
        os.write(self._signal, b"!")
        if first:
            raise SystemExit(128 + number)

    def _end_jobs(self) -> None:
        os.read(self._wake, 1)
        if not self._again_within(GRACE):
            self._send(signal.SIGTERM)
            self._again_within(PATIENCE)
        while True:
            self._send(signal.SIGKILL)
            self._again_within(0.2)

    def _again_within(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._wake], [], [], seconds)
        if ready:
            os.read(self._wake, 1)
        return bool(ready)

    def _send(self, number: signal.Signals) -> None:
        if self.local_jobs:
            for child in psutil.Process().children(recursive=True):
                # It may be gone, or may have become another user's.
                with suppress(psutil.Error):
                    child.send_signal(number)

    def _say_so(self) -> None:
        if self.stopped:
            remove_dead_scratch()
            # Nobody reads it when the terminal is closed.
            with suppress(OSError):
                print(SENTENCE, file=sys.stderr, flush=True)  # noqa: T201


_stopper: Stopper | None = None


def listen(local_jobs: bool = True) -> None:
    """Stop in good order from now on. To be called again when Snakemake has set its own handler.

    Parameters
    ----------
    local_jobs : bool, default=True
        Whether the jobs are children of this process.
    """
    global _stopper
    if threading.current_thread() is not threading.main_thread():
        return
    if _stopper is None:
        _stopper = Stopper()
    _stopper.local_jobs = local_jobs
    _stopper.listen()


def stopped() -> bool:
    """Return whether a signal has stopped this process."""
    return _stopper is not None and _stopper.stopped
