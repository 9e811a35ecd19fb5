"""`pull`: a data set → `raw/`, with a manifest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from braindata.faults import naming_a_full_disk
from braindata.files import write_text
from braindata.layout import Layout
from braindata.pull.local import PulledFile, pull_local, source_state, write_manifest
from braindata.pull.parameters import Download, PullJob, PullParameters
from braindata.receipts import merkle
from braindata.stages.job import Result, run_job

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
    with naming_a_full_disk(layout.output):
        if job.commit is None:
            # Links are made each time: the same contents may lie elsewhere today.
            files = pull_local(Path(source), layout.raw(dataset), parameters.mode, job.subset)
        else:
            inputs["commit"] = job.commit
            files, notes = _pull_version(layout, dataset, str(source), job, download, progress)
    contents = {file.path: file.sha256 for file in files}

    def work() -> Result:
        manifest = layout.manifest(dataset)
        write_manifest(manifest, files)
        return Result([manifest], notes={"version": f"local-{merkle(contents)[:16]}", **notes})

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


def _pull_version(
    layout: Layout,
    dataset: str,
    source: str,
    job: PullJob,
    download: Download | None,
    progress: Callable[[int], object] | None,
) -> tuple[list[PulledFile], dict[str, Any]]:
    from braindata.pull.pinned import Mirror, pull_pinned, want
    from braindata.pull.source import Pin, Remote

    assert job.address is not None
    assert job.commit is not None
    pin = Pin(job.tag, job.commit)
    mirror = Mirror(layout.mirror())
    repository = mirror.fetch(dataset, Remote(source, job.address, job.tag), pin)
    wanted = want(repository, pin.commit, job.subset, mirror.store, raw=not job.derivatives)
    log.info(
        "%s: version %s, %d files, %.3f GB, %.3f GB of them to be downloaded",
        dataset, pin.version, len(wanted.files), wanted.n_bytes / 1e9,
        sum(wanted.missing.values()) / 1e9,
    )  # fmt: skip
    pulled = pull_pinned(
        repository, wanted, layout.raw(dataset), mirror.store, download or Download(), progress
    )
    mirror.remove_others(dataset, pin)
    for what, named in (("not there", pulled.absent), ("refused", pulled.refused)):
        for path in list(named)[:_MAX_LOGGED]:
            log.warning("%s: %s: %s: %s", dataset, what, path, named[path])
        if len(named) > _MAX_LOGGED:
            log.warning("%s: %s: %d more", dataset, what, len(named) - _MAX_LOGGED)
    return pulled.files, {
        "version": pin.version,
        "source": source,
        "tag": pin.tag,
        "commit": pin.commit,
        "n_absent": len(pulled.absent),
        "n_refused": len(pulled.refused),
        "absent": dict(sorted(pulled.absent.items())[:_MAX_NAMED]),
        "refused": dict(sorted(pulled.refused.items())[:_MAX_NAMED]),
    }
