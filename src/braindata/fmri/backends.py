"""What a user can set about fMRI preprocessing: which backend, and each one's own parameters."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from braindata.fmri.fmriprep.parameters import FmriprepParameters
from braindata.fmri.parameters import NativeParameters

Backend = Literal["native", "derivatives", "fmriprep"]
# Of MNI's templates, those in which regions of the default sets are placed without a transform.
SPACES = ("MNI152NLin2009cAsym", "MNI152NLin6Asym", "MNI152NLin2009aSym")


class DerivativesParameters(BaseModel):
    """What is used of others' derivatives."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spaces: tuple[str, ...] = Field(
        default=SPACES,
        min_length=1,
        description="Template spaces, the preferred one first: of each recording the first that is "
        "there is used.",
    )
    resolution: str | None = Field(
        default="2",
        description='Index of the resolution (`res-2` is `"2"`) that is preferred where a '
        "recording is there in several.",
    )


class FmriParameters(BaseModel):
    """fMRI preprocessing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Backend = Field(
        default="native",
        description="What preprocesses. `native` needs nothing but this package; `derivatives` "
        "uses what others have made, which each data set names in its own `derivatives`; "
        "`fmriprep` runs fMRIPrep in a container.",
    )
    native: NativeParameters = Field(
        default_factory=NativeParameters, description="Of `backend: native`."
    )
    derivatives: DerivativesParameters = Field(
        default_factory=DerivativesParameters,
        description="Of `backend: derivatives`, and of data sets that name derivatives.",
    )
    fmriprep: FmriprepParameters = Field(
        default_factory=FmriprepParameters, description="Of `backend: fmriprep`."
    )

    def chosen(self, backend: Backend | None = None) -> dict[str, Any]:
        """Return the backend and its own parameters as JSON: those of others change no result.

        Parameters
        ----------
        backend : str, optional
            Another one than that of the configuration, as a data set may ask for.
        """
        name = backend or self.backend
        own: BaseModel = getattr(self, name)
        return {"backend": name, name: own.model_dump(mode="json")}
