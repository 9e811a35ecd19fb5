"""Choices of gambles: gains against losses, which weigh more (Tom et al. 2007).

doi:10.1126/science.1134239, after Kahneman & Tversky 1979 (doi:10.2307/1914185); gains and losses
of equal chances, values linear in the amounts, as is usual for small stakes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from braindata.latents.behaviour import Behaviour, Task
from braindata.latents.models.base import Model, Parameter

Floats = NDArray[np.float64]

OPTIONS = ("reject", "accept")
LATENTS = ("value_chosen", "value_difference", "confidence")

LOSS_AVERSION = Parameter(
    "loss_aversion", "log", 0.5, 0.7, "How many times a loss weighs more than an equal gain."
)
SENSITIVITY = Parameter(
    "sensitivity", "log", -1.5, 1.5, "Log-odds of accepting per unit of the gamble's value."
)
BIAS = Parameter("bias", "identity", 0.0, 1.5, "Log-odds of accepting a gamble of value 0.")


def _weights(values: Floats) -> tuple[float, float, float]:
    sensitivity, bias = values[-2], values[-1]
    return sensitivity, bias, values[0] if len(values) == 3 else 1.0


def _evaluate(values: Floats, behaviour: Behaviour) -> tuple[Floats, Floats]:
    sensitivity, bias, loss_aversion = _weights(values)
    value = behaviour.gain - loss_aversion * behaviour.loss
    log_odds = bias + sensitivity * value
    accepted = behaviour.choice == behaviour.options.index("accept")
    there = behaviour.choice >= 0
    log_likelihood = np.where(there, log_expit(np.where(accepted, log_odds, -log_odds)), np.nan)
    latents = np.column_stack(
        [np.where(accepted, value, 0.0), np.where(accepted, value, -value), np.exp(log_likelihood)]
    )
    latents[~there] = np.nan
    return log_likelihood, latents


def _simulate(values: Floats, task: Task, rng: np.random.Generator) -> Behaviour:
    sensitivity, bias, loss_aversion = _weights(values)
    blank = task.blank()
    log_odds = bias + sensitivity * (task.gain - loss_aversion * task.loss)
    drawn = rng.random(task.n_trials) < expit(log_odds)
    accept, reject = (task.options.index(name) for name in ("accept", "reject"))
    return replace(blank, choice=np.where(drawn, accept, reject).astype(np.int64))


PROSPECT = Model(
    name="prospect",
    version=1,
    summary="A gamble's value is its gain less its loss times the loss aversion.",
    reference="Tom et al. 2007, doi:10.1126/science.1134239",
    parameters=(LOSS_AVERSION, SENSITIVITY, BIAS),
    needs=("choice", "gain", "loss"),
    latents=LATENTS,
    evaluate=_evaluate,
    simulate=_simulate,
    options=OPTIONS,
)
EXPECTED_VALUE = replace(
    PROSPECT,
    name="expected_value",
    summary="A gamble's value is its gain less its loss: what loss aversion is compared with.",
    reference="von Neumann & Morgenstern 1944",
    parameters=(SENSITIVITY, BIAS),
)
