"""What a user can set about the preprocessing of EEG. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Artefact = Literal["muscle artifact", "eye blink", "heart beat", "line noise", "channel noise"]


class EegParameters(BaseModel):
    """Preprocessing of EEG."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sampling_frequency: float = Field(
        default=250.0,
        ge=50,
        le=2000,
        description="Common sampling rate in Hz; a recording that was sampled at less keeps its "
        "own.",
    )
    l_freq: float = Field(
        default=0.1, gt=0, le=5, description="Lower edge of the pass band in Hz, as MNE names it."
    )
    h_freq: float = Field(
        default=100.0,
        gt=10,
        le=500,
        description="Upper edge of the pass band in Hz; at most 0.45 of the sampling rate.",
    )
    notch: bool = Field(
        default=True,
        description="Remove the line frequency that the sidecar states, or that the spectrum "
        "shows, and its harmonics.",
    )
    bad_channels: bool = Field(
        default=True, description="Look for bad channels with pyprep, and interpolate them."
    )
    ransac: bool = Field(
        default=True, description="Whether pyprep also predicts channels from their neighbours."
    )
    average_reference: bool = Field(default=True, description="Refer to the average of channels.")
    ica: bool = Field(
        default=True,
        description="Remove the independent components (picard) that ICLabel takes for artefacts.",
    )
    artefacts: tuple[Artefact, ...] = Field(
        default=("muscle artifact", "eye blink", "heart beat", "line noise", "channel noise"),
        description="Kinds of components that are removed, under ICLabel's names.",
    )
    artefact_probability: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="A component is removed when ICLabel gives its kind at least this probability.",
    )
    min_channels: int = Field(
        default=16,
        ge=4,
        description="Fewest channels with positions for bad channels to be looked for and "
        "interpolated, for the average reference and for ICA; with fewer these steps are skipped.",
    )
    min_duration: float = Field(
        default=30.0, ge=1, description="Recordings that are shorter, in s, are excluded."
    )
    tmin: float = Field(default=-0.2, le=0, ge=-10, description="Start of epochs in s.")
    tmax: float = Field(default=0.8, gt=0, le=30, description="End of epochs in s.")
    baseline: tuple[float, float] | None = Field(
        default=(-0.2, 0.0), description="Baseline of epochs in s; null for none."
    )
    autoreject: bool = Field(default=True, description="Reject epochs with autoreject.")
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="Seed of RANSAC, ICA and cross-validation."
    )

    @model_validator(mode="after")
    def _baseline_within(self) -> EegParameters:
        if self.baseline is not None and not (
            self.tmin <= self.baseline[0] < self.baseline[1] <= self.tmax
        ):
            raise ValueError(f"the baseline lies within tmin {self.tmin} and tmax {self.tmax}")
        return self
