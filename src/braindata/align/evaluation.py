"""Nested evaluation: the person scored is not in the template, the runs scored fit nothing.

Outer folds leave one person out and hold runs out. The left-out person enters the others' template
by `fit_subject`, on the runs that are not held out. Held-out runs are compared between the left-out
person and the mean of the others, before (voxel by voxel) and after alignment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braindata.align.base import Hyperalignment
from braindata.align.parcels import Piecewise
from braindata.align.procrustes import Array
from braindata.align.runs import Subjects
from braindata.align.scores import (
    SEGMENT,
    Chance,
    balanced_accuracy,
    decode,
    decoding_chance,
    matching,
    matching_chance,
    predict_labels,
    prediction_chance,
    prediction_r,
    segment_similarities,
)
from braindata.errors import DataError

MATCHING = "time_segment_matching"
PREDICTION = "prediction_r"
DECODING = "decoding"
# Of a single kind nothing can be told apart.
MINIMUM_LABELS = 2


# An estimator with maps, of one parcel or of several.
Aligned = Hyperalignment | Piecewise


@dataclass(frozen=True)
class Score:
    """One person's score on held-out runs.

    Parameters
    ----------
    subject, held_out, metric : str
    before : float or None
        In voxels, None when people do not have the same ones.
    after : float or None
        In the common space; None when the person stayed unaligned.
    chance : Chance or None
        Of `after`, by permutation.
    ceiling : float or None
        The noise ceiling: matching and prediction with a mean that holds the person's own series
        (the upper bound of Nili et al. 2014, doi:10.1371/journal.pcbi.1003553); decoding within the
        person, between runs.
    reason : str or None
        Why there is no score.
    """

    subject: str
    held_out: str
    metric: str
    before: float | None
    after: float | None
    chance: Chance | None
    ceiling: float | None
    reason: str | None = None


def evaluate(
    make: Callable[[], Hyperalignment],
    data: Subjects,
    held_out: Sequence[Sequence[str]] | None = None,
    *,
    length: int = SEGMENT,
    n_permutations: int = 20,
    seed: int = 0,
) -> list[Score]:
    """Score time-segment matching and prediction of voxels, leaving out people and runs.

    Parameters
    ----------
    make : callable
        Returns an unfitted estimator.
    data : mapping of subject to mapping of run to array, shape (time, voxels)
    held_out : sequence of sequences of runs, optional
        The outer folds; each run by itself when not given.
    length : int
        Volumes of a segment.
    n_permutations : int
    seed : int
        Of the permutations.

    Returns
    -------
    list of Score
        By fold and person; a run at a time.
    """
    folds = held_out or [[run] for run in _runs(data)]
    rng = np.random.default_rng(seed)
    scores: list[Score] = []
    for fold in folds:
        fit = _without(data, fold)
        for subject in sorted(data):
            entered = enter(make, fit, subject)
            scores += score_subject(
                entered, data, subject, fold, rng, length=length, n_permutations=n_permutations
            )
    return scores


def score_subject(
    entered: Aligned | str,
    data: Subjects,
    subject: str,
    fold: Sequence[str],
    rng: np.random.Generator,
    *,
    length: int = SEGMENT,
    n_permutations: int = 20,
    metrics: Sequence[str] = (MATCHING, PREDICTION),
) -> list[Score]:
    """Score time-segment matching and prediction of one person's held-out runs.

    Parameters
    ----------
    entered : estimator or str
        A template made without the person, who has entered it; or why there is none.
    data : mapping of subject to mapping of run to array, shape (time, voxels)
    subject : str
    fold : sequence of str
        The runs that are held out, and scored.
    rng : numpy Generator
        Of the permutations.
    length, n_permutations
        See `evaluate`.
    metrics : sequence of str
        Which of both.

    Returns
    -------
    list of Score
        A run at a time.
    """
    scores: list[Score] = []
    for run in (run for run in fold if run in data.get(subject, ())):
        if isinstance(entered, str):
            why = entered
            scores += [Score(subject, run, m, None, None, None, None, why) for m in metrics]
            continue
        others = [s for s in entered.maps_ if s != subject and run in data.get(s, ())]
        if others:
            pair = _aligned_pair(entered, data, subject, others, run)
            for metric in metrics:
                try:
                    scores.append(_METRICS[metric](pair, run, length, n_permutations, rng))
                except DataError as error:
                    why = error.problem
                    scores.append(Score(subject, run, metric, None, None, None, None, why))
    return scores


def enter(make: Callable[[], Hyperalignment], fit: Subjects, subject: str) -> Hyperalignment | str:
    """Return the others' template with `subject` in it, or why that cannot be.

    Parameters
    ----------
    make : callable
    fit : mapping of subject to mapping of run to array
        The runs to fit on, of everybody.
    subject : str
        Who is left out of the template.
    """
    if subject not in fit:
        return "no runs but the held-out ones"
    model = make().fit({name: runs for name, runs in fit.items() if name != subject})
    try:
        return model.fit_subject(subject, model.known(fit[subject]))
    except DataError as error:
        return error.problem


def evaluate_decoding(
    make: Callable[[], Hyperalignment],
    data: Subjects,
    patterns: Mapping[str, Mapping[str, Array]],
    labels: Mapping[str, Mapping[str, NDArray[np.str_]]],
    held_out: Sequence[Sequence[str]] | None = None,
    *,
    n_permutations: int = 100,
    seed: int = 0,
) -> list[Score]:
    """Decode trials of a person from the patterns of the others.

    Parameters
    ----------
    make, data, held_out, n_permutations, seed
        See `evaluate`: what the maps are fitted on.
    patterns : mapping of subject to mapping of run to array, shape (n_trials, n_voxels)
        Response estimates. Runs that are in `data` too are fitted on only when not held out.
    labels : mapping of subject to mapping of run to array of str, shape (n_trials,)

    Returns
    -------
    list of Score
        Balanced accuracy by fold and person.
    """
    folds = held_out or [[run] for run in _runs(patterns)]
    rng = np.random.default_rng(seed)
    scores: list[Score] = []
    for fold in folds:
        fit = _without(data, fold)
        for subject in sorted(set(patterns) & set(data)):
            entered = enter(make, fit, subject)
            scores.append(
                decode_subject(
                    entered, patterns, labels, subject, fold, rng, n_permutations=n_permutations
                )
            )
    return scores


def decode_subject(
    entered: Aligned | str,
    patterns: Mapping[str, Mapping[str, Array]],
    labels: Mapping[str, Mapping[str, NDArray[np.str_]]],
    subject: str,
    fold: Sequence[str],
    rng: np.random.Generator,
    *,
    n_permutations: int = 100,
) -> Score:
    """Decode one person's trials in held-out runs from those of the others.

    Parameters
    ----------
    entered : estimator or str
        A template made without the person, who has entered it; or why there is none.
    patterns, labels, n_permutations
        See `evaluate_decoding`.
    subject : str
    fold : sequence of str
        The runs that are held out.
    rng : numpy Generator
        Of the permutations.
    """
    held = "+".join(fold)
    own = _trials(patterns, labels, subject, fold)
    if own is None or isinstance(entered, str):
        reason = entered if isinstance(entered, str) else "no trials in the held-out runs"
        return Score(subject, held, DECODING, None, None, None, None, reason)
    others = {
        other: trials
        for other in sorted(entered.maps_)
        if other != subject
        and other in patterns
        and (trials := _trials(patterns, labels, other, fold)) is not None
    }
    known = {name for _, y in others.values() for name in y}
    if len(known) < MINIMUM_LABELS or not known & set(own[1]):
        reason = "the others' trials are not of two kinds, one of them the person's"
        return Score(subject, held, DECODING, None, None, None, None, reason)
    aligned = {
        other: (_centred(entered.transform(other, x)), y) for other, (x, y) in others.items()
    }
    test = _centred(entered.transform(subject, own[0]))
    train, train_labels = _stacked(aligned)
    said = predict_labels(train, train_labels, test)
    before = None
    if len({x.shape[1] for x, _ in [own, *others.values()]}) == 1:
        raw, raw_labels = _stacked({s: (_centred(x), y) for s, (x, y) in others.items()})
        before = decode(raw, raw_labels, _centred(own[0]), own[1])
    return Score(
        subject,
        held,
        DECODING,
        before,
        balanced_accuracy(own[1], said),
        decoding_chance(said, own[1], n_permutations, rng),
        _within(patterns, labels, subject, fold),
    )


@dataclass(frozen=True)
class _Pair:
    """One person's run beside the mean of the others, before and after alignment."""

    subject: str
    own: Array
    # In voxels; None where people have different ones.
    raw: Array | None
    mine: Array
    mean: Array
    # The mean with the person's own series in it.
    holding: Array
    back: Callable[[Array], Array]


