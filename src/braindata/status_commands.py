"""The commands that run the chain and say how it stands."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from braindata.command_help import example
from braindata.errors import EXIT_STOPPED, UsageError

# Where Snakemake looks by itself.
SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")

# What a command needs is imported when it runs: `braindata --help` answers at once.


@click.command(epilog=example("braindata run --configfile my.yaml"))
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
    from braindata.planning import check_yaml
    from braindata.status.run import run as run_snakemake

    if not any(Path(name).is_file() for name in SNAKEFILES) and not any(
        one.startswith(("-s", "--snakefile")) for one in arguments
    ):
        raise UsageError(
            "this folder is no project: it has no Snakefile",
            file=Path.cwd(),
            hint="go to the folder that `braindata init` made, or name one: "
            "braindata run -- --snakefile FILE",
        )
    for file in files:
        # Snakemake would name neither file nor line, and end in a traceback where there is none.
        check_yaml(Path(file), required=True)
    named = ["--configfile", *files] if files else []
    return run_snakemake([*named, "--cores", cores, *arguments])


@click.command(epilog=example("braindata status results", "braindata status results --watch"))
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="For scripts, as described above.")
@click.option("--watch", "again", is_flag=True, help="Look again until the run has ended.")
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True, max=86_400),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Pause between two looks of --watch.",
)
def status(output: Path, as_json: bool, again: bool, every: float) -> int:
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
      130  --watch was stopped by Ctrl-C; the run goes on

    --watch ends with the run, with the exit code of what it has left; where no run is going on, at
    once. In a pipe it writes only what is new. It sees runs on this machine, and on others where
    the file system keeps locks across machines.

    \b
    --json prints one object, with --watch one in each line:
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
      stages            {data set: {stage: {state: count}}}; quarantined counts recordings
      unfinished_jobs   [{stage, job, state, error, log}] running, interrupted, failed
      recordings        {state: count}
      datasets          {data set: {state: count}}
      left_out          [{dataset, recording, state, stage, reason, hint, file, log}]
    Files and logs are relative to the folder.
    """
    from braindata.status.overview import overview
    from braindata.status.show import print_plainly, show_status, terminal_console, text_console

    # Which no range leaves out.
    if math.isnan(every):
        raise UsageError("--every is a number of seconds, not nan")
    if again:
        return _watch(output, as_json, every)
    seen = overview(output)
    if as_json:
        click.echo(json.dumps(seen.to_dict(), indent=1, ensure_ascii=False))
    else:
        target = terminal_console() or text_console()
        show_status(seen, target, output)
        print_plainly(target)
    return seen.exit_code


def _watch(output: Path, as_json: bool, every: float) -> int:
    from braindata.status.show import terminal_console
    from braindata.status.watch import in_a_pipe, on_a_terminal, plainly, watch

    if as_json:
        show = in_a_pipe(lambda seen: json.dumps(seen.to_dict(), ensure_ascii=False) + "\n")
    elif (terminal := terminal_console()) is not None:
        show = on_a_terminal(terminal, output)
    else:
        show = in_a_pipe(plainly(output))
    try:
        return watch(output, show, every)
    except KeyboardInterrupt:
        # Whoever stops looking does not stop the run.
        return EXIT_STOPPED


@click.command(epilog=example("braindata verify results"))
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
