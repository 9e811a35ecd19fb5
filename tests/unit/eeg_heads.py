"""Small heads for tests of EEG: spheres, with few sources."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from braindata.eeg.forward import SIMULATED, LeadFields, make_lead_fields
from braindata.eeg.head import Floats


@lru_cache(maxsize=1)
def model() -> LeadFields:
    """The head that operators are made with."""
    return make_lead_fields(10, model="sphere")


@lru_cache(maxsize=1)
def truth() -> LeadFields:
    """The head that data are simulated with."""
    return make_lead_fields(10, shift=4.0, model="sphere", conductivity=SIMULATED)


def montage(name: str = "biosemi64") -> tuple[list[str], Floats]:
    """Names and positions in head coordinates of one of mne's montages."""
    import mne

    standard = mne.channels.make_standard_montage(name)
    info = mne.create_info(standard.ch_names, 100.0, "eeg", verbose="ERROR")
    info.set_montage(standard, verbose="ERROR")
    return list(info.ch_names), np.array([one["loc"][:3] for one in info["chs"]])
