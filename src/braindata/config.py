"""The configuration: its models, its files and its paths. Nothing else reads YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from braindata.align.parameters import AlignParameters
from braindata.config_errors import wrong
from braindata.config_lines import Document, locate, read_document
from braindata.config_paths import base_folder, existing, looked_in, project
from braindata.config_sources import place_derivatives, place_source, remote_of
from braindata.curate.parameters import Alignment, CurateParameters, Modality
from braindata.derive.connectivity_parameters import ConnectivityParameters
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.sensor_parameters import SensorParameters
from braindata.derive.signal_parameters import ProcessName, SignalsSection, Target
from braindata.eeg.parameters import EegParameters
from braindata.eeg.source_parameters import HeadParameters, SourceParameters
from braindata.errors import UsageError
from braindata.extract.parameters import ExtractParameters, cleanings
from braindata.fmri.backends import FmriParameters
from braindata.latents.names import ModelName
from braindata.latents.parameters import BehaviourMapping
from braindata.layout import PUBLISHED
from braindata.pack.parameters import PackParameters
from braindata.pull.parameters import PullSection, Subset
from braindata.pull.source import LOCK_NAME, Remote
from braindata.regions.labels import nearest
from braindata.regions.spaces import DEFAULT_ACCEPTED, Space
from braindata.tables.parameters import PublishParameters

DEFAULT_EXCLUSIONS = "config/exclusions"
DATASET_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"


class Section(BaseModel):
    """A part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetEvents(EventMapping, BehaviourMapping):
    """Which columns of a data set's events files hold what."""

    def columns(self) -> dict[str, str]:
        """Return the columns that are named, by what they hold."""
        return EventMapping.columns(self) | BehaviourMapping.columns(self)

    def of_trials(self) -> EventMapping:
        """Return what the table of trials is made with."""
        return EventMapping(**self.model_dump(include=set(EventMapping.model_fields)))

    def of_behaviour(self) -> BehaviourMapping:
        """Return what models of behaviour need besides."""
        return BehaviourMapping(**self.model_dump(include=set(BehaviourMapping.model_fields)))


class DatasetAlignment(Alignment):
    """How the people of a data set are aligned."""

    shared_stimulus: bool | None = Field(
        default=None,
        description="Whether people saw or heard the same at the same time in the recordings that "
        "maps are fitted on: true for a film. Without it, events that agree in all people say so.",
    )
    members: tuple[str, ...] = Field(
        default=(),
        description="Labels of the people from whom templates are made; the others enter them as "
        "they are, and a new person changes nobody's vectors. Empty: all, and a new person "
        "makes a new template.",
    )

    def of_curation(self) -> Alignment:
        """Return what the inventory says of each recording."""
        return Alignment(**self.model_dump(include=set(Alignment.model_fields)))


class Dataset(Section):
    """One data set."""

    id: str = Field(
        pattern=DATASET_PATTERN,
        description="Its name in all outputs: letters, digits, hyphens, underscores.",
    )
    source: str = Field(
        min_length=1,
        description="A local BIDS folder, `openneuro:ds000005`, `openneuro:ds000005@00001` (a "
        "tag), or a git-annex or DataLad repository as `git+https://HOST/PATH` or "
        "`git+file:///PATH`, with or without `@TAG`. Without a tag the newest "
        "version is looked up once and noted in `datasets.lock` beside the "
        "file; `braindata pull --update` looks again.",
    )
    derivatives: str | None = Field(
        default=None,
        min_length=1,
        description="What fMRIPrep made of it: a local folder, or "
        "`openneuro-derivatives:ds000005-fmriprep`, with or without `@TAG`, as for `source`. It is "
        "used in place of preprocessing, and raw MRI images are not fetched.",
    )
    subset: Subset = Field(
        default_factory=Subset,
        description="What of it is pulled: recordings that are all that is asked for here, with "
        "events and inherited sidecars, the subjects' T1w images and the files about the whole "
        "data set.",
    )
    modalities: tuple[Modality, ...] = Field(
        default=("fmri",), min_length=1, description="Which modalities of it to use."
    )
    subjects: tuple[str, ...] = Field(
        default=(), description="Use only these people (labels as in file names); empty means all."
    )
    tasks: tuple[str, ...] = Field(
        default=(), description="Use only these tasks of it; empty means all. See `curate.tasks`."
    )
    event_mapping: DatasetEvents = Field(
        default_factory=DatasetEvents,
        description="Which columns of its events files hold what of a trial.",
    )
    alignment: DatasetAlignment = Field(
        default_factory=DatasetAlignment,
        description="Which recordings people's maps into a common space are fitted on; without it "
        "the first half of the runs, or of the only one. See docs/alignment.md.",
    )
    models: tuple[ModelName, ...] = Field(
        default=(),
        description="Models of behaviour that are fitted to each person; docs/latents.md says what "
        "each needs in `event_mapping`.",
    )

    targets: Mapping[ProcessName, Target] = Field(
        default={},
        description="By process of `signals`, what it is held against in this data set: "
        "`latent:NAME` or `column:NAME`.",
    )

    @field_validator("models")
    @classmethod
    def _each_once(cls, models: tuple[ModelName, ...]) -> tuple[ModelName, ...]:
        if len(set(models)) < len(models):
            raise ValueError("a model is listed twice")
        return models


