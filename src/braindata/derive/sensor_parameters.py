"""What a user can set about features of EEG at sensors. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]

# Of each trial's spectrum, besides its bands.
APERIODIC = "aperiodic_exponent"


class ErpWindow(BaseModel):
    """A component of the event-related potential: where and when its mean amplitude is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="Its name in `trials`.")
    tmin: float = Field(ge=-5, le=10, description="Start in s from the onset.")
    tmax: float = Field(ge=-5, le=10, description="End in s from the onset.")
    channels: tuple[str, ...] = Field(
        min_length=1, description="Channels that are averaged, as far as the recording has them."
    )

    @model_validator(mode="after")
    def _forwards(self) -> ErpWindow:
        if self.tmax <= self.tmin:
            raise ValueError("tmax comes after tmin")
        return self


class Band(BaseModel):
    """A band of frequencies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="Its name in the tables.")
    fmin: float = Field(gt=0, le=500, description="Lower edge in Hz.")
    fmax: float = Field(gt=0, le=500, description="Upper edge in Hz.")

    @model_validator(mode="after")
    def _upwards(self) -> Band:
        if self.fmax <= self.fmin:
            raise ValueError("fmax is above fmin")
        return self


# Reward positivity: Sambrook & Goslin 2015, doi:10.1037/bul0000006. P300: Polich 2007,
# doi:10.1016/j.clinph.2007.04.019. ERN (around responses), N170, N400: Kappenman et al. 2021,
# doi:10.1016/j.neuroimage.2020.117465. Late positive potential: Hajcak & Foti 2020,
# doi:10.1111/psyp.13570.
STANDARD_ERP = (
    ErpWindow(name="RewP", tmin=0.24, tmax=0.34, channels=("FCz",)),
    ErpWindow(name="P300", tmin=0.3, tmax=0.5, channels=("Pz",)),
    ErpWindow(name="ERN", tmin=0.0, tmax=0.1, channels=("FCz",)),
    ErpWindow(name="N170", tmin=0.11, tmax=0.15, channels=("PO8",)),
    ErpWindow(name="N400", tmin=0.3, tmax=0.5, channels=("CPz",)),
    ErpWindow(name="LPP", tmin=0.4, tmax=0.8, channels=("CPz", "Pz")),
)
STANDARD_BANDS = (
    Band(name="theta", fmin=4, fmax=8),
    Band(name="alpha", fmin=8, fmax=13),
    Band(name="beta", fmin=13, fmax=30),
    Band(name="gamma", fmin=30, fmax=80),
    Band(name="broadband", fmin=1, fmax=80),
)


class SensorParameters(BaseModel):
    """Features of EEG, trial by trial: at sensors and of the courses of regions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    erp: tuple[ErpWindow, ...] = Field(
        default=STANDARD_ERP,
        description="Components of the event-related potential. A list of your own replaces the "
        "standard one.",
    )
    erp_h_freq: float = Field(
        default=30.0, gt=1, le=200, description="Low-pass before amplitudes are taken, in Hz."
    )
    baseline: tuple[float, float] = Field(
        default=(-0.2, 0.0), description="Baseline of amplitudes, in s from the onset."
    )
    bands: tuple[Band, ...] = Field(
        default=STANDARD_BANDS, description="Bands whose power is taken, averaged over channels."
    )
    band_window: tuple[float, float] = Field(
        default=(0.0, 0.8), description="Window of band power, in s from the onset."
    )
    aperiodic: bool = Field(
        default=True,
        description="Whether the exponent of the aperiodic part of each trial's spectrum is "
        "estimated, in the window of band power. Single trials show it with much noise.",
    )

    @field_validator("baseline", "band_window")
    @classmethod
    def _forwards(cls, window: tuple[float, float]) -> tuple[float, float]:
        if window[1] <= window[0]:
            raise ValueError("a window ends after it starts")
        return window

    @model_validator(mode="after")
    def _named_once(self) -> SensorParameters:
        names = [one.name for one in self.erp] + [one.name for one in self.bands]
        names += [APERIODIC] if self.aperiodic else []
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is there twice")
        return self
