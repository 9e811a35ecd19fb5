"""The commands about regions: what they are, where they lie, what a run would do about them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from braindata.command_help import example

if TYPE_CHECKING:
    from collections.abc import Sequence

# What a command needs is imported when it runs: `braindata --help` answers at once.

_CONFIG_FILES = click.option(
    "--configfile",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="On top of config/config.yaml, as for a run. May be repeated.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="For scripts, as described above.")


@click.group(
    epilog=example(
        "braindata regions list --configfile my.yaml",
        "braindata regions show vmpfc",
        "braindata regions plot vmpfc",
        "braindata regions diff --configfile my.yaml",
    )
)
def regions() -> None:
    """Show regions as they are configured, and what a run would do about them.

    They are shown on the template's grid. Nothing is changed, copied or fetched.
    """


@regions.command("list", epilog=example("braindata regions list --configfile my.yaml"))
@_CONFIG_FILES
@_JSON
def list_(files: tuple[Path, ...], as_json: bool) -> int:
    """List the regions: level, kind, space, size, hash.

    \b
    Exit code:
      0  all of them can be used
      2  a region is not what it says, or the configuration is wrong

    \b
    --json prints one list of objects, as `show --json` prints them.
    """
    from braindata.region_views import describe, open_regions

    view = open_regions(files)
    facts = [describe(region, view) for region in view.regions]
    if as_json:
        click.echo(_as_json(facts))
    else:
        columns = ("region", "level", "kind", "space", "n_voxels", "hash")
        _table([[str(one.get(key, "?")) for key in columns] for one in facts], columns)
    return _problems(facts)


@regions.command(epilog=example("braindata regions show vmpfc"))
@click.argument("name")
@_CONFIG_FILES
@_JSON
def show(name: str, files: tuple[Path, ...], as_json: bool) -> int:
    """Show one region: definition, sources, size and place on the template.

    \b
    --json prints one object:
      region, level, kind, space, hash, processes, references, sources, definition
      template, resolution   the grid (mm) on which it is shown
      n_voxels, volume       size there; volume in mm³
      center_of_mass         x, y, z in mm
      placement              same space, transformed or accepted
      problem                instead of these: why it cannot be used
    """
    from braindata.region_views import describe, open_regions

    view = open_regions(files)
    facts = describe(view.find(name), view)
    if as_json:
        click.echo(_as_json(facts))
    else:
        _facts(facts)
    return _problems([facts])


@regions.command(epilog=example("braindata regions plot vmpfc --output vmpfc.png"))
@click.argument("name")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="The PNG. [default: NAME.png]"
)
@_CONFIG_FILES
def plot(name: str, output: Path | None, files: tuple[Path, ...]) -> None:
    """Draw one region on a glass brain and on slices of the template."""
    from braindata.files import atomic_path
    from braindata.region_views import open_regions
    from braindata.regions.checks import check_region
    from braindata.regions.template import template_grid
    from braindata.report.region_plot import region_png

    view = open_regions(files)
    grid = template_grid(view.resolution)
    resolved = check_region(view.find(name), grid, view.placing)
    target = output or Path(f"{name}.png")
    with atomic_path(target) as part:
        part.write_bytes(region_png(resolved, grid.affine, grid.shape))
    click.echo(target)


@regions.command(epilog=example("braindata regions diff --configfile my.yaml"))
@_CONFIG_FILES
@_JSON
def diff(files: tuple[Path, ...], as_json: bool) -> None:
    """Say which regions a run would compute, before it does.

    Per data set, against the output folder: new, changed (in definition), settings (series or
    trials are made anew as other settings changed, or recordings are packed anew), removed (not
    asked for any more; older releases keep it), unchanged. New recordings are not looked at.

    \b
    --json prints one list of objects:
      dataset, region   identifier and name
      state             as above
      now, before       hash in the configuration and in the output folder, or null
    """
    from braindata.planning import Plan
    from braindata.region_views import STATES, changes, merged

    found = changes(Plan(*merged(files)))
    if as_json:
        click.echo(_as_json([vars(one) for one in found]))
        return
    rows = [
        [one.dataset, one.region, one.state, one.before or "", one.now or ""]
        for one in sorted(found, key=lambda one: (one.dataset, STATES.index(one.state)))
        if one.state != "unchanged"
    ]
    if rows:
        _table(rows, ("dataset", "region", "state", "before", "now"))
    counts = Counter(one.state for one in found)
    click.echo(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))


@regions.command(
    epilog=example("braindata regions compare config/regions/spheres config/regions/schaefer_tian")
)
@click.argument("first", type=click.Path(exists=True, path_type=Path))
@click.argument("second", type=click.Path(exists=True, path_type=Path))
@click.option("--resolution", type=click.IntRange(1, 4), default=2, show_default=True, help="mm.")
def compare(first: Path, second: Path, resolution: int) -> None:
    """Print how far the regions of two sets agree that have one name, as Markdown.

    Voxels of both; Dice; the share of the first one's voxels that are in the second; the distance
    in mm between the centres of mass, left and right of the midline.
    """
    from braindata.config_regions import read_regions
    from braindata.regions.agreement import agreement_table
    from braindata.regions.checks import check_region
    from braindata.regions.files import Placing, RegionFiles
    from braindata.regions.template import template_grid

    grid = template_grid(resolution)
    sets = []
    for folder in (first, second):
        found = read_regions(str(folder))
        placing = Placing(RegionFiles(local=found.files))
        sets.append({one.name: check_region(one, grid, placing) for one in found.regions})
    names = [name for name in sets[0] if name in sets[1]]
    click.echo(agreement_table(sets[0], sets[1], names, grid), nl=False)


def _as_json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _facts(facts: dict[str, Any]) -> None:
    def line(key: str, value: object) -> None:
        click.echo(f"{key:<15} {value}")

    for key in ("region", "level", "kind", "space", "hash"):
        line(key, facts[key])
    if "problem" not in facts:
        x, y, z = facts["center_of_mass"]
        line("voxels", f"{facts['n_voxels']} ({facts['volume'] / 1000:.1f} cm³)")
        line("centre of mass", f"{x:.1f}, {y:.1f}, {z:.1f} mm")
        line("on", f"{facts['template']}, {facts['resolution']} mm ({facts['placement']})")
    line("processes", ", ".join(facts["processes"]))
    for key in ("references", "sources"):
        for number, text in enumerate(facts[key]):
            line("" if number else key, text)
    click.echo("definition")
    click.echo(
        "".join(f"  {one}\n" for one in _as_json(facts["definition"]).splitlines()), nl=False
    )


def _problems(facts: Sequence[dict[str, Any]]) -> int:
    """Print what is wrong, and return the exit code."""
    from braindata.errors import EXIT_DONE, EXIT_USAGE

    problems = [one["problem"] for one in facts if "problem" in one]
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    return EXIT_USAGE if problems else EXIT_DONE
