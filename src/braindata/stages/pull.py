"""`pull`: a data set → `raw/`, with a manifest."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindata.faults import naming_a_full_disk
from braindata.files import scratch_folder, write_text
from braindata.layout import PUBLISHED, Layout
from braindata.pull.local import (
    PulledFile,
    pull_local,
    pull_local_derivatives,
    source_state,
    write_manifest,
)
from braindata.pull.parameters import Download, Published, PullJob, PullParameters, Subset
from braindata.receipts import merkle
from braindata.stages.job import Result, run_job
from braindata.withdrawn import Gone, Withdrawn

if TYPE_CHECKING:
    from braindata.pull.mirror import Mirror
    from braindata.pull.source import Pin
    from braindata.pull.wanted import Wanted

log = logging.getLogger("braindata")
# A receipt stays small, however much is missing.
_MAX_NAMED = 1000
_MAX_LOGGED = 20


def run(
    layout: Layout,
    dataset: str,
    source: str | Path,
    parameters: PullParameters,
    *,
    job: PullJob | None = None,
    download: Download | None = None,
    progress: Callable[[int], object] | None = None,
) -> bool:
    """Pull one data set from a local folder, or one version of a repository.

    Parameters
    ----------
    layout : Layout
        The output folder.
    dataset : str
        Its name there.
    source : str or Path
        The folder, or what the configuration calls the repository.
    parameters : PullParameters
        What changes the result.
    job : PullJob, optional
        What of it.
    download : Download, optional
        How contents are downloaded.
    progress : callable, optional
        Called with the bytes that came.

    Returns
    -------
    bool
        Whether its contents differ from what was there.
    """
    job = job or PullJob()
    # Taken before the files are read: a file that changes meanwhile makes it differ next time.
    state = source_state(str(source), job)
    notes: dict[str, Any] = {}
    inputs = {}
    published = job.published
    gone = Withdrawn.read(layout.output).of(dataset)
    with naming_a_full_disk(layout.output):
        if job.commit is None:
            # Links are made each time: the same contents may lie elsewhere today.
            files = pull_local(
                Path(source),
                layout.raw(dataset),
                parameters.mode,
                job.subset,
                images=published is None,
                gone=gone,
            )
        else:
            inputs["commit"] = job.commit
            with mirror_without(layout, gone) as mirror:
                files, notes = _pull_version(
                    layout, dataset, str(source), job, download, progress, mirror, gone
                )
        derived: list[PulledFile] = []
        of_derived: dict[str, Any] = {}
        if published is not None and published.commit is None:
            derived = pull_local_derivatives(
                layout.published(dataset), parameters.mode, published, job.subset, gone
            )
        elif published is not None:
            with mirror_without(layout, gone) as mirror:
                derived, of_derived = _pull_published(
                    layout, dataset, published, job.subset, download, progress, mirror, gone
                )
        else:
            shutil.rmtree(layout.published(dataset), ignore_errors=True)
            layout.published_manifest(dataset).unlink(missing_ok=True)
    contents = {file.path: file.sha256 for file in files}
    if published is not None:
        inputs["derivatives"] = merkle({file.path: file.sha256 for file in derived})

    def work() -> Result:
        manifests = [layout.manifest(dataset)]
        write_manifest(manifests[0], files)
        told = {"version": f"local-{merkle(contents)[:16]}", **notes}
        if published is not None:
            manifests.append(layout.published_manifest(dataset))
            write_manifest(manifests[1], derived)
            version = f"local-{inputs['derivatives'][:16]}"
            told["derivatives"] = {"version": version, **of_derived}
        return Result(manifests, notes=told)

    changed = run_job(
        layout,
        "pull",
        dataset,
        layout.receipt("raw", dataset),
        # Linked or copied: the contents are the same, so nothing after it has to run again.
        parameters={},
        inputs={"source": merkle(contents), **inputs},
        libraries=(),
        work=work,
    )
    # Not an output: it holds times, and a receipt is a pure function of contents.
    write_text(layout.source_state(dataset), state)
    return changed


@contextmanager
def mirror_without(layout: Layout, gone: Gone) -> Iterator[Mirror]:
    """Yield where repositories and contents lie.

    A repository names everybody. Where somebody was withdrawn it is fetched to a place outside the
    output folder, and removed.
    """
    from braindata.pull.mirror import Mirror

    if not gone:
        yield Mirror(layout.mirror())
        return
    with scratch_folder() as folder:
        yield Mirror(layout.mirror(), folder)


def _pull_version(
    layout: Layout,
    dataset: str,
    source: str,
    job: PullJob,
    download: Download | None,
    progress: Callable[[int], object] | None,
    mirror: Mirror,
    gone: Gone,
) -> tuple[list[PulledFile], dict[str, Any]]:
    from braindata.pull.source import Pin, Remote
    from braindata.pull.wanted import want

    assert job.address is not None
    assert job.commit is not None
    pin = Pin(job.tag, job.commit)
    repository = mirror.fetch(dataset, Remote(source, job.address, job.tag), pin)
    wanted = want(
        repository,
        pin.commit,
        job.subset,
        mirror.store,
        raw=not job.derivatives,
        images=job.published is None,
        gone=gone,
    )
    place = _Place(dataset, layout.raw(dataset), source, mirror, repository, pin, gone)
    return _bring(place, wanted, download, progress)


def _pull_published(
    layout: Layout,
    dataset: str,
    published: Published,
    subset: Subset,
    download: Download | None,
    progress: Callable[[int], object] | None,
    mirror: Mirror,
    gone: Gone,
) -> tuple[list[PulledFile], dict[str, Any]]:
    from braindata.pull.source import Pin, Remote
    from braindata.pull.wanted import want

    assert published.address is not None
    assert published.commit is not None
    pin = Pin(published.tag, published.commit)
    name = f"{dataset}{PUBLISHED}"
    remote = Remote(published.source, published.address, published.tag, derivatives=True)
    repository = mirror.fetch(name, remote, pin)
    wanted = want(
        repository, pin.commit, subset, mirror.store, raw=False, published=published, gone=gone
    )
    place = _Place(name, layout.published(dataset), published.source, mirror, repository, pin, gone)
    return _bring(place, wanted, download, progress)


@dataclass(frozen=True)
class _Place:
    """A version of a repository, and where its files go."""

    name: str
    target: Path
    source: str
    mirror: Mirror
    repository: Path
    pin: Pin
    gone: Gone


def _bring(
    place: _Place,
    wanted: Wanted,
    download: Download | None,
    progress: Callable[[int], object] | None,
) -> tuple[list[PulledFile], dict[str, Any]]:
    from braindata.pull.pinned import pull_pinned

    dataset, pin, mirror = place.name, place.pin, place.mirror
    log.info(
        "%s: version %s, %d files, %.3f GB, %.3f GB of them to be downloaded",
        dataset, pin.version, len(wanted.files), wanted.n_bytes / 1e9,
        sum(wanted.missing.values()) / 1e9,
    )  # fmt: skip
    pulled = pull_pinned(
        place.repository,
        wanted,
        place.target,
        mirror.store,
        download or Download(),
        progress,
        place.gone,
    )
    mirror.remove_others(dataset, pin)
    for what, named in (("not there", pulled.absent), ("refused", pulled.refused)):
        for path in list(named)[:_MAX_LOGGED]:
            log.warning("%s: %s: %s: %s", dataset, what, path, named[path])
        if len(named) > _MAX_LOGGED:
            log.warning("%s: %s: %d more", dataset, what, len(named) - _MAX_LOGGED)
    return pulled.files, {
        "version": pin.version,
        "source": place.source,
        "tag": pin.tag,
        "commit": pin.commit,
        "n_absent": len(pulled.absent),
        "n_refused": len(pulled.refused),
        "absent": dict(sorted(pulled.absent.items())[:_MAX_NAMED]),
        "refused": dict(sorted(pulled.refused.items())[:_MAX_NAMED]),
    }
