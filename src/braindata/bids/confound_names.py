"""Confounds of every fMRIPrep generation under today's names.

fMRIPrep 1.0 and 1.1 wrote `X`, `FramewiseDisplacement`, `aCompCor00`; 1.2 and 1.3 wrote snake case,
without derivatives and squares; 1.4 brought today's names, the JSON beside the table and the
derivatives and squares (https://github.com/nipreps/fmriprep/pull/1586).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from braindata.bids.confounds import EXPANSIONS, MOTION_6, TISSUES, expand
from braindata.errors import DataError

HINT = "look at the table of confounds of this recording, or preprocess it again"
EXPANDED = (*MOTION_6, *TISSUES, "global_signal")

_RENAMED = {
    "X": "trans_x",
    "Y": "trans_y",
    "Z": "trans_z",
    "RotX": "rot_x",
    "RotY": "rot_y",
    "RotZ": "rot_z",
    "CSF": "csf",
    "WhiteMatter": "white_matter",
    "GlobalSignal": "global_signal",
    "FramewiseDisplacement": "framewise_displacement",
    "stdDVARS": "std_dvars",
    "non-stdDVARS": "dvars",
    "non_std_dvars": "dvars",
    # Standardised voxel by voxel: fMRIPrep writes it no more, so today has no name for it.
    "vx-wisestdDVARS": "vx_wisestd_dvars",
}
# Numbered columns: what they were called, and what is put before the number today.
_NUMBERED = (
    (re.compile(r"aCompCor(\d+)|a_comp_cor(\d+)"), "a_comp_cor_"),
    (re.compile(r"tCompCor(\d+)|t_comp_cor(\d+)"), "t_comp_cor_"),
    (re.compile(r"Cosine(\d+)|cosine_(\d+)"), "cosine"),
    (
        re.compile(r"NonSteadyState(?:Outlier)?(\d+)|non_steady_state(?:_outlier_)?(\d+)"),
        "non_steady_state_outlier",
    ),
    (re.compile(r"AROMAAggrComp(\d+)|aroma_aggr_comp_?(\d+)"), "aroma_motion_"),
)


def current_name(name: str) -> str:
    """Return the name that a column of confounds has in fMRIPrep of today.

    Parameters
    ----------
    name : str
        As any version of fMRIPrep writes it.

    Returns
    -------
    str
        The name itself where it is one of today, or none of fMRIPrep's.
    """
    for pattern, prefix in _NUMBERED:
        found = pattern.fullmatch(name)
        if found is not None:
            number = next(group for group in found.groups() if group is not None)
            return f"{prefix}{int(number):02d}"
    return _RENAMED.get(name, name)


def current_confounds(confounds: pd.DataFrame) -> pd.DataFrame:
    """Return confounds under today's names, with the derivatives and squares of today.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        As any version of fMRIPrep writes them, `n/a` read as NaN.

    Returns
    -------
    pandas.DataFrame, shape (n_volumes, at least n_confounds)
        All columns, in their order; behind them those of `expand` that are missing, for head
        motion, CSF, white matter and the global signal as far as these are there. A table of today
        comes back as it is.

    Raises
    ------
    DataError
        When two columns have one name of today, or one to be expanded is not numeric.
    """
    names = [current_name(str(name)) for name in confounds.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        olds = [str(o) for o, n in zip(confounds.columns, names, strict=True) if n in twice]
        raise DataError(
            f"columns of the confounds mean the same: {', '.join(olds)}",
            hint=HINT,
        )
    renamed = confounds.set_axis(names, axis=1)
    missing: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for name in EXPANDED:
        wanted = {f"{name}{suffix}" for suffix in EXPANSIONS} - set(names)
        if name not in names or not wanted:
            continue
        if not is_numeric_dtype(renamed[name]):
            raise DataError(f"the confound {name} is not numeric", hint=HINT)
        terms = expand(name, renamed[name].to_numpy(np.float64))
        missing |= {term: values for term, values in terms.items() if term in wanted}
    return pd.concat([renamed, pd.DataFrame(missing, index=renamed.index)], axis=1)


def current_metadata(confounds: pd.DataFrame, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the JSON beside a table of confounds says, or would say had there been one.

    Before 1.4 there was none, and all aCompCor components came from one mask, the union of white
    matter and CSF, which today is called `combined`
    (https://neurostars.org/t/fmriprep-1-4-0-acompcor/4395).

    Parameters
    ----------
    confounds : pandas.DataFrame
        The table as fMRIPrep wrote it: before `current_confounds`.
    metadata : mapping
        The JSON beside it; empty where there is none.

    Returns
    -------
    dict
        `metadata` itself, unless it is empty and the table is older than 1.4, which is told by its
        names or, for 1.2 and 1.3, by motion parameters without derivatives.
    """
    if metadata:
        return dict(metadata)
    names = [str(name) for name in confounds.columns]
    is_old = any(name.startswith("aCompCor") for name in names) or (
        "trans_x" in names and "trans_x_derivative1" not in names
    )
    components = [current_name(name) for name in names]
    return {
        name: {"Mask": "combined", "Method": "aCompCor", "Retained": True}
        for name in components
        if is_old and name.startswith("a_comp_cor_")
    }
