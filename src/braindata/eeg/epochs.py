"""Which trials of a recording can be used: epochs around events, judged by autoreject."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import autoreject
import mne
import numpy as np
from numpy.typing import NDArray

from braindata.eeg.parameters import EegParameters

Floats = NDArray[np.float64]

# Cross-validation takes this many folds, and no less than twice as many epochs.
FOLDS = 5
MIN_EPOCHS = 2 * FOLDS
# Epochs from which thresholds are learned; more cost time and change little.
MAX_FITTED = 150
# Samples per second that are enough to see how far a channel swings.
FITTED_RATE = 100.0
# How many channels of an epoch may be interpolated, and the share of bad channels that condemns
# it: autoreject's defaults, coarser.
N_INTERPOLATE = (1, 4, 8)
CONSENSUS = (0.2, 0.4, 0.6, 0.8, 1.0)

REPEATED = "the same event is in an earlier row"
OUTSIDE = "its epoch is not within the recording"
MARKED = "its epoch holds samples that are marked as bad"
REJECTED = "autoreject rejected its epoch"


@dataclass(frozen=True)
class Judged:
    """The epochs of a recording and what became of each event.

    Attributes
    ----------
    epochs : mne.Epochs or None
        The clean ones; None when there is none.
    reasons : tuple of (str or None)
        For each event in the order of the file, why it has no clean epoch.
    interpolated : int
        How many channels of how many epochs were interpolated, in sum.
    method : str or None
        `local` (autoreject proper), `global` (one threshold for all channels) or None.
    skipped : str or None
        Why epochs were not judged.
    """

    epochs: Any
    reasons: tuple[str | None, ...]
    interpolated: int
    method: str | None
    skipped: str | None


def judge_epochs(
    raw: Any, onsets: Floats, labels: list[str], parameters: EegParameters, *, has_positions: bool
) -> Judged:
    """Cut epochs around events, and reject bad ones.

    With positions each epoch's bad channels are interpolated where few are bad (Jas 2017,
    doi:10.1016/j.neuroimage.2017.06.030); else one threshold for all channels is learned.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Clean.
    onsets : ndarray, shape (n_events,)
        In s from the start of the recording.
    labels : list of str
        The kind of each event.
    parameters : EegParameters
        Of the chain.
    has_positions : bool
        Whether there are enough channels with positions.
    """
    reasons: list[str | None] = [None] * len(onsets)
    sfreq, n_times = raw.info["sfreq"], raw.n_times
    samples = np.round(onsets * sfreq).astype(int)
    before, after = round(parameters.tmin * sfreq), round(parameters.tmax * sfreq)
    seen: set[tuple[int, str]] = set()
    rows = []
    for row, (sample, label) in enumerate(zip(samples, labels, strict=True)):
        if (int(sample), label) in seen:
            reasons[row] = REPEATED
        elif sample + before < 0 or sample + after >= n_times:
            reasons[row] = OUTSIDE
        else:
            rows.append(row)
        seen.add((int(sample), label))
    if not rows:
        return Judged(None, tuple(reasons), 0, None, "no event has an epoch within the recording")
    codes = {label: code for code, label in enumerate(sorted(set(labels)), start=1)}
    # Two events at one time are two trials; MNE wants to know what that means.
    found = np.array([[samples[row], row, codes[labels[row]]] for row in rows])
    kept = np.array(_unmarked(raw, found[:, 0] + before, found[:, 0] + after))
    for row in np.array(rows)[~kept]:
        reasons[row] = MARKED
    found = found[kept]
    if not len(found):
        return Judged(None, tuple(reasons), 0, None, "all epochs hold samples that are marked")
    epochs = _cut(raw, found, codes, parameters)
    if not parameters.autoreject:
        return Judged(epochs, tuple(reasons), 0, None, "autoreject is switched off")
    if len(found) < MIN_EPOCHS:
        skipped = f"{len(found)} epochs, autoreject needs {MIN_EPOCHS}"
        return Judged(epochs, tuple(reasons), 0, None, skipped)
    judge = _local if has_positions else _global
    clean, bad, interpolated = judge(epochs, parameters.seed)
    for row in found[bad, 1]:
        reasons[row] = REJECTED
    method = "local" if has_positions else "global"
    return Judged(clean if len(clean) else None, tuple(reasons), interpolated, method, None)


def _cut(raw: Any, found: Any, codes: dict[str, int], parameters: EegParameters) -> Any:
    sfreq = raw.info["sfreq"]
    before, after = round(parameters.tmin * sfreq), round(parameters.tmax * sfreq)
    data = raw.get_data()
    cut = np.array([data[:, s + before : s + after + 1] for s in found[:, 0]])
    # Their true sample is in the metadata's place: here samples must differ, so events at the same
    # time are told apart by their row.
    events = np.column_stack([_increasing(found[:, 0]), found[:, 1:]])
    used = {label: code for label, code in codes.items() if code in found[:, 2]}
    return mne.EpochsArray(
        cut,
        raw.info,
        events=events,
        tmin=before / sfreq,
        event_id=used,
        baseline=parameters.baseline,
        verbose="ERROR",
    )


def _increasing(samples: Any) -> Any:
    """Return sample numbers, those that are there already raised until they are new."""
    taken: set[int] = set()
    result = []
    for sample in samples:
        one = int(sample)
        while one in taken:
            one += 1
        taken.add(one)
        result.append(one)
    return np.array(result)


def _unmarked(raw: Any, starts: Any, stops: Any) -> list[bool]:
    marked = ~kept_samples(raw)
    return [not marked[start : stop + 1].any() for start, stop in zip(starts, stops, strict=True)]


def kept_samples(raw: Any) -> NDArray[np.bool_]:
    """Return which samples no annotation marks as bad, shape (n_samples,)."""
    kept = np.ones(raw.n_times, bool)
    sfreq = raw.info["sfreq"]
    for one in raw.annotations:
        if str(one["description"]).lower().startswith("bad"):
            # Of a recording without a date, onsets count from its start.
            start = max(0, round(one["onset"] * sfreq))
            kept[start : round((one["onset"] + one["duration"]) * sfreq) + 1] = False
    return kept


def _local(epochs: Any, seed: int) -> tuple[Any, NDArray[np.bool_], int]:
    some = np.sort(np.random.default_rng(seed).permutation(len(epochs))[:MAX_FITTED])
    decimation = max(1, int(epochs.info["sfreq"] // FITTED_RATE))
    n_channels = len(epochs.ch_names)
    learner = autoreject.AutoReject(
        n_interpolate=[n for n in N_INTERPOLATE if n < n_channels // 2],
        consensus=list(CONSENSUS),
        cv=FOLDS,
        random_state=seed,
        n_jobs=1,
        verbose=False,
    )
    with warnings.catch_warnings(), mne.utils.use_log_level("ERROR"):
        warnings.simplefilter("ignore")
        learner.fit(epochs[some].decimate(decimation))
        clean, log = learner.transform(epochs, return_log=True)
    return clean, np.asarray(log.bad_epochs, bool), int((log.labels == 2).sum())


def _global(epochs: Any, seed: int) -> tuple[Any, NDArray[np.bool_], int]:
    with warnings.catch_warnings(), mne.utils.use_log_level("ERROR"):
        warnings.simplefilter("ignore")
        threshold = autoreject.get_rejection_threshold(
            epochs, random_state=seed, ch_types=["eeg"], cv=FOLDS, verbose=False
        )["eeg"]
    swings = np.ptp(epochs.get_data(copy=False), axis=2).max(axis=1)
    bad: NDArray[np.bool_] = swings > threshold
    return epochs[~bad], bad, 0
