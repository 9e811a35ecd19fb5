"""The commands about releases: what is in them, passing them on, and who leaves them."""

from __future__ import annotations

from pathlib import Path

import click

from braindata.command_help import example
from braindata.errors import EXIT_DONE, EXIT_FAILED, UsageError

# What a command needs is imported when it runs: `braindata --help` answers at once.

_OUTPUT = click.argument("output", type=click.Path(path_type=Path, file_okay=False))


@click.command(epilog=example("braindata tables results"))
@_OUTPUT
def tables(output: Path) -> None:
    """List the tables of an output folder, its releases and their sizes."""
    from braindata.tables.reading import describe

    click.echo(describe(output))


@click.command(epilog=example("braindata export results my-tables"))
@_OUTPUT
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--release", metavar="N", help="Which release, or its tag; the newest by default.")
@click.option("--name", default="braindata", show_default=True, help="What the data are called.")
def export(output: Path, folder: Path, release: str | None, name: str) -> None:
    """Write one release to pass on: plain Parquet folders that describe themselves.

    Beside a folder per table there are README.md, which is a dataset card for Hugging Face,
    croissant.json, dataset_description.json and provenance.json.
    """
    from braindata.tables.export import export_release

    written = export_release(output, folder, release, name)
    click.echo(f"release {written.number} is in {folder}")


@click.command(epilog=example("braindata history results"))
@_OUTPUT
def history(output: Path) -> None:
    """List the releases: versions of their tables, tags, and what changed in each and why.

    No dates: two folders with the same history print the same. `tables at` has the version of
    each table, in the order in which `braindata tables` lists them.
    """
    from braindata.tables.history import describe_history
    from braindata.tables.history import history as entries
    from braindata.tables.reading import find_tables

    click.echo(describe_history(entries(find_tables(output))))


@click.command(epilog=example("braindata diff results 3 4", "braindata diff results paper 7"))
@_OUTPUT
@click.argument("old", metavar="N")
@click.argument("new", metavar="M")
def diff(output: Path, old: str, new: str) -> None:
    """Count the rows that came, went or changed between two releases, and say because of what.

    N and M are numbers or tags. A row has changed that has the same identity (data set, recording,
    trial, region …) and other values.

    \b
    Because of:
      data        data sets, people or files that came, went or changed
      region      a region that is new, gone or defined otherwise
      code        another step version of a stage, or another version of a library
      config      other settings of a stage, rules or exclusions
      withdrawal  somebody was withdrawn
      unknown     the releases do not say
    """
    from braindata.tables.history import describe_differences, differences
    from braindata.tables.reading import find_tables

    click.echo(describe_differences(differences(find_tables(output), old, new)))


@click.command(
    epilog=example("braindata tag results 4 paper", "braindata tag results --remove paper")
)
@_OUTPUT
@click.argument("number", metavar="[N]", required=False)
@click.argument("name", required=False)
@click.option("--remove", metavar="NAME", help="Take a tag away.")
def tag(output: Path, number: str | None, name: str | None, remove: str | None) -> None:
    """Give a release a name: it is kept by `vacuum`, and `open_tables` knows it by that name."""
    from braindata.tables.publish import locked
    from braindata.tables.reading import find_tables
    from braindata.tables.releases import remove_tag, write_tag

    folder = find_tables(output)
    if remove is not None:
        if number is not None:
            raise UsageError("--remove takes a tag away and gives none")
        with locked(folder):
            remove_tag(folder, remove)
        return
    if number is None or name is None or not number.isdecimal():
        raise UsageError(
            "name a release and its tag", hint="braindata tag OUTPUT N NAME: results 4 paper"
        )
    with locked(folder):
        write_tag(folder, int(number), name)


@click.command(epilog=example("braindata vacuum results --dry-run", "braindata vacuum results"))
@_OUTPUT
@click.option("--keep", multiple=True, metavar="N", help="A release, or a tag. May be repeated.")
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
def vacuum(output: Path, keep: tuple[str, ...], dry_run: bool) -> None:
    """Remove the files of releases that are neither the newest, nor tagged, nor kept.

    Such a release cannot be opened any more; `history` still lists it.
    """
    from braindata.tables.reading import find_tables
    from braindata.tables.releases import read_release
    from braindata.tables.vacuum import vacuum as free

    folder = find_tables(output)
    kept = [read_release(folder, one).number for one in keep]
    done = free(folder, kept, dry_run=dry_run)
    verb = "would go" if dry_run else "gone"
    which = ", ".join(map(str, done.releases)) or "none"
    click.echo(f"releases {verb}: {which}; {done.n_files} files, {done.n_bytes / 1e6:.1f} MB")


@click.command(
    epilog=example(
        "braindata withdraw results localizer/07",
        "braindata withdraw results localizer/07 --purge",
    )
)
@_OUTPUT
@click.argument("person", metavar="DATASET/SUBJECT")
@click.option("--purge", is_flag=True, help="Do it. Without, say what would go.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the pseudonyms' key, where people have pseudonyms.",
)
@click.option(
    "--project",
    "projects",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where Snakemake was called, if it was neither here nor beside the output folder: its "
    "notes name people too. May be repeated.",
)
def withdraw(
    output: Path, person: str, purge: bool, key: Path | None, projects: tuple[Path, ...]
) -> int:
    """Remove a person from an output folder, for good.

    Makes a release without them, ends all earlier ones, and removes their files and rows
    everywhere: raw data, inventory, derivatives, stores, shards, tables and their logs, receipts,
    logs, report, and Snakemake's own notes. The source is not touched; later runs leave the person
    out. Refused while a run is going on; interrupted, give the same line again.

    \b
    Exit code:
      0  done, or listed
      1  a run is going on, or a file still names the person
      2  there is no such person or folder
    """
    from braindata.status.jobs import existing_layout
    from braindata.withdrawal.person import find_person
    from braindata.withdrawal.purge import purge as remove
    from braindata.withdrawal.traces import find_traces, projects_of

    layout = existing_layout(output)
    who = find_person(layout, person, key)
    looked = projects_of(layout.output, *projects)
    if not purge:
        traces = find_traces(layout, who.dataset, who.gone, looked)
        for name in traces.remove:
            click.echo(f"remove\t{layout.output / name}")
        for path in traces.notes:
            click.echo(f"remove\t{path}")
        for name in (*traces.mend, *traces.texts):
            click.echo(f"without\t{layout.output / name}")
        _tell_refit(traces.refit)
        click.echo(
            f"{len(traces.remove) + len(traces.notes)} files would go, "
            f"{len(traces.mend) + len(traces.texts)} would be looked through, and every earlier "
            "release would end. Nothing is done yet: --purge does it.",
            err=True,
        )
        return EXIT_DONE
    done = remove(layout, who, looked)
    now = (
        "no release yet: the next run makes one"
        if done.release is None
        else (f"release {done.release} is without them; earlier ones ended")
    )
    click.echo(f"{done.n_files} files and {done.n_rows} rows of shards are gone; {now}.")
    _tell_refit(done.refit)
    if not looked:
        click.echo("No notes of Snakemake were found: name its folder with --project.", err=True)
    for name in done.remaining:
        click.echo(f"still names them: {layout.output / name}", err=True)
    click.echo("Run snakemake again: inventory, report and what is to be fitted are made anew.")
    return EXIT_FAILED if done.remaining else EXIT_DONE


def _tell_refit(names: tuple[str, ...] | list[str]) -> None:
    for name in names:
        click.echo(f"refit\t{name}")
