"""The versions that sources are pinned to: from the lock file, or asked for once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from braindata.errors import BraindataError
from braindata.layout import PUBLISHED
from braindata.pull.git import UnreachableError
from braindata.pull.source import Pin, Remote, read_lock, resolve, write_lock
from braindata.receipts import Receipt

log = logging.getLogger("braindata")


class Pins:
    """The pin of each data set that comes from a repository.

    Parameters
    ----------
    lock_file : Path
        Where they are noted.
    remotes : mapping of str to Remote
        The repositories by data set; those of derivatives of one, by its name with `PUBLISHED`.
    receipt : callable
        Where the receipt lies of what is pulled under such a name.
    """

    def __init__(
        self, lock_file: Path, remotes: Mapping[str, Remote], receipt: Callable[[str], Path]
    ):
        self.lock_file = lock_file
        self.remotes = dict(remotes)
        self._receipt = receipt
        self._noted = read_lock(lock_file) if remotes else {}
        self._new: dict[str, Pin] = {}

    def of(self, dataset: str) -> Pin:
        """Return the pin of a data set; one that is noted nowhere is asked for, this once.

        Raises
        ------
        UnreachableError
            When it is not noted, the repository does not answer, and nothing of it is here.
        """
        remote = self.remotes[dataset]
        pin = self._noted.get(remote.source) or self._new.get(remote.source)
        if pin is None:
            try:
                pin = resolve(remote, self._noted)
            except UnreachableError as error:
                pin = self._pulled(dataset)
                if pin is None:
                    raise UnreachableError(
                        f"{dataset}: {error.problem}", hint=self._what_is_here(error)
                    ) from error
                log.warning(
                    "%s: %s; going on with version %s, which is here",
                    dataset, error.problem, pin.version,
                )  # fmt: skip
            self._new[remote.source] = pin
        return pin

    def write(self) -> None:
        """Note the pins that were asked for."""
        if self._new:
            # Another process may have noted others meanwhile; what is noted stays.
            self._noted = self._new | read_lock(self.lock_file)
            self._new = {}
            write_lock(self.lock_file, self._noted)

    def update(self) -> dict[str, tuple[Pin | None, Pin | BraindataError]]:
        """Ask for all pins anew and note them.

        Returns
        -------
        dict of str to tuple
            The earlier pin of each data set, and the present one, or why it could not be had.
        """
        found: dict[str, tuple[Pin | None, Pin | BraindataError]] = {}
        for dataset, remote in self.remotes.items():
            earlier = self._noted.get(remote.source)
            try:
                pin = resolve(remote, self._noted)
            except BraindataError as error:
                found[dataset] = (earlier, error)
                continue
            found[dataset] = (earlier, pin)
            self._noted[remote.source] = pin
        write_lock(self.lock_file, self._noted)
        return found

    def _pulled(self, dataset: str) -> Pin | None:
        """Return the version that was pulled before, if the source is still the same."""
        try:
            notes = Receipt.read(self._receipt(dataset)).notes
        except BraindataError:
            return None
        if dataset.endswith(PUBLISHED):
            notes = notes.get("derivatives", {})
        if notes.get("source") != self.remotes[dataset].source:
            return None
        return Pin(notes["tag"], notes["commit"])

    def _what_is_here(self, error: BraindataError) -> str:
        here = [name for name in self.remotes if self._receipt(name).is_file()]
        told = f"; pulled already: {', '.join(here)}" if here else ""
        return f"{error.hint}{told}"
