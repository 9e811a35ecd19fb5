"""The whole configuration: its sections, validated together, its paths made absolute."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from braindata.align.parameters import AlignParameters
from braindata.config_datasets import Dataset
from braindata.config_errors import wrong
from braindata.config_files import place_exclusions, place_regions
from braindata.config_lines import Document, locate, read_document
from braindata.config_paths import base_folder
from braindata.config_section import Section
from braindata.config_sources import place_derivatives, place_source, remote_of
from braindata.config_spaces import SpacesSection
from braindata.curate.parameters import CurateParameters
from braindata.derive.connectivity_parameters import ConnectivityParameters
from braindata.derive.parameters import DeriveParameters
from braindata.derive.sensor_parameters import SensorParameters
from braindata.derive.signal_parameters import SignalsSection
from braindata.eeg.parameters import EegParameters
from braindata.eeg.source_parameters import HeadParameters, SourceParameters
from braindata.errors import UsageError
from braindata.extract.parameters import ExtractParameters, cleanings
from braindata.fmri.backends import FmriParameters
from braindata.layout import PUBLISHED
from braindata.pack.parameters import PackParameters
from braindata.pull.parameters import PullSection
from braindata.pull.source import LOCK_NAME, Remote
from braindata.regions.labels import nearest
from braindata.tables.parameters import PublishParameters

DEFAULT_EXCLUSIONS = "config/exclusions"


class Preprocess(Section):
    """How recordings are preprocessed."""

    fmri: FmriParameters = Field(
        default_factory=FmriParameters, description="fMRI preprocessing: docs/preprocessing.md."
    )
    eeg: EegParameters = Field(default_factory=EegParameters, description="Preprocessing of EEG.")


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
    placed = {
        "datasets": tuple(datasets),
        "exclusions": place_exclusions(config.exclusions, values, documents),
        **place_regions(config.regions, config.spaces, values, documents, home),
    }
    return config.model_copy(update=placed), output


def _require_none(dataset: Dataset, config: Config, named: str, stated: str | None) -> None:
    if config.preprocess.fmri.backend == "derivatives" and "fmri" in dataset.modalities:
        raise UsageError(
            f"{named}.derivatives is missing: backend derivatives needs to know where they are",
            file=stated,
            hint=f"name them for {dataset.id}, or choose preprocess.fmri.backend: native",
        )


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
    placed = place_regions(config.regions, config.spaces, values, documents, home)
    return config.model_copy(update=placed), (output / Path(config.output).expanduser()).resolve()
