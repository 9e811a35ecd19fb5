"""The commands about a data set whose truth is known: making it, and finding the truth again."""

from __future__ import annotations

from pathlib import Path

import click

from braindata.command_help import example

# What a command needs is imported when it runs: `braindata --help` answers at once.


@click.command(epilog=example("braindata phantom demo/phantom --truth demo/truth"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--truth", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option("--subjects", type=click.IntRange(1, 99), default=3, show_default=True)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="People at once."
)
def phantom(folder: Path, truth: Path, seed: int, subjects: int, jobs: int) -> None:
    """Write a small BIDS data set whose truth is known, and the truth to another folder."""
    from braindata.phantom.generate import generate
    from braindata.phantom.parameters import PhantomParameters

    generate(folder, truth, PhantomParameters(seed=seed, n_subjects=subjects), n_jobs=jobs)


@click.command(epilog=example("braindata recovery demo/results --truth demo/truth"))
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option("--truth", type=click.Path(path_type=Path, file_okay=False), required=True)
def recovery(output: Path, truth: Path) -> None:
    """Print how well the tables recover a phantom's truth."""
    from braindata.phantom.score import score
    from braindata.tables.reading import open_tables

    trials = open_tables(output)["trials"].to_pandas(where={"model": "lss"})
    table = score(trials, truth)
    click.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
