"""Drift diffusion: choices and response times as first passages (Ratcliff & McKoon 2008).

doi:10.1162/neco.2008.12-06-420. The density is the series of Navarro & Fuss 2009
(doi:10.1016/j.jmp.2009.02.003). The diffusion coefficient is 1; the second option lies at the upper
boundary.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from braindata.latents.behaviour import Behaviour, Integers, Task
from braindata.latents.models.base import Model, Parameter

Floats = NDArray[np.float64]

LATENTS = ("value_difference", "confidence", "decision_time")
# Share of responses that come from anywhere: without it one that is too fast would rule out the
# person's true parameters (Ratcliff & Tuerlinckx 2002, doi:10.3758/BF03196302).
CONTAMINANTS = 0.01
PRECISION = 1e-10
STEP = 1e-3
# By how much steps of finite length overshoot a boundary, in standard deviations of a step
# (Siegmund 1979, doi:10.1214/aop/1176994963; the constant is -zeta(1/2)/sqrt(2 pi)).
OVERSHOOT = 0.5826
MAX_SIMULATED = 20.0

DRIFT = Parameter("drift", "identity", 0.0, 1.5, "Drift towards the second option, per s.")
DRIFT_EVIDENCE = Parameter(
    "drift_evidence", "identity", 1.0, 1.5, "Further drift per unit of `evidence`, per s."
)
BOUNDARY = Parameter(
    "boundary", "log", 0.4, 0.6, "Distance of the boundaries: how much evidence is awaited."
)
NON_DECISION_TIME = Parameter(
    "non_decision_time", "logit", -0.8, 0.8, "Time for seeing and moving, in s."
)
START_BIAS = Parameter(
    "start_bias", "logit", 0.0, 0.8, "Where it starts, from the first option (0) to the second (1)."
)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def first_passage_density(time: float, drift: float, boundary: float, start: float) -> float:
    """Return the density of reaching the lower boundary at a time.

    Navarro & Fuss 2009: of the series for small and for large times, the one that needs fewer
    terms.

    Parameters
    ----------
    time : float
        In s, above 0.
    drift, boundary, start : float
        Drift per s, distance of the boundaries, start as a share of it from the lower one.
    """
    scaled = time / boundary**2
    # Terms that the series for large times needs, then the one for small times.
    if np.pi * scaled * PRECISION < 1:
        large = np.sqrt(-2 * np.log(np.pi * scaled * PRECISION) / (np.pi**2 * scaled))
        large = max(large, 1 / (np.pi * np.sqrt(scaled)))
    else:
        large = 1 / (np.pi * np.sqrt(scaled))
    if 2 * np.sqrt(2 * np.pi * scaled) * PRECISION < 1:
        small = 2 + np.sqrt(-2 * scaled * np.log(2 * np.sqrt(2 * np.pi * scaled) * PRECISION))
        small = max(small, np.sqrt(scaled) + 1)
    else:
        small = 2.0
    density = 0.0
    if small < large:
        n_terms = int(np.ceil(small))
        for k in range(-((n_terms - 1) // 2), int(np.ceil((n_terms - 1) / 2)) + 1):
            place = start + 2 * k
            density += place * np.exp(-(place**2) / (2 * scaled))
        density /= np.sqrt(2 * np.pi * scaled**3)
    else:
        for k in range(1, int(np.ceil(large)) + 1):
            density += k * np.exp(-(k**2) * np.pi**2 * scaled / 2) * np.sin(k * np.pi * start)
        density *= np.pi
    tilt = np.exp(-drift * boundary * start - drift**2 * time / 2)
    return float(max(density, 0.0) * tilt / boundary**2)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def upper_probability(drift: float, boundary: float, start: float) -> float:
    """Return the probability of reaching the upper boundary first."""
    if abs(drift * boundary) < 1e-6:
        return start
    # Written so that no exponential overflows, whatever the sign of the drift.
    if drift > 0:
        return float(np.expm1(-2 * drift * boundary * start) / np.expm1(-2 * drift * boundary))
    back = np.expm1(2 * drift * boundary * (1 - start)) / np.expm1(2 * drift * boundary)
    return float(1.0 - back)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _run(
    drifts: Floats,
    boundary: float,
    non_decision: float,
    start: float,
    choice: Integers,
    response_time: Floats,
    longest: float,
    log_likelihood: Floats,
    latents: Floats,
) -> None:
    for t in range(len(choice)):
        if choice[t] < 0 or np.isnan(drifts[t]):
            continue
        upper = choice[t] == 1
        chance = upper_probability(drifts[t], boundary, start)
        latents[t, 0] = drifts[t] if upper else -drifts[t]
        latents[t, 1] = chance if upper else 1.0 - chance
        time = response_time[t] - non_decision
        if np.isnan(time) or response_time[t] <= 0:
            continue
        latents[t, 2] = time if time > 0 else np.nan
        density = 0.0
        if time > 0:
            if upper:
                density = first_passage_density(time, -drifts[t], boundary, 1.0 - start)
            else:
                density = first_passage_density(time, drifts[t], boundary, start)
        log_likelihood[t] = np.log((1.0 - CONTAMINANTS) * density + CONTAMINANTS / (2.0 * longest))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _first_passage(drift: float, boundary: float, start: float, steps: Floats) -> float:
    """Return when a path reaches a boundary; negative for the lower one, NaN for none."""
    inward = OVERSHOOT * np.sqrt(STEP)
    place = boundary * start
    for i in range(len(steps)):
        place += drift * STEP + np.sqrt(STEP) * steps[i]
        if place >= boundary - inward:
            return (i + 1) * STEP
        if place <= inward:
            return -(i + 1) * STEP
    return np.nan


def _make(name: str, parameters: tuple[Parameter, ...], summary: str) -> Model:
    with_evidence = DRIFT_EVIDENCE in parameters

    def drifts(values: Floats, evidence: Floats) -> Floats:
        if not with_evidence:
            return np.full(len(evidence), values[0])
        along: Floats = values[0] + values[1] * evidence
        return along

    def evaluate(values: Floats, behaviour: Behaviour) -> tuple[Floats, Floats]:
        n = behaviour.n_trials
        log_likelihood, latents = np.full(n, np.nan), np.full((n, len(LATENTS)), np.nan)
        times = behaviour.response_time
        longest = np.nanmax(times, initial=STEP)
        _run(
            drifts(values, behaviour.evidence),
            *values[-3:],
            behaviour.choice,
            times,
            longest,
            log_likelihood,
            latents,
        )
        return log_likelihood, latents

    def simulate(values: Floats, task: Task, rng: np.random.Generator) -> Behaviour:
        blank = task.blank()
        boundary, non_decision, start = values[-3:]
        passages = np.array(
            [
                _first_passage(
                    drift, boundary, start, rng.standard_normal(int(MAX_SIMULATED / STEP))
                )
                for drift in drifts(values, blank.evidence)
            ]
        )
        there = np.isfinite(passages)
        choice = np.where(there, passages > 0, -1).astype(np.int64)
        times = np.where(there, np.abs(passages) + non_decision, np.nan)
        return replace(blank, choice=choice, response_time=times)

    return Model(
        name=name,  # type: ignore[arg-type]
        version=1,
        summary=summary,
        reference="Ratcliff & McKoon 2008, doi:10.1162/neco.2008.12-06-420",
        parameters=parameters,
        needs=("choice", "response_time", *(("evidence",) if with_evidence else ())),
        latents=LATENTS,
        evaluate=evaluate,
        simulate=simulate,
        options=2,
        explains="choice and response time",
    )


DIFFUSION_MODELS = (
    _make(
        "drift_diffusion",
        (DRIFT, BOUNDARY, NON_DECISION_TIME, START_BIAS),
        "Evidence for two options is gathered up to a boundary, at one drift.",
    ),
    _make(
        "drift_diffusion_evidence",
        (DRIFT, DRIFT_EVIDENCE, BOUNDARY, NON_DECISION_TIME, START_BIAS),
        "The same, with a drift that follows the strength of the stimulus.",
    ),
)