def _aligned_pair(
    model: Aligned, data: Subjects, subject: str, others: list[str], run: str
) -> _Pair:
    n = min(len(data[name][run]) for name in [subject, *others])
    own = np.asarray(data[subject][run][:n], dtype=model.dtype)
    common = [model.transform(name, data[name][run][:n]) for name in others]
    mine = model.transform(subject, own)
    mean = sum(common[1:], common[0]) / len(common)
    raw = None
    if len({np.shape(data[name][run])[1] for name in [subject, *others]}) == 1:
        raw = np.mean([data[name][run][:n] for name in others], axis=0).astype(model.dtype)
    holding = (mean * len(common) + mine) / (len(common) + 1)
    return _Pair(
        subject, own, raw, mine, mean, holding, lambda x: model.inverse_transform(subject, x)
    )


def _score_matching(
    pair: _Pair, run: str, length: int, n_permutations: int, rng: np.random.Generator
) -> Score:
    similar = segment_similarities(pair.mine, pair.mean, length)
    before = None
    if pair.raw is not None:
        before = matching(segment_similarities(pair.own, pair.raw, length), length)
    return Score(
        pair.subject,
        run,
        MATCHING,
        before,
        matching(similar, length),
        matching_chance(similar, length, n_permutations, rng),
        matching(segment_similarities(pair.mine, pair.holding, length), length),
    )


