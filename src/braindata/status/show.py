"""Status and damage on a terminal; in a pipe plain lines, in full."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box, filesize
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from braindata.stages import STEP_VERSION
from braindata.status.damage import Verdict
from braindata.status.jobs import JOB_STATES
from braindata.status.overview import STAGE_STATES, Overview
from braindata.status.recordings import RECORDING_STATES, RecordingStatus

STYLES = {
    "done": "green",
    "used": "green",
    "running": "cyan",
    "interrupted": "yellow",
    "used_in_part": "yellow",
    "quarantined": "red",
    "failed": "bold red",
}
TITLES = {
    "quarantined": "Quarantined: bad data",
    "used_in_part": "Used in part",
    "excluded": "Excluded by a rule",
}
# On a terminal, so many recordings are named of those that share a reason; in a pipe all are.
MAX_NAMED = 5
# And so many jobs that failed, were interrupted or are running.
MAX_JOBS = 20
# Wide enough that nothing is cut or wrapped where there is no terminal.
PLAIN_WIDTH = 10_000


def terminal_console() -> Console | None:
    """Return the terminal to print on; None when the output goes elsewhere."""
    return Console(highlight=False) if sys.stdout.isatty() else None


def text_console() -> Console:
    """Return a console that collects plain text in its file, a `StringIO`."""
    return Console(file=io.StringIO(), highlight=False, width=PLAIN_WIDTH, color_system=None)


def written(target: Console) -> str:
    """Return what a `text_console` has collected, without the blanks that fill its columns."""
    if not isinstance(target.file, io.StringIO):
        return ""
    return "".join(f"{line.rstrip()}\n" for line in target.file.getvalue().splitlines())


def print_plainly(target: Console) -> None:
    """Print what a `text_console` has collected; a terminal has shown it already."""
    sys.stdout.write(written(target))


def show_status(seen: Overview, target: Console, output: Path) -> None:
    """Print the state of an output folder, its files named as the user names the folder."""
    _say(target, f"{output}: {_headline(seen)}")
    if seen.run is not None:
        _say(target, f"A run is going on (process {seen.run.process}).", "cyan")
    if not seen.planned:
        _say(target, "What should be here is not known before the next run; this is here:")
    counts = seen.job_counts()
    _table(
        target,
        "jobs",
        JOB_STATES,
        [(name, counts[name]) for name in STEP_VERSION if name in counts],
    )
    of_sets = seen.stage_counts()
    if len(of_sets) > 1:
        # Of each data set what is going on or went wrong: with many of them, all would be too much.
        rows = [
            (f"{dataset}, {stage}", row)
            for dataset, stages in of_sets.items()
            for stage, row in stages.items()
            if any(row[state] for state in STAGE_STATES if state not in ("done", "waiting"))
        ]
        if rows:
            _table(target, "data set, stage", STAGE_STATES, rows)
    if seen.not_known_yet:
        names = ", ".join(seen.not_known_yet)
        _say(target, f"Not known yet, before curation: the persons and recordings of {names}")
    if seen.recordings:
        _table(target, "recordings", RECORDING_STATES, list(seen.recording_counts().items()))
    for state in ("failed", "interrupted", "running"):
        jobs = [status for status in seen.jobs if status.state == state]
        if jobs:
            _say(target, f"\n{state.capitalize()} jobs", STYLES[state])
        for status in jobs[: MAX_JOBS if target.is_terminal else None]:
            _say(target, f"  {status.job.stage} {status.job.name}")
            for line in (status.error or "").splitlines():
                _say(target, f"    {line.strip()}")
            _say(target, f"    log: {output / seen.log_of(status)}")
        if target.is_terminal and len(jobs) > MAX_JOBS:
            _say(target, f"  and {len(jobs) - MAX_JOBS} more (in a pipe, all are listed)")
    for state, title in TITLES.items():
        _left_out(target, title, seen.with_state(state), output)
    if seen.unreadable:
        _say(target, "\nCannot be read", "red")
        for name in seen.unreadable:
            _say(target, f"  {name}")
        _say(target, "  what to do: braindata verify says it for each")


def show_verdict(seen: Verdict, target: Console, output: Path) -> None:
    """Print what is damaged, and what to do."""
    size = filesize.decimal(seen.n_bytes)
    _say(target, f"{output}: {seen.n_files:,} files ({size}) compared with their hashes")
    if seen.process is not None:
        _say(target, f"A run is going on (process {seen.process}): look again when it is done.")
    for title, style, findings in (
        ("Damage", "red", seen.damage),
        ("No damage, but lying about", "yellow", [f for f in seen.findings if not f.is_damage]),
    ):
        if findings:
            _say(target, f"\n{title} ({len(findings)})", style)
        for finding in findings:
            _say(target, f"  {output / finding.file}")
            _say(target, f"    {finding.problem}")
            _say(target, f"    what to do: {finding.hint}")
    _say(target, "")
    for number, what in (
        (seen.n_superseded, "that the newest release does not need: of older ones, or of none"),
        (seen.n_unfinished, "of jobs that are not done; the next run replaces them"),
    ):
        if number:
            _say(target, f"{number} {'file' if number == 1 else 'files'} {what}")
    if not seen.damage:
        _say(target, "No damage.", "green")
    elif any(finding.delete for finding in seen.damage):
        _say(target, "With --repair, what is to be deleted here is deleted; then run again.")


@contextmanager
def byte_progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows on a terminal how many bytes of how many are done."""
    columns = (*Progress.get_default_columns()[:2], DownloadColumn(), TimeRemainingColumn())
    terminal = Console(stderr=True)
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as bar:
        task = bar.add_task("hashing", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _headline(seen: Overview) -> str:
    word = {
        "done": "all done",
        "quarantined": "all done, but some data are bad",
        "running": "at work",
        "unfinished": "not all done: the same command goes on from there",
        "failed": "jobs failed: the same command tries them again",
    }[seen.state]
    made = f" of {seen.created}" if seen.created else ""
    release = f"release {seen.release}{made}" if seen.release else "no release yet"
    return f"{release}; {word}"


def _left_out(
    target: Console, title: str, recordings: Sequence[RecordingStatus], output: Path
) -> None:
    """Print recordings, those with the same reason together."""
    if not recordings:
        return
    _say(target, f"\n{title} ({len(recordings)})", STYLES.get(recordings[0].state))

    def why(one: RecordingStatus) -> tuple[str, ...]:
        return (one.dataset, one.stage or "", one.reason or "", one.hint or "")

    for reason, group in itertools.groupby(sorted(recordings, key=why), why):
        dataset, stage, text, hint = reason
        _say(target, f"  {dataset}, {stage}: {text}")
        if hint:
            _say(target, f"    what to do: {hint}")
        members = list(group)
        for one in members[: MAX_NAMED if target.is_terminal else None]:
            _say(target, f"    {one.recording}")
            if one.file:
                _say(target, f"      file: {one.file}")
            if one.log:
                _say(target, f"      log: {output / one.log}")
        if target.is_terminal and len(members) > MAX_NAMED:
            _say(target, f"    and {len(members) - MAX_NAMED} more (in a pipe, all are listed)")


def _table(
    target: Console,
    name: str,
    states: Sequence[str],
    rows: Iterable[tuple[str, dict[str, int]]],
) -> None:
    table = Table(box=box.SIMPLE_HEAD if target.is_terminal else None, pad_edge=False)
    table.add_column(name)
    for state in states:
        table.add_column(state.replace("used_in_part", "in part"), justify="right")
    for label, counts in rows:
        cells = [
            Text(str(counts[state]), style=STYLES.get(state, "") if counts[state] else "dim")
            for state in states
        ]
        table.add_row(label, *cells)
    _say(target, "")
    target.print(table)


def _say(target: Console, text: str, style: str | None = None) -> None:
    # As Text: names and errors may hold square brackets, which rich would take for its markup.
    target.print(Text(text, style=style or ""))
