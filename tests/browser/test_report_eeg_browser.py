"""The pages of EEG in a real browser: on a phone and a wide screen, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from braindata.report.pictures import Shelf
from braindata.report.site import write_site
from tests import synthetic_eeg

Open = Callable[..., Any]
PAGES = (
    "recordings/oddball/sub-01_task-x_eeg.html",
    "subjects/oddball/sub-01.html",
    "index.html",
    "quality.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eeg")
    report = folder / "report"
    write_site(report, synthetic_eeg.corpus(folder / "data", Shelf(report)))
    return report


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_its_screen(site: Path, open_page: Open, name: str) -> None:
    page = open_page((site / name).as_uri(), width=400)
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('img').forEach((i) => { i.loading = 'eager'; })")
    page.wait_for_function("[...document.images].every((i) => i.complete && i.naturalWidth)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES[:2])
def test_pages_are_accessible(site: Path, open_page: Open, scheme: str, name: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="needs the package axe-playwright-python, which is not installed",
    )
    page = open_page((site / name).as_uri(), color_scheme=scheme)
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]
    assert [(v["id"], v["impact"], [n["html"] for n in v["nodes"]][:3]) for v in found] == []
