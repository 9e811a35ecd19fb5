"""Scores of those who are aligned, from what was read of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braindata.align.connectivity import connectome
from braindata.align.evaluation import MATCHING, PREDICTION, Score
from braindata.align.group import Fitted, Kind, score_group
from braindata.align.parameters import AlignSettings
from braindata.align.parcels import Piecewise
from braindata.align.sharing import why_not_shared
from braindata.align.split import Piece, split_runs
from braindata.stages.align_inputs import Material, Recording
from braindata.stages.align_rows import Person

# The name of what is known of a person's connectivity, as of a run.
FITTED, HELD_OUT = "connectome", "held-out connectome"


def runs_of(
    method: Kind, name: str, material: Mapping[str, Material], pieces: Sequence[Piece]
) -> dict[str, Any]:
    """Return a person's series by run, or the one connectome that stands for them."""
    series, targets = {}, {}
    for piece in pieces:
        voxels = material[piece.run.recording].voxels
        assert voxels is not None
        series[piece.name] = voxels.cleaned[piece.start : piece.stop]
        targets[piece.name] = voxels.targets[piece.start : piece.stop]
    if method != "connectivity" or not series:
        return series
    return {name: connectome(series, targets)}


def score_people(
    settings: AlignSettings,
    shared_stimulus: bool | None,
    make: Callable[[], Piecewise],
    fit: dict[str, dict[str, Any]],
    fitted: Fitted,
    method: Kind,
    material: Mapping[str, Material],
    people: Mapping[str, Person],
    recordings: Mapping[str, Recording],
    members: set[str],
) -> list[Score]:
    """Score all who are aligned: by series where the scored runs are shared, and by trials.

    Parameters
    ----------
    settings : AlignSettings
    shared_stimulus : bool or None
        What the configuration says of the recordings that maps are fitted on.
    make : callable
        Returns an unfitted `Piecewise`.
    fit : mapping of subject to mapping of run to array
        What maps are fitted on.
    fitted : Fitted
        Who is aligned.
    method : {'procrustes', 'srm', 'connectivity'}
    material : mapping of recording to Material
    people : mapping of subject to Person
    recordings : mapping of recording to Recording
    members : set of str
        From whom templates are made; empty: all.
    """
    pieces = [piece for s in fitted.aligned for piece in people[s].score]
    chosen = partial(runs_of, method, HELD_OUT, material)
    score: dict[str, dict[str, Any]] = {}
    metrics: tuple[str, ...] = ()
    if method == "connectivity" or _is_shared(shared_stimulus, pieces, recordings):
        score = {s: chosen(people[s].score) for s in fitted.aligned}
        metrics = (PREDICTION,) if method == "connectivity" else (MATCHING, PREDICTION)
    patterns: dict[str, dict[str, Any]] = {}
    labels: dict[str, dict[str, NDArray[np.str_]]] = {}
    for subject in fitted.aligned:
        own = [*people[subject].fit, *people[subject].score]
        trials = {p.name: _trials(p, material, recordings[p.run.recording]) for p in own}
        there = {name: one for name, one in trials.items() if len(one[1])}
        if there:
            patterns[subject] = {name: one[0] for name, one in there.items()}
            labels[subject] = {name: one[1] for name, one in there.items()}
    fold = sorted({piece.name for piece in pieces})
    n_permutations, seed = settings.n_permutations, settings.seed
    scores = score_group(
        make,
        fit,
        fitted.aligned,
        members,
        score=score,
        patterns=patterns,
        labels=labels,
        fold=[HELD_OUT, *fold],
        metrics=metrics,
        n_permutations=n_permutations,
        seed=seed,
    )
    if metrics:
        return scores
    # What people share is what maps are fitted on, and nothing else: within it, maps from its first
    # half are scored on its second.
    inner_fit, inner_score = split_runs(
        list(dict.fromkeys(piece.run for s in fitted.aligned for piece in people[s].fit))
    )
    halves = [
        {s: chosen([p for p in part if p.run.subject == s]) for s in fitted.aligned}
        for part in (inner_fit, inner_score)
    ]
    return scores + score_group(
        make,
        halves[0],
        [s for s in fitted.aligned if halves[0][s]],
        members,
        score=halves[1],
        patterns={},
        labels={},
        fold=sorted({piece.name for piece in inner_score}),
        n_permutations=n_permutations,
        seed=seed,
    )


def _is_shared(
    shared_stimulus: bool | None, pieces: Sequence[Piece], recordings: Mapping[str, Recording]
) -> bool:
    # What the configuration says is said of the recordings that maps are fitted on.
    if shared_stimulus and all(piece.run.fits for piece in pieces):
        return True
    return why_not_shared([recordings[p.run.recording].shown(p.name) for p in pieces]) is None


def _trials(
    piece: Piece, material: Mapping[str, Material], recording: Recording
) -> tuple[Any, NDArray[np.str_]]:
    """Return the responses to a piece's trials, and their labels."""
    made = material[piece.run.recording]
    kinds = recording.trials["trial_type"]
    if made.patterns is None:
        return np.zeros((0, 0)), np.zeros(0, str)
    chosen = [
        number
        for number, (onset, kind) in enumerate(zip(recording.trials["onset"], kinds, strict=True))
        if kind is not None
        and made.patterns.reasons[number] is None
        and piece.start * recording.tr <= onset < piece.stop * recording.tr
    ]
    return made.patterns.estimates[chosen], np.array([kinds[n] for n in chosen], str)
