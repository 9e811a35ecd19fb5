"""Fitting a model to people: MAP per person under a Gaussian prior that the group sets.

Expectation maximisation with Laplace's approximation (Huys et al. 2011,
doi:10.1371/journal.pcbi.1002028): the prior of each parameter is the mean and spread of the people,
their uncertainty included. The model's own prior counts as one further person, so that a prior of
few people neither collapses nor follows one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from braindata.latents.behaviour import Behaviour
from braindata.latents.models.base import Model

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Starts of a person's first search; a likelihood with jumps has many more valleys.
N_STARTS, N_STARTS_ROUGH = 4, 32
MAX_ROUNDS = 12
# A prior that moves less than this share of its width has converged.
TOLERANCE = 0.02
# The default prior, as that many people.
PRIOR_PEOPLE = 1.0
# Steps of the numerical derivatives on the unbounded scale: of a likelihood with jumps, over them.
SMOOTH_STEP, ROUGH_STEP = 1e-3, 0.15
# Half of a 95 % interval, in standard deviations.
INTERVAL = 1.959963984540054
# Of the posterior's spread where the likelihood has jumps: rounds, draws of each, and how many of
# these must count at least (a posterior is flattened until as many do).
SAMPLE_ROUNDS, N_DRAWS, MIN_DRAWS = 3, 400, 40.0
# Draws come from Student's t, whose tails are heavier than a posterior's.
TAIL = 5.0
# Of a bound on the unbounded scale, in standard deviations of the default prior around its mean.
MAX_DISTANCE = 6.0


@dataclass(frozen=True)
class PersonFit:
    """Parameters of one person, on the unbounded scale.

    Attributes
    ----------
    mode : ndarray of float64, shape (n_parameters,)
        The most probable parameters.
    covariance : ndarray of float64, shape (n_parameters, n_parameters)
        Of the posterior: by Laplace's approximation, or, where the likelihood has jumps, around the
        mode by importance sampling.
    curvature : ndarray of float64, shape (n_parameters, n_parameters)
        Of the negative log-likelihood alone, at the mode.
    log_likelihood : float
        At the mode, of the trials that it was fitted to.
    log_evidence : float
        Of the model, by Laplace's approximation, under the group's prior.
    """

    mode: Floats
    covariance: Floats
    curvature: Floats
    log_likelihood: float
    log_evidence: float

    @property
    def sd(self) -> Floats:
        """Standard deviations of the posterior, on the unbounded scale."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def interval(self) -> tuple[Floats, Floats]:
        """Ends of the 95 % intervals of the parameters, on the unbounded scale."""
        return self.mode - INTERVAL * self.sd, self.mode + INTERVAL * self.sd


@dataclass(frozen=True)
class GroupFit:
    """A model fitted to a group.

    Attributes
    ----------
    people : list of PersonFit
        In the order of the people.
    mean, sd : ndarray of float64, shape (n_parameters,)
        The group's prior, on the unbounded scale.
    """

    people: list[PersonFit]
    mean: Floats
    sd: Floats


def fit_group(
    model: Model,
    people: Sequence[Behaviour],
    masks: Sequence[Mask] | None = None,
    *,
    seed: int = 0,
    n_starts: int | None = None,
    max_rounds: int = MAX_ROUNDS,
    intervals: bool = True,
) -> GroupFit:
    """Fit a model to each person of a group.

    Parameters
    ----------
    model : Model
        The model.
    people : sequence of Behaviour
        The people.
    masks : sequence of ndarray of bool, optional
        Which trials of each person count; all without it. What a model learns from is not masked.
    seed : int
        Seed of the starts.
    n_starts : int, optional
        How many points each person's first search starts from.
    max_rounds : int
        How often the prior is set anew at most.
    intervals : bool
        Whether covariances are asked for; if not, those of a likelihood with jumps say little.

    Returns
    -------
    GroupFit
        The fits.
    """
    if masks is None:
        masks = [np.ones(person.n_trials, bool) for person in people]
    mean, sd = model.prior_mean, model.prior_sd
    searches = [Search(model, person, mask) for person, mask in zip(people, masks, strict=True)]
    if n_starts is None:
        n_starts = N_STARTS if model.smooth else N_STARTS_ROUGH
    rng = np.random.default_rng(seed)
    starts = [model.prior_mean, *rng.normal(mean, sd, (n_starts - 1, len(mean)))]
    modes = [search.best(starts, mean, sd) for search in searches]
    for _ in range(max_rounds):
        fits = [s.laplace(mode, mean, sd) for s, mode in zip(searches, modes, strict=True)]
        new_mean, new_sd = group_prior(model, fits)
        moved = np.abs(np.concatenate([new_mean - mean, new_sd - sd])).max()
        mean, sd = new_mean, new_sd
        modes = [s.follow(fit, mean, sd) for s, fit in zip(searches, fits, strict=True)]
        if moved < TOLERANCE * sd.min():
            break
    # Whoever was caught away from the group looks once more from its middle.
    modes = [s.best([mode, mean], mean, sd) for s, mode in zip(searches, modes, strict=True)]
    fits = [s.laplace(mode, mean, sd) for s, mode in zip(searches, modes, strict=True)]
    if intervals and not model.smooth:
        fits = [
            replace(fit, covariance=s.sampled_covariance(fit.mode, mean, sd, seed))
            for s, fit in zip(searches, fits, strict=True)
        ]
    return GroupFit(fits, mean, sd)


