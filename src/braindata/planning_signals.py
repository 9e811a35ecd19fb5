"""Which regions stand for which cognitive process in a run, and what each is held against."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from braindata.config import Config
from braindata.errors import UsageError, nearest
from braindata.latents.names import LATENT_NAMES
from braindata.regions.definition import Region


class SignalPlan:
    """The processes of a configuration that some region of the set is tied to.

    Parameters
    ----------
    config : Config
        The configuration.
    regions : iterable of Region
        The regions in use.

    Attributes
    ----------
    processes : dict of str to tuple of str
        By process, its regions as ``name-hash``; sorted.

    Raises
    ------
    UsageError
        When a process, a region or a latent is named that is not there.
    """

    def __init__(self, config: Config, regions: Iterable[Region]):
        section = config.signals
        there = list(regions)
        self._known = section.known
        self._targets = {one.id: one.targets for one in config.datasets}
        for name in section.only:
            _require(name, self._known, "signals.only", "process")
        for name, process in section.processes.items():
            for region in process.regions:
                names = {one.name for one in there}
                _require(region, names, f"signals.processes.{name}.regions", "region")
            for target in process.targets:
                _require_latent(target, f"signals.processes.{name}.targets")
        for dataset, targets in self._targets.items():
            for name, target in targets.items():
                _require(name, self._known, f"targets of {dataset}", "process")
                _require_latent(target, f"targets of {dataset}: {name}")
        chosen = set(section.only or self._known)
        found = {
            name: tuple(
                sorted(
                    one.key
                    for one in there
                    if one.name in process.regions or set(process.tied_to) & set(one.processes)
                )
            )
            for name, process in sorted(self._known.items())
            if name in chosen
        }
        self.processes = {name: keys for name, keys in found.items() if keys}

    def parameters(self, dataset: str, process: str) -> dict[str, Any]:
        """Return the parameters of a job as they are given to the command."""
        own = self._targets[dataset].get(process)
        return {
            "regions": list(self.processes[process]),
            "targets": list(self._known[process].targets) if own is None else [own],
            "required": own is not None,
        }


def _require_latent(target: str, where: str) -> None:
    kind, _, name = target.partition(":")
    if kind == "latent":
        _require(name, LATENT_NAMES, where, "latent")


def _require(name: str, known: Collection[str], where: str, what: str) -> None:
    if name not in known:
        raise UsageError(f"{where}: there is no {what} {name}", hint=nearest(name, sorted(known)))
