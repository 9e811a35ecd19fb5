"""Hyperalignment: people's activity in one common functional space."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from braindata.align.connectivity import ConnectivityHyperalignment
    from braindata.align.maps import load_maps, save_maps
    from braindata.align.parcels import Piecewise, balanced_parcels
    from braindata.align.response import ResponseHyperalignment
    from braindata.align.searchlight import Searchlight, neighbourhoods
    from braindata.align.srm import DeterministicSRM
    from braindata.align.template import Template, load_template, save_template

__all__ = [
    "ConnectivityHyperalignment",
    "DeterministicSRM",
    "Piecewise",
    "ResponseHyperalignment",
    "Searchlight",
    "Template",
    "balanced_parcels",
    "load_maps",
    "load_template",
    "neighbourhoods",
    "save_maps",
    "save_template",
]

# Planning reads this package's parameters and must not pay for numerical libraries: the classes are
# imported when somebody asks for them.
_HOMES = {
    "ConnectivityHyperalignment": "connectivity",
    "DeterministicSRM": "srm",
    "Piecewise": "parcels",
    "ResponseHyperalignment": "response",
    "Searchlight": "searchlight",
    "Template": "template",
    "balanced_parcels": "parcels",
    "load_maps": "maps",
    "load_template": "template",
    "neighbourhoods": "searchlight",
    "save_maps": "maps",
    "save_template": "template",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
