"""Bad channels: found by pyprep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyprep


def find_bad_channels(raw: Any, *, ransac: bool, seed: int) -> tuple[dict[str, list[str]], bool]:
    """Find bad channels as PREP does (Bigdely-Shamlo 2015, doi:10.3389/fninf.2015.00016).

    By PREP's own criteria: deviation, noise at high frequencies, correlation with others, both of
    these together (`SNR`), RANSAC. Not by pyprep's further one, more power in a band than the other
    channels have (`psd`): the electrodes above a source have that. Interpolated from their
    neighbours, they no longer show it.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Filtered; what is marked as bad there is not looked at. Channels without a position are
        judged by all criteria but RANSAC.
    ransac : bool
        Whether channels are predicted from their neighbours too.
    seed : int
        Of RANSAC's samples.

    Returns
    -------
    bad : dict of str to list of str
        By name, which of pyprep's criteria say so, such as ``["deviation", "ransac"]``.
    ransac : bool
        Whether RANSAC could be done: it needs most channels to be good.
    """
    finder = _judge_alone(raw, seed)
    found = finder.get_bads(as_dict=True)
    done = ransac
    if ransac:
        nowhere = _without_position(raw)
        if nowhere:
            placed = raw.copy()
            placed.info["bads"] = [*placed.info["bads"], *nowhere]
            finder = _judge_alone(placed, seed)
        try:
            finder.find_bad_by_ransac()
            found["bad_by_ransac"] = finder.bad_by_ransac
        except (OSError, IndexError):
            # Too few channels are good enough to predict others from; IndexError: none is.
            done = False
    names = raw.copy().pick("eeg").ch_names
    bad: dict[str, list[str]] = {}
    for criterion, channels in found.items():
        if criterion in ("bad_all", "bad_by_manual"):
            continue
        for name in channels:
            bad.setdefault(str(name), []).append(criterion.removeprefix("bad_by_"))
    return {name: sorted(bad[name]) for name in names if name in bad}, done


def _judge_alone(raw: Any, seed: int) -> Any:
    """Return pyprep's judgement by the criteria that need no positions."""
    finder = pyprep.NoisyChannels(raw, random_state=seed, ransac=False)
    finder.find_bad_by_deviation()
    finder.find_bad_by_hfnoise()
    finder.find_bad_by_correlation()
    finder.find_bad_by_SNR()
    return finder


def _without_position(raw: Any) -> list[str]:
    good = raw.copy().pick("eeg", exclude="bads").info["chs"]
    return [one["ch_name"] for one in good if not np.isfinite(one["loc"][:3]).all()]
