"""What is planned for EEG: which data sets it is used of, and what its regions rest on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from braindata.config import Config
from braindata.config_regions import read_regions
from braindata.eeg.source_parameters import SourceParameters
from braindata.errors import UsageError
from braindata.regions.definition import Region
from braindata.regions.labels import nearest
from braindata.scaffold.project import project_root

# Files of the set that comes with the package; others that lie beside them are the user's.
SHIPPED = ("perception", "valuation", "integration", "execution")


class EegPlan:
    """What jobs of EEG are told.

    Parameters
    ----------
    config : Config
        The configuration.
    regions : collection of Region
        The regions in use.

    Attributes
    ----------
    datasets : list of str
        The data sets of which EEG is used, in the order of the configuration.

    Raises
    ------
    UsageError
        When a region is insisted on that there is not.
    """

    def __init__(self, config: Config, regions: Collection[Region]):
        self._config = config
        self._head: dict[str, Any] | None = None
        self.datasets = [one.id for one in config.datasets if "eeg" in one.modalities]
        names = [region.name for region in regions]
        for name in config.sources.insist:
            if self.datasets and name not in names:
                near = nearest(name, names)
                raise UsageError(
                    f"sources.insist: there is no region {name}",
                    hint=f"did you mean {', '.join(near)}?" if near else "see `regions`",
                )

    def head(self) -> dict[str, Any]:
        """Return the parameters of the heads' job.

        With the regions that come with the package, whichever are in use: what is claimed of one
        region must not depend on others that somebody adds.
        """
        if self._head is None:
            folder = project_root() / "config" / "regions" / "spheres"
            files = [str(folder / f"{name}.yaml") for name in SHIPPED]
            self._head = {"head": self._config.head, "others": tuple(read_regions(files).regions)}
        return self._head

    def sources(self, dataset: str | None, region: Region) -> SourceParameters | None:
        """Return how a region's series is made from EEG; None for data sets without any."""
        if dataset not in self.datasets:
            return None
        chosen = self._config.sources
        # To insist on a region changes nothing of the others.
        insist = (region.name,) if region.name in chosen.insist else ()
        return chosen.model_copy(update={"insist": insist})
