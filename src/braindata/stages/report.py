"""`report`: a release → the page that people look at."""

from __future__ import annotations

from braindata.files import write_text
from braindata.layout import Layout
from braindata.receipts import Receipt, merkle
from braindata.report.page import render
from braindata.stages.job import Result, run_job
from braindata.tables.reading import open_tables
from braindata.tables.schemas import TABLES


def run(layout: Layout) -> bool:
    """Write the report of the newest release."""
    published = Receipt.read(layout.receipt("tables", "publish"))

    def work() -> Result:
        tables = open_tables(layout.output, version=published.notes["release"])
        frames = {name: tables[name].to_pandas() for name in TABLES}
        write_text(layout.report(), render(frames, published.notes["release"]))
        return Result([layout.report()])

    return run_job(
        layout,
        "report",
        "all",
        layout.receipt("report", "report"),
        parameters={},
        inputs={"release": merkle(published.outputs)},
        libraries=("jinja2", "matplotlib", "pandas"),
        work=work,
    )
