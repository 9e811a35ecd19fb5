"""The configuration: its models, its files and its paths. Nothing else reads YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from braindata.config_errors import wrong
from braindata.config_lines import Document, locate, read_document
from braindata.curate.parameters import CurateParameters
from braindata.derive.parameters import DeriveParameters
from braindata.errors import UsageError
from braindata.extract.parameters import ExtractParameters
from braindata.fmri.parameters import NativeParameters
from braindata.pack.parameters import PackParameters
from braindata.pull.local import require_bids
from braindata.pull.parameters import PullParameters
from braindata.regions.definition import Region
from braindata.regions.definition import validate_set as validate_region_set

DATASET_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"


class Section(BaseModel):
    """A part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataset(Section):
    """One data set."""

    id: str = Field(
        pattern=DATASET_PATTERN,
        description="Its name in all outputs: letters, digits, hyphens, underscores.",
    )
    source: str = Field(min_length=1, description="A local BIDS folder.")
    modalities: tuple[Literal["fmri"], ...] = Field(
        default=("fmri",), min_length=1, description="Which modalities of it to use."
    )


class Preprocess(Section):
    """How recordings are preprocessed."""

    fmri: NativeParameters = Field(
        default_factory=NativeParameters, description="Native fMRI preprocessing."
    )


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
    pull: PullParameters = Field(
        default_factory=PullParameters, description="How data sets come under `raw/`."
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
    extract: ExtractParameters = Field(
        default_factory=ExtractParameters, description="How a region's series is made."
    )
    derive: DeriveParameters = Field(
        default_factory=DeriveParameters, description="How trials are estimated."
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
        With absolute paths in `datasets[].source` and `regions`.
    output : Path
        The output folder, absolute.

    Raises
    ------
    UsageError
        When the configuration is wrong, or a source or region file is not there.
    """
    documents = [read_document(file) for file in files]
    config = parse_config(values, documents)
    base = {
        key: _base_folder(key, values.get(key), documents)
        for key in ("output", "datasets", "regions")
    }
    output = (base["output"] / Path(config.output).expanduser()).resolve()
    if set("{}") & set(str(output)):
        raise UsageError(
            "output: braces mean something else to Snakemake",
            file=locate(("output",), values, documents),
            hint="choose a folder without braces in its path",
        )
    datasets = []
    for number, dataset in enumerate(config.datasets):
        stated = locate(("datasets", number, "source"), values, documents)
        source = _existing(dataset.source, base["datasets"], Path.cwd())
        if source is None or not source.is_dir():
            raise UsageError(
                f"datasets.{number}.source: there is no folder {dataset.source}",
                file=stated,
                hint=f"looked in {base['datasets']} and in {Path.cwd()}",
            )
        try:
            require_bids(source)
        except UsageError as error:
            hint = f"{error.hint} (datasets.{number}.source in {stated})" if stated else error.hint
            raise UsageError(error.problem, file=source, hint=hint) from error
        if source == output or output in source.parents or source in output.parents:
            raise UsageError(
                f"datasets.{number}.source: source and output lie in each other",
                file=stated,
                hint="choose an output folder beside the source, not within it or around it",
            )
        datasets.append(dataset.model_copy(update={"source": str(source)}))
    paths = (config.regions,) if isinstance(config.regions, str) else config.regions
    regions = []
    for number, path in enumerate(paths):
        found = _existing(path, base["regions"], Path.cwd(), *([home] if home else []))
        if found is None:
            raise UsageError(
                f"regions: there is no {path}",
                file=locate(
                    ("regions",) if isinstance(config.regions, str) else ("regions", number),
                    values,
                    documents,
                ),
                hint=f"looked in {base['regions']} and in {Path.cwd()}",
            )
        regions.append(str(found))
    return config.model_copy(
        update={"datasets": tuple(datasets), "regions": tuple(regions)}
    ), output


def load_regions(paths: str | Iterable[str]) -> list[Region]:
    """Read region files, or all of a folder, and check that they make one set.

    Returns
    -------
    list of Region
        Sorted by name.

    Raises
    ------
    UsageError
        When a file is no region file or two regions have one name.
    """
    files: list[Path] = []
    for path in [Path(paths)] if isinstance(paths, str) else [Path(p) for p in paths]:
        files += sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise UsageError(
            "there is no region file in this folder",
            file=str(paths),
            hint="a region file ends in .yaml",
        )
    placed = [one for file in files for one in _read_region_file(file)]
    regions = [region for region, _ in placed]
    try:
        validate_region_set(regions)
    except UsageError as error:
        names = [region.name.casefold() for region in regions]
        again = next(n for n, name in enumerate(names) if name in names[:n])
        first = placed[names.index(names[again])][1]
        raise UsageError(
            f"{error.problem}, first in {first}", file=placed[again][1], hint=error.hint
        ) from error
    return sorted(regions, key=lambda region: region.name)


def _read_region_file(file: Path) -> list[tuple[Region, str | None]]:
    """Return the regions of a file, and where in it each of them is named."""
    document = read_document(file)
    body = document.value
    if not isinstance(body, dict) or set(body) != {"level", "regions"}:
        raise UsageError(
            "a region file holds two keys, `level` and `regions`",
            file=file,
            hint="see config/regions/spheres",
        )
    if not isinstance(body["regions"], list) or not body["regions"]:
        raise UsageError(
            "`regions` must be a list of at least one region",
            file=locate(("regions",), body, [document]),
            hint="see config/regions/spheres",
        )
    regions = []
    for number, entry in enumerate(body["regions"]):
        stated = locate(("regions", number, "name"), body, [document])
        if not isinstance(entry, dict):
            raise UsageError(
                f"a region is a mapping of keys, not {entry!r}",
                file=stated,
                hint="see config/regions/spheres",
            )
        try:
            region = Region.model_validate({"level": body["level"], **entry})
        except ValidationError as error:
            raise wrong(
                error, Region, body, [document], ("regions", number), of=entry.get("name")
            ) from error
        regions.append((region, stated))
    return regions


def _base_folder(key: str, value: object, documents: Sequence[Document]) -> Path:
    for document in reversed(documents):
        body = document.value
        if isinstance(body, dict) and key in body and body[key] == value:
            folder = document.path.resolve().parent
            return folder.parent if folder.name == "config" else folder
    return Path.cwd()


def _existing(path: str, *folders: Path) -> Path | None:
    for folder in folders:
        candidate: Path = (folder / Path(path).expanduser()).resolve()
        if candidate.exists():
            return candidate
    return None
