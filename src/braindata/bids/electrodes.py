"""The tables that say what the channels of a recording are, and where."""

from __future__ import annotations

from dataclasses import dataclass

from braindata.bids.entities import entities
from braindata.bids.inheritance import Tree

# Systems of coordinates whose axes are known; of several tables the first of these counts.
PREFERRED = ("CapTrak", "EEGLAB", "CTF")


@dataclass(frozen=True)
class ChannelTables:
    """Paths below the BIDS folder; None where there is none.

    Attributes
    ----------
    channels, electrodes, coordsystem : str or None
        `channels.tsv`, `electrodes.tsv` and the `coordsystem.json` of its coordinates.
    """

    channels: str | None
    electrodes: str | None
    coordsystem: str | None

    def paths(self) -> list[str]:
        """Return those that are there."""
        return [p for p in (self.channels, self.electrodes, self.coordsystem) if p is not None]


def channel_tables(tree: Tree, recording: str) -> ChannelTables:
    """Find the tables that apply to a recording by the inheritance principle.

    Parameters
    ----------
    tree : Tree
        The BIDS folder.
    recording : str
        Path of the recording below its root.
    """
    channels = next(iter(tree.inherited(recording, "channels", ".tsv")), None)
    found = tree.inherited(recording, "electrodes", ".tsv", ("space",))
    electrodes = min(found, key=lambda path: (_rank(path), found.index(path)), default=None)
    if electrodes is None:
        return ChannelTables(channels, None, None)
    space = entities(electrodes).get("space")
    systems = tree.inherited(recording, "coordsystem", ".json", ("space",))
    same = [path for path in systems if entities(path).get("space") == space]
    return ChannelTables(channels, electrodes, next(iter(same), None))


def _rank(path: str) -> int:
    space = entities(path).get("space", "")
    return PREFERRED.index(space) if space in PREFERRED else len(PREFERRED)
