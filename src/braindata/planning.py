"""What the Snakefile needs to know when it plans: parameters, regions, units, what is stale.

Everything here is read at parse time, so it imports no numerical library.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from braindata.align.parameters import Group, find_groups
from braindata.config import Config, load_config, lock_path, remotes_of
from braindata.config_exclusions import read_exclusions
from braindata.config_lines import read_document
from braindata.config_pseudonyms import pseudonym_key
from braindata.config_regions import read_regions
from braindata.config_spaces import SpacesSection
from braindata.curate.parameters import Choice
from braindata.errors import UsageError
from braindata.extract.parameters import cleanings
from braindata.layout import PUBLISHED, SENSORS, Layout
from braindata.planning_eeg import EegPlan
from braindata.planning_preprocess import PreprocessPlan
from braindata.planning_signals import SignalPlan
from braindata.planning_units import CuratedUnits
from braindata.pull.local import source_state
from braindata.pull.parameters import Published, PullJob
from braindata.pull.pins import Pins
from braindata.receipts import receipt_beside
from braindata.regions.definition import Region
from braindata.regions.files import SUFFIXES, Placing, RegionFiles, suffix_of
from braindata.regions.kinds.images import hashed
from braindata.regions.spaces import Spaces, Transform
from braindata.scaffold.project import check_version
from braindata.stages import STEP_VERSION
from braindata.tables.exclusions import Decisions
from braindata.tables.pseudonyms import Pseudonyms, fingerprint, read_key
from braindata.withdrawn import Withdrawn


class Plan:
    """One configuration, ready to be turned into jobs.

    Parameters
    ----------
    values : mapping
        The merged configuration.
    files : sequence of Path
        The files it was merged from; one that is not there states nothing.
    home : Path, optional
        Where the Snakefile lies.

    Attributes
    ----------
    config : Config
        The validated configuration.
    layout : Layout
        Where everything lies.
    curated : CuratedUnits
        The units of data sets that are curated.
    regions : dict of str to Region
        Regions by ``name-hash``, sorted by name.
    placing : Placing
        The files that regions are made from, and how regions get into the space of the images.
    groups : dict of str to Group
        Groups of regions that people are aligned in, by ``name-hash``.
    preprocess : PreprocessPlan
        Which backend preprocesses which data set, and what it needs.
    eeg : EegPlan
        What the regions of EEG rest on.
    signals : SignalPlan
        Which regions stand for which cognitive process.
    """

    def __init__(self, values: Mapping[str, Any], files: Sequence[Path], home: Path | None = None):
        if home is not None:
            check_version(home)
        _require_datasets(values, files)
        self.config: Config
        there = [file for file in files if file.is_file()]
        self.config, output = load_config(values, there, home)
        self.layout = Layout(output)
        self.curated = CuratedUnits(self.layout)
        self.pins = Pins(
            lock_path(values, there),
            remotes_of(self.config),
            lambda name: self.layout.receipt("raw", name.removesuffix(PUBLISHED)),
        )
        found = read_regions(self.config.regions)
        self.regions: dict[str, Region] = {region.key: region for region in found.regions}
        self.groups: dict[str, Group] = {
            group.key: group for group in find_groups(found.regions, self.config.align.groups)
        }
        spaces, transforms = read_spaces(self.config.spaces)
        region_files = RegionFiles(self.layout.regions(), {**found.files, **transforms})
        self.placing = Placing(region_files, spaces)
        self._told: dict[tuple[str, str | None, str | None], str] = {}
        self._sources: dict[str, str] = {}
        self._datasets = {dataset.id: dataset for dataset in self.config.datasets}
        folder = Path(self.config.exclusions) if self.config.exclusions else None
        self._decisions = read_exclusions(folder, self.datasets)
        _require_nobody_withdrawn(self.config, self._decisions, Withdrawn.read(output))
        self.preprocess = PreprocessPlan(self.config, values, there)
        self.eeg = EegPlan(self.config, self.regions.values())
        self.signals = SignalPlan(self.config, self.regions.values())
        self._key = pseudonym_key(self.config, values, there, output)

    @property
    def datasets(self) -> list[str]:
        """Identifiers of the data sets, in the order of the configuration."""
        return list(self._datasets)

    @property
    def sensors(self) -> list[str]:
        """Identifiers of the data sets of which EEG is used."""
        return self.eeg.datasets

    def source(self, dataset: str) -> str:
        """Return the folder of a data set, or the name of its repository."""
        return self._datasets[dataset].source

    def pull_job(self, dataset: str) -> PullJob:
        """Return what is pulled: of a repository, which version."""
        subset = self._datasets[dataset].subset
        published = self._published(dataset)
        remote = self.pins.remotes.get(dataset)
        if remote is None:
            return PullJob(subset=subset, published=published)
        pin = self.pins.of(dataset)
        return PullJob(
            address=remote.address,
            tag=pin.tag,
            commit=pin.commit,
            derivatives=remote.derivatives,
            subset=subset,
            published=published,
        )

    def _published(self, dataset: str) -> Published | None:
        """Return what is pulled of derivatives of a data set, if it names some."""
        source, chosen = self._datasets[dataset].derivatives, self.preprocess.derivatives(dataset)
        if source is None or chosen is None:
            return None
        asked = Published(source=source, spaces=chosen.spaces, resolution=chosen.resolution)
        name = f"{dataset}{PUBLISHED}"
        remote = self.pins.remotes.get(name)
        if remote is None:
            return asked
        pin = self.pins.of(name)
        version = {"address": remote.address, "tag": pin.tag, "commit": pin.commit}
        return asked.model_copy(update=version)

    def pin(self, dataset: str) -> str:
        """Return what is pulled as JSON: what the command is given."""
        return _json(self.pull_job(dataset))

    def download(self) -> str:
        """Return how contents are downloaded as JSON; it is no rule's `params`."""
        return _json(self.config.pull.download)

    def source_state(self, dataset: str) -> str:
        """Return a text that changes when a file of the source does, or its version.

        Asked for by what is stale and by the job, so it is looked up once.
        """
        if dataset not in self._sources:
            self._sources[dataset] = source_state(self.source(dataset), self.pull_job(dataset))
        return self._sources[dataset]

    def parameters(self, stage: str, region: str | None = None, dataset: str | None = None) -> str:
        """Return the parameters of a stage's job as JSON: what the command is given.

        `region` is the process where the stage is `signals`.

        They are a rule's `params`, together with `STEP_VERSION`: when they change, Snakemake runs
        the rule again, and nothing else of the configuration makes it do so. Thousands of jobs are
        told the same, which is made once.
        """
        asked = (stage, region, dataset)
        if asked not in self._told:
            self._told[asked] = self._parameters(*asked)
        return self._told[asked]

    def _parameters(self, stage: str, region: str | None, dataset: str | None) -> str:
        match stage:
            case "pull":
                # How it is downloaded, and from where, changes nothing of it.
                return _json({"mode": self.config.pull.mode})
            case "curate" if dataset is not None:
                return _json({"curate": self.config.curate, "choice": self._choice(dataset)})
            case "preprocess" if dataset is not None:
                return _json(self.preprocess.parameters(dataset))
            case "pack":
                # Where voxels are kept, a new region packs nothing again.
                if self.config.pack.store:
                    return _json({"pack": self.config.pack, "regions": (), "spaces": Spaces()})
                regions = tuple(self.regions.values())
                concerned = {space for one in regions for space in one.spaces}
                spaces = self.placing.spaces.concerning(concerned)
                return _json({"pack": self.config.pack, "regions": regions, "spaces": spaces})
            case "extract" if region is not None:
                one_region = self.regions[region]
                told: dict[str, Any] = {
                    "region": one_region,
                    "extract": self.config.extract,
                    "spaces": self.placing.spaces.concerning(one_region.spaces),
                }
                sources = self.eeg.sources(dataset, one_region)
                return _json(told if sources is None else told | {"sources": sources})
            case "align" if region is not None and dataset is not None:
                return _json(self._align_parameters(region, dataset))
            case "head":
                return _json(self.eeg.head())
            case "derive" if dataset is not None:
                events = self._datasets[dataset].event_mapping.of_trials()
                if region == SENSORS:
                    return _json({"sensors": self.config.sensors, "events": events})
                of_region = {"derive": self.config.derive, "events": events}
                of_eeg = {"sensors": self.config.sensors} if dataset in self.sensors else {}
                return _json(of_region | of_eeg)
            case "latents" if dataset is not None:
                one = self._datasets[dataset]
                return _json(
                    {
                        "models": list(one.models),
                        "events": one.event_mapping.of_trials(),
                        "behaviour": one.event_mapping.of_behaviour(),
                    }
                )
            case "connectivity":
                chosen = self.config.connectivity
                return _json({"connectivity": chosen, "regions": list(self.regions)})
            case "signals" if region is not None and dataset is not None:
                return _json(self.signals.parameters(dataset, region))
            case "publish":
                return _json(self._publish_parameters())
            case _:
                raise ValueError(f"stage {stage} has no parameters")

    def pseudonym_key(self) -> str:
        """Return the file of the pseudonyms' key; only which key it is, is in a rule's `params`."""
        return str(self._key or "")

    def _align_parameters(self, group: str, dataset: str) -> dict[str, Any]:
        one = self._datasets[dataset]
        chosen = self.config.align
        return {
            "group": self.groups[group],
            "align": chosen.settings(),
            "cleaning": cleanings(self.config.extract)[chosen.strategy],
            "derive": self.config.derive,
            "events": one.event_mapping.of_trials(),
            "shared_stimulus": one.alignment.shared_stimulus,
            "members": sorted(one.alignment.members),
            "spaces": self.placing.spaces.concerning(self.groups[group].spaces),
        }

    def _publish_parameters(self) -> dict[str, Any]:
        at = {name: d.at("publish") for name, d in self._decisions.items()}
        decisions = {name: _plain(d) for name, d in at.items() if d != Decisions()}
        key = read_key(self._key) if self._key else None
        if key is not None:
            # They are part of what is passed on.
            decisions = {name: Pseudonyms(key, name).value(d) for name, d in decisions.items()}
        return {
            "datasets": self.datasets,
            "sensors": self.sensors,
            "regions": list(self.regions),
            "groups": list(self.groups),
            "processes": list(self.signals.processes),
            "publish": self.config.publish,
            "decisions": decisions,
            "pseudonyms": fingerprint(key) if key else "",
        }

    def _choice(self, dataset: str) -> Choice:
        one = self._datasets[dataset]
        decisions = self._decisions.get(dataset, Decisions()).at("curate")
        return Choice(
            modalities=one.modalities,
            subjects=one.subjects,
            tasks=one.tasks,
            decisions=decisions,
            derivatives=self.preprocess.derivatives(dataset),
            alignment=one.alignment.of_curation(),
        )

    def step_version(self, stage: str) -> int:
        """Return the stage's `STEP_VERSION`."""
        return STEP_VERSION[stage]

    def new_regions(self, stale: Collection[Path] = ()) -> list[Region]:
        """Return the regions whose series are not there yet in some data set.

        Parameters
        ----------
        stale : collection of Path
            Receipts that count for nothing: of a region that is placed otherwise by now, too.
        """
        return [
            region
            for key, region in self.regions.items()
            if not all(
                path.is_file() and path not in stale
                for path in (
                    receipt_beside(self.layout.series(dataset, key)) for dataset in self.datasets
                )
            )
        ]


