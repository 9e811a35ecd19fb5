"""The configuration: its models, its files and its paths. Nothing else reads YAML."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from braindata.curate.parameters import CurateParameters
from braindata.derive.parameters import DeriveParameters
from braindata.errors import UsageError
from braindata.extract.parameters import ExtractParameters
from braindata.fmri.parameters import NativeParameters
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
    extract: ExtractParameters = Field(
        default_factory=ExtractParameters, description="How a region's series is made."
    )
    derive: DeriveParameters = Field(
        default_factory=DeriveParameters, description="How trials are estimated."
    )

    @field_validator("datasets")
    @classmethod
    def _unique_ids(cls, datasets: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
        # Two names that differ in case only are one folder on some file systems.
        ids = [dataset.id.lower() for dataset in datasets]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"data set ids are used twice: {', '.join(twice)}")
        return datasets


def config_schema() -> str:
    """Return the JSON schema of the configuration, as `config/schema.json` holds it."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    UsageError
        When the file is missing or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError("there is no such file", file=path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"this is not valid YAML: {error}", file=path) from error


def parse_config(values: Mapping[str, Any], file: Path | str | None = None) -> Config:
    """Validate a configuration.

    Raises
    ------
    UsageError
        Naming each wrong key, what is allowed, and for an unknown key the nearest known one.
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError(_explain(error, Config), file=file) from error


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
    shown = files[-1] if files else None
    config = parse_config(values, shown)
    stated = [(file, read_yaml(file) or {}) for file in files]
    base = {
        key: _base_folder(key, values.get(key), stated) for key in ("output", "datasets", "regions")
    }
    output = (base["output"] / Path(config.output).expanduser()).resolve()
    if set("{}") & set(str(output)):
        raise UsageError("output: braces mean something else to Snakemake", file=shown)
    datasets = []
    for dataset in config.datasets:
        source = _existing(dataset.source, base["datasets"], Path.cwd())
        if source is None or not source.is_dir():
            raise UsageError(
                f"data set {dataset.id}: there is no folder {dataset.source}",
                file=shown,
                hint=f"looked in {base['datasets']} and in {Path.cwd()}",
            )
        require_bids(source)
        if source == output or output in source.parents or source in output.parents:
            raise UsageError(
                f"data set {dataset.id}: source and output lie in each other",
                file=shown,
                hint="choose an output folder beside the source, not within it or around it",
            )
        datasets.append(dataset.model_copy(update={"source": str(source)}))
    paths = (config.regions,) if isinstance(config.regions, str) else config.regions
    regions = []
    for path in paths:
        found = _existing(path, base["regions"], Path.cwd(), *([home] if home else []))
        if found is None:
            raise UsageError(
                f"regions: there is no {path}",
                file=shown,
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
    regions = [region for file in files for region in _read_region_file(file)]
    validate_region_set(regions)
    return sorted(regions, key=lambda region: region.name)


def _read_region_file(file: Path) -> list[Region]:
    body = read_yaml(file)
    if not isinstance(body, dict) or set(body) != {"level", "regions"}:
        raise UsageError(
            "a region file holds two keys, `level` and `regions`",
            file=file,
            hint="see config/regions/spheres",
        )
    if not isinstance(body["regions"], list) or not body["regions"]:
        raise UsageError("`regions` must be a list of at least one region", file=file)
    regions = []
    for entry in body["regions"]:
        name = entry.get("name", "?") if isinstance(entry, dict) else "?"
        try:
            regions.append(Region.model_validate({"level": body["level"], **entry}))
        except ValidationError as error:
            raise UsageError(f"region {name}: {_explain(error, Region)}", file=file) from error
        except TypeError as error:
            raise UsageError(f"a region is a mapping of keys, not {entry!r}", file=file) from error
    return regions


def _base_folder(key: str, value: object, stated: list[tuple[Path, Any]]) -> Path:
    for file, body in reversed(stated):
        if isinstance(body, dict) and key in body and body[key] == value:
            folder: Path = file.resolve().parent
            return folder.parent if folder.name == "config" else folder
    return Path.cwd()


def _existing(path: str, *folders: Path) -> Path | None:
    for folder in folders:
        candidate: Path = (folder / Path(path).expanduser()).resolve()
        if candidate.exists():
            return candidate
    return None


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    lines = []
    details = error.errors()
    for detail in details:
        if detail["type"] == "too_short" and len(details) > 1:
            # pydantic counts only the valid entries of a list: the fault is in one of the others.
            continue
        where = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            known = _known_keys(model, detail["loc"][:-1])
            near = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            lines.append(f"{where} is not known; {advice}")
        else:
            message = detail["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {message}" if where else message)
    return "; ".join(lines)


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are allowed at a place within a model."""
    current = model
    for part in location:
        if isinstance(part, int) or part not in current.model_fields:
            continue
        inner = model_in(current.model_fields[part].annotation)
        if inner is None:
            return []
        current = inner
    return sorted(current.model_fields)


def model_in(annotation: object) -> type[BaseModel] | None:
    """Return the first model within a type: `Dataset` in ``tuple[Dataset, ...]``; None if none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = model_in(argument)
        if found is not None:
            return found
    return None
