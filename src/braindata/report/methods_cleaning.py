"""What the methods text says of cleaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from braindata.extract.parameters import ExtractParameters
from braindata.extract.strategies import BUILT_IN, NONE, Expansion, Preset

Cite = Callable[..., str]

_N_TERMS: Mapping[Expansion, int] = {"basic": 1, "derivatives": 2, "power2": 2, "full": 4}
_WITH: Mapping[Expansion, str] = {
    "basic": "",
    "derivatives": " with derivatives",
    "power2": " with squares",
    "full": " with derivatives and the squares of both",
}
_UNITS = {"a.u.": "in the image's unit", "z": "standardised", "percent": "in percent of its mean"}


def describe_cleaning(parameters: ExtractParameters, cite: Cite) -> str:
    """Return the sentences on how series were cleaned, as Markdown.

    Parameters
    ----------
    parameters : ExtractParameters
        The strategies.
    cite : callable
        Returns the citation of works, by their keys.
    """
    cleaned = {name: one for name, one in parameters.cleanings.items() if one is not None}
    if not cleaned:
        return "It was not cleaned."
    ways = "; ".join(_way(name, preset, cite) for name, preset in cleaned.items())
    minimum = (
        f" Where a strategy left less than {parameters.min_time:g} s, there is no series."
        if parameters.min_time
        else ""
    )
    many = "is one" if len(cleaned) == 1 else "are others"
    return (
        f"Beside this one (`{NONE}`) there {many}, cleaned by least squares, without volumes "
        f"before the steady state: {ways}.{minimum}"
    )


def _way(name: str, preset: Preset, cite: Cite) -> str:
    what = f"`{name}`"
    if name in BUILT_IN:
        what += f" (strategy {name} of nilearn {cite('wang2024')})"
    steps = []
    if "scrub" in preset.strategy:
        segments = f", or in segments of fewer than {preset.scrub} between them"
        steps.append(
            f"without volumes of a framewise displacement above {preset.fd_threshold:g} mm or a "
            f"standardised DVARS above {preset.std_dvars_threshold:g}"
            f"{segments if preset.scrub > 1 else ''} {cite('power2012')}"
        )
    if preset.filter == "butterworth" and (preset.high_pass or preset.low_pass):
        limits = (("above", preset.high_pass), ("below", preset.low_pass))
        band = " and ".join(f"{word} {value:g} Hz" for word, value in limits if value)
        steps.append(
            f"a Butterworth filter of order 5, forwards and backwards, kept frequencies {band}, of "
            f"the confounds as well {cite('lindquist2019')}"
        )
    removed = _removed(preset, cite)
    if removed:
        steps.append(f"removed were {', '.join(removed)}")
    steps.append(_UNITS[preset.unit])
    signal = "the first eigenvariate of cleaned voxels" if preset.signal == "eigenvariate" else ""
    return f"{what}: {', '.join(filter(None, [signal, *steps]))}"


def _removed(preset: Preset, cite: Cite) -> list[str]:
    removed = ["the linear trend"] if preset.detrend else []
    if "high_pass" in preset.strategy:
        removed.append("the cosines")
    if preset.filter == "cosine" and preset.high_pass:
        removed.append(f"discrete cosines up to {preset.high_pass:g} Hz")
    if "motion" in preset.strategy:
        n = 6 * _N_TERMS[preset.motion]
        removed.append(f"{n} motion parameters {cite('friston1996')}")
    if "wm_csf" in preset.strategy:
        removed.append(
            f"the mean signals of white matter and cerebrospinal fluid{_WITH[preset.wm_csf]}"
        )
    if "global_signal" in preset.strategy:
        removed.append(f"the global signal{_WITH[preset.global_signal]}")
    if "compcor" in preset.strategy:
        n_of_each = "all" if preset.n_compcor == "all" else f"the first {preset.n_compcor}"
        removed.append(f"{n_of_each} CompCor components (`{preset.compcor}`) {cite('behzadi2007')}")
    if "ica_aroma" in preset.strategy:
        how = "aggressively" if preset.ica_aroma == "basic" else "by fMRIPrep, non-aggressively"
        removed.append(f"what ICA-AROMA classified as motion, {how} {cite('pruim2015')}")
    return removed
