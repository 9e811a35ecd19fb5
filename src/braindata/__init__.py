"""braindata: versioned tables of what each brain region did, trial by trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from braindata.tables.reading import open_tables

__all__ = ["open_tables"]


def __getattr__(name: str) -> object:
    # Every command imports this package; only readers of tables should pay for their libraries.
    if name == "open_tables":
        from braindata.tables.reading import open_tables

        return open_tables
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
