"""A real headless Chromium, and sites to look at in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from braindata.report.pictures import Shelf
from braindata.report.site import page_name, write_site
from tests.synthetic_report import HOSTILE_RECORDING, corpus


class Site:
    """The pages of one made-up report."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder = folder
        self.n = n
        shelf = Shelf(folder)
        write_site(folder, corpus(n, shelf, n_types=3 if n < 10 else 8))

    def pages(self) -> dict[str, str]:
        """Return the address of one page of each kind."""
        names = {
            "index": "index.html",
            "regions": "regions.html",
            "quality": "quality.html",
            "subject": "subjects/localizer/sub-001.html",
            "methods": "methods.html",
            "cost": "cost.html",
            "recording": page_name("localizer", "sub-001_task-oneback_run-01_bold"),
            "quarantined": page_name("localizer", HOSTILE_RECORDING),
        }
        return {kind: (self.folder / name).as_uri() for kind, name in names.items()}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    # Playwright drives the browser that the system has: its own is never downloaded.
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs the package playwright, which is not installed"
    )
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs a chromium on PATH, which is not there")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium)
        yield running
        running.close()


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("few") / "report", 3)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("many") / "report", 100)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page; at the end nothing may have gone wrong or left the machine."""
    contexts = []
    faults: list[str] = []

    def asked(request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            faults.append(f"asked for {request.url}")

    def said(message: Any) -> None:
        if message.type in ("error", "warning"):
            faults.append(f"{message.type}: {message.text}")

    def make(address: str, width: int = 1280, **options: Any) -> Any:
        settings = {"reduced_motion": "reduce"} | options
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("request", asked)
        page.on("requestfailed", lambda request: faults.append(f"not there: {request.url}"))
        page.on("console", said)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: faults.append(f"ran a script: {dialog.message}"))
        page.goto(address)
        return page

    yield make
    for context in contexts:
        context.close()
    assert faults == []
