"""Artefacts as independent components: found by picard, named by ICLabel, removed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mne.preprocessing import ICA
from mne_icalabel.iclabel import iclabel_label_components

# What ICLabel was trained on: 1 to 100 Hz, average reference, extended infomax.
L_FREQ, H_FREQ = 1.0, 100.0
# ICLabel's order of kinds, under the names that mne-icalabel gives them.
KINDS = (
    "brain",
    "muscle artifact",
    "eye blink",
    "heart beat",
    "line noise",
    "channel noise",
    "other",
)
# Below this rate muscle cannot be seen as ICLabel knows it.
MIN_RATE = 200.0
# Samples for each weight of the unmixing matrix. 20 to 30 and more are usual (Onton & Makeig 2006,
# doi:10.1016/S0079-6123(06)59007-7); a longer recording is thinned out, for the time it costs.
SAMPLES_PER_WEIGHT = 20
# Fewer than this for each weight, and the components are arbitrary.
MIN_SAMPLES_PER_WEIGHT = 5
MAX_ITER = 300
# Of the gradient. At 1e-5 the steps are three times as many and the kinds of components the same.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Component:
    """One independent component.

    Attributes
    ----------
    kind : str
        The most probable kind, under mne-icalabel's names.
    probabilities : dict of str to float
        Of each kind.
    removed : bool
        Whether it was removed.
    topography : dict of str to float
        Of one that was removed, how much it contributes to each channel, relative to the largest,
        which is positive: the sign of a component is arbitrary.
    """

    kind: str
    probabilities: dict[str, float]
    removed: bool
    topography: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it for a sidecar."""
        body = {"kind": self.kind, "removed": self.removed, "probabilities": self.probabilities}
        return body | ({"topography": self.topography} if self.topography else {})


def n_samples_needed(n_channels: int) -> int:
    """Return how many samples ICA needs at least for this many channels."""
    return MIN_SAMPLES_PER_WEIGHT * n_channels**2


def fit_components(
    raw: Any, *, rank: int, artefacts: Sequence[str], probability: float, seed: int
) -> tuple[Any, list[Component], bool]:
    """Find the independent components of a recording, and which of them are artefacts.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Average reference, with positions; channels that are marked as bad are left out. It is
        filtered here, as a copy.
    rank : int
        How many components there are.
    artefacts : sequence of str
        Kinds that are removed.
    probability : float
        A component is removed when its kind has at least this probability.
    seed : int
        Of the start of the algorithm.

    Returns
    -------
    ica : mne.preprocessing.ICA
        With `exclude` set.
    components : list of Component
        In the order of the algorithm.
    converged : bool
        Whether it did within the number of steps that it is given.
    """
    h_freq = min(H_FREQ, 0.45 * raw.info["sfreq"])
    copy = raw.copy().filter(L_FREQ, h_freq, verbose="ERROR")
    decimation = max(1, copy.n_times // (SAMPLES_PER_WEIGHT * rank**2))
    ica = ICA(
        n_components=rank,
        method="picard",
        fit_params={"ortho": False, "extended": True, "tol": TOLERANCE},
        max_iter=MAX_ITER,
        random_state=seed,
        verbose="ERROR",
    )
    with warnings.catch_warnings():
        # Both are told in another way: whether it converged, and the sampling rate.
        warnings.simplefilter("ignore")
        ica.fit(copy, decim=decimation, reject_by_annotation=True, verbose="ERROR")
        found = iclabel_label_components(copy, ica, inplace=False)
    components = []
    maps = ica.get_components()
    for row, map_ in zip(np.asarray(found, np.float64), maps.T, strict=True):
        kind = KINDS[int(row.argmax())]
        removed = kind in artefacts and bool(row.max() >= probability)
        components.append(
            Component(
                kind,
                # Beyond four digits they depend on the processor.
                {name: round(float(value), 4) for name, value in zip(KINDS, row, strict=True)},
                removed,
                _topography(ica.ch_names, map_) if removed else {},
            )
        )
    ica.exclude = [index for index, one in enumerate(components) if one.removed]
    return ica, components, bool(ica.n_iter_ < MAX_ITER)


def _topography(names: Sequence[str], map_: Any) -> dict[str, float]:
    relative = map_ / map_[np.argmax(np.abs(map_))]
    return {name: round(float(value), 4) for name, value in zip(names, relative, strict=True)}