def group_prior(
    model: Model, fits: Sequence[PersonFit], weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the mean and spread of a model's parameters over people.

    Parameters
    ----------
    model : Model
        The model, whose own prior counts as `PRIOR_PEOPLE` people.
    fits : sequence of PersonFit
        The people.
    weights : ndarray of float64, shape (n_people,), optional
        How far each counts, 0 to 1; wholly by default.

    Returns
    -------
    mean, sd : ndarray of float64, shape (n_parameters,)
        On the unbounded scale.
    """
    share = np.ones((len(fits), 1)) if weights is None else weights[:, None]
    modes = np.array([fit.mode for fit in fits])
    variances = np.array([np.diag(fit.covariance) for fit in fits])
    total = PRIOR_PEOPLE + share.sum()
    mean: Floats = (PRIOR_PEOPLE * model.prior_mean + (share * modes).sum(axis=0)) / total
    spread = (share * ((modes - mean) ** 2 + variances)).sum(axis=0)
    sd: Floats = np.sqrt((PRIOR_PEOPLE * model.prior_sd**2 + spread) / total)
    return mean, sd


class Search:
    """The search for one person's parameters.

    Parameters
    ----------
    model : Model
        The model.
    behaviour : Behaviour
        The person.
    mask : ndarray of bool, shape (n_trials,)
        Which trials count.
    """

    def __init__(self, model: Model, behaviour: Behaviour, mask: Mask):
        self.model, self.behaviour = model, behaviour
        # A slice takes no copy: most searches are of all trials.
        self.rows = slice(None) if mask.all() else mask
        reach = MAX_DISTANCE * model.prior_sd
        self.bounds = list(zip(model.prior_mean - reach, model.prior_mean + reach, strict=True))
        self.low, self.high = model.prior_mean - reach, model.prior_mean + reach

    def log_likelihood(self, x: Floats) -> float:
        """Return the log-likelihood of the trials that count."""
        trials, _ = self.model.evaluate(self.model.values(x), self.behaviour)
        own = trials[self.rows]
        # As np.nansum, which takes three times as long for so few trials.
        return float(np.where(np.isnan(own), 0.0, own).sum())

    def cost(self, x: Floats, mean: Floats, sd: Floats) -> float:
        """Return what is minimised: the negative logarithm of the posterior, but for a constant."""
        return 0.5 * float((((x - mean) / sd) ** 2).sum()) - self.log_likelihood(x)

    def best(self, starts: Sequence[Floats], mean: Floats, sd: Floats) -> Floats:
        """Return the most probable parameters under a prior, searched from several starts."""
        found = [self._descend(np.clip(x, self.low, self.high), mean, sd) for x in starts]
        return min(found, key=lambda one: one[0])[1]

    def follow(self, fit: PersonFit, mean: Floats, sd: Floats) -> Floats:
        """Return where a mode goes when the prior moves a little: one step of Newton's.

        A search of its own per round costs ten times as much, and changes nothing in the end.
        """
        if not self.model.smooth:
            return self.best([fit.mode], mean, sd)
        before, slope = self._cost_and_slope(fit.mode, mean, sd)
        step = np.linalg.solve(fit.curvature + np.diag(1 / sd**2), slope)
        moved = np.clip(fit.mode - step, self.low, self.high)
        return moved if self.cost(moved, mean, sd) < before else fit.mode

    def _descend(self, x: Floats, mean: Floats, sd: Floats) -> tuple[float, Floats]:
        if self.model.smooth:
            result = minimize(
                self._cost_and_slope,
                x,
                (mean, sd),
                "L-BFGS-B",
                jac=True,
                bounds=self.bounds,
            )
        else:
            result = minimize(
                self.cost,
                x,
                (mean, sd),
                "Nelder-Mead",
                bounds=self.bounds,
                options={
                    "initial_simplex": np.vstack([x, x + np.diag(0.5 * sd)]),
                    "xatol": 0.01,
                    "fatol": 0.01,
                    "maxfev": 200,
                },
            )
        return float(result.fun), np.asarray(result.x)

    def _cost_and_slope(self, x: Floats, mean: Floats, sd: Floats) -> tuple[float, Floats]:
        here = self.log_likelihood(x)
        step = 1e-6
        slope = (x - mean) / sd**2
        for i in range(len(x)):
            moved = x.copy()
            moved[i] += step
            slope[i] -= (self.log_likelihood(moved) - here) / step
        return 0.5 * float((((x - mean) / sd) ** 2).sum()) - here, slope

    def laplace(self, mode: Floats, mean: Floats, sd: Floats) -> PersonFit:
        """Return what Laplace's approximation says at the mode."""
        curvature = self._curvature(mode)
        values, vectors = np.linalg.eigh(curvature)
        # A likelihood that is flat or bent the wrong way says nothing: there the prior stands.
        curvature = (vectors * np.maximum(values, 0.0)) @ vectors.T
        precision = curvature + np.diag(1 / sd**2)
        log_likelihood = self.log_likelihood(mode)
        _, log_precision = np.linalg.slogdet(precision)
        log_prior = -0.5 * float((((mode - mean) / sd) ** 2).sum()) - float(np.log(sd).sum())
        evidence = log_likelihood + log_prior - 0.5 * float(log_precision)
        return PersonFit(mode, np.linalg.inv(precision), curvature, log_likelihood, evidence)

    def sampled_covariance(self, mode: Floats, mean: Floats, sd: Floats, seed: int) -> Floats:
        """Return the posterior's second moments around its mode, by importance sampling.

        The mode of a likelihood with jumps stands on a spike, whose curvature says how narrow the
        spike is, not how far the parameters may lie from it. First draws, as wide as the prior, say
        where the posterior is, later ones from there how wide (adaptive importance sampling, Cappé
        et al. 2004, doi:10.1198/106186004X12803).
        """
        rng = np.random.default_rng(seed)
        n = len(mode)
        centre, moments = mean, np.diag(sd**2)
        for _ in range(SAMPLE_ROUNDS):
            scale = np.linalg.cholesky(moments + 1e-6 * np.diag(sd**2))
            standard = rng.normal(size=(N_DRAWS, n))
            standard *= np.sqrt(TAIL / rng.chisquare(TAIL, N_DRAWS))[:, None]
            draws = np.clip(centre + standard @ scale.T, self.low, self.high)
            log_drawn = -0.5 * (TAIL + n) * np.log1p((standard**2).sum(axis=1) / TAIL)
            weights = _flattened(-np.array([self.cost(x, mean, sd) for x in draws]) - log_drawn)
            centre = weights @ draws
            away = draws - centre
            moments = (weights[:, None] * away).T @ away
        away = draws - mode
        covariance: Floats = (weights[:, None] * away).T @ away
        return covariance

    def _curvature(self, mode: Floats) -> Floats:
        """Return the Hessian of the negative log-likelihood, by central differences."""
        n = len(mode)
        step = SMOOTH_STEP if self.model.smooth else ROUGH_STEP
        moves = step * np.eye(n)
        centre = self.log_likelihood(mode)
        up = [self.log_likelihood(mode + move) for move in moves]
        down = [self.log_likelihood(mode - move) for move in moves]
        hessian = np.empty((n, n))
        for i in range(n):
            hessian[i, i] = 2 * centre - up[i] - down[i]
            for j in range(i):
                both = self.log_likelihood(mode + moves[i] + moves[j])
                neither = self.log_likelihood(mode - moves[i] - moves[j])
                mixed = both + neither + 2 * centre - up[i] - down[i] - up[j] - down[j]
                hessian[i, j] = hessian[j, i] = -mixed / 2
        result: Floats = hessian / step**2
        return result


def _flattened(log_weights: Floats) -> Floats:
    """Return weights that sum to 1, to the power at which at least `MIN_DRAWS` draws count."""
    power = 1.0
    while True:
        weights: Floats = softmax(power * log_weights)
        if 1.0 / float((weights**2).sum()) >= MIN_DRAWS:
            return weights
        power *= 0.8
