"""Which backend preprocesses a data set, with which parameters, and what its jobs need."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from braindata.config import Config
from braindata.config_fmriprep import place_fmriprep
from braindata.fmri.backends import DerivativesParameters
from braindata.regions.spaces import NATIVE


@dataclass(frozen=True)
class Needs:
    """What a job that preprocesses needs.

    Attributes
    ----------
    threads : int
        At once.
    memory_mb, minutes : int
        Of the first attempt; later ones have as much more each, or, where it `doubles`, twice as
        much memory and the same time.
    """

    threads: int = 1
    memory_mb: int = 3000
    minutes: int = 120
    doubles: bool = False

    def memory(self, attempt: int) -> int:
        """Return the memory in MB of an attempt, the first of which is 1."""
        return self.memory_mb * (2 ** (attempt - 1) if self.doubles else attempt)

    def runtime(self, attempt: int) -> int:
        """Return the longest duration in minutes of an attempt."""
        return self.minutes * (1 if self.doubles else attempt)


class PreprocessPlan:
    """How the recordings of each data set are preprocessed.

    Parameters
    ----------
    config : Config
        The validated configuration.
    values : mapping
        The merged configuration.
    files : sequence of Path
        The files that it was merged from.

    Raises
    ------
    UsageError
        When fMRIPrep is asked for, and its licence or image is not there: said now, not after the
        hours that it takes to get there.
    """

    def __init__(self, config: Config, values: Mapping[str, Any], files: Sequence[Path]):
        self._fmri = config.preprocess.fmri
        self._eeg = config.preprocess.eeg
        self._datasets = {dataset.id: dataset for dataset in config.datasets}
        self._run = self._fmri.fmriprep.run
        if self.retries:
            self._run = place_fmriprep(config, values, files)

    def backend(self, dataset: str) -> str | None:
        """Return the backend of a data set's fMRI; None where none of it is used."""
        one = self._datasets[dataset]
        if "fmri" not in one.modalities:
            return None
        return "derivatives" if one.derivatives else self._fmri.backend

    def parameters(self, dataset: str) -> dict[str, Any]:
        """Return of each modality of a data set the backend and its own parameters."""
        one = self._datasets[dataset]
        sections: dict[str, Any] = {
            "fmri": self._fmri.chosen("derivatives" if one.derivatives else None),
            "eeg": self._eeg.model_dump(mode="json"),
        }
        return {name: sections[name] for name in one.modalities}

    def spaces(self) -> set[str]:
        """Return the template spaces that images are expected in."""
        expected = {
            "native": NATIVE,
            "derivatives": self._fmri.derivatives.spaces[0],
            "fmriprep": self._fmri.fmriprep.spaces[0],
        }
        backends = {self.backend(dataset) for dataset in self._datasets}
        return {expected[name] for name in backends if name is not None}

    def derivatives(self, dataset: str) -> DerivativesParameters | None:
        """Return what is used of a data set's derivatives; None where it names none."""
        return self._fmri.derivatives if self._datasets[dataset].derivatives else None

    def needs(self, dataset: str) -> Needs:
        """Return what a job needs that preprocesses a unit of a data set."""
        if self.backend(dataset) != "fmriprep":
            return Needs()
        run = self._run
        return Needs(run.threads, run.memory_mb, run.runtime, doubles=True)

    @property
    def retries(self) -> int | None:
        """How often a job that preprocesses is tried again; None: as often as any other job."""
        return 1 if any(self.backend(dataset) == "fmriprep" for dataset in self._datasets) else None

    def machine(self) -> str:
        """Return how units are preprocessed here, as JSON."""
        return json.dumps({"fmriprep": self._run.model_dump(mode="json")}, sort_keys=True)

    def fetches(self, dataset: str) -> bool:
        """Whether templates are fetched before a data set is preprocessed."""
        return self.backend(dataset) == "fmriprep" and self._run.templateflow is None

    def templates(self) -> str:
        """Return the parameters that say which templates are fetched, as JSON."""
        wanted = {"output_spaces", "skull_strip_template", "reconall"}
        body = self._fmri.fmriprep.model_dump(mode="json", include=wanted)
        return json.dumps(body, sort_keys=True)
