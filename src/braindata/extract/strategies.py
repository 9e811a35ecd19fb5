"""What cleaning can be: nilearn's strategies, and presets of a user's own.

Names and defaults are those of `nilearn.interfaces.fmriprep.load_confounds`,
`load_confounds_strategy` (Wang et al. 2024, doi:10.1371/journal.pcbi.1011942) and
`nilearn.signal.clean`. Read whenever a run is planned: no numerical library.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Component = Literal[
    "motion",
    "high_pass",
    "wm_csf",
    "compcor",
    "global_signal",
    "scrub",
    "non_steady_state",
    "ica_aroma",
]
Expansion = Literal["basic", "derivatives", "power2", "full"]
CompCor = Literal[
    "anat_combined",
    "anat_separated",
    "temporal",
    "temporal_anat_combined",
    "temporal_anat_separated",
]
Unit = Literal["a.u.", "z", "percent"]

# Uncleaned, always there: trials are estimated from it.
NONE = "none"
_EXPANSION = (
    "`basic`, `derivatives` (and differences to the volume before), `power2` (and squares) or "
    "`full` (and both, and the squares of differences)."
)


class Preset(BaseModel):
    """One way of cleaning a region's series."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    strategy: tuple[Component, ...] = Field(
        default=("motion", "high_pass", "wm_csf"),
        description="What is removed. `high_pass`: fMRIPrep's cosines, where it wrote any. "
        "`scrub`: volumes with much motion are left out. Volumes before the steady state always "
        "are, so that `non_steady_state` adds nothing. The others have an option of their name.",
    )
    motion: Expansion = Field(
        default="full", description=f"Terms of the six motion parameters: {_EXPANSION}"
    )
    wm_csf: Expansion = Field(
        default="basic", description="Terms of the mean signals of white matter and CSF, likewise."
    )
    global_signal: Expansion = Field(
        default="basic", description="Terms of the global signal, likewise."
    )
    compcor: CompCor = Field(
        default="anat_combined",
        description="Which CompCor components: of the most variable voxels (`temporal`), of white "
        "matter and CSF together (`anat_combined`) or apart (`anat_separated`), or both kinds. "
        "Needs `high_pass` in `strategy`.",
    )
    n_compcor: Literal["all"] | Annotated[int, Field(ge=1)] = Field(
        default="all", description="How many components of each mask; `all` that fMRIPrep kept."
    )
    scrub: int = Field(
        default=5,
        ge=0,
        description="Of volumes between scrubbed ones, segments shorter than this are scrubbed "
        "too; 0 for none.",
    )
    fd_threshold: float = Field(
        default=0.5,
        gt=0,
        description="Framewise displacement in mm above which a volume is scrubbed.",
    )
    std_dvars_threshold: float = Field(
        default=1.5, gt=0, description="Standardised DVARS above which a volume is scrubbed."
    )
    ica_aroma: Literal["full", "basic"] = Field(
        default="full",
        description="`full`: nothing more, for images that ICA-AROMA denoised "
        "(`desc-smoothAROMAnonaggr_bold`), null for others. `basic`: the components that ICA-AROMA "
        "classified as motion are removed.",
    )
    demean: bool = Field(
        default=True, description="Whether confounds lose their mean before anything else."
    )
    detrend: bool = Field(
        default=True, description="Whether the linear trend is removed from series and confounds."
    )
    standardize: Literal["none", "zscore_sample", "psc"] = Field(
        default="zscore_sample",
        description="Unit of the cleaned series, made last: that of the image (`none`), standard "
        "deviations with divisor n - 1 (`zscore_sample`) or percent of the region's mean (`psc`).",
    )
    filter: Literal["butterworth", "cosine"] = Field(
        default="butterworth",
        description="How `high_pass` and `low_pass` are applied: a Butterworth filter, in which "
        "scrubbed volumes are interpolated, or discrete cosines among the confounds (`high_pass` "
        "only).",
    )
    high_pass: float | None = Field(
        default=None, gt=0, description="Frequency in Hz below which is removed; null for none."
    )
    low_pass: float | None = Field(
        default=None, gt=0, description="Frequency in Hz above which is removed; null for none."
    )
    signal: Literal["mean", "eigenvariate"] = Field(
        default="mean",
        description="What stands for the region: the mean of its voxels, or their first "
        "eigenvariate, taken after cleaning them.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Preset:
        if len(set(self.strategy)) < len(self.strategy):
            raise ValueError("a component is listed twice in `strategy`")
        if "compcor" in self.strategy and "high_pass" not in self.strategy:
            raise ValueError(
                "`compcor` needs `high_pass` in `strategy`: fMRIPrep's components are high-passed"
            )
        if self.filter == "cosine" and self.high_pass is None:
            raise ValueError("`filter: cosine` needs a frequency, `high_pass`")
        if self.filter == "cosine" and self.low_pass is not None:
            raise ValueError("`filter: cosine` has no `low_pass`; `butterworth` has")
        if self.high_pass and self.low_pass and self.high_pass >= self.low_pass:
            raise ValueError("`high_pass` must be a lower frequency than `low_pass`")
        return self

    @property
    def unit(self) -> Unit:
        """Unit of a cleaned series."""
        units: dict[str, Unit] = {"none": "a.u.", "zscore_sample": "z", "psc": "percent"}
        return units[self.standardize]


# `nilearn.interfaces.fmriprep.load_confounds_strategy` with its defaults.
BUILT_IN: Mapping[str, Preset] = MappingProxyType(
    {
        "simple": Preset(strategy=("high_pass", "motion", "wm_csf")),
        "scrubbing": Preset(strategy=("high_pass", "motion", "wm_csf", "scrub"), wm_csf="full"),
        "compcor": Preset(strategy=("high_pass", "motion", "compcor")),
        "ica_aroma": Preset(strategy=("high_pass", "wm_csf", "ica_aroma")),
    }
)
