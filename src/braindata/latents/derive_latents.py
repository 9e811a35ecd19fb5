"""The tables `latents` and `latent_fits` of one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from braindata.latents.columns import Columns, Person, RunEvents, read_people, why_not
from braindata.latents.comparison import (
    beats_chance,
    bic,
    chance_log_likelihood,
    held_out_log_likelihood,
)
from braindata.latents.fitting import PersonFit, fit_group
from braindata.latents.mixture import compare_models
from braindata.latents.models.base import Model
from braindata.tables.schemas.latents import LATENT_FITS, LATENTS

Floats = NDArray[np.float64]

SEPARATED = (
    "the model predicts every choice: how strictly the person follows it has no upper bound in the "
    "data, and its interval is the group's"
)


@dataclass
class _Fitted:
    """What is known of one person by one model."""

    person: Person
    model: Model
    reason: str | None = None
    fit: PersonFit | None = None
    group: Floats | None = None
    evidence: float | None = None
    probability: float | None = None
    n_trials: int | None = None
    held_out: float | None = None
    chance: float | None = None
    beats_chance: bool | None = None
    warnings: list[str] = field(default_factory=list)


def derive_latents(
    runs: Sequence[RunEvents], models: Sequence[Model], columns: Columns, seed: int = 0
) -> tuple[pa.Table, pa.Table, dict[str, str]]:
    """Fit models to the behaviour of a data set and return what they say of each trial.

    Parameters
    ----------
    runs : sequence of RunEvents
        The recordings with events.
    models : sequence of Model
        The models.
    columns : Columns
        Where the behaviour is in the events.
    seed : int
        Seed of the searches' starts.

    Returns
    -------
    latents : pyarrow.Table
        Schema `LATENTS`: a row per trial, model and latent.
    fits : pyarrow.Table
        Schema `LATENT_FITS`: a row per person, model and parameter.
    reasons : dict of str to str
        By recording, why some model has no values in it.
    """
    people = read_people(runs, columns)
    latents, fits = [LATENTS.empty_table()], [LATENT_FITS.empty_table()]
    reasons: dict[str, str] = {}
    for task in sorted({person.task for person in people}):
        of_task = [person for person in people if person.task == task]
        by_model = [_fit(model, of_task, columns, seed) for model in models]
        _compare(by_model)
        for number, person in enumerate(of_task):
            own = [fitted[number] for fitted in by_model]
            preferred = _preferred(own)
            for one in own:
                latents.append(_latent_rows(one))
                fits.append(_fit_rows(one, preferred[one.model.name]))
                for run in person.runs:
                    if one.reason:
                        reasons.setdefault(run.key.recording, f"{one.model.name}: {one.reason}")
    return pa.concat_tables(latents), pa.concat_tables(fits), reasons


def _fit(model: Model, people: Sequence[Person], columns: Columns, seed: int) -> list[_Fitted]:
    everybody = [_Fitted(person, model, why_not(model, person, columns)) for person in people]
    fitted = [one for one in everybody if one.reason is None]
    if not fitted:
        return everybody
    behaviours = [one.person.behaviour for one in fitted]
    group = fit_group(model, behaviours, seed=seed)
    held_out = held_out_log_likelihood(model, behaviours, seed=seed)
    for one, fit, trials in zip(fitted, group.people, held_out, strict=True):
        chance = chance_log_likelihood(model, one.person.behaviour)
        both = np.isfinite(trials) & np.isfinite(chance)
        one.fit, one.group, one.evidence = fit, group.mean, fit.log_evidence
        likelihoods, _ = model.evaluate(model.values(fit.mode), one.person.behaviour)
        one.n_trials = int(np.isfinite(likelihoods).sum())
        one.held_out, one.chance = float(trials[both].mean()), float(chance[both].mean())
        one.beats_chance = beats_chance(model, one.person.behaviour, trials, chance)
        one.warnings = list(one.person.oddities)
        if model.explains == "choice" and np.nanmin(likelihoods) > np.log(0.5):
            one.warnings.append(SEPARATED)
        if not one.beats_chance:
            one.reason = (
                "held-out choices are not predicted better than by the person's own response rate "
                f"({one.held_out:.3f} against {one.chance:.3f} nat per trial) and by even odds"
            )
    return everybody


def _compare(by_model: Sequence[Sequence[_Fitted]]) -> None:
    """Fill in the probabilities of models, over the people whom all of a kind were fitted to."""
    for kind in sorted({own[0].model.explains for own in by_model if own}):
        alike = [own for own in by_model if own[0].model.explains == kind]
        alike = [own for own in alike if any(one.fit is not None for one in own)]
        everywhere = [
            people
            for people in zip(*alike, strict=True)
            if all(one.fit is not None for one in people)
        ]
        if not everywhere:
            continue
        if len(alike) == 1:
            for (one,) in everywhere:
                one.probability = 1.0
            continue
        found = compare_models(
            [one.model for one in everywhere[0]],
            [people[0].person.behaviour for people in everywhere],
            [
                [one.fit.mode for one in own if one.fit is not None]
                for own in zip(*everywhere, strict=True)
            ],
        )
        for number, people in enumerate(everywhere):
            for one, probability, evidence in zip(
                people, found.probabilities[:, number], found.log_evidences[:, number], strict=True
            ):
                one.probability, one.evidence = float(probability), float(evidence)


def _preferred(fitted: Sequence[_Fitted]) -> Mapping[str, bool | None]:
    """Return by model whether it is the person's most probable, of those that explain the same."""
    best: dict[str, float] = {}
    for one in fitted:
        if one.probability is not None:
            kind = one.model.explains
            best[kind] = max(best.get(kind, 0.0), one.probability)
    return {
        one.model.name: None
        if one.probability is None
        else one.probability == best[one.model.explains]
        for one in fitted
    }


