"""The command that pulls: as the rules call it, and as people do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from braindata.command_help import checked_name, example
from braindata.errors import EXIT_DONE, EXIT_FAILED, BraindataError, UsageError

if TYPE_CHECKING:
    from braindata.planning import Plan
    from braindata.pull.local import PulledFile
    from braindata.pull.parameters import PullJob
    from braindata.pull.wanted import Wanted
    from braindata.withdrawn import Gone

# What a command needs is imported when it runs: `braindata --help` answers at once.

Model = TypeVar("Model", bound=BaseModel)


@click.command(
    epilog=example(
        "braindata pull --configfile my.yaml --dry-run > files.tsv",
        "braindata pull --configfile my.yaml --update",
    )
)
@click.option(
    "--configfile",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="On top of config/config.yaml, as for a run. May be repeated.",
)
@click.option(
    "--dataset", callback=checked_name, help="Only this data set; else all of the configuration."
)
@click.option("--dry-run", is_flag=True, help="List what would be pulled, and its size.")
@click.option("--verify", is_flag=True, help="Compare what is here with its checksums.")
@click.option("--update", is_flag=True, help="Look up the newest versions and note them.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="For the rules.")
@click.option("--source", help="For the rules: a BIDS folder, or a repository's name.")
@click.option("--pin", default="{}", help="For the rules: version and subset as JSON.")
@click.option("--parameters", default="{}", help="For the rules: the stage's parameters as JSON.")
@click.option("--download", default="{}", help="For the rules: how to download, as JSON.")
def pull(
    files: tuple[Path, ...],
    dataset: str | None,
    dry_run: bool,
    verify: bool,
    update: bool,
    output: Path | None,
    source: str | None,
    pin: str,
    parameters: str,
    download: str,
) -> int:
    """Bring data sets under raw/, each in its pinned version, with a manifest.

    A run does it by itself. Called with a configuration, this pulls its data sets without running
    anything else. Killed, the same line goes on from there; what is here is read, verified and not
    downloaded again.

    \b
    --dry-run prints a row per file (data set, path, size, checksum, state, address) and on the
              terminal the sums; it fetches the repositories' texts, nothing else
    --verify  prints a row per file that is not what it should be
    --update  writes datasets.lock beside the configuration; a run then pulls what has changed

    \b
    Exit code:
      0  all done, nothing is wrong
      1  something is damaged or cannot be reached
      2  the configuration is wrong, there is no such data set or version
    """
    if sum((dry_run, verify, update)) > 1:
        raise UsageError("--dry-run, --verify and --update are three commands: give one of them")
    if output is not None:
        return _job(output, dataset, source, pin, parameters, download)
    if source is not None:
        raise UsageError(
            "--source needs --output", hint="or name a configuration: --configfile my.yaml"
        )
    from braindata.planning import Plan
    from braindata.region_views import merged

    plan = Plan(*merged(files))
    names = plan.datasets if dataset is None else [_known(plan, dataset)]
    if update:
        return _update(plan)
    if dry_run:
        return _dry_run(plan, names)
    return _verify(plan, names) if verify else _pull(plan, names)


def _job(
    output: Path, dataset: str | None, source: str | None, pin: str, parameters: str, download: str
) -> int:
    from braindata.layout import Layout
    from braindata.pull.parameters import Download, PullJob, PullParameters
    from braindata.stages import pull as stage

    if dataset is None or source is None:
        raise UsageError("--output needs --dataset and --source")
    job = _parse(PullJob, "--pin", pin)
    stage.run(
        Layout(output.resolve()),
        dataset,
        source if job.commit else Path(source).resolve(),
        _parse(PullParameters, "--parameters", parameters),
        job=job,
        download=_parse(Download, "--download", download),
    )
    return EXIT_DONE


def _pull(plan: Plan, names: list[str]) -> int:
    from braindata.faults import require_space
    from braindata.locking import lock

    require_space(plan.layout.output)
    held = lock(plan.layout.output)
    try:
        _pull_locked(plan, names)
    finally:
        os.close(held)
    return EXIT_DONE


def _pull_locked(plan: Plan, names: list[str]) -> None:
    from braindata.stages import pull as stage

    jobs = {name: plan.pull_job(name) for name in names}
    plan.pins.write()
    for name, job in jobs.items():
        total = sum(
            file.size or 0
            for _, wanted in _wanted(plan, name, job)
            for file in wanted.files
            if file.key is not None and file.path not in wanted.left
        )
        with _bar(name, total) as progress:
            stage.run(
                plan.layout,
                name,
                plan.source(name),
                plan.config.pull,
                job=job,
                download=plan.config.pull.download,
                progress=progress,
            )


def _wanted(plan: Plan, name: str, job: PullJob) -> list[tuple[str, Wanted]]:
    """Return what is asked for of the repositories of a data set, by the names of their pins."""
    from braindata.layout import PUBLISHED
    from braindata.pull.wanted import want
    from braindata.stages.pull import mirror_without
    from braindata.withdrawn import Withdrawn

    gone = Withdrawn.read(plan.layout.output).of(name)
    found = []
    with mirror_without(plan.layout, gone) as mirror:
        if job.commit is not None:
            clone = mirror.fetch(name, plan.pins.remotes[name], plan.pins.of(name))
            raw, images = not job.derivatives, job.published is None
            wanted = want(
                clone, job.commit, job.subset, mirror.store, raw=raw, images=images, gone=gone
            )
            found.append((name, wanted))
        published = job.published
        if published is not None and published.commit is not None:
            key = f"{name}{PUBLISHED}"
            clone = mirror.fetch(key, plan.pins.remotes[key], plan.pins.of(key))
            wanted = want(
                clone,
                published.commit,
                job.subset,
                mirror.store,
                raw=False,
                published=published,
                gone=gone,
            )
            found.append((key, wanted))
    return found


def _dry_run(plan: Plan, names: list[str]) -> int:
    click.echo("dataset\tpath\tsize\tchecksum\tstate\taddress")
    for name in names:
        job = plan.pull_job(name)
        _list_local(plan, name, job)
        for key, wanted in _wanted(plan, name, job):
            _list_wanted(key, plan.pins.of(key).version, wanted)
    return EXIT_DONE


def _list_local(plan: Plan, name: str, job: PullJob) -> None:
    """Print the files of folders on this machine."""
    from braindata.layout import PUBLISHED
    from braindata.pull.derivatives import list_derivatives, select_derivatives
    from braindata.pull.local import list_files
    from braindata.pull.subset import select
    from braindata.withdrawn import Withdrawn

    gone = Withdrawn.read(plan.layout.output).of(name)
    source = Path(plan.source(name))
    folders = {}
    if job.commit is None:
        folders[name] = (source, select(list_files(source), job.subset))
    published = job.published
    if published is not None and published.commit is None:
        folder = Path(published.source)
        chosen = select_derivatives(list_derivatives(folder), published, job.subset)
        paths = [path for path in chosen.paths if path not in chosen.named]
        folders[f"{name}{PUBLISHED}"] = (folder, paths)
    for key, (folder, listed) in folders.items():
        paths = [path for path in listed if not gone.named_in(path)]
        sizes = [(folder / one).stat().st_size if (folder / one).is_file() else 0 for one in paths]
        for path, n_bytes in zip(paths, sizes, strict=True):
            click.echo(f"{key}\t{path}\t{n_bytes}\t\there\t{folder / path}")
        click.echo(f"{key}: {len(paths)} files, {sum(sizes):,} bytes, all local", err=True)


def _list_wanted(name: str, version: str, wanted: Wanted) -> None:
    """Print the files of a version of a repository."""
    n_absent = 0
    for file in wanted.files:
        checksum, state, address = f"git:{file.blob}", "git", ""
        if file.key is not None:
            checksum = f"{file.key.algorithm}:{file.key.digest}"
            there = file.addresses and file.key.name not in wanted.missing
            state = "here" if there else "download" if file.addresses else "absent"
            if file.path in wanted.left:
                state = "named"
            address = file.addresses[0].url if file.addresses else file.trouble or ""
            n_absent += state == "absent"
        size = "" if file.size is None else str(file.size)
        click.echo(f"{name}\t{file.path}\t{size}\t{checksum}\t{state}\t{address}")
    for path, why in wanted.version.refused.items():
        click.echo(f"{name}: refused: {path}: {why}", err=True)
    left = len(wanted.left)
    click.echo(
        f"{name}: version {version}: {len(wanted.files)} files, {wanted.n_bytes:,} bytes; "
        f"to be downloaded: {len(wanted.missing)} files, {sum(wanted.missing.values()):,} bytes"
        + (f"; without an address: {n_absent} files" if n_absent else "")
        + (f"; only named: {left} files" if left else ""),
        err=True,
    )


def _verify(plan: Plan, names: list[str]) -> int:
    from braindata.layout import PUBLISHED
    from braindata.receipts import Receipt
    from braindata.withdrawn import Withdrawn

    layout, n_wrong = plan.layout, 0
    for name in names:
        notes = Receipt.read(layout.receipt("raw", name)).notes
        here = {name: (notes, layout.manifest(name), layout.raw(name))}
        if "derivatives" in notes:
            place = (layout.published_manifest(name), layout.published(name))
            here[f"{name}{PUBLISHED}"] = (notes["derivatives"], *place)
        for key, (told, _, _) in here.items():
            if "commit" in told and (pin := plan.pins.of(key)).commit != told["commit"]:
                raise BraindataError(
                    f"{key}: version {told['version']} is here, {pin.version} is asked for",
                    hint="run `braindata pull` first",
                )
        wanted = dict(_wanted(plan, name, plan.pull_job(name)))
        gone = Withdrawn.read(layout.output).of(name)
        for key, (told, manifest, target) in here.items():
            n_wrong += _verify_folder(key, told, manifest, target, wanted.get(key), gone)
    return EXIT_FAILED if n_wrong else EXIT_DONE


def _verify_folder(
    name: str,
    notes: Mapping[str, Any],
    manifest_path: Path,
    target: Path,
    wanted: Wanted | None,
    gone: Gone,
) -> int:
    """Print what is wrong in a pulled folder, and return how many files that are."""
    from braindata.files import sha256_file
    from braindata.pull.local import read_manifest
    from braindata.pull.pinned import damaged
    from braindata.withdrawn import is_of_all

    manifest = read_manifest(manifest_path)
    wrong = {}
    if wanted is not None:
        asked = [
            one
            for one in wanted.files
            # Texts about everybody lack those who were withdrawn; the manifest knows them so.
            if _has_contents(manifest, one.path) and not (gone and is_of_all(one.path))
        ]
        wrong = damaged(asked, target)
    for path, file in manifest.items():
        if not file.sha256 or path in wrong:
            continue
        if not (target / path).is_file():
            wrong[path] = "it is not here"
        elif sha256_file(target / path) != file.sha256:
            wrong[path] = "it was changed since it was pulled"
    for path, why in sorted(wrong.items()):
        click.echo(f"{name}\t{path}\t{why}")
    n_absent = sum(not file.sha256 for file in manifest.values())
    click.echo(
        f"{name}: version {notes['version']}: {len(manifest)} files, {len(wrong)} wrong, "
        f"{n_absent} without contents"
        + ("; `braindata pull` brings them back" if wrong and "commit" in notes else ""),
        err=True,
    )
    return len(wrong)


def _has_contents(manifest: Mapping[str, PulledFile], path: str) -> bool:
    """Whether a file's contents were there when it was pulled; one that is not listed should be."""
    return path not in manifest or bool(manifest[path].sha256)


