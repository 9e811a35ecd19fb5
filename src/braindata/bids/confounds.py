"""Confounds under fMRIPrep's names: which ones a strategy takes, and their values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.errors import DataError

MOTION_6 = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
EXPANSIONS = ("_derivative1", "_power2", "_derivative1_power2")
# Six parameters with derivatives and squares: Friston et al. 1996, doi:10.1002/mrm.1910350312.
MOTION_24 = tuple(f"{name}{suffix}" for name in MOTION_6 for suffix in ("", *EXPANSIONS))
TISSUES = ("csf", "white_matter")


def expand(name: str, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return a signal, its derivative, and the squares of both, named as in fMRIPrep.

    Parameters
    ----------
    name : str
        The confound.
    values : ndarray of float64, shape (n_volumes,)
        Its values.

    Returns
    -------
    dict of str to ndarray of float64, shape (n_volumes,)
        The derivative is the difference to the volume before, NaN for the first volume.
    """
    derivative = np.concatenate([[np.nan], np.diff(values)])
    return {
        name: values,
        f"{name}_derivative1": derivative,
        f"{name}_power2": values**2,
        f"{name}_derivative1_power2": derivative**2,
    }


def confound_values(
    confounds: pd.DataFrame, names: Sequence[str], *, hint: str
) -> NDArray[np.float64]:
    """Return some confounds as numbers.

    The first row has no derivative: as nilearn's `load_confounds` does, it takes the second row's.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, any)
        Under fMRIPrep's names.
    names : sequence of str
        The confounds to take.
    hint : str
        What a user can do when they are not there.

    Returns
    -------
    ndarray of float64, shape (n_volumes, n_names)
        In the order of `names`.

    Raises
    ------
    DataError
        Naming the confounds that are missing, no numbers, or not finite after the first row.
    """
    missing = [name for name in names if name not in confounds.columns]
    if missing:
        raise DataError(f"confounds are missing: {', '.join(missing)}", hint=hint)
    try:
        values = confounds[list(names)].to_numpy(np.float64, copy=True)
    except (TypeError, ValueError) as error:
        raise DataError(f"a confound is not numeric ({error})", hint=hint) from error
    if len(values) > 1:
        values[0] = np.where(np.isnan(values[0]), values[1], values[0])
    finite = np.isfinite(values).all(axis=0)
    broken = [name for name, ok in zip(names, finite, strict=True) if not ok]
    if broken:
        raise DataError(f"confounds are not finite: {', '.join(broken)}", hint=hint)
    return values
