"""The preprocessing of one EEG recording: every step is done, or says why it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from braindata.eeg.bad_channels import find_bad_channels
from braindata.eeg.components import (
    MIN_RATE,
    Component,
    fit_components,
    n_samples_needed,
)
from braindata.eeg.epochs import Judged, judge_epochs
from braindata.eeg.features import aperiodic_exponent
from braindata.eeg.line_noise import find_line_frequency, line_noise_ratio, remove_line_noise
from braindata.eeg.montage import Placement, own_positions, place_channels
from braindata.eeg.parameters import EegParameters
from braindata.eeg.quality import evoked_snr, median_spectrum
from braindata.eeg.reading import EegFiles, read_recording
from braindata.eeg.signal import unusable_channels
from braindata.eeg.steps import Step
from braindata.errors import DataError

Floats = NDArray[np.float64]

# The highest frequency that a filter leaves, as a share of the sampling rate.
HIGHEST = 0.45
# More bad channels than this, and the others do not tell what these would have shown.
MAX_SHARE_BAD = 0.4


@dataclass(frozen=True)
class Cleaned:
    """A cleaned recording.

    Attributes
    ----------
    raw : mne.io.BaseRaw
        Its EEG channels; those that are bad and could not be interpolated are marked.
    placement : Placement
        Where they are.
    reference : str
        `average`, or the one that the sidecar states.
    steps : list of Step
        What was done.
    components : list of Component
        The independent components.
    judged : Judged or None
        Its epochs; None without events.
    quality : dict of str to (float or None)
        Columns of `recordings`.
    warnings : list of str
        What is odd.
    spectrum : dict of str to list of float
        Of the raw and of the cleaned recording, see `median_spectrum`: `frequencies`, `before`,
        `after`.
    """

    raw: Any
    placement: Placement
    reference: str
    steps: list[Step]
    components: list[Component]
    judged: Judged | None
    quality: dict[str, float | None]
    warnings: list[str] = field(default_factory=list)
    spectrum: dict[str, list[float]] = field(default_factory=dict)


class TooShortError(Exception):
    """A recording of less than `min_duration`."""


def preprocess_recording(
    files: EegFiles,
    parameters: EegParameters,
    onsets: Floats | None = None,
    labels: Sequence[str] = (),
) -> Cleaned:
    """Clean a recording.

    Resampling, removal of line noise, band-pass, bad channels, average reference, ICA,
    interpolation, epochs.

    Parameters
    ----------
    files : EegFiles
        The recording.
    parameters : EegParameters
        What the user chose.
    onsets : ndarray, shape (n_events,), optional
        Of its events, in s.
    labels : sequence of str
        The kind of each event.

    Raises
    ------
    DataError
        When the recording is broken, in a wrong unit, or hopeless.
    TooShortError
        When it is too short.
    """
    raw, warnings = read_recording(files)
    duration = raw.n_times / raw.info["sfreq"]
    if duration < parameters.min_duration:
        raise TooShortError(
            f"it has {duration:.1f} s, fewer than preprocess.eeg.min_duration "
            f"{parameters.min_duration:g}"
        )
    if "eeg" not in raw.get_channel_types():
        raise DataError(
            "it has no channel of type EEG", file=files.path, hint="correct channels.tsv"
        )
    own = own_positions(raw)
    raw.pick("eeg", exclude=(), verbose="ERROR")
    placement = place_channels(raw.ch_names, files, own)
    warnings += placement.warnings
    data = raw.get_data()
    stated = list(raw.info["bads"])
    unusable = unusable_channels(data, raw.ch_names, raw.info["sfreq"], files.path)
    data[~np.isfinite(data)] = 0.0
    chain = _Chain(raw, data, placement, parameters, files)
    chain.resample()
    chain.filter()
    chain.find_bad(stated, unusable)
    chain.remove_components()
    chain.interpolate()
    chain.describe_spectrum()
    judged = chain.judge(onsets, list(labels)) if onsets is not None and len(onsets) else None
    if judged is None:
        chain.steps.append(Step("epochs", "the recording has no events"))
    return Cleaned(
        raw=chain.raw,
        placement=placement,
        reference=chain.reference,
        steps=chain.steps,
        components=chain.components,
        judged=judged,
        quality=chain.quality,
        warnings=warnings + chain.warnings,
        spectrum=chain.spectrum,
    )


class _Chain:
    """The steps, each of which changes `raw` and leaves a record."""

    def __init__(
        self,
        raw: Any,
        data: Floats,
        placement: Placement,
        parameters: EegParameters,
        files: EegFiles,
    ):
        self.parameters, self.files, self.placement = parameters, files, placement
        self.steps: list[Step] = []
        self.components: list[Component] = []
        self.quality: dict[str, float | None] = {}
        self.warnings: list[str] = []
        self.spectrum: dict[str, list[float]] = {}
        stated = str(files.metadata.get("EEGReference") or "n/a")
        self.reference = "as recorded" if stated.lower() in ("n/a", "") else stated
        # A new object: dates, names and histories of the recording go no further.
        info = mne.create_info(list(raw.ch_names), raw.info["sfreq"], "eeg", verbose="ERROR")
        marks = [one for one in raw.annotations if str(one["description"]).lower()[:3] == "bad"]
        start = raw.first_time
        self.raw = mne.io.RawArray(data, info, verbose="ERROR")
        self.raw.set_annotations(
            mne.Annotations(
                [max(0.0, one["onset"] - start) for one in marks],
                [one["duration"] for one in marks],
                [one["description"] for one in marks],
            ),
            verbose="ERROR",
        )
        known = placement.known
        if known.any():
            names = [name for name, there in zip(raw.ch_names, known, strict=True) if there]
            places = dict(zip(names, placement.positions[known], strict=True))
            montage = mne.channels.make_dig_montage(places, coord_frame="head")
            self.raw.set_montage(montage, on_missing="ignore", verbose="ERROR")

    @property
    def n_placed(self) -> int:
        """Channels that are good and have a position."""
        bads = set(self.raw.info["bads"])
        pairs = zip(self.raw.ch_names, self.placement.known, strict=True)
        return sum(bool(there) and name not in bads for name, there in pairs)

    def too_few(self) -> str | None:
        """Return why a step that needs a montage cannot be done."""
        least = self.parameters.min_channels
        if self.n_placed >= least:
            return None
        return f"{self.n_placed} good channels have positions, it needs {least}"

    def resample(self) -> None:
        own, wanted = self.raw.info["sfreq"], self.parameters.sampling_frequency
        if own <= wanted:
            reason = f"it was sampled at {own:g} Hz, not more than {wanted:g} Hz"
            self.steps.append(Step("resample", reason))
            return
        self.raw.resample(wanted, method="fft", verbose="ERROR")
        self.steps.append(Step("resample", details={"from": own, "to": wanted}))

    def filter(self) -> None:
        raw, parameters = self.raw, self.parameters
        sfreq = raw.info["sfreq"]
        h_freq = min(parameters.h_freq, HIGHEST * sfreq)
        frequencies, power = median_spectrum(raw.get_data(), sfreq)
        self.spectrum |= {"frequencies": frequencies, "before": power}
        lines, how = self._line_frequencies()
        before = {line: line_noise_ratio(raw.get_data(), sfreq, line) for line in lines}
        seen = [ratio for ratio in before.values() if ratio is not None]
        self.quality["line_noise_ratio"] = max(seen, default=None)
        if not parameters.notch:
            self.steps.append(Step("line noise", "preprocess.eeg.notch is false"))
        elif not lines:
            self.steps.append(Step("line noise", how))
        else:
            freqs = [
                one for line in lines for one in remove_line_noise(raw._data, sfreq, line, h_freq)
            ]
            why = None if freqs else f"{lines[0]:g} Hz is above what the sampling shows"
            after = {line: line_noise_ratio(raw.get_data(), sfreq, line) for line in lines}
            details = {
                "line_frequency": lines,
                "known_from": how,
                "removed": freqs,
                "ratio_before": list(before.values()),
                "ratio_after": list(after.values()),
            }
            self.steps.append(Step("line noise", why, details))
        raw.filter(parameters.l_freq, h_freq, verbose="ERROR")
        self.steps.append(
            Step("band-pass", details={"l_freq": parameters.l_freq, "h_freq": h_freq})
        )

    def _line_frequencies(self) -> tuple[list[float], str]:
        """Return the line frequency, and how it is known or why it is not.

        Where the spectrum shows another one than the sidecar states, both are returned: sidecars
        are filled in by habit.
        """
        stated = self.files.metadata.get("PowerLineFrequency")
        found = find_line_frequency(self.raw.get_data(), self.raw.info["sfreq"])
        if isinstance(stated, int | float) and not isinstance(stated, bool) and stated > 0:
            line = float(stated)
            if found is None or found == line:
                return [line], "sidecar"
            self.warnings.append(
                f"its sidecar states a line frequency of {line:g} Hz, the spectrum shows "
                f"{found:g} Hz: both are removed"
            )
            return [line, found], "sidecar and spectrum"
        if found is None:
            return [], "no sidecar states the line frequency, and the spectrum shows none"
        return [found], "spectrum"

    def find_bad(self, stated: list[str], unusable: dict[str, str]) -> None:
        raw, parameters = self.raw, self.parameters
        bad: dict[str, list[str]] = {name: [why] for name, why in unusable.items()}
        for name in stated:
            bad.setdefault(name, []).append("channels.tsv")
        raw.info["bads"] = [name for name in raw.ch_names if name in bad]
        reason = self.too_few()
        ransac = False
        if not parameters.bad_channels:
            reason = "preprocess.eeg.bad_channels is false"
        if reason is None:
            found, ransac = find_bad_channels(raw, ransac=parameters.ransac, seed=parameters.seed)
            for name, criteria in found.items():
                known = bad.setdefault(name, [])
                known += [one for one in criteria if one not in known]
        raw.info["bads"] = [name for name in raw.ch_names if name in bad]
        self.quality["n_bad_channels"] = float(len(bad))
        details = {"bad": {name: bad[name] for name in raw.info["bads"]}, "ransac": ransac}
        self.steps.append(Step("bad channels", reason, details))
        if len(bad) > MAX_SHARE_BAD * len(raw.ch_names):
            raise DataError(
                f"{len(bad)} of {len(raw.ch_names)} channels are bad: {', '.join(sorted(bad)[:8])}",
                file=self.files.path,
                hint="look at the recording; if they are good, set preprocess.eeg.bad_channels: "
                "false",
            )

    def remove_components(self) -> None:
        """Refer to the average of the good channels, and remove artefacts from these."""
        raw, parameters = self.raw, self.parameters
        reason = self.too_few()
        if reason is None and parameters.average_reference:
            raw.set_eeg_reference("average", verbose="ERROR")
            self.reference = "average"
        rank = self.n_placed - 1
        if not parameters.ica:
            reason = "preprocess.eeg.ica is false"
        elif not parameters.average_reference:
            reason = reason or "ICLabel needs the average reference"
        elif reason is None and raw.n_times < n_samples_needed(rank):
            reason = f"{raw.n_times} samples, {rank} components need {n_samples_needed(rank)}"
        self.quality["n_components_removed"] = None
        if reason is not None:
            self.steps.append(Step("ica", reason))
            return
        if raw.info["sfreq"] < MIN_RATE:
            self.warnings.append(
                f"ICLabel knows EEG up to 100 Hz, this was sampled at {raw.info['sfreq']:g} Hz: "
                "muscle may be missed"
            )
        nowhere = [
            name
            for name, there in zip(raw.ch_names, self.placement.known, strict=True)
            if not there and name not in raw.info["bads"]
        ]
        bads = list(raw.info["bads"])
        # Without a position a channel has no place in a component's map.
        raw.info["bads"] = bads + nowhere
        ica, self.components, converged = fit_components(
            raw,
            rank=rank,
            artefacts=parameters.artefacts,
            probability=parameters.artefact_probability,
            seed=parameters.seed,
        )
        ica.apply(raw, verbose="ERROR")
        raw.info["bads"] = bads
        removed = [one for one in self.components if one.removed]
        self.quality["n_components_removed"] = float(len(removed))
        if not converged:
            self.warnings.append("ICA did not converge: components may be mixed")
        self.steps.append(
            Step(
                "ica",
                details={
                    "n_components": rank,
                    "converged": converged,
                    "components": [one.as_json() for one in self.components],
                },
            )
        )

    def interpolate(self) -> None:
        raw, parameters = self.raw, self.parameters
        bads = list(raw.info["bads"])
        placed = dict(zip(raw.ch_names, self.placement.known, strict=True))
        wanted = [name for name in bads if placed[name]]
        reason = self.too_few()
        if not bads:
            reason = "no channel is bad"
        elif reason is None and not wanted:
            reason = "the bad channels have no positions"
        if reason is None:
            left = [name for name in bads if not placed[name]]
            raw.info["bads"] = wanted
            raw.interpolate_bads(reset_bads=True, verbose="ERROR")
            raw.info["bads"] = left
        self.steps.append(Step("interpolation", reason, {} if reason else {"interpolated": wanted}))
        reason = self.too_few()
        if not parameters.average_reference:
            reason = "preprocess.eeg.average_reference is false"
        if reason is None:
            raw.set_eeg_reference("average", verbose="ERROR")
        self.steps.append(Step("average reference", reason))

    def describe_spectrum(self) -> None:
        """Describe the cleaned spectrum, without what is still bad."""
        good = [name for name in self.raw.ch_names if name not in self.raw.info["bads"]]
        data = self.raw.get_data(picks=good)
        self.quality["aperiodic_exponent"] = aperiodic_exponent(data, self.raw.info["sfreq"])
        self.spectrum["after"] = median_spectrum(data, self.raw.info["sfreq"])[1]

    def judge(self, onsets: Floats, labels: list[str]) -> Judged:
        many = self.too_few() is None and bool(self.placement.known.all())
        good = self.raw.copy().pick("eeg", exclude="bads", verbose="ERROR")
        judged = judge_epochs(good, onsets, labels, self.parameters, has_positions=many)
        lost = sum(one is not None for one in judged.reasons)
        self.quality["share_rejected"] = lost / len(onsets)
        self.quality["evoked_snr"] = None
        if judged.epochs is not None:
            data = judged.epochs.get_data(copy=False)
            self.quality["evoked_snr"] = evoked_snr(
                data, judged.epochs.events[:, 2], judged.epochs.times
            )
        self.steps.append(
            Step(
                "epochs",
                judged.skipped,
                {
                    "method": judged.method,
                    "n_events": len(onsets),
                    "n_clean": len(onsets) - lost,
                    "interpolated": judged.interpolated,
                },
            )
        )
        return judged
