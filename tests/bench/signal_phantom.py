"""Series of regions that follow what people compute, with the correlation that is to be found.

People learn by a Q-learning model between two options whose chances walk. Each trial's response
has a mean and follows one latent, each person by their own degree; noise is autocorrelated, and
responses vary from trial to trial besides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy import signal
from scipy.linalg import toeplitz

from braindata.derive.design import frame_times, nuisance_columns, trial_regressors
from braindata.derive.lss import lss
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.trials import RecordingEvents, derive_trials
from braindata.latents.columns import RunEvents
from braindata.latents.recovery import walking_bandit
from braindata.latents.registry import MODELS
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.latents import LATENTS
from braindata.tables.schemas.series import SERIES

Floats = NDArray[np.float64]

TR, N_VOLUMES, N_TRIALS, N_RUNS = 2.0, 165, 40, 2
RHO, NOISE, VARIABILITY = 0.3, 0.35, 0.2
# Mean over people of the slope on the standardised latent, and how much people differ.
SLOPE, SLOPE_SD = 0.15, 0.06
PARAMETERS = DeriveParameters(confounds="none")
MAPPING = EventMapping(choice="choice", outcome="outcome")
# Which region follows what. Two follow the value; one responds to every trial alike.
FOLLOWS = {
    "vmpfc": "value_chosen",
    "ofc": "value_chosen",
    "ventral_striatum": "prediction_error",
    "acc": "confidence",
    "amygdala": None,
}
# Process: its regions and its target.
PROCESSES = {
    "value": (("vmpfc", "ofc"), "latent:value_chosen"),
    "prediction_error": (("ventral_striatum",), "latent:prediction_error"),
    "confidence": (("acc",), "latent:confidence"),
    "nothing": (("amygdala",), "latent:value_chosen"),
}


@dataclass(frozen=True)
class Phantom:
    """One simulated data set.

    Attributes
    ----------
    trials : dict of str to pyarrow.Table
        By region, rows of `trials`.
    latents : pyarrow.Table
        The true ones, as rows of `latents`.
    runs : list of RunEvents
        The events, to fit models to.
    analytic : dict of str to list of float
        By process, Fisher's z of the correlation that is expected in each person.
    """

    trials: dict[str, pa.Table]
    latents: pa.Table
    runs: list[RunEvents]
    analytic: dict[str, list[float]]


def simulate(seed: int, n_people: int = 20) -> Phantom:
    """Simulate a data set."""
    rng = np.random.default_rng(seed)
    model = MODELS["q_learning"]
    recordings: list[RecordingEvents] = []
    series: dict[str, list[dict]] = {region: [] for region in FOLLOWS}
    rows: list[dict] = []
    analytic: dict[str, list[float]] = {name: [] for name in PROCESSES}
    times = frame_times(N_VOLUMES, TR, PARAMETERS.slice_time_ref)
    nuisance = nuisance_columns(pd.DataFrame(), "none", times, PARAMETERS.high_pass)
    noise = NOISE**2 * toeplitz(RHO ** np.arange(N_VOLUMES))
    for number in range(n_people):
        subject = f"{number + 1:02d}"
        values = np.array([rng.uniform(0.2, 0.7), rng.uniform(3, 8)])
        slopes = {region: rng.normal(SLOPE, SLOPE_SD) for region in FOLLOWS}
        expected: dict[str, list[float]] = {name: [] for name in PROCESSES}
        for run in range(N_RUNS):
            behaviour = model.simulate(values, walking_bandit(N_TRIALS, rng), rng)
            _, latents = model.evaluate(values, behaviour)
            onsets = 4.0 + np.cumsum(rng.uniform(6.0, 9.0, N_TRIALS))
            key = RecordingKey("ds", f"sub-{subject}_run-{run}", subject, None, "bandit", str(run))
            events = pd.DataFrame(
                {
                    "onset": onsets,
                    "duration": 1.0,
                    "choice": [behaviour.options[i] for i in behaviour.choice],
                    "outcome": behaviour.outcome,
                }
            )
            recordings.append(RecordingEvents(key, events, pd.DataFrame(), TR))
            columns = dict(zip(model.latents, latents.T, strict=True))
            rows += [
                {
                    **{n: getattr(key, n) for n in ("dataset", "recording", "subject", "task")},
                    "trial": trial,
                    "model": model.name,
                    "latent": name,
                    "value": float(value),
                    "held_out_log_likelihood": -0.5,
                    "chance_log_likelihood": -0.7,
                }
                for name, column in columns.items()
                for trial, value in enumerate(column)
            ]
            shapes, heights = trial_regressors(onsets, np.ones(N_TRIALS), times, "spm")
            shapes = shapes / heights
            # Estimates are linear in the series: of unit vectors they are the weights.
            weights = lss(np.eye(N_VOLUMES), shapes, nuisance).estimate
            spread = weights @ (noise + VARIABILITY**2 * shapes @ shapes.T) @ weights.T
            for region, latent in FOLLOWS.items():
                z = standard(columns[latent]) if latent else np.zeros(N_TRIALS)
                amplitudes = 1 + slopes[region] * z
                varied = amplitudes + rng.normal(0, VARIABILITY, N_TRIALS)
                drawn = rng.standard_normal(N_VOLUMES + 100) * NOISE * np.sqrt(1 - RHO**2)
                along = shapes @ varied + signal.lfilter([1], [1, -RHO], drawn)[100:]
                series[region].append(series_row(key, region, 1000 + 10 * along))
            for name, (regions, target) in PROCESSES.items():
                z = standard(columns[target.partition(":")[2]])
                followed = [FOLLOWS[region] is not None for region in regions]
                slope = np.mean([slopes[region] for region in regions]) * all(followed)
                expected[name].append(
                    expected_correlation(
                        z, weights @ shapes @ (1 + slope * z), spread, len(regions)
                    )
                )
        for name, found in expected.items():
            analytic[name].append(float(np.arctanh(np.mean(found))))
    trials = {
        region: derive_trials(
            pa.Table.from_pylist(own, schema=SERIES), recordings, PARAMETERS, MAPPING
        )[0]
        for region, own in series.items()
    }
    runs = [RunEvents(one.key, one.events) for one in recordings]
    return Phantom(trials, pa.Table.from_pylist(rows, schema=LATENTS), runs, analytic)


def standard(values: Floats) -> Floats:
    """Return values with mean 0 and standard deviation 1."""
    result: Floats = (values - values.mean()) / values.std()
    return result


def expected_correlation(z: Floats, mean: Floats, spread: Floats, n_regions: int) -> float:
    """Return the correlation of a latent with estimates of this mean and covariance.

    Parameters
    ----------
    z : ndarray, shape (n_trials,)
        The latent, standardised.
    mean, spread : ndarray, shape (n_trials,) and (n_trials, n_trials)
        Of the estimates of one region.
    n_regions : int
        Over how many such regions with noise of their own is averaged.
    """
    n = len(z)
    centred = mean - mean.mean()
    variance = (np.trace(spread) - spread.sum() / n) / n / n_regions
    return float(z @ centred / n / np.sqrt(centred @ centred / n + variance))


def series_row(key: RecordingKey, region: str, values: Floats) -> dict:
    """Return a row of `series`."""
    return {
        **{n: getattr(key, n) for n in ("dataset", "recording", "subject", "task", "run")},
        "region": region,
        "definition_hash": f"hash of {region}",
        "strategy": "none",
        "values": values.tolist(),
        "kept": [True] * len(values),
        "sampling_frequency": 1 / TR,
    }
