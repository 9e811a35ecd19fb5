"""What a model of behaviour is: parameters, likelihood and latents, simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from braindata.latents.behaviour import Behaviour, Task
from braindata.latents.names import ModelName

Floats = NDArray[np.float64]
# The columns of behaviour that a model can need.
Need = Literal["choice", "outcome", "stimulus", "response_time", "gain", "loss", "evidence"]

# On the unbounded scale nothing lies beyond: exp(30) is infinite temperature and infinite drift.
MAX_UNBOUNDED = 30.0


@dataclass(frozen=True)
class Parameter:
    """A parameter of a model.

    Its prior is Gaussian on an unbounded scale; fitting a group moves and narrows it.

    Attributes
    ----------
    name : str
        Name, in the tables.
    scale : {"identity", "log", "logit"}
        How the value gets onto the unbounded scale; `logit` runs from `lower` to `upper`.
    mean, sd : float
        Of the prior, on the unbounded scale.
    description : str
        What it does.
    lower, upper : float
        Bounds of the value.
    """

    name: str
    scale: Literal["identity", "log", "logit"]
    mean: float
    sd: float
    description: str
    lower: float = 0.0
    upper: float = 1.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value that it can have."""
        match self.scale:
            case "identity":
                return -np.inf, np.inf
            case "log":
                return 0.0, np.inf
            case _:
                return self.lower, self.upper

    def value(self, unbounded: Floats | float) -> Floats:
        """Return the value of a number on the unbounded scale."""
        x = np.clip(unbounded, -MAX_UNBOUNDED, MAX_UNBOUNDED)
        match self.scale:
            case "identity":
                return np.asarray(x, dtype=np.float64)
            case "log":
                return np.asarray(np.exp(x))
            case _:
                return np.asarray(self.lower + (self.upper - self.lower) * expit(x))

    def plain_value(self, unbounded: float) -> float:
        """Return the value of one number on the unbounded scale."""
        x = min(max(unbounded, -MAX_UNBOUNDED), MAX_UNBOUNDED)
        match self.scale:
            case "identity":
                return x
            case "log":
                return math.exp(x)
            case _:
                return self.lower + (self.upper - self.lower) / (1.0 + math.exp(-x))

    def unbounded(self, value: Floats | float) -> Floats:
        """Return the number on the unbounded scale of a value."""
        match self.scale:
            case "identity":
                return np.asarray(value, dtype=np.float64)
            case "log":
                return np.asarray(np.log(value))
            case _:
                return np.asarray(
                    logit((np.asarray(value) - self.lower) / (self.upper - self.lower))
                )


Evaluate = Callable[[Floats, Behaviour], tuple[Floats, Floats]]
Simulate = Callable[[Floats, Task, np.random.Generator], Behaviour]


@dataclass(frozen=True)
class Model:
    """A model of behaviour.

    Attributes
    ----------
    name : str
        Name, in the configuration and in the tables.
    version : int
        Raised whenever its results change.
    summary, reference : str
        What it says of a person, and which publication it follows.
    parameters : tuple of Parameter
        Its free parameters.
    needs : tuple of str
        Columns of behaviour without which it cannot be fitted.
    latents : tuple of str
        What `evaluate` returns for each trial.
    evaluate : callable
        ``(values, behaviour) -> (log_likelihood, latents)``, of shapes (n_trials,) and
        (n_trials, n_latents); NaN for trials that say nothing.
    simulate : callable
        ``(values, task, rng) -> behaviour``.
    options : tuple of str or int or None
        Which options there must be, or how many; None: any.
    explains : {"choice", "choice and response time"}
        What the likelihood is of; only models that explain the same thing are compared.
    smooth : bool
        Whether the likelihood is a smooth function of the parameters.
    """

    name: ModelName
    version: int
    summary: str
    reference: str
    parameters: tuple[Parameter, ...]
    needs: tuple[Need, ...]
    latents: tuple[str, ...]
    evaluate: Evaluate
    simulate: Simulate
    options: tuple[str, ...] | int | None = None
    explains: Literal["choice", "choice and response time"] = "choice"
    smooth: bool = True

    @property
    def prior_mean(self) -> Floats:
        """Means of the default prior, on the unbounded scale."""
        return np.array([one.mean for one in self.parameters])

    @property
    def prior_sd(self) -> Floats:
        """Standard deviations of the default prior, on the unbounded scale."""
        return np.array([one.sd for one in self.parameters])

    def values(self, unbounded: Floats) -> Floats:
        """Return the values of the parameters from the unbounded scale."""
        # Called by every step of a search: plain numbers take a tenth of the time of arrays.
        pairs = zip(self.parameters, unbounded.tolist(), strict=True)
        return np.array([one.plain_value(x) for one, x in pairs])

    def unbounded(self, values: Floats) -> Floats:
        """Return the parameters on the unbounded scale."""
        pairs = zip(self.parameters, values, strict=True)
        return np.array([float(one.unbounded(x)) for one, x in pairs])


# Parameters that several models have.
INVERSE_TEMPERATURE = Parameter(
    "inverse_temperature",
    "log",
    1.0,
    1.0,
    "How strictly the option of higher value is chosen (values span 0 to 1).",
)
LEARNING_RATE = Parameter(
    "learning_rate", "logit", -0.5, 1.2, "Share of a prediction error that changes the value."
)