class Preprocess(Section):
    """How recordings are preprocessed."""

    fmri: FmriParameters = Field(
        default_factory=FmriParameters, description="fMRI preprocessing: docs/preprocessing.md."
    )
    eeg: EegParameters = Field(default_factory=EegParameters, description="Preprocessing of EEG.")


class SpaceTransform(Section):
    """A spatial transform that carries regions from one template space to another."""

    start: Space = Field(alias="from", description="Space of the regions.")
    end: Space = Field(alias="to", description="Space of the images.")
    file: str = Field(
        min_length=1,
        description="An ITK displacement field (NIfTI) or ITK transform (`.h5`), named "
        "`from-…_to-…_mode-image_xfm` by BIDS and TemplateFlow.",
    )
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="Compared where it is stated."
    )


class SpacesSection(Section):
    """How regions of one template space are used on images in another."""

    accepted: tuple[tuple[Space, Space], ...] = Field(
        default=DEFAULT_ACCEPTED,
        description="Pairs of a region's space and the images' space between which coordinates are "
        "taken over as they are; docs/regions.md says how many mm that costs. A list of your own "
        "replaces the default.",
    )
    transforms: tuple[SpaceTransform, ...] = Field(
        default=(), description="Transforms between template spaces; they come before `accepted`."
    )

    @field_validator("transforms")
    @classmethod
    def _one_per_pair(cls, transforms: tuple[SpaceTransform, ...]) -> tuple[SpaceTransform, ...]:
        pairs = [(one.start, one.end) for one in transforms]
        if len(set(pairs)) < len(pairs):
            raise ValueError("two transforms have the same from and to")
        return transforms


class Config(Section):
    """The whole configuration."""

    output: str = Field(default="results", description="Folder for all outputs.")
    datasets: tuple[Dataset, ...] = Field(
        min_length=1, description="The data sets. A later --configfile replaces the whole list."
    )
    regions: str | tuple[str, ...] = Field(
        default="config/regions/spheres",
        description="A folder of region files, a single region file, or a list of these.",
    )
    spaces: SpacesSection = Field(
        default_factory=SpacesSection,
        description="How regions of one template space are used on images in another.",
    )
    pull: PullSection = Field(
        default_factory=PullSection, description="How data sets come under `raw/`."
    )
    curate: CurateParameters = Field(
        default_factory=CurateParameters, description="Which recordings are used."
    )
    preprocess: Preprocess = Field(
        default_factory=Preprocess, description="How recordings are preprocessed."
    )
    pack: PackParameters = Field(
        default_factory=PackParameters, description="What is kept of a preprocessed recording."
    )
    align: AlignParameters = Field(
        default_factory=AlignParameters,
        description="How people's voxels are brought into a common space; nothing is, unless "
        "`groups` are named. See docs/alignment.md.",
    )
    extract: ExtractParameters = Field(
        default_factory=ExtractParameters, description="How a region's series is made."
    )
    derive: DeriveParameters = Field(
        default_factory=DeriveParameters, description="How trials are estimated."
    )
    sensors: SensorParameters = Field(
        default_factory=SensorParameters,
        description="Features of EEG, trial by trial: at sensors and of the courses of regions.",
    )
    head: HeadParameters = Field(
        default_factory=HeadParameters,
        description="The head that regions are found in EEG with: docs/eeg_sources.md.",
    )
    sources: SourceParameters = Field(
        default_factory=SourceParameters, description="Series of regions in EEG."
    )
    connectivity: ConnectivityParameters = Field(
        default_factory=ConnectivityParameters,
        description="How regions are held against each other: docs/connectivity.md.",
    )
    signals: SignalsSection = Field(
        default_factory=SignalsSection,
        description="Cognitive processes, trial by trial, from the regions that are tied to them: "
        "docs/signals.md.",
    )
    publish: PublishParameters = Field(
        default_factory=PublishParameters, description="Which recordings are in the tables."
    )
    pseudonymise: bool = Field(
        default=False,
        description="Whether people have pseudonyms (a keyed hash of their labels) in tables and "
        "report, and dates of events are left out of them: docs/curation.md.",
    )
    pseudonym_key: str = Field(
        default="pseudonyms.key",
        min_length=1,
        description="File of the secret key of the pseudonyms, outside of `output`; made where it "
        "is not there. The environment's BRAINDATA_PSEUDONYM_KEY counts more.",
    )
    exclusions: str = Field(
        default=DEFAULT_EXCLUSIONS,
        description="A folder with a file `<id of the data set>.yaml` for each data set of which "
        "people leave out recordings or bring them back, with who, when and why: docs/curation.md.",
    )


