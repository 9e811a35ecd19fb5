"""What a user can set about connectivity. Imports nothing heavy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from braindata.derive.sensor_parameters import Band

STANDARD_BANDS = (
    Band(name="theta", fmin=4, fmax=8),
    Band(name="alpha", fmin=8, fmax=13),
    Band(name="beta", fmin=13, fmax=30),
    Band(name="gamma", fmin=30, fmax=45),
)


class ConnectivityParameters(BaseModel):
    """How regions are held against each other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    given: tuple[str, ...] | None = Field(
        default=None,
        description="The regions that partial and regularised correlations of fMRI take account "
        "of, besides the pair itself. Not stated: all that are in use, and a further region then "
        "makes these kinds (no others) anew for all pairs. With a list of your own it adds pairs "
        "and leaves all others as they are.",
    )
    min_trials: int = Field(
        default=10,
        ge=4,
        description="Fewest trials of a condition that a beta series is correlated over.",
    )
    bands: tuple[Band, ...] = Field(
        default=STANDARD_BANDS, description="Bands of EEG in which courses are held together."
    )
    epoch: float = Field(
        default=2.0,
        ge=0.5,
        le=30,
        description="Length of the pieces, in s, that courses of EEG are cut into.",
    )
    min_epochs: int = Field(
        default=20, ge=5, description="Fewest such pieces that connectivity is estimated from."
    )
    max_crosstalk: float | None = Field(
        default=0.5,
        gt=0,
        description="Pairs of regions in EEG of which one contributes more than this to the "
        "other's course, relative to the region's own, or of which that is not known, have no "
        "values. `null` means no limit.",
    )

    @field_validator("given")
    @classmethod
    def _sorted(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if given is None else tuple(sorted(set(given)))

    @field_validator("bands")
    @classmethod
    def _named_once(cls, bands: tuple[Band, ...]) -> tuple[Band, ...]:
        names = [band.name for band in bands]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is there twice")
        return bands
