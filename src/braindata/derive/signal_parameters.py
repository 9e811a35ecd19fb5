"""Which regions stand for which cognitive process, and what that is held against.

The paper's mapping of regions to processes, with what it names for reinforcement learning and chain
of thought from the human brain. Where a region lies is not evidence: `braindata.derive.signals`
measures that. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PROCESS_PATTERN = r"^[a-z][a-z0-9_]*$"
# What is compared with: a latent of a model of behaviour, or a numerical column of the events.
TARGET_PATTERN = r"^(latent|column):.+$"

ProcessName = Annotated[str, Field(pattern=PROCESS_PATTERN)]
Target = Annotated[str, Field(pattern=TARGET_PATTERN)]


class SignalProcess(BaseModel):
    """One cognitive process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tied_to: tuple[str, ...] = Field(
        default=(),
        description="Processes as region files name them: all regions that are tied to one count.",
    )
    regions: tuple[str, ...] = Field(default=(), description="Further regions, by name.")
    targets: tuple[Target, ...] = Field(
        default=(),
        description="What it is held against, the first that a task has: `latent:NAME` of models "
        "of behaviour, or `column:NAME` with numbers, of `trials` or of the events.",
    )


def _tied(*names: str, targets: tuple[str, ...] = ()) -> SignalProcess:
    return SignalProcess(tied_to=names, targets=targets)


def _of(*regions: str, targets: tuple[str, ...] = ()) -> SignalProcess:
    return SignalProcess(regions=regions, targets=targets)


# Sections on the valuation and execution levels, and those on RLHB and CoTHB.
STANDARD_PROCESSES: dict[str, SignalProcess] = {
    "vision": _tied("vision"),
    "audition": _tied("audition"),
    "touch": _tied("touch"),
    "reward": _tied("reward", targets=("column:outcome",)),
    "prediction_error": _tied("reward", targets=("latent:prediction_error",)),
    "value": _tied("value", targets=("latent:value_chosen",)),
    "confidence": _tied("confidence", targets=("column:confidence", "latent:confidence")),
    "novelty": _tied("novelty", targets=("column:novelty",)),
    "salience": _tied("salience", targets=("column:salience",)),
    "effort": _tied("effort", targets=("column:effort",)),
    "self_control": _tied("self-control", targets=("column:self_control",)),
    "internal_state": _tied("internal state"),
    "rule_reliability_current": _of("vmpfc", targets=("latent:rule_reliability_current",)),
    "rule_reliability_alternative": _of(
        "frontopolar", targets=("latent:rule_reliability_alternative",)
    ),
    "exploration_value": _of("acc", targets=("latent:exploration_value",)),
    "rule_retrieval": _of("dlpfc", targets=("latent:rule_switch",)),
    "rule_confirmation": _tied("confirmation of a rule", targets=("column:rule_confirmation",)),
    "environment": _tied("evaluation of the environment", targets=("latent:volatility",)),
    "motivation": _tied("motivation"),
    "attention": _tied("attention"),
    "action_selection": _tied("action selection"),
    "language": _tied("language"),
    "conceptual_integration": _tied("conceptual integration"),
    "social_cognition": _tied("social cognition"),
    "self_cognition": _tied("self-cognition"),
    "autobiographical_memory": _tied("autobiographical memory"),
}


class SignalsSection(BaseModel):
    """Which processes there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    processes: Mapping[ProcessName, SignalProcess] = Field(
        default={},
        description="Processes of your own, or others in place of the standard ones of that name: "
        "docs/signals.md.",
    )
    only: tuple[ProcessName, ...] = Field(
        default=(), description="Estimate only these processes; empty means all."
    )

    @property
    def known(self) -> dict[str, SignalProcess]:
        """Every process by its name."""
        return STANDARD_PROCESSES | dict(self.processes)
