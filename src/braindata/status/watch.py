"""Looking at an output folder again and again, until the run that works on it has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from braindata.status.overview import Overview, overview
from braindata.status.show import show_status, text_console, written


def watch(output: Path, show: Callable[[Overview], None], every: float) -> int:
    """Show the state of an output folder as long as a run works on it, and once when it has ended.

    Parameters
    ----------
    output : Path
        The output folder.
    show : callable
        Shows a state.
    every : float
        Pause between two looks, in s.

    Returns
    -------
    int
        The exit code that the last state has.
    """
    while True:
        seen = overview(output)
        show(seen)
        if seen.run is None:
            return seen.exit_code
        time.sleep(every)


def on_a_terminal(target: Console, output: Path) -> Callable[[Overview], None]:
    """Return what shows a state in place of the one before, cut to the height of the terminal.

    When the run has ended all of it is shown.
    """

    def show(seen: Overview) -> None:
        with target.capture() as captured:
            show_status(seen, target, output)
        lines = captured.get().splitlines()
        # One line is left for the cursor.
        room = target.height - 1
        if seen.run is not None and len(lines) > room:
            left = len(lines) - room + 1
            lines = [*lines[: room - 1], f"and {left} more lines: braindata status {output}"]
        target.clear()
        target.file.write("".join(f"{line}\n" for line in lines))
        target.file.flush()

    return show


def in_a_pipe(render: Callable[[Overview], str]) -> Callable[[Overview], None]:
    """Return what writes a state that is another than the one before."""
    before = ""

    def show(seen: Overview) -> None:
        nonlocal before
        text = render(seen)
        if text != before:
            sys.stdout.write(text)
            sys.stdout.flush()
            before = text

    return show


def plainly(output: Path) -> Callable[[Overview], str]:
    """Return what puts a state into plain lines."""

    def render(seen: Overview) -> str:
        target = text_console()
        show_status(seen, target, output)
        return written(target)

    return render
