"""The commands that a project begins with: its files, and what its configuration may hold."""

from __future__ import annotations

from pathlib import Path

import click

from braindata.command_help import example

# What a command needs is imported when it runs: `braindata --help` answers at once.


@click.command(epilog=example("braindata init study --dataset localizer=../my-bids-folder"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="ID=PATH",
    help="A data set to fill into the configuration: its name, and its BIDS folder or "
    "openneuro:ds000005. Repeatable.",
)
@click.option("--force", is_flag=True, help="Replace files that were edited.")
def init(folder: Path, datasets: tuple[str, ...], force: bool) -> None:
    """Write a new project, or bring one up to date after an upgrade.

    The project holds Snakefile, rules, profiles, region sets and a configuration to fill in. Called
    again, it changes nothing; after an upgrade it updates what you have not edited, and names the
    rest.
    """
    from braindata.scaffold.messages import describe_changes
    from braindata.scaffold.project import init_project, parse_datasets

    changes = init_project(folder, parse_datasets(datasets), force=force)
    click.echo(describe_changes(folder, changes, filled_in=bool(datasets)))


@click.command(epilog=example("braindata schema --markdown | less"))
@click.option("--markdown", is_flag=True, help="As a table for people (docs/configuration.md).")
def schema(markdown: bool) -> None:
    """Print what a configuration may hold, as JSON schema (config/schema.json)."""
    from braindata.config import config_schema
    from braindata.config_reference import config_reference

    click.echo(config_reference() if markdown else config_schema(), nl=False)
