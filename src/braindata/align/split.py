"""Which of people's runs maps are fitted on, and which are scored: never the same volumes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_RUN = re.compile(r"_run-([A-Za-z0-9]+)")


@dataclass(frozen=True)
class Run:
    """One recording of one person.

    Attributes
    ----------
    subject : str
        As in file names: ``sub-01``.
    recording : str
        Its name, which begins with the subject.
    n_volumes : int
    fits : bool
        Whether the configuration lets maps be fitted on it.
    """

    subject: str
    recording: str
    n_volumes: int
    fits: bool

    @property
    def name(self) -> str:
        """What it is called in everybody: the name without the person."""
        return self.recording.removeprefix(f"{self.subject}_").removesuffix("_bold")

    @property
    def kind(self) -> str:
        """Its name without the number of the run."""
        return _RUN.sub("", self.name)


@dataclass(frozen=True)
class Piece:
    """Volumes of a run, from `start` up to and without `stop`."""

    run: Run
    name: str
    start: int
    stop: int

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the run."""
        return (self.start, self.stop) == (0, self.run.n_volumes)


def split_runs(runs: Sequence[Run]) -> tuple[list[Piece], list[Piece]]:
    """Return what maps are fitted on, and what is scored.

    Where the configuration lets maps be fitted on some recordings only, these are the former.
    Where it lets them be fitted on all, each kind of recording is split: by runs, the earlier
    half of which is fitted on, or, where there is one run only, by time, at the same volume for
    everybody.

    Parameters
    ----------
    runs : sequence of Run
        Of all people.
    """
    ordered = sorted(runs, key=lambda run: (run.subject, _order(run)))
    if not all(run.fits for run in ordered):
        return (
            [_whole(run) for run in ordered if run.fits],
            [_whole(run) for run in ordered if not run.fits],
        )
    kinds: dict[str, list[Run]] = {}
    for run in ordered:
        kinds.setdefault(run.kind, []).append(run)
    fit: list[Piece] = []
    score: list[Piece] = []
    for _, members in sorted(kinds.items()):
        names = {run.name: _order(run) for run in members}
        if len(names) > 1:
            in_order = sorted(names, key=lambda name: names[name])
            first = set(in_order[: (len(in_order) + 1) // 2])
            for run in members:
                (fit if run.name in first else score).append(_whole(run))
            continue
        cut = max(run.n_volumes for run in members) // 2
        for run in members:
            fit.append(Piece(run, f"{run.name}:1", 0, min(cut, run.n_volumes)))
            if run.n_volumes > cut:
                score.append(Piece(run, f"{run.name}:2", cut, run.n_volumes))
    return fit, score


def _whole(run: Run) -> Piece:
    return Piece(run, run.name, 0, run.n_volumes)


def _order(run: Run) -> tuple[str, int, str]:
    # Run 2 comes before run 10.
    match = _RUN.search(run.name)
    number = match[1] if match else ""
    return (run.kind, int(number) if number.isdigit() else -1, number)
