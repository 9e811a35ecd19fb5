"""Derivatives as fMRIPrep writes them, as far as cleaning reads them, and what nilearn sees."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy
from nilearn.signal import clean
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from braindata.extract.strategies import BUILT_IN, Preset

Floats = NDArray[np.float64]
STEM = "sub-01_task-x"


def make_confounds(
    n_volumes: int,
    seed: int = 0,
    *,
    tr: float = 2.0,
    spoilt: Sequence[int] = (),
    non_steady: int = 0,
    separate: bool = False,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table with all that fMRIPrep can write, and the JSON beside it.

    Parameters
    ----------
    n_volumes, seed, tr
        Size, random numbers, repetition time in s.
    spoilt : sequence of int
        Volumes with much motion, every second one by DVARS only.
    non_steady : int
        Number of first volumes before the steady state.
    separate : bool
        Whether components of white matter and CSF have names of their own, as of fMRIPrep 21.
    """
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    scales = dict.fromkeys(("csf", "white_matter", "global_signal"), 5.0)
    scales |= dict.fromkeys(("trans_x", "trans_y", "trans_z"), 0.05)
    scales |= dict.fromkeys(("rot_x", "rot_y", "rot_z"), 0.001)
    for name, scale in scales.items():
        value = rng.normal(scale=scale, size=n_volumes).cumsum() + (500 if scale == 5 else 0)
        slope = np.diff(value, prepend=np.nan)
        columns |= {
            name: value,
            f"{name}_derivative1": slope,
            f"{name}_power2": value**2,
            f"{name}_derivative1_power2": slope**2,
        }
    for k in range(1, int(2 * n_volumes * tr / 128)):
        phase = np.pi * k * (np.arange(n_volumes) + 0.5) / n_volumes
        columns[f"cosine{k - 1:02d}"] = np.cos(phase) * np.sqrt(2 / n_volumes)
    masks = ["combined"] * 4 + ([] if separate else ["CSF"] * 3 + ["WM"] * 3)
    components = [(f"a_comp_cor_{k:02d}", mask) for k, mask in enumerate(masks)]
    if separate:
        components += [(f"c_comp_cor_{k:02d}", "CSF") for k in range(3)]
        components += [(f"w_comp_cor_{k:02d}", "WM") for k in range(3)]
    for name, mask in components:
        metadata[name] = {"Mask": mask, "Method": "aCompCor", "Retained": True}
    for k in range(3):
        metadata[f"t_comp_cor_{k:02d}"] = {"Method": "tCompCor", "Retained": True}
    metadata["dropped_0"] = {"Mask": "combined", "Method": "aCompCor", "Retained": False}
    for name in [*metadata, "aroma_motion_02", "aroma_motion_11"]:
        if name != "dropped_0":
            columns[name] = rng.normal(size=n_volumes)
    columns["framewise_displacement"] = rng.uniform(0, 0.4, n_volumes)
    columns["std_dvars"] = rng.uniform(0.5, 1.4, n_volumes)
    # At a threshold is not above it.
    columns["framewise_displacement"][n_volumes // 2] = 0.5
    columns["std_dvars"][n_volumes // 2 - 1] = 1.5
    for which, volume in enumerate(spoilt):
        columns["std_dvars" if which % 2 else "framewise_displacement"][volume] = 5.0
    columns["framewise_displacement"][0] = columns["std_dvars"][0] = np.nan
    for volume in range(non_steady):
        columns[f"non_steady_state_outlier{volume:02d}"] = np.eye(n_volumes)[volume]
    return pd.DataFrame(columns), metadata


def write_derivatives(
    folder: Path, confounds: pd.DataFrame, metadata: dict[str, Any], desc: str = "preproc"
) -> Path:
    """Write a table and its JSON beside an image that nilearn only looks for; return that."""
    table = folder / f"{STEM}_desc-confounds_timeseries.tsv"
    confounds.to_csv(table, sep="\t", index=False, na_rep="n/a", float_format="%.17g")
    table.with_suffix(".json").write_text(json.dumps(metadata), encoding="utf-8")
    image = folder / f"{STEM}_space-MNI152NLin2009cAsym_desc-{desc}_bold.nii.gz"
    image.touch()
    return image


def nilearn_regressors(
    image: Path, preset: Preset, built_in: str | None = None
) -> tuple[Floats | None, NDArray[np.int64] | None]:
    """What nilearn takes from the files."""
    options = preset.model_dump(
        include={
            "motion",
            "scrub",
            "fd_threshold",
            "std_dvars_threshold",
            "wm_csf",
            "global_signal",
            "compcor",
            "n_compcor",
            "ica_aroma",
            "demean",
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if built_in is not None:
            assert BUILT_IN[built_in] == preset
            chosen, mask = load_confounds_strategy(str(image), denoise_strategy=built_in)
        else:
            chosen, mask = load_confounds(str(image), strategy=preset.strategy, **options)
    return (None if chosen is None or chosen.shape[1] == 0 else chosen.to_numpy()), mask


def nilearn_clean(
    series: Floats,
    regressors: Floats | None,
    mask: NDArray[np.int64] | None,
    preset: Preset,
    tr: float,
) -> Floats:
    """What nilearn makes of series; volumes that are not kept are left out of the result.

    nilearn 0.13.1 takes the index of kept volumes for a boolean when it interpolates: scrubbed
    volumes whose counterpart from the end is scrubbed too keep what they held. Where that would
    matter it is given series without them: cut at the ends, interpolated between.
    """
    filtered = preset.filter == "butterworth" and (preset.high_pass or preset.low_pass)
    if filtered and mask is not None:
        kept = np.isin(np.arange(len(series)), mask)
        if (~kept & ~kept[::-1]).any():
            series = _without_gaps(series, mask)
            regressors = None if regressors is None else _without_gaps(regressors, mask)
            mask = mask - mask[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cleaned: Floats = clean(
            series,
            confounds=regressors,
            sample_mask=None if mask is None else mask.copy(),
            detrend=preset.detrend,
            standardize=None if preset.standardize == "none" else preset.standardize,
            filter=preset.filter,
            high_pass=preset.high_pass,
            low_pass=preset.low_pass,
            t_r=tr,
        )
    return cleaned


def _without_gaps(values: Floats, mask: NDArray[np.int64]) -> Floats:
    filled: Floats = CubicSpline(mask, values[mask])(np.arange(mask[0], mask[-1] + 1))
    return filled
