"""What a run was asked for: left in the output folder, so that `status` needs no configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass

from braindata.errors import BraindataError
from braindata.files import write_text
from braindata.layout import Layout

FORMAT = "braindata-plan"
# A file into which a run writes where its output folder is: who started it cannot know.
TOLD_VARIABLE = "BRAINDATA_OUTPUT_FILE"


@dataclass(frozen=True)
class Planned:
    """What the latest run was asked for.

    Attributes
    ----------
    datasets : tuple of str
        Identifiers of the data sets.
    regions : tuple of str
        Regions, as ``name-hash``.
    eeg : bool
        Whether EEG of some data set is used.
    groups : tuple of str
        Groups of regions that people are aligned in, as ``name-hash``.
    processes : tuple of str
        Cognitive processes that regions are tied to.
    """

    datasets: tuple[str, ...]
    regions: tuple[str, ...]
    eeg: bool = False
    groups: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()

    def write(self, layout: Layout) -> None:
        """Write the plan atomically, if it is not what is there."""
        body = {
            "format": FORMAT,
            "datasets": list(self.datasets),
            "regions": list(self.regions),
            "eeg": self.eeg,
            "groups": list(self.groups),
            "processes": list(self.processes),
        }
        text = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
        path = layout.plan()
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)

    @classmethod
    def read(cls, layout: Layout) -> Planned | None:
        """Read the plan; None where there is none, as in a folder of an older version.

        Raises
        ------
        BraindataError
            When the file is no plan.
        """
        path = layout.plan()
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            if body["format"] != FORMAT:
                raise ValueError(FORMAT)
            datasets, regions = (tuple(map(str, body[key])) for key in ("datasets", "regions"))
            groups = tuple(map(str, body.get("groups", ())))
            processes = tuple(map(str, body.get("processes", ())))
            return cls(datasets, regions, bool(body.get("eeg", False)), groups, processes)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise BraindataError(
                "this is no plan", file=path, hint="run again: it is written anew"
            ) from error