def _update(plan: Plan) -> int:
    from braindata.pull.source import Pin

    code = EXIT_DONE
    for name, (earlier, now) in plan.pins.update().items():
        if not isinstance(now, Pin):
            kept = f"version {earlier.version} stays" if earlier else "it is not pinned"
            click.echo(f"{name}: {kept}: {now}", err=True)
            code = max(code, now.exit_code)
        elif now == earlier:
            click.echo(f"{name}: version {now.version}, as before")
        else:
            before = f"{earlier.version} → " if earlier else ""
            click.echo(f"{name}: version {before}{now.version}")
    return code


def _known(plan: Plan, dataset: str) -> str:
    if dataset not in plan.datasets:
        raise UsageError(
            f"--dataset: the configuration has no {dataset}",
            hint=f"it has: {', '.join(plan.datasets)}",
        )
    return dataset


@contextmanager
def _bar(name: str, n_bytes: int) -> Iterator[Callable[[int], object] | None]:
    """Show on a terminal how much is here, at which rate, and the time left; else logs say it."""
    if not n_bytes or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=n_bytes)
        yield lambda n: bar.advance(task, n)


def _parse(model: type[Model], option: str, text: str) -> Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'JSON'}: {item['msg']}" for item in error.errors()
        )
        raise UsageError(f"{option}: {details}") from error
