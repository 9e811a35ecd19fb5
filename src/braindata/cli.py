"""The command line: one sub-command per stage, and those that people use."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from braindata.errors import EXIT_DONE, EXIT_STOPPED, UsageError
from braindata.faults import DEBUG_VARIABLE, explain
from braindata.stages import STEP_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

# What a command needs is imported when it runs: `braindata --help` answers at once.

Model = TypeVar("Model", bound=BaseModel)

_OUTPUT = click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The output folder.",
)
_DATASET = click.option("--dataset", required=True, help="Identifier of the data set.")
_UNIT = click.option("--unit", required=True, help="sub-<label> or sub-<label>_ses-<label>.")
_PARAMETERS = click.option(
    "--parameters", default="{}", help="The stage's parameters as JSON; the rest are defaults."
)


class SectionedGroup(click.Group):
    """Lists what people use first and what the rules call below, each in its own order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are defined."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the two lists."""
        stages = [name for name in self.commands if name in STEP_VERSION]
        people = [name for name in self.commands if name not in STEP_VERSION]
        width = max(map(len, self.commands), default=0)
        for title, names in (("Commands", people), ("Stages, which the rules call", stages)):
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name.ljust(width), self.commands[name].get_short_help_str(limit=120))
                        for name in names
                    ]
                )


def _example(*lines: str) -> str:
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(cls=SectionedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="braindata")
@click.option(
    "--debug",
    is_flag=True,
    help=f"Show where in the code an error arose; {DEBUG_VARIABLE}=1 does so in all jobs.",
)
def cli(debug: bool) -> None:
    """Versioned tables of what each brain region did, trial by trial.

    \b
    First steps:
      braindata init study --dataset localizer=../my-bids-folder
      cd study

    \b
    Run; killed, the same line goes on from there:
      snakemake --cores all

    \b
    Look:
      braindata tables results
      results/report/index.html (in a browser)

    \b
    Read, in Python:
      trials = braindata.open_tables("results")["trials"].to_pandas()
    """
    logging.raiseExceptions = debug
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("braindata").setLevel(logging.DEBUG if debug else logging.INFO)


@cli.command()
@_OUTPUT
@_DATASET
@click.option("--source", required=True, type=click.Path(path_type=Path), help="A BIDS folder.")
@_PARAMETERS
def pull(output: Path, dataset: str, source: Path, parameters: str) -> None:
    """Bring a data set under raw/, with a manifest."""
    from braindata.pull.parameters import PullParameters
    from braindata.stages import pull as stage

    stage.run(_layout(output), dataset, source.resolve(), _parse(PullParameters, parameters))


@cli.command()
@_OUTPUT
@_DATASET
@_PARAMETERS
def curate(output: Path, dataset: str, parameters: str) -> None:
    """Make the inventory: which recordings are used, and why the others are not."""
    from braindata.curate.parameters import CurateParameters
    from braindata.stages import curate as stage

    stage.run(_layout(output), dataset, _parse(CurateParameters, parameters))


@cli.command()
@_OUTPUT
@_DATASET
@_UNIT
@_PARAMETERS
def preprocess(output: Path, dataset: str, unit: str, parameters: str) -> None:
    """Preprocess the recordings of a subject, or of one session, as BIDS derivatives."""
    from braindata.fmri.parameters import NativeParameters
    from braindata.stages import preprocess as stage

    stage.run(_layout(output), dataset, unit, _parse(NativeParameters, parameters))


@cli.command()
@_OUTPUT
@_DATASET
@_UNIT
def pack(output: Path, dataset: str, unit: str) -> None:
    """Write one sample store per preprocessed recording."""
    from braindata.stages import pack as stage

    stage.run(_layout(output), dataset, unit)


@cli.command()
@_OUTPUT
@_DATASET
@_PARAMETERS
def extract(output: Path, dataset: str, parameters: str) -> None:
    """Extract the series of one region from all recordings of a data set."""
    from braindata.stages import extract as stage

    stage.run(_layout(output), dataset, _parse(stage.Parameters, parameters))


