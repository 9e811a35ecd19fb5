"""Region files: read, their files looked at, the regions that they name filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from braindata.config_errors import wrong
from braindata.config_lines import locate, read_document
from braindata.errors import UsageError
from braindata.regions.definition import Region, validate_set
from braindata.regions.kinds import SetOperation
from braindata.regions.labels import nearest
from braindata.regions.spaces import JOIN

_EXAMPLE = "see config/regions/spheres"


@dataclass(frozen=True)
class RegionSet:
    """The regions of some region files.

    Attributes
    ----------
    regions : list of Region
        Sorted by name, with all that their files and the regions they name say of them.
    files : dict of str to Path
        The images of the user's own that they are made from, by sha256.
    """

    regions: list[Region]
    files: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class _Placed:
    """A region, where it is named, and the folder that its paths are relative to."""

    region: Region
    stated: str | None
    folder: Path


def load_regions(paths: str | Iterable[str]) -> list[Region]:
    """Return the regions of region files (see `read_regions`)."""
    return read_regions(paths).regions


def read_regions(paths: str | Iterable[str]) -> RegionSet:
    """Read region files, or all of a folder, and check that they make one set.

    A path in a region file is relative to it, or else to the working directory.

    Raises
    ------
    UsageError
        When a file is no region file, two regions have one name, a region names one that is not
        there or that is made from itself, or an image or label table is missing or not what is
        stated of it.
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
    _require_names_once(placed)
    images: dict[str, Path] = {}
    located = []
    for one in placed:
        try:
            folders = [one.folder, Path.cwd()]
            definition, own = one.region.definition.with_files(folders)
        except UsageError as error:
            raise _in_region(one, error) from error
        images |= own
        region = one.region.model_copy(update={"definition": definition})
        located.append(_Placed(region, one.stated, one.folder))
    regions = _combine({one.region.name: one for one in located})
    return RegionSet(sorted(regions, key=lambda region: region.name), images)


def _require_names_once(placed: list[_Placed]) -> None:
    try:
        validate_set(one.region for one in placed)
    except UsageError as error:
        names = [one.region.name.casefold() for one in placed]
        again = next(n for n, name in enumerate(names) if name in names[:n])
        first = placed[names.index(names[again])].stated
        raise UsageError(
            f"{error.problem}, first in {first}", file=placed[again].stated, hint=error.hint
        ) from error


def _in_region(placed: _Placed, error: UsageError) -> UsageError:
    """Return an error that names the region, and where it is stated."""
    problem = f"region {placed.region.name}: {error.problem}"
    if error.file is None:
        return UsageError(problem, file=placed.stated, hint=error.hint)
    return UsageError(f"{problem} (stated in {placed.stated})", file=error.file, hint=error.hint)


def _combine(placed: Mapping[str, _Placed]) -> list[Region]:
    """Fill in the regions that others are made from."""
    done: dict[str, Region] = {}

    def fill_in(name: str, above: tuple[str, ...]) -> None:
        one = placed[name]
        for operand in one.region.definition.operand_names():
            if operand not in placed:
                near = nearest(operand, placed)
                raise UsageError(
                    f"region {name}: there is no region {operand}",
                    file=one.stated,
                    hint=f"did you mean {', '.join(near)}?"
                    if near
                    else f"the regions are {', '.join(sorted(placed))}",
                )
            if operand in (*above, name):
                circle = " → ".join([*(*above, name)[(*above, name).index(operand) :], operand])
                raise UsageError(
                    f"region {name} is made from itself: {circle}",
                    file=one.stated,
                    hint="a region can be made from regions that are not made from it",
                )
            if operand not in done:
                fill_in(operand, (*above, name))
        done[name] = _filled_in(one, done)

    for name in placed:
        if name not in done:
            fill_in(name, ())
    return list(done.values())


def _filled_in(placed: _Placed, done: Mapping[str, Region]) -> Region:
    region = placed.region
    if not isinstance(region.definition, SetOperation):
        return region
    definition = region.definition.with_operands(done)
    space = JOIN.join(sorted(definition.spaces(region.space)))
    if region.space not in ("", space):
        raise UsageError(
            f"region {region.name}: space is {region.space}, its regions are in {space}",
            file=placed.stated,
            hint="leave `space` out: it is that of the regions",
        )
    return region.model_copy(update={"definition": definition, "space": space})


def _read_region_file(file: Path) -> list[_Placed]:
    """Return the regions of a file, and where in it each of them is named."""
    document = read_document(file)
    body = document.value
    if not isinstance(body, dict) or set(body) != {"level", "regions"}:
        raise UsageError(
            "a region file holds two keys, `level` and `regions`", file=file, hint=_EXAMPLE
        )
    if not isinstance(body["regions"], list) or not body["regions"]:
        raise UsageError(
            "`regions` must be a list of at least one region",
            file=locate(("regions",), body, [document]),
            hint=_EXAMPLE,
        )
    regions = []
    for number, entry in enumerate(body["regions"]):
        stated = locate(("regions", number, "name"), body, [document])
        if not isinstance(entry, dict):
            raise UsageError(
                f"a region is a mapping of keys, not {entry!r}", file=stated, hint=_EXAMPLE
            )
        try:
            region = Region.model_validate({"level": body["level"], **entry})
        except ValidationError as error:
            raise wrong(
                error, Region, body, [document], ("regions", number), of=entry.get("name")
            ) from error
        for key in sorted(region.definition.FILLED_IN & entry["definition"].keys()):
            raise UsageError(
                f"region {region.name}: definition.{key} is filled in when the file is read",
                file=locate(("regions", number, "definition", key), body, [document]),
                hint="leave it out",
            )
        regions.append(_Placed(region, stated, file.resolve().parent))
    return regions
