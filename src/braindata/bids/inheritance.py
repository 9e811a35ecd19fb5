"""The inheritance principle: which files apply to a recording."""

from __future__ import annotations

from pathlib import Path

from braindata.bids.entities import entities


def inherited(root: Path, recording: str, suffix: str, extension: str) -> list[str]:
    """Return the files of one kind that apply to a recording.

    bids2table resolves JSON sidecars, not tables, and its index holds no file of the top level.

    Parameters
    ----------
    root : Path
        The BIDS folder.
    recording : str
        Path of the recording below `root`.
    suffix, extension : str
        The kind of file: ``events`` and ``.tsv``.

    Returns
    -------
    list of str
        Paths below `root`, the one that counts most first: nearest to the recording, and in one
        folder the one that shares most entities.
    """
    own = entities(recording)
    folder = (root / recording).parent
    found = []
    for level in (folder, *folder.parents):
        matches = []
        for candidate in level.glob(f"*{suffix}{extension}"):
            named = entities(candidate.name)
            if (named.pop("suffix", None), named.pop("ext", None)) != (suffix, extension):
                continue
            if all(own.get(key) == value for key, value in named.items()):
                matches.append((-len(named), candidate.relative_to(root).as_posix()))
        found += [path for _, path in sorted(matches)]
        if level == root:
            break
    return found