def read_spaces(section: SpacesSection) -> tuple[Spaces, dict[str, Path]]:
    """Return what jobs are told of template spaces, and the transforms' files by sha256.

    Raises
    ------
    UsageError
        When a transform is not the file that is stated.
    """
    files = {}
    transforms = []
    for one in section.transforms:
        if suffix_of(Path(one.file)) is None:
            raise UsageError(
                "this is no transform that can be read",
                file=one.file,
                hint=f"it must end in {', '.join(SUFFIXES)}: a displacement field, or ITK's HDF5",
            )
        sha256 = hashed(Path(one.file), one.sha256)
        files[sha256] = Path(one.file)
        transforms.append(Transform(start=one.start, end=one.end, sha256=sha256))
    return Spaces(accepted=section.accepted, transforms=tuple(transforms)), files


def _require_datasets(values: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Tell the user of a new project what to fill in, rather than what a list must hold."""
    if not values.get("datasets"):
        raise UsageError(
            "no data set is named yet",
            file=files[-1] if files else None,
            hint="write under `datasets:` a line `- id: NAME` and below it, indented alike, "
            "`source: FOLDER`, the folder that holds dataset_description.json, or "
            "`source: openneuro:ID`",
        )


def _require_nobody_withdrawn(
    config: Config, decisions: Mapping[str, Decisions], withdrawn: Withdrawn
) -> None:
    """Refuse to be told of people who were withdrawn: it would come into receipts and tables."""
    rules = (*config.curate.exclude, *config.publish.exclude)
    for dataset in config.datasets:
        gone = withdrawn.of(dataset.id)
        said = dataset.model_dump(mode="json")
        told = _plain(decisions.get(dataset.id, Decisions()))
        where = (
            "datasets"
            if gone.value(said) != said
            else "the exclusions"
            if gone.value(told) != told
            else "a rule"
            if any(rule.startswith("subject ") and gone.has(rule.split()[-1]) for rule in rules)
            else None
        )
        if where:
            raise UsageError(
                f"{dataset.id}: {where} of the configuration names somebody who was withdrawn",
                hint="take that out: who was withdrawn stays out without it",
            )


def check_yaml(path: Path, *, required: bool = False) -> None:
    """Check that a configuration file, if it is there, holds keys.

    Parameters
    ----------
    path : Path
        The file.
    required : bool, default=False
        Whether it must be there.

    Raises
    ------
    UsageError
        When it does not.
    """
    if (required or path.is_file()) and not isinstance(read_document(path).value, dict):
        raise UsageError(
            "this is no mapping of keys to values", file=path, hint="the least is `datasets: …`"
        )


def _plain(value: object) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _json(value: BaseModel | dict[str, Any]) -> str:
    body = {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else _plain(value)
    return json.dumps(body, sort_keys=True)
