"""What a user can set about series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from braindata.errors import nearest
from braindata.extract.strategies import BUILT_IN, NONE, Preset

PresetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class ExtractParameters(BaseModel):
    """How a region's series is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # Before the strategies, which are held against them.
    presets: Mapping[PresetName, Preset] = Field(
        default_factory=dict,
        description="Ways of cleaning of your own, by name, for `extract.strategies`; options, "
        "names and defaults are those of nilearn's `load_confounds` and `signal.clean`. See "
        "docs/cleaning.md.",
    )
    strategies: tuple[str, ...] = Field(
        default=(NONE, "simple"),
        description="How the region's series is cleaned, a row each. `none`: not at all, always "
        "there, as trials are estimated from it. `simple`, `scrubbing`, `compcor`, `ica_aroma`: "
        "nilearn's strategies of these names with their defaults, the linear trend removed, in "
        "standard deviations. Or a name of `extract.presets`.",
    )
    min_coverage: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Smallest share of a region's voxels that must hold data; below it the series "
        "is null.",
    )
    min_time: float = Field(
        default=60.0,
        ge=0,
        description="Seconds of data that a strategy's scrubbing must leave; below it the "
        "strategy's series is null, the others' stay. The default excludes what nothing can be "
        "made of; connectivity needs some minutes.",
    )

    @field_validator("presets")
    @classmethod
    def _own_names(cls, presets: Mapping[str, Preset]) -> Mapping[str, Preset]:
        taken = sorted({NONE, *BUILT_IN} & set(presets))
        if taken:
            raise ValueError(
                f"the name `{taken[0]}` is that of a built-in strategy; give the preset another"
            )
        return presets

    @field_validator("strategies")
    @classmethod
    def _complete(cls, strategies: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if NONE not in strategies:
            raise ValueError("`none` must be among them: trials are estimated from it")
        if len(set(strategies)) < len(strategies):
            raise ValueError("a strategy is listed twice")
        if "presets" in info.data:
            known = [NONE, *BUILT_IN, *info.data["presets"]]
            for name in strategies:
                if name not in known:
                    raise ValueError(f"there is no strategy `{name}`; {nearest(name, known)}")
        return strategies

    @field_serializer("presets")
    def _listed(self, presets: Mapping[str, Preset]) -> dict[str, Preset]:
        """Leave out presets that are not listed: they change no result, so they rerun no job."""
        return {name: presets[name] for name in sorted(presets) if name in self.strategies}

    @field_serializer("strategies")
    def _sorted(self, strategies: tuple[str, ...]) -> list[str]:
        """Sort them, as their rows are: another order is no other job."""
        return sorted(strategies)

    @property
    def cleanings(self) -> dict[str, Preset | None]:
        """Each listed strategy by its name, sorted, and what it is; None for `none`."""
        known = {NONE: None, **BUILT_IN, **self.presets}
        return {name: known[name] for name in sorted(self.strategies)}


def cleanings(parameters: ExtractParameters) -> dict[str, Preset]:
    """Return every way of cleaning by its name, listed in `strategies` or not."""
    return {**BUILT_IN, **parameters.presets}
