"""The models that there are."""

from __future__ import annotations

from braindata.latents.models.base import Model
from braindata.latents.models.drift_diffusion import DIFFUSION_MODELS
from braindata.latents.models.kalman import KALMAN_BANDIT
from braindata.latents.models.prospect import EXPECTED_VALUE, PROSPECT
from braindata.latents.models.q_learning import Q_MODELS
from braindata.latents.models.rule_reliability import RULE_RELIABILITY
from braindata.latents.models.volatile_bayes import VOLATILE_BAYES

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        *Q_MODELS,
        KALMAN_BANDIT,
        VOLATILE_BAYES,
        RULE_RELIABILITY,
        EXPECTED_VALUE,
        PROSPECT,
        *DIFFUSION_MODELS,
    )
}
