"""Hyperalignment: people's activity in one common functional space."""

from braindata.align.connectivity import ConnectivityHyperalignment
from braindata.align.maps import load_maps, save_maps
from braindata.align.parcels import Piecewise, balanced_parcels
from braindata.align.response import ResponseHyperalignment
from braindata.align.srm import DeterministicSRM
from braindata.align.template import Template, load_template, save_template

__all__ = [
    "ConnectivityHyperalignment",
    "DeterministicSRM",
    "Piecewise",
    "ResponseHyperalignment",
    "Template",
    "balanced_parcels",
    "load_maps",
    "load_template",
    "save_maps",
    "save_template",
]
