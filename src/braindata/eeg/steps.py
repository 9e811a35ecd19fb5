"""What was done to a recording, step by step, and why a step was not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """One step of the chain.

    Attributes
    ----------
    name : str
        Which one.
    reason : str or None
        Why it was skipped; None when it was done.
    details : dict
        What it found and did (JSON).
    """

    name: str
    reason: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether it was done."""
        return self.reason is None

    def as_json(self) -> dict[str, Any]:
        """Return it for a sidecar."""
        state = {"done": True} if self.done else {"done": False, "reason": self.reason}
        return {"step": self.name, **state, **self.details}
