"""The two ways to show progress: a table that moves on a terminal, and lines in a log."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

from .progress import Progress, Stage
from .texts import clock, duration, jobs

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

# Columns of the terminal below which the bars have no place.
WIDTH_OF_BARS = 76
WIDTH_OF_BAR = 20
REFRESHES_PER_SECOND = 2
# A log's lines come at most this often per stage, unless a tenth of it was done meanwhile.
SECONDS_BETWEEN_LINES = 30.0


class Stream(io.TextIOBase):
    """A stream that may go away: after a terminal is hung up, the run goes on without a word.

    Parameters
    ----------
    stream : TextIO
        Where to write.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._gone = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the stream."""
        return self._stream.encoding or "utf-8"

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return its file descriptor."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write, while there is somebody to read it."""
        if not self._gone:
            try:
                self._stream.write(text)
            except OSError:
                self._gone = True
        return len(text)

    def flush(self) -> None:
        """Flush, while there is somebody to read it."""
        if not self._gone:
            try:
                self._stream.flush()
            except OSError:
                self._gone = True


class Display(Protocol):
    """What shows progress and says things."""

    def say(self, text: str, style: str = "") -> None:
        """Print a text of one or more lines, whole."""

    def show(self, progress: Progress) -> None:
        """Show where the run stands."""

    def hide(self) -> None:
        """Leave nothing that moves."""


class Lines:
    """Progress as lines of a log: no colour, no control characters, and few of them.

    Parameters
    ----------
    stream : TextIO
        Where to write.
    now : callable
        Returns the time in seconds.
    """

    def __init__(self, stream: TextIO | Stream, now: Callable[[], float]):
        self._stream = stream
        self._now = now
        # Per stage: jobs over, their sum, and the time, when its last line was written.
        self._last: dict[str, tuple[int, int, float]] = {}

    def say(self, text: str, style: str = "") -> None:
        """Print a text."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def show(self, progress: Progress) -> None:
        """Print a line about each stage that has begun, moved on or ended."""
        now = self._now()
        for stage in progress.stages.values():
            over = stage.done + stage.failed
            if stage.started is None:
                continue
            if stage.name not in self._last:
                self._line(progress, stage, f"starts, {jobs(stage.total)}")
                self._last[stage.name] = (0, stage.total, now)
            before, total, then = self._last[stage.name]
            if (over, stage.total) == (before, total):
                continue
            if not stage.left:
                failed = f", {stage.failed} failed" if stage.failed else ""
                took = duration(stage.elapsed(now))
                self._line(progress, stage, f"{jobs(stage.done)} done{failed}, {took}")
            elif over - before >= max(stage.total / 10, 1) or now - then >= SECONDS_BETWEEN_LINES:
                failed = f", {stage.failed} failed" if stage.failed else ""
                self._line(
                    progress,
                    stage,
                    f"{stage.done} of {stage.total} done{failed}, {stage.running} running; "
                    f"time left: {progress.time_left(now)}",
                )
            else:
                continue
            self._last[stage.name] = (over, stage.total, now)

    def hide(self) -> None:
        """Do nothing: lines stay."""

    def _line(self, progress: Progress, stage: Stage, text: str) -> None:
        now = self._now()
        self.say(f"[{clock(now - (progress.started or now))}] {stage.name}: {text}")


class Table:
    """Progress as a table that is drawn anew in place, with what is said above it.

    Parameters
    ----------
    console : rich.console.Console
        The terminal.
    now : callable
        Returns the time in seconds.
    """

    def __init__(self, console: Console, now: Callable[[], float]):
        self._console = console
        self._now = now
        self._live: Live | None = None

    def say(self, text: str, style: str = "") -> None:
        """Print a text above the table, in full however narrow the terminal is."""
        from rich.text import Text

        self._console.print(Text(text, style=style), soft_wrap=True)

    def show(self, progress: Progress) -> None:
        """Draw the table from now on, as soon as it is known what is to be done."""
        from rich.live import Live

        if self._live is None and progress.started is not None:
            self._live = Live(
                console=self._console,
                get_renderable=lambda: self.render(progress),
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
                # Its own words go to the terminal; whoever redirects standard output wants that.
                redirect_stdout=False,
            )
            self._live.start()

    def hide(self) -> None:
        """Take the table away."""
        if self._live is not None:
            self._live.stop()

    def render(self, progress: Progress) -> RenderableType:
        """Return the table as it is at this moment."""
        from rich import box
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table as Grid
        from rich.text import Text

        now = self._now()
        with_bars = self._console.width >= WIDTH_OF_BARS
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        grid.add_column("stage", no_wrap=True)
        if with_bars:
            grid.add_column("", width=WIDTH_OF_BAR)
        for title in ("done", "running", "failed", "time"):
            grid.add_column(title, justify="right", no_wrap=True)
        with progress.lock:
            for stage in progress.stages.values():
                cells: list[RenderableType] = [Text(stage.name, style=_style(stage))]
                if with_bars:
                    over = stage.done + stage.failed
                    cells.append(ProgressBar(total=max(stage.total, 1), completed=over))
                cells.append(_share(stage, progress.grows))
                cells.append(f"{stage.running}" if stage.running else "")
                cells.append(Text(f"{stage.failed}" if stage.failed else "", style="red"))
                cells.append("" if stage.started is None else clock(stage.elapsed(now)))
                grid.add_row(*cells)
            total, done, _ = progress.sums()
            elapsed = duration(now - (progress.started or now))
            last = f"{done} of {total} jobs, {elapsed}; time left: {progress.time_left(now)}"
        return Group(grid, Text(last))


def _share(stage: Stage, grows: bool) -> str:
    if stage.total:
        return f"{stage.done}/{stage.total}"
    return "?" if grows else "-"


def _style(stage: Stage) -> str:
    if stage.failed:
        return "red"
    if stage.running:
        return "bold"
    return "dim" if stage.left or not stage.total else "green"
