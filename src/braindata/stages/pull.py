"""`pull`: a data set → `raw/`, with a manifest."""

from __future__ import annotations

from pathlib import Path

from braindata.files import write_text
from braindata.layout import Layout
from braindata.pull.local import listing_hash, pull_local, write_manifest
from braindata.pull.parameters import PullParameters
from braindata.receipts import merkle
from braindata.stages.job import Result, run_job


def run(layout: Layout, dataset: str, source: Path, parameters: PullParameters) -> bool:
    """Pull one data set from a local folder.

    Returns
    -------
    bool
        Whether its contents differ from what was there.
    """
    # Taken before the files are read: a file that changes meanwhile makes it differ next time.
    state = listing_hash(source)
    # Links are made each time: the same contents may lie elsewhere today.
    files = pull_local(source, layout.raw(dataset), parameters.mode)
    contents = {file.path: file.sha256 for file in files}

    def work() -> Result:
        manifest = layout.manifest(dataset)
        write_manifest(manifest, files)
        return Result([manifest], notes={"version": f"local-{merkle(contents)[:16]}"})

    changed = run_job(
        layout,
        "pull",
        dataset,
        layout.receipt("raw", dataset),
        # Linked or copied: the contents are the same, so nothing after it has to run again.
        parameters={},
        inputs={"source": merkle(contents)},
        libraries=(),
        work=work,
    )
    # Not an output: it holds times, and a receipt is a pure function of contents.
    write_text(layout.source_state(dataset), state)
    return changed
