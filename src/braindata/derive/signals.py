"""What regions say of a cognitive process in each trial, and how far that can be believed.

A person's trials are weighted by what other people's trials show, and the estimate is held against
what the person did. Nothing of this person's behaviour goes into the weights: that is the guard
against reverse inference (Poldrack 2006, doi:10.1016/j.tics.2005.12.004).

Leaving one person out has a trap. Where regions say nothing, whoever agrees with the process by
chance leaves others who agree less, so that weights that chance alone decides come out with the
wrong sign for that person: 95 % intervals then hold 0 in 80 % of simulations. So weights start
equal and positive, worth `PRIOR` standard errors of what the other people show, and other people's
trials move them only where they say more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Of the equal weights, in standard errors of the covariance of activity and target.
PRIOR = 5.0
# Share of a unit variance that is added to the regions' covariance: they are alike.
RIDGE = 0.1
MIN_TRIALS = 10
MIN_RECORDING = 5
MIN_OTHERS = 3
N_PERMUTATIONS = 999
LEVEL = 0.95
# Below this share of its size a spread is rounding.
CONSTANT = 1e-9


@dataclass(frozen=True)
class Activity:
    """What regions did in the trials of one recording, and what that is held against.

    Attributes
    ----------
    recording, subject : str
        Which recording, of whom.
    estimate, error : ndarray of float64, shape (n_trials, n_regions)
        Responses and their standard errors; NaN where there is none.
    target : ndarray of float64, shape (n_trials,)
        The latent or column; NaN where there is none.
    """

    recording: str
    subject: str
    estimate: Floats
    error: Floats
    target: Floats


@dataclass(frozen=True)
class Evidence:
    """How well the estimates agree with the target in people who were left out.

    Attributes
    ----------
    r, lower, upper : float or None
        Correlation over trials, averaged over people (Fisher's z), and its 95 % interval; people
        are the sample.
    p : float or None
        Share of permutations of the target within recordings that agree as well (one-sided).
    n_people : int
        How many people.
    reason : str or None
        Why there is none.
    """

    r: float | None = None
    lower: float | None = None
    upper: float | None = None
    p: float | None = None
    n_people: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Weights:
    """What one person's regions are weighted by.

    Attributes
    ----------
    values : ndarray of float64, shape (n_regions,)
        Their magnitudes sum to 1.
    fitted_on : tuple of str
        The other people that they come from; empty where they are equal.
    n_trials : int
        Trials of this person with activity and target.
    r : float or None
        Correlation of this person's estimates with the target.
    """

    values: Floats
    fitted_on: tuple[str, ...]
    n_trials: int
    r: float | None


@dataclass(frozen=True)
class Signals:
    """Estimates of one process in one task.

    Attributes
    ----------
    estimates, errors : list of ndarray of float64, each of shape (n_trials,)
        Per recording, in standard deviations of a region's responses over the recording.
    weights : dict of str to Weights
        By person.
    evidence : Evidence
        Over people.
    """

    estimates: list[Floats]
    errors: list[Floats]
    weights: dict[str, Weights]
    evidence: Evidence


@dataclass(frozen=True)
class _Standard:
    """One recording in standard deviations, and where it can be compared."""

    z: Floats
    scale: Floats
    target: Floats
    paired: Mask


@dataclass(frozen=True)
class _Moments:
    """What the fit needs of a person: sums over paired trials."""

    gram: Floats
    cross: Floats
    energy: float
    n: int


def estimate_signals(recordings: Sequence[Activity], seed: int = 0) -> Signals:
    """Estimate a process in all trials of a task, each person by weights of the others.

    Responses and target are standardised within each recording, over the trials that have both
    (over all that have responses, where there is no target).

    Parameters
    ----------
    recordings : sequence of Activity
        In any order; all with the same regions.
    seed : int
        Of the permutations.

    Returns
    -------
    Signals
        In the order of the recordings.
    """
    standard = [_standardise(one) for one in recordings]
    people = sorted({one.subject for one in recordings})
    own = {
        person: [s for s, one in zip(standard, recordings, strict=True) if one.subject == person]
        for person in people
    }
    moments = {person: _moments(parts) for person, parts in own.items()}
    there = [person for person in people if moments[person].n >= MIN_TRIALS]
    n_regions = recordings[0].estimate.shape[1] if recordings else 0
    weights = {}
    for person in people:
        others = tuple(name for name in there if name != person)
        values = np.full(n_regions, 1.0 / max(n_regions, 1))
        if len(others) < MIN_OTHERS:
            others = ()
        else:
            grams = np.mean([moments[name].gram for name in others], axis=0)
            covariances = np.array([moments[name].cross for name in others])
            values = _weights(grams, covariances[:, None, :])[0]
        agreement = _agreement(moments[person], values)
        weights[person] = Weights(values, others, moments[person].n, agreement)
    evidence = _evidence(own, moments, weights, there, seed)
    estimates, errors = [], []
    for one, s in zip(recordings, standard, strict=True):
        values = weights[one.subject].values
        estimates.append(s.z @ values)
        errors.append(_standard_error(s, one.error, values))
    return Signals(estimates, errors, weights, evidence)


def _standardise(one: Activity) -> _Standard:
    there: Mask = np.asarray(np.isfinite(one.estimate).all(axis=1))
    paired: Mask = np.asarray(there & np.isfinite(one.target))
    if paired.sum() < MIN_RECORDING or _is_constant(one.target[paired]):
        paired = np.zeros(len(there), np.bool_)
    reference = paired if paired.any() else there
    n_trials, n_regions = one.estimate.shape
    z, scale = np.full((n_trials, n_regions), np.nan), np.full(n_regions, np.nan)
    target = np.full(n_trials, np.nan)
    if reference.sum() < 2:
        return _Standard(z, scale, target, np.zeros(n_trials, np.bool_))
    for j in range(n_regions):
        values = one.estimate[reference, j]
        if not _is_constant(values):
            scale[j] = values.std()
            z[:, j] = (one.estimate[:, j] - values.mean()) / scale[j]
    if np.isnan(scale).any():
        paired = np.zeros(len(there), np.bool_)
    if paired.any():
        known = one.target[paired]
        target[paired] = (known - known.mean()) / known.std()
    return _Standard(z, scale, target, paired)


def _is_constant(values: Floats) -> bool:
    size = float(np.abs(values).max(initial=0.0))
    return bool(len(values) == 0 or np.ptp(values) <= CONSTANT * size or size == 0)


def _moments(parts: Sequence[_Standard]) -> _Moments:
    z = np.concatenate([part.z[part.paired] for part in parts])
    y = np.concatenate([part.target[part.paired] for part in parts])
    n = len(y)
    scale = max(n, 1)
    return _Moments(z.T @ z / scale, z.T @ y / scale, float(y @ y) / scale, n)


def _weights(gram: Floats, covariances: Floats) -> Floats:
    """Return weights by other people's moments.

    Parameters
    ----------
    gram : ndarray, shape (n_regions, n_regions)
        Covariance of the regions, mean over people.
    covariances : ndarray, shape (n_people, n_sets, n_regions)
        Of regions and target, one set for the target as it is, or one per permutation.

    Returns
    -------
    ndarray of float64, shape (n_sets, n_regions)
        Their magnitudes sum to 1.
    """
    n_regions = len(gram)
    middle = covariances.mean(axis=0)
    # Over people, who are the sample: trials of one person resemble each other.
    error = np.sqrt(covariances.var(axis=0, ddof=1).mean(axis=1) / len(covariances))
    pulled = middle + PRIOR * error[:, None]
    values = np.linalg.solve(gram + RIDGE * np.eye(n_regions), pulled.T).T
    size = np.abs(values).sum(axis=1, keepdims=True)
    result: Floats = np.where(size > 0, values / np.where(size > 0, size, 1.0), 1.0 / n_regions)
    return result


def _agreement(own: _Moments, values: Floats) -> float | None:
    if own.n < MIN_TRIALS:
        return None
    spread = float(values @ own.gram @ values) * own.energy
    return float(np.clip(values @ own.cross / np.sqrt(spread), -1, 1)) if spread > 0 else None


def _evidence(
    own: dict[str, list[_Standard]],
    moments: dict[str, _Moments],
    weights: dict[str, Weights],
    there: Sequence[str],
    seed: int,
) -> Evidence:
    people = [name for name in there if weights[name].r is not None]
    if len(people) <= MIN_OTHERS:
        return Evidence(
            n_people=len(people),
            reason=f"{len(people)} people have {MIN_TRIALS} trials with responses and target; "
            f"at least {MIN_OTHERS + 1} must",
        )
    z = np.array([_fisher(weights[name].r or 0.0) for name in people])
    middle = float(z.mean())
    # The quantile of Student's t; scipy.stats, which has it too, takes half a second to import.
    half = special.stdtrit(len(z) - 1, (1 + LEVEL) / 2) * z.std(ddof=1) / np.sqrt(len(z))
    rng = np.random.default_rng(seed)
    permuted = _permuted(own, moments, there, people, rng)
    return Evidence(
        r=float(np.tanh(middle)),
        lower=float(np.tanh(middle - half)),
        upper=float(np.tanh(middle + half)),
        p=float((1 + (permuted >= middle).sum()) / (1 + len(permuted))),
        n_people=len(people),
    )


def _fisher(r: Floats | float) -> Floats:
    return np.asarray(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)))


def _permuted(
    own: dict[str, list[_Standard]],
    moments: dict[str, _Moments],
    there: Sequence[str],
    people: Sequence[str],
    rng: np.random.Generator,
) -> Floats:
    """Return the mean agreement (Fisher's z) where the target is permuted, weights and all.

    Within each recording the target is turned by a random number of trials: learning makes
    neighbouring trials alike, and so do slow responses, which free permutations would break.
    """
    shifted = {name: _shifted(own[name], moments[name].n, rng) for name in there}
    total = np.zeros(N_PERMUTATIONS)
    for name in people:
        others = [other for other in there if other != name]
        gram = np.mean([moments[other].gram for other in others], axis=0)
        values = _weights(gram, np.array([shifted[other] for other in others]))
        mine = moments[name]
        spread = np.einsum("pi,ij,pj->p", values, mine.gram, values) * mine.energy
        along = np.einsum("pi,pi->p", values, shifted[name])
        total += _fisher(along / np.sqrt(np.maximum(spread, 1e-300)))
    return total / len(people)


def _shifted(parts: Sequence[_Standard], n: int, rng: np.random.Generator) -> Floats:
    """Return covariances of a person's regions and turned targets, (n_permutations, n_regions)."""
    total = np.zeros((N_PERMUTATIONS, parts[0].z.shape[1]))
    for part in parts:
        z, y = part.z[part.paired], part.target[part.paired]
        if len(y) == 0:
            continue
        spectrum = np.conj(fft.fft(y))[:, None] * fft.fft(z, axis=0)
        by_shift = fft.ifft(spectrum, axis=0).real
        total += by_shift[rng.integers(0, len(y), N_PERMUTATIONS)]
    return total / n


def _standard_error(one: _Standard, error: Floats, values: Floats) -> Floats:
    """Return the standard error of the weighted mean, that of weights and scales left out.

    Noise that regions share is taken to be as alike as their responses over trials.
    """
    there = np.isfinite(one.z).all(axis=1)
    if there.sum() < 2:
        return np.full(len(one.z), np.nan)
    alike: Floats = np.eye(len(values))
    if len(values) > 1:
        alike = np.asarray(np.corrcoef(one.z[there], rowvar=False))
    parts = values * error / one.scale
    variance = np.einsum("ti,ij,tj->t", parts, alike, parts)
    result: Floats = np.sqrt(np.maximum(variance, 0.0))
    result[~there] = np.nan
    return result