def config_schema() -> str:
    """Return the JSON schema of the configuration, as `config/schema.json` holds it."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"


def parse_config(values: Mapping[str, Any], documents: Sequence[Document] = ()) -> Config:
    """Validate a configuration.

    Parameters
    ----------
    values : mapping
        The merged configuration.
    documents : sequence of Document
        The files that were merged into it, to say where something is wrong.

    Raises
    ------
    UsageError
        Naming each wrong key, its file and line, what is allowed, and for an unknown key the
        nearest known one.
    """
    try:
        config = Config.model_validate(dict(values))
    except ValidationError as error:
        raise wrong(error, Config, values, documents) from error
    needing = [
        name
        for name, preset in config.extract.cleanings.items()
        if preset is not None and preset.signal == "eigenvariate"
    ]
    if needing and not config.pack.store:
        raise UsageError(
            f"extract.strategies: {needing[0]} takes an eigenvariate, which needs the voxels",
            file=locate(("pack", "store"), values, documents),
            hint="set pack.store: true, or leave that strategy out",
        )
    _check_alignment(config, values, documents)
    # Two names that differ in case only are one folder on some file systems.
    ids = [dataset.id.lower() for dataset in config.datasets]
    for number, name in enumerate(ids):
        if name in ids[:number]:
            first = locate(("datasets", ids.index(name), "id"), values, documents)
            raise UsageError(
                f"datasets: the id {name} is used twice" + (f", first in {first}" if first else ""),
                file=locate(("datasets", number, "id"), values, documents),
                hint="give each data set a name of its own",
            )
    return config


def _check_alignment(
    config: Config, values: Mapping[str, Any], documents: Sequence[Document]
) -> None:
    if config.align.groups and not config.pack.store:
        raise UsageError(
            "align.groups: alignment needs the voxels",
            file=locate(("pack", "store"), values, documents),
            hint="set pack.store: true, or leave align.groups empty",
        )
    name, known = config.align.strategy, cleanings(config.extract)
    if name not in known:
        near = nearest(name, known)
        raise UsageError(
            f"align.strategy: there is no strategy {name}",
            file=locate(("align", "strategy"), values, documents),
            hint=f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}",
        )


def load_config(
    values: Mapping[str, Any], files: Sequence[Path], home: Path | None = None
) -> tuple[Config, Path]:
    """Validate a merged configuration and make its paths absolute.

    A path is relative to the folder of the file that states it; a file in a folder named `config`
    speaks for the project, the folder above. Sources and regions that are not there are looked
    for in the working directory, regions then beside the Snakefile too. A value that no file
    states (``--config key=value``) is relative to the working directory.

    Parameters
    ----------
    values : mapping
        The merged configuration.
    files : sequence of Path
        The files that were merged into it, the last one counts most.
    home : Path, optional
        Where the Snakefile lies, and with it the region sets that come along.

    Returns
    -------
    config : Config
        With absolute paths in `datasets[].source` and `.derivatives` (of folders), `regions`,
        `exclusions` (empty where there is no such folder) and `spaces.transforms[].file`.
    output : Path
        The output folder, absolute.

    Raises
    ------
    UsageError
        When the configuration is wrong, or a source, region file or transform is not there.
    """
    documents = [read_document(file) for file in files]
    config = parse_config(values, documents)
    base = {key: base_folder(key, values.get(key), documents) for key in ("output", "datasets")}
    output = (base["output"] / Path(config.output).expanduser()).resolve()
    if set("{}") & set(str(output)):
        raise UsageError(
            "output: braces mean something else to Snakemake",
            file=locate(("output",), values, documents),
            hint="choose a folder without braces in its path",
        )
    in_the_way = next((path for path in (output, *output.parents) if path.exists()), output)
    if in_the_way.exists() and not in_the_way.is_dir():
        raise UsageError(
            f"output: {in_the_way} is a file, where a folder is due",
            file=locate(("output",), values, documents),
            hint="choose another folder",
        )
    datasets = []
    for number, dataset in enumerate(config.datasets):
        stated = locate(("datasets", number, "source"), values, documents)
        named = f"datasets.{number}"
        source = place_source(dataset.source, config.pull, base["datasets"], named, stated)
        if source is not None and (
            source == output or output in source.parents or source in output.parents
        ):
            raise UsageError(
                f"datasets.{number}.source: source and output lie in each other",
                file=stated,
                hint="choose an output folder beside the source, not within it or around it",
            )
        stated = locate(("datasets", number, "derivatives"), values, documents)
        if dataset.derivatives is None:
            _require_none(dataset, config, named, stated)
            derivatives = None
        else:
            derivatives = place_derivatives(
                dataset.derivatives, config.pull, base["datasets"], named, stated
            )
        placed_here = {"source": str(source or dataset.source), "derivatives": derivatives}
        datasets.append(dataset.model_copy(update=placed_here))
    exclusions = _exclusions(config, values, documents)
    placed = {
        "datasets": tuple(datasets),
        "exclusions": exclusions,
        **_region_paths(config, values, documents, home),
    }
    return config.model_copy(update=placed), output


def _require_none(dataset: Dataset, config: Config, named: str, stated: str | None) -> None:
    if config.preprocess.fmri.backend == "derivatives" and "fmri" in dataset.modalities:
        raise UsageError(
            f"{named}.derivatives is missing: backend derivatives needs to know where they are",
            file=stated,
            hint=f"name them for {dataset.id}, or choose preprocess.fmri.backend: native",
        )


def _exclusions(config: Config, values: Mapping[str, Any], documents: Sequence[Document]) -> str:
    folder = base_folder("exclusions", values.get("exclusions"), documents)
    if "exclusions" not in values:
        # Where the project's own files lie: nobody has stated it, so nobody misses it.
        found = existing(DEFAULT_EXCLUSIONS, *map(project, documents[::-1]), Path.cwd())
        return str(found or "")
    found = existing(config.exclusions, folder, Path.cwd())
    if found is None or not found.is_dir():
        raise UsageError(
            f"exclusions: there is no folder {config.exclusions}",
            file=locate(("exclusions",), values, documents),
            hint=looked_in(folder, Path.cwd()),
        )
    return str(found)


def remotes_of(config: Config) -> dict[str, Remote]:
    """Return the repositories that data sets come from, by data set.

    Those of derivatives are there by the name of the data set with `PUBLISHED`.
    """
    found = {one.id: remote_of(one.source, config.pull, None) for one in config.datasets}
    found |= {
        f"{one.id}{PUBLISHED}": remote_of(one.derivatives, config.pull, None)
        for one in config.datasets
        if one.derivatives is not None
    }
    return {name: remote for name, remote in found.items() if remote is not None}


def lock_path(values: Mapping[str, Any], files: Sequence[Path]) -> Path:
    """Return where the versions of data sets are noted: beside the file that names them."""
    for file in reversed(files):
        body = read_document(file).value
        if isinstance(body, dict) and body.get("datasets", None) == values.get("datasets"):
            return file.resolve().parent / LOCK_NAME
    return Path.cwd() / LOCK_NAME


def load_region_config(
    values: Mapping[str, Any], files: Sequence[Path], home: Path | None = None
) -> tuple[Config, Path]:
    """Validate a merged configuration as far as regions go: data sets need not be there.

    As `load_config`, whose arguments these are.
    """
    documents = [read_document(file) for file in files]
    nobody = [{"id": "none", "source": "."}]
    config = parse_config({**values, "datasets": values.get("datasets") or nobody}, documents)
    output = base_folder("output", values.get("output"), documents)
    placed = _region_paths(config, values, documents, home)
    return config.model_copy(update=placed), (output / Path(config.output).expanduser()).resolve()


def _region_paths(
    config: Config, values: Mapping[str, Any], documents: Sequence[Document], home: Path | None
) -> dict[str, Any]:
    """Return `regions` and `spaces` with absolute paths."""
    paths = (config.regions,) if isinstance(config.regions, str) else config.regions
    folder = base_folder("regions", values.get("regions"), documents)
    regions = []
    for number, path in enumerate(paths):
        found = existing(path, folder, Path.cwd(), *([home] if home else []))
        if found is None:
            raise UsageError(
                f"regions: there is no {path}",
                file=locate(
                    ("regions",) if isinstance(config.regions, str) else ("regions", number),
                    values,
                    documents,
                ),
                hint=looked_in(folder, Path.cwd()),
            )
        regions.append(str(found))
    folder = base_folder("spaces", values.get("spaces"), documents)
    transforms = []
    for number, transform in enumerate(config.spaces.transforms):
        found = existing(transform.file, folder, Path.cwd())
        if found is None or not found.is_file():
            raise UsageError(
                f"spaces.transforms.{number}.file: there is no {transform.file}",
                file=locate(("spaces", "transforms", number, "file"), values, documents),
                hint=looked_in(folder, Path.cwd()),
            )
        transforms.append(transform.model_copy(update={"file": str(found)}))
    spaces = config.spaces.model_copy(update={"transforms": tuple(transforms)})
    return {"regions": tuple(regions), "spaces": spaces}