@cli.command()
@_OUTPUT
@_DATASET
@click.option("--region", required=True, help="The region as <name>-<hash>.")
@_PARAMETERS
def derive(output: Path, dataset: str, region: str, parameters: str) -> None:
    """Estimate the single-trial responses of one region."""
    from braindata.derive.parameters import DeriveParameters
    from braindata.stages import derive as stage

    stage.run(_layout(output), dataset, region, _parse(DeriveParameters, parameters))


@cli.command()
@_OUTPUT
@_PARAMETERS
def publish(output: Path, parameters: str) -> None:
    """Make a release of the tables, if anything changed."""
    from braindata.stages import publish as stage

    stage.run(_layout(output), _parse(stage.Parameters, parameters))


@cli.command()
@_OUTPUT
def report(output: Path) -> None:
    """Write the report of the newest release."""
    from braindata.stages import report as stage

    stage.run(_layout(output))


@cli.command(epilog=_example("braindata init study --dataset localizer=../my-bids-folder"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="ID=PATH",
    help="A data set to fill into the configuration: its name and its BIDS folder. Repeatable.",
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


@cli.command(epilog=_example("braindata phantom demo/phantom --truth demo/truth"))
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


@cli.command(epilog=_example("braindata recovery demo/results --truth demo/truth"))
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option("--truth", type=click.Path(path_type=Path, file_okay=False), required=True)
def recovery(output: Path, truth: Path) -> None:
    """Print how well the tables recover a phantom's truth."""
    from braindata.phantom.score import score
    from braindata.tables.reading import open_tables

    table = score(open_tables(output)["trials"].to_pandas(), truth)
    click.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@cli.command(epilog=_example("braindata tables results"))
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
def tables(output: Path) -> None:
    """List the tables of an output folder, its releases and their sizes."""
    from braindata.tables.reading import describe

    click.echo(describe(output))


@cli.command(epilog=_example("braindata run --configfile my.yaml"))
@click.option("--cores", default="all", show_default=True, help="How many jobs at once.")
@click.option("--configfile", "files", multiple=True, metavar="FILE", help="May be repeated.")
@click.argument("arguments", nargs=-1, metavar="[-- SNAKEMAKE ARGUMENTS]")
def run(cores: str, files: tuple[str, ...], arguments: tuple[str, ...]) -> int:
    """Run the whole chain: snakemake, with an exit code that tells all.

    `braindata run --configfile my.yaml` is `snakemake --cores all --configfile my.yaml`; what
    follows `--` is given to Snakemake as it is. Killed, the same line goes on from there.

    \b
    Exit code:
      0  all done
      1  a job failed, or it was stopped
      2  the configuration is wrong
      3  done, but recordings are quarantined or used in part: see braindata status
    """
    from braindata.status.run import run as run_snakemake

    named = ["--configfile", *files] if files else []
    return run_snakemake([*named, "--cores", cores, *arguments])


@cli.command(epilog=_example("braindata status results"))
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="For scripts, as described above.")
def status(output: Path, as_json: bool) -> int:
    """Show what is done in an output folder, what is left out and why.

    Changes nothing, and may be asked while a run is going on. Jobs are done, running, waiting,
    interrupted (by a kill) or failed. Recordings are used, used in part (some regions, or series
    without trials), quarantined (bad data), excluded (by a rule), or waiting for a job.

    \b
    Exit code:
      0  all done
      1  a job failed or is not done yet (--json: see "state")
      2  there is no such output folder
      3  all done, but recordings are quarantined or used in part

    \b
    --json prints one object:
      format, version   "braindata-status", 1; keys may be added, not changed
      output            the folder
      state             done, quarantined, running, unfinished or failed
      exit_code         as above
      process           the Snakemake at work, or null
      release, created  the newest release and its time (UTC), or null
      planned           whether the folder says what should be in it
      not_known_yet     data sets that are not curated
      unreadable        our files that cannot be read
      jobs              {stage: {state: count}}
      unfinished_jobs   [{stage, job, state, error, log}] running, interrupted, failed
      recordings        {state: count}
      datasets          {data set: {state: count}}
      left_out          [{dataset, recording, state, stage, reason, hint, file, log}]
    Files and logs are relative to the folder.
    """
    from braindata.status.overview import overview
    from braindata.status.show import print_plainly, show_status, terminal_console, text_console

    seen = overview(output)
    if as_json:
        click.echo(json.dumps(seen.to_dict(), indent=1, ensure_ascii=False))
    else:
        target = terminal_console() or text_console()
        show_status(seen, target, output)
        print_plainly(target)
    return seen.exit_code


@cli.command(epilog=_example("braindata verify results"))
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option("--raw", is_flag=True, help="Hash the raw data too; else their sizes are compared.")
@click.option("--repair", is_flag=True, help="Delete what is to be deleted; then run again.")
@click.option("--json", "as_json", is_flag=True, help="For scripts, as described above.")
def verify(output: Path, raw: bool, repair: bool, as_json: bool) -> int:
    """Look for damage: compare every file with the hash that it was written with.

    Files that are missing, cut off or altered are named, each with what to do: as a rule, to
    delete a file and to run again. --repair deletes these (receipts, damaged results, what killed
    jobs left; never raw data, nor files that it does not know), unless a run is going on.

    \b
    Exit code:
      0  no damage
      1  damage, or, with --repair, damage that deleting does not mend
      2  there is no such output folder

    \b
    --json prints one object:
      format, version  "braindata-verify", 1; keys may be added, not changed
      output           the folder
      damaged          whether there is damage
      exit_code        as above
      process          the Snakemake at work, or null
      files, bytes     how much was hashed
      superseded       files of tables that the newest release does not need
      unfinished       files of jobs that are not done
      findings         [{file, kind, problem, hint, delete}], files relative to the folder;
                       kind: missing, altered, unreadable, outdated; or, no damage, unknown
                       (nobody's file) and temporary (left by a kill)
      deleted          with --repair: the files that were deleted
    """
    from braindata.status.show import (
        byte_progress,
        print_plainly,
        show_verdict,
        terminal_console,
        text_console,
    )
    from braindata.status.verify import repair as mend
    from braindata.status.verify import verify as look

    with byte_progress() as progress:
        if repair:
            verdict, deleted = mend(output, raw=raw, progress=progress)
        else:
            verdict, deleted = look(output, raw=raw, progress=progress), None
    code = verdict.exit_code if deleted is None else verdict.exit_code_of_repair
    if as_json:
        body = verdict.to_dict() | {"exit_code": code}
        if deleted is not None:
            body["deleted"] = deleted
        click.echo(json.dumps(body, indent=1, ensure_ascii=False))
        return code
    target = terminal_console() or text_console()
    show_verdict(verdict, target, output)
    print_plainly(target)
    if deleted is not None:
        click.echo("".join(f"deleted {output / name}\n" for name in deleted), nl=False)
        click.echo(
            "Run again now: what was deleted is made anew." if deleted else "Nothing deleted."
        )
    return code


@cli.command(epilog=_example("braindata schema --markdown | less"))
@click.option("--markdown", is_flag=True, help="As a table for people (docs/configuration.md).")
def schema(markdown: bool) -> None:
    """Print what a configuration may hold, as JSON schema (config/schema.json)."""
    from braindata.config import config_schema
    from braindata.config_reference import config_reference

    click.echo(config_reference() if markdown else config_schema(), nl=False)


def main() -> None:
    """Run the command line and exit with the code that the outcome has."""
    sys.exit(guarded(lambda: cli.main(standalone_mode=False), "--debug" in sys.argv))


def guarded(command: Callable[[], object], debug: bool = False) -> int:
    """Call a command or the Snakefile's planning, and return its exit code.

    Whatever goes wrong is one error on the terminal. With `debug`, or where the environment
    says so, it is raised instead.
    """
    debug = debug or os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")
    try:
        result = command()
    except click.exceptions.Abort:
        # click's name for Ctrl-C.
        click.echo("stopped; what is done is kept, the same command goes on from there", err=True)
        return EXIT_STOPPED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        told = explain(error)
        # The log may lie on the disk that is full.
        with contextlib.suppress(OSError):
            click.echo(f"error: {told}", err=True)
        return told.exit_code
    # A command returns its exit code, or nothing when it is done.
    return result if isinstance(result, int) else EXIT_DONE


def _layout(output: Path) -> Any:
    from braindata.layout import Layout

    return Layout(output.resolve())


def _parse(model: type[Model], text: str) -> Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'JSON'}: {item['msg']}" for item in error.errors()
        )
        raise UsageError(f"--parameters: {details}") from error


if __name__ == "__main__":
    main()
