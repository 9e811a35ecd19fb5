"""What decides a phantom: its parameters, and where its true regions are."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

TASK = "gamble"
EVENT_DURATION = 2.0
LEAD_IN = 6.0
TAIL = 14.0


@dataclass(frozen=True)
class TrueRegion:
    """A true region: Gaussian blobs in template space, kept to grey matter.

    Deliberately no sphere, so that it is not what the analysis averages.

    Attributes
    ----------
    name : str
        Name, as the region set `spheres` has it.
    centers : tuple of (float, float, float)
        Centres of the blobs, in mm (MNI).
    sigma : float
        Standard deviation of a blob, in mm.
    response : float
        Response to every trial, as a fraction of the signal at the peak.
    variability : float
        Standard deviation over trials of a response that has nothing to do with value.
    follows_value : bool
        Whether the response holds the trial's value.
    """

    name: str
    centers: tuple[tuple[float, float, float], ...]
    sigma: float
    response: float
    variability: float
    follows_value: bool


# vmPFC and ventral striatum: around the peaks that Bartra, McGuire & Kable (2013,
# doi:10.1016/j.neuroimage.2013.02.063) report for subjective value, as the region set `spheres`
# has them. Visual: occipital pole, lateral occipital and fusiform cortex on both sides, chosen
# here: a simulation's truth is what was put in.
_VISUAL = tuple(
    (side * x, y, z)
    for side in (-1.0, 1.0)
    for x, y, z in ((12.0, -92.0, -2.0), (36.0, -86.0, -4.0), (36.0, -64.0, -16.0))
)
REGIONS = (
    TrueRegion("visual", _VISUAL, 10.0, 0.010, 0.002, False),
    TrueRegion(
        "ventral_striatum", ((-12.0, 12.0, -6.0), (12.0, 10.0, -6.0)), 8.0, 0.005, 0.0, True
    ),
    TrueRegion("vmpfc", ((2.0, 46.0, -8.0),), 10.0, 0.003, 0.0, True),
)


class PhantomParameters(BaseModel):
    """What decides every byte of a phantom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0, description="Seed of all random numbers.")
    n_subjects: int = Field(default=3, ge=1, le=99, description="People.")
    n_runs: int = Field(default=2, ge=1, le=99, description="Runs of each person.")
    n_trials: int = Field(default=60, ge=2, description="Trials of each run.")
    tr: float = Field(default=2.0, gt=0, description="Repetition time in s.")
    interval: tuple[float, float] = Field(
        default=(4.0, 8.0),
        description="Shortest and longest pause from a gamble's end to the next one in s.",
    )
    value_effect: float = Field(
        default=0.01,
        ge=0,
        le=0.01,
        description="Largest response to value, as a fraction of the signal at a region's peak.",
    )
    tsnr: float = Field(
        default=70.0,
        gt=0,
        description="Grey matter's signal over the noise's standard deviation; drifts and motion "
        "come on top and lower what is measured by about 8 %.",
    )
    noise_fwhm: float = Field(
        default=5.0, gt=0, description="Width of the spatially correlated half of the noise in mm."
    )
    noise_ar: float = Field(
        default=0.3, ge=0, lt=1, description="Autocorrelation of the noise from volume to volume."
    )
    drift: float = Field(
        default=0.004, ge=0, description="Size of slow drifts, as a fraction of the signal."
    )
    motion: float = Field(
        default=1.5,
        ge=0,
        le=2.0,
        description="Largest distance that the head moves within a run in mm, 50 mm off-centre.",
    )
    warp: float = Field(
        default=2.5, ge=0, le=4.0, description="Standard deviation of the individual warp in mm."
    )
    bold_voxel: float = Field(default=3.5, ge=2, le=12, description="Voxel edge of BOLD in mm.")
    t1w_voxel: float = Field(default=1.25, ge=1, le=6, description="Voxel edge of T1w in mm.")

    @field_validator("interval")
    @classmethod
    def _ordered(cls, interval: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= interval[0] <= interval[1]:
            raise ValueError("the shortest pause comes first, and none is below 0")
        return interval

    @property
    def n_volumes(self) -> int:
        """Volumes of each run: the pauses of a run always have the same sum."""
        pauses = (self.n_trials - 1) * sum(self.interval) / 2
        seconds = LEAD_IN + pauses + self.n_trials * EVENT_DURATION + TAIL
        return int(seconds / self.tr) + 1