def _latent_rows(one: _Fitted) -> pa.Table:
    person, model = one.person, one.model
    n, n_latents = person.behaviour.n_trials, len(model.latents)
    values = np.full((n, n_latents), np.nan)
    if one.fit is not None and one.reason is None:
        _, values = model.evaluate(model.values(one.fit.mode), person.behaviour)
    keys = [run.key for run in person.runs for _ in range(len(run.events))]
    # In the order of the file, whose rows `trial` counts; values are in the order of time.
    trials = np.concatenate([run.events.index.to_numpy() for run in person.runs])
    order = np.lexsort((trials, person.behaviour.sequence))
    trials, values = trials[order], values[order]
    columns: dict[str, Any] = {
        name: [getattr(key, name) for key in keys for _ in model.latents]
        for name in ("dataset", "recording", "subject", "session", "task", "run")
    }
    n_rows = n * n_latents
    columns |= {
        "trial": np.repeat(trials, n_latents),
        "model": [model.name] * n_rows,
        "model_version": [model.version] * n_rows,
        "latent": list(model.latents) * n,
        "value": _nullable(values.ravel()),
        "fitted_on": [_fitted_on(one)] * n_rows,
        "held_out_log_likelihood": [one.held_out] * n_rows,
        "chance_log_likelihood": [one.chance] * n_rows,
        "reason": [one.reason] * n_rows,
    }
    return _table(columns, LATENTS)


def _fit_rows(one: _Fitted, preferred: bool | None) -> pa.Table:
    person, model = one.person, one.model
    n = len(model.parameters)
    nothing: list[float | None] = [None] * n
    value, error, lower, upper, group = [nothing] * 5
    if one.fit is not None and one.group is not None:
        mode, sd = one.fit.mode, one.fit.sd
        pairs = list(zip(model.parameters, mode, sd, strict=True))
        value = [float(p.value(x)) for p, x, _ in pairs]
        # By the slope of the value on the unbounded scale.
        error = [
            float(p.value(x + 1e-4) - p.value(x - 1e-4)) / 2e-4 * float(s) for p, x, s in pairs
        ]
        low, high = one.fit.interval
        lower = [float(p.value(x)) for p, x in zip(model.parameters, low, strict=True)]
        upper = [float(p.value(x)) for p, x in zip(model.parameters, high, strict=True)]
        group = [float(p.value(x)) for p, x in zip(model.parameters, one.group, strict=True)]
    likelihood = None if one.fit is None else one.fit.log_likelihood
    constant = {
        "dataset": person.runs[0].key.dataset,
        "subject": person.subject,
        "task": person.task or None,
        "model": model.name,
        "model_version": model.version,
        "n_trials": one.n_trials,
        "log_likelihood": likelihood,
        "bic": None
        if likelihood is None or one.n_trials is None
        else bic(likelihood, n, one.n_trials),
        "log_evidence": one.evidence,
        "model_probability": one.probability,
        "held_out_log_likelihood": one.held_out,
        "chance_log_likelihood": one.chance,
        "beats_chance": one.beats_chance,
        "preferred": preferred,
        "fitted_on": _fitted_on(one),
        "reason": one.reason,
        "warnings": one.warnings or person.oddities,
    }
    columns: dict[str, Any] = {name: [content] * n for name, content in constant.items()}
    columns |= {
        "parameter": [p.name for p in model.parameters],
        "value": value,
        "standard_error": error,
        "lower": lower,
        "upper": upper,
        "group_value": group,
    }
    return _table(columns, LATENT_FITS)


def _fitted_on(one: _Fitted) -> list[str] | None:
    return None if one.fit is None else [run.key.recording for run in one.person.runs]


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def _table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(columns[name], schema.field(name).type) for name in schema.names]
    return pa.table(arrays, schema=schema)
