"""What a user can set about fMRI preprocessing: which backend, and each one's own parameters."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from braindata.fmri.parameters import NativeParameters

Backend = Literal["native"]


class FmriParameters(BaseModel):
    """fMRI preprocessing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Backend = Field(
        default="native",
        description="What preprocesses. `native` needs nothing but this package.",
    )
    native: NativeParameters = Field(
        default_factory=NativeParameters, description="Of `backend: native`."
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
