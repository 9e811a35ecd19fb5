"""What `braindata regions` shows: regions as they are configured, and what a run would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from braindata.config import load_region_config
from braindata.config_lines import read_document
from braindata.config_regions import read_regions
from braindata.errors import BraindataError, UsageError
from braindata.layout import UNIT_FOLDERS, Layout
from braindata.planning import Plan, read_spaces
from braindata.planning_stale import stale_receipts
from braindata.receipts import receipt_beside
from braindata.regions.definition import Region
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.labels import nearest
from braindata.status.planned import Planned

DEFAULT_FILE = Path("config/config.yaml")
# What `diff` says of a region in a data set.
STATES = ("new", "changed", "settings", "removed", "unchanged")


@dataclass(frozen=True)
class RegionView:
    """The regions of a configuration.

    Attributes
    ----------
    regions : list of Region
        Sorted by name.
    placing : Placing
        Their files, and how they get into the template's space.
    resolution : int
        Voxel size in mm of the grid that they are shown on.
    """

    regions: list[Region]
    placing: Placing
    resolution: int

    def find(self, name: str) -> Region:
        """Return a region by its name.

        Raises
        ------
        UsageError
            When there is none, naming the nearest.
        """
        for region in self.regions:
            if region.name == name:
                return region
        names = [region.name for region in self.regions]
        near = nearest(name, names)
        raise UsageError(
            f"there is no region {name}",
            hint=f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(names)}",
        )


def merged(files: Sequence[Path]) -> tuple[dict[str, Any], list[Path]]:
    """Merge configuration files as Snakemake does, `config/config.yaml` being the first.

    Returns
    -------
    values : dict
        The merged configuration.
    files : list of Path
        The files that were merged.
    """
    all_files = [*([DEFAULT_FILE] if DEFAULT_FILE.is_file() else []), *files]
    values: dict[str, Any] = {}
    for file in all_files:
        body = read_document(file).value
        if not isinstance(body, dict):
            raise UsageError("this is no mapping of keys to values", file=file)
        _update(values, body)
    return values, all_files


def _update(values: dict[str, Any], others: Mapping[str, Any]) -> None:
    for key, value in others.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _update(values[key], value)
        else:
            values[key] = value


def open_regions(files: Sequence[Path]) -> RegionView:
    """Read the regions of a configuration; its data sets need not be there.

    Raises
    ------
    UsageError
        When the configuration or a region file is wrong.
    """
    config, output = load_region_config(*merged(files))
    found = read_regions(config.regions)
    spaces, transforms = read_spaces(config.spaces)
    region_files = RegionFiles(Layout(output).regions(), {**found.files, **transforms})
    return RegionView(
        found.regions, Placing(region_files, spaces), config.preprocess.fmri.native.resolution
    )


def describe(region: Region, view: RegionView) -> dict[str, Any]:
    """Return what is known of a region, as JSON: its definition, and its size on the template.

    `problem` says why it has no size, as when an atlas was not fetched yet.
    """
    from braindata.regions.checks import check_region
    from braindata.regions.template import template_grid

    grid = template_grid(view.resolution)
    facts: dict[str, Any] = {
        "region": region.name,
        "level": region.level,
        "kind": region.definition.kind,
        "space": region.space,
        "hash": region.definition_hash,
        "processes": list(region.processes),
        "references": list(region.references),
        "sources": region.definition.sources(),
        "definition": region.definition.model_dump(mode="json", exclude_none=True),
        "template": grid.space,
        "resolution": view.resolution,
    }
    try:
        resolved = check_region(region, grid, view.placing)
    except BraindataError as error:
        return facts | {"problem": str(error)}
    return facts | {
        "n_voxels": resolved.n_voxels,
        "volume": resolved.volume,
        "center_of_mass": list(resolved.center_of_mass),
        "placement": resolved.placement,
    }


@dataclass(frozen=True)
class Change:
    """What a run would do about a region in a data set.

    Attributes
    ----------
    dataset, region : str
        Identifier and name.
    state : {"new", "changed", "settings", "removed", "unchanged"}
        `changed` in its definition; `settings` when other settings of the configuration, or an
        update of braindata, make its series or trials anew.
    now, before : str or None
        Its hash in the configuration, and the one that is in the output folder.
    """

    dataset: str
    region: str
    state: str
    now: str | None
    before: str | None


def changes(plan: Plan) -> list[Change]:
    """Return what a run would do, region by region, from the receipts that are there.

    New recordings are not looked at: they concern all regions. So do recordings that are packed or
    preprocessed anew, which counts as `settings`.
    """
    stale = set(stale_receipts(plan))
    planned = Planned.read(plan.layout)
    former = dict(_split(key) for key in (planned.regions if planned else ()))
    result = []
    for dataset in plan.datasets:
        curated = plan.layout.receipt("curated", dataset)
        anew = curated.is_file() and any(
            plan.layout.receipt(folder, dataset, unit) in stale
            for folder in UNIT_FOLDERS
            for unit in plan.curated.units(dataset)
        )
        for key in plan.regions:
            name, now = _split(key)
            receipts = [
                receipt_beside(path(dataset, key))
                for path in (plan.layout.series, plan.layout.trials)
            ]
            before = _before(plan.layout, dataset, name, former.get(name), now)
            if not anew and all(path.is_file() and path not in stale for path in receipts):
                state = "unchanged"
            elif before is None:
                state = "new"
            else:
                state = "settings" if before == now else "changed"
            result.append(Change(dataset, name, state, now, before))
        gone = former.keys() - {_split(key)[0] for key in plan.regions}
        for name in sorted(gone):
            result.append(Change(dataset, name, "removed", None, former[name]))
    return result


def _before(layout: Layout, dataset: str, name: str, former: str | None, now: str) -> str | None:
    """Return the hash with which a region is in the output folder."""
    for one in (now, former):
        if one and receipt_beside(layout.series(dataset, f"{name}-{one}")).is_file():
            return one
    return None


def _split(key: str) -> tuple[str, str]:
    name, _, own_hash = key.rpartition("-")
    return name, own_hash