def _score_prediction(
    pair: _Pair, run: str, length: int, n_permutations: int, rng: np.random.Generator
) -> Score:
    predicted = pair.back(pair.mean)
    return Score(
        pair.subject,
        run,
        PREDICTION,
        None if pair.raw is None else prediction_r(pair.raw, pair.own),
        prediction_r(predicted, pair.own),
        prediction_chance(predicted, pair.own, n_permutations, rng),
        prediction_r(pair.back(pair.holding), pair.own),
    )


_METRICS = {MATCHING: _score_matching, PREDICTION: _score_prediction}


def _within(
    patterns: Mapping[str, Mapping[str, Array]],
    labels: Mapping[str, Mapping[str, NDArray[np.str_]]],
    subject: str,
    fold: Sequence[str],
) -> float | None:
    """Return the accuracy within a person, from the runs that are not held out."""
    rest = [run for run in sorted(patterns[subject]) if run not in fold]
    train = _trials(patterns, labels, subject, rest)
    test = _trials(patterns, labels, subject, fold)
    if train is None or test is None:
        return None
    return decode(_centred(train[0]), train[1], _centred(test[0]), test[1])


def _trials(
    patterns: Mapping[str, Mapping[str, Array]],
    labels: Mapping[str, Mapping[str, NDArray[np.str_]]],
    subject: str,
    runs: Sequence[str],
) -> tuple[Array, NDArray[np.str_]] | None:
    found = [run for run in runs if run in patterns[subject]]
    if not found:
        return None
    return (
        np.concatenate([_centred(patterns[subject][run]) for run in found]),
        np.concatenate([np.asarray(labels[subject][run]) for run in found]),
    )


def _stacked(
    people: Mapping[str, tuple[Array, NDArray[np.str_]]],
) -> tuple[Array, NDArray[np.str_]]:
    return (
        np.concatenate([x for x, _ in people.values()]),
        np.concatenate([y for _, y in people.values()]),
    )


def _centred(values: Any) -> Array:
    array = np.asarray(values)
    centred: Array = array - array.mean(axis=0)
    return centred


def _runs(data: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return sorted({run for person in data.values() for run in person})


def _without(data: Subjects, fold: Sequence[str]) -> dict[str, dict[str, Any]]:
    kept = {s: {r: x for r, x in p.items() if r not in fold} for s, p in data.items()}
    return {subject: runs for subject, runs in kept.items() if runs}
