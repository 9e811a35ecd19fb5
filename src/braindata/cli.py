"""The command line: one sub-command per stage, and those of `*_commands.py` for people."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from braindata import (
    phantom_commands,
    project_commands,
    pull_commands,
    region_commands,
    release_commands,
    status_commands,
)
from braindata.command_help import SectionedGroup, checked_name, example
from braindata.errors import EXIT_DONE, EXIT_STOPPED, UsageError
from braindata.faults import DEBUG_VARIABLE, explain

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
_DATASET = click.option(
    "--dataset", required=True, callback=checked_name, help="Identifier of the data set."
)
_UNIT = click.option(
    "--unit", required=True, callback=checked_name, help="sub-<label> or sub-<label>_ses-<label>."
)
_PARAMETERS = click.option(
    "--parameters", default="{}", help="The stage's parameters as JSON; the rest are defaults."
)

_KEY = click.option("--key", default="", help="File of the pseudonyms' key; empty for none.")


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
    logging.basicConfig(
        format="%(levelname)s: %(message)s", level=logging.WARNING, stream=sys.stderr
    )
    logging.getLogger("braindata").setLevel(logging.DEBUG if debug else logging.INFO)


cli.add_command(pull_commands.pull)


@cli.command()
@_OUTPUT
@_DATASET
@_PARAMETERS
def curate(output: Path, dataset: str, parameters: str) -> None:
    """Make the inventory: which recordings are used, and why the others are not."""
    from braindata.stages import curate as stage

    stage.run(_layout(output), dataset, _parse(stage.Parameters, parameters))


@cli.command()
@_OUTPUT
@_DATASET
@_UNIT
@_PARAMETERS
@click.option("--machine", default="{}", help="How it is run here, as JSON; it changes no result.")
@click.option("--threads", type=click.IntRange(1), help="Threads that it may use.")
@click.option("--memory", type=click.IntRange(1), help="MB that it may use.")
def preprocess(
    output: Path,
    dataset: str,
    unit: str,
    parameters: str,
    machine: str,
    threads: int | None,
    memory: int | None,
) -> None:
    """Preprocess the recordings of a subject, or of one session, as BIDS derivatives."""
    from braindata.stages import preprocess as stage

    given = {"threads": threads, "memory_mb": memory}
    limits = {name: value for name, value in given.items() if value is not None}
    stage.run(
        _layout(output),
        dataset,
        unit,
        _parse(stage.Parameters, parameters),
        _parse(stage.Machine, machine, "--machine").limited(limits),
    )


@cli.command(epilog=example("braindata templateflow --output results"))
@_OUTPUT
@_PARAMETERS
def templateflow(output: Path, parameters: str) -> None:
    """Fetch the templates that fMRIPrep uses, once."""
    from braindata.fmri.fmriprep.parameters import FmriprepParameters
    from braindata.stages import templateflow as stage

    stage.run(_layout(output), _parse(FmriprepParameters, parameters))


@cli.command()
@_OUTPUT
@_DATASET
@_UNIT
@_PARAMETERS
def pack(output: Path, dataset: str, unit: str, parameters: str) -> None:
    """Write one sample store per preprocessed recording."""
    from braindata.stages import pack as stage

    stage.run(_layout(output), dataset, unit, _parse(stage.Parameters, parameters))


@cli.command(epilog=example("braindata gather --output results --dataset localizer"))
@_OUTPUT
@_DATASET
def gather(output: Path, dataset: str) -> None:
    """Note that all units of a data set are packed: what regions wait for."""
    from braindata.stages import gather as stage

    stage.run(_layout(output), dataset)


@cli.command()
@_OUTPUT
@_DATASET
@_PARAMETERS
def align(output: Path, dataset: str, parameters: str) -> None:
    """Bring the voxels of a group of regions into one space of all people of a data set."""
    from braindata.stages import align as stage

    stage.run(_layout(output), dataset, _parse(stage.Parameters, parameters))


@cli.command()
@_OUTPUT
@_PARAMETERS
def head(output: Path, parameters: str) -> None:
    """Make the models of the head that regions in EEG rest on, once."""
    from braindata.stages import head as stage

    stage.run(_layout(output), _parse(stage.Parameters, parameters))


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
@click.option(
    "--region",
    required=True,
    callback=checked_name,
    help="The region as <name>-<hash>; `sensors` for the features of EEG.",
)
@_PARAMETERS
def derive(output: Path, dataset: str, region: str, parameters: str) -> None:
    """Estimate the single-trial responses of one region."""
    from braindata.layout import SENSORS

    if region == SENSORS:
        from braindata.stages import derive_sensors

        chosen = _parse(derive_sensors.Parameters, parameters)
        derive_sensors.run(_layout(output), dataset, chosen)
        return
    from braindata.stages import derive as stage

    stage.run(_layout(output), dataset, region, _parse(stage.Parameters, parameters))


@cli.command()
@_OUTPUT
@_DATASET
@_PARAMETERS
def latents(output: Path, dataset: str, parameters: str) -> None:
    """Fit models of behaviour to the people of a data set."""
    from braindata.stages import latents as stage

    stage.run(_layout(output), dataset, _parse(stage.Parameters, parameters))


@cli.command()
@_OUTPUT
@_DATASET
@_PARAMETERS
def connectivity(output: Path, dataset: str, parameters: str) -> None:
    """Hold the regions of a data set against each other, pair by pair."""
    from braindata.stages import connectivity as stage

    stage.run(_layout(output), dataset, _parse(stage.Parameters, parameters))


@cli.command()
@_OUTPUT
@_DATASET
@click.option(
    "--process", required=True, callback=checked_name, help="The process, as `signals` names it."
)
@_PARAMETERS
def signals(output: Path, dataset: str, process: str, parameters: str) -> None:
    """Estimate one cognitive process from the regions that are tied to it."""
    from braindata.stages import signals as stage

    stage.run(_layout(output), dataset, process, _parse(stage.Parameters, parameters))


@cli.command()
@_OUTPUT
@_PARAMETERS
@_KEY
def publish(output: Path, parameters: str, key: str) -> None:
    """Make a release of the tables, if anything changed."""
    from braindata.stages import publish as stage

    stage.run(_layout(output), _parse(stage.Parameters, parameters), key)


@cli.command()
@_OUTPUT
@_KEY
def report(output: Path, key: str) -> None:
    """Write the report of the newest release."""
    from braindata.stages import report as stage

    stage.run(_layout(output), key)


for _command in (
    project_commands.init,
    phantom_commands.phantom,
    phantom_commands.recovery,
    release_commands.tables,
    release_commands.export,
    release_commands.history,
    release_commands.diff,
    release_commands.tag,
    release_commands.vacuum,
    release_commands.withdraw,
    status_commands.run,
    status_commands.status,
    status_commands.verify,
    region_commands.regions,
    project_commands.schema,
):
    cli.add_command(_command)


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


def _parse(model: type[Model], text: str, option: str = "--parameters") -> Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'JSON'}: {item['msg']}" for item in error.errors()
        )
        raise UsageError(f"{option}: {details}") from error


if __name__ == "__main__":
    main()
