"""Names of the models, which a configuration can say before anything numerical is imported."""

from __future__ import annotations

from typing import Literal, get_args

ModelName = Literal[
    "q_learning",
    "q_learning_two_rates",
    "q_learning_forgetting",
    "q_learning_perseveration",
    "kalman_bandit",
    "volatile_bayes",
    "rule_reliability",
    "expected_value",
    "prospect",
    "drift_diffusion",
    "drift_diffusion_evidence",
]
MODEL_NAMES: tuple[ModelName, ...] = get_args(ModelName)

# What the models say of a trial.
LATENT_NAMES = (
    "value_chosen",
    "value_difference",
    "prediction_error",
    "confidence",
    "uncertainty",
    "volatility",
    "rule_reliability_current",
    "rule_reliability_alternative",
    "exploration_value",
    "rule_switch",
    "decision_time",
)
