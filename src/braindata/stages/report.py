"""`report`: a release → the site that people look at."""

from __future__ import annotations

from dataclasses import replace

from braindata.layout import Layout
from braindata.receipts import Receipt, merkle
from braindata.report.pictures import Shelf
from braindata.report.site import Methods, remove_others, write_site
from braindata.stages.job import Result, log, run_job
from braindata.stages.methods import write_methods
from braindata.stages.report_inputs import gather


def run(layout: Layout, key: str = "") -> bool:
    """Write the report of the newest release; `key` is the file of its pseudonyms' key."""
    published = Receipt.read(layout.receipt("tables", "publish"))

    def work() -> Result:
        folder = layout.report().parent
        shelf = Shelf(folder)
        paths, text = write_methods(layout)
        methods = Methods(text.html, tuple(path.name for path in paths))
        pages = write_site(folder, replace(gather(layout, published, shelf, key), methods=methods))
        files = {*pages, *shelf.paths, *paths}
        # After the first page: until then, the earlier one points to them.
        gone = remove_others(folder, files)
        log.info(
            "%d pages, %d sets of pictures drawn, %d files removed",
            len(pages),
            shelf.n_drawn,
            len(gone),
        )
        return Result(sorted(files))

    return run_job(
        layout,
        "report",
        "all",
        layout.receipt("report", "report"),
        parameters={},
        # Pictures are drawn from derivatives and stores, which a release does not hold itself.
        inputs={"release": merkle(published.outputs), **published.inputs},
        libraries=("h5py", "jinja2", "matplotlib", "nibabel", "nilearn", "numpy", "pandas"),
        work=work,
    )
