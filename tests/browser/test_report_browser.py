"""The report in a real browser: nothing goes wrong or out, and everything that is clicked works."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Site

Open = Callable[..., Any]
KINDS = ("index", "regions", "methods", "recording", "quarantined")
# The other pages do not grow with the corpus.
CASES = [("few", kind) for kind in KINDS] + [("many", "index"), ("many", "regions")]
SCHEMES = ("light", "dark")


def site_of(request: pytest.FixtureRequest, size: str) -> Site:
    site: Site = request.getfixturevalue(size)
    return site


@pytest.mark.parametrize(("size", "kind"), CASES)
def test_no_page_is_wider_than_its_screen(
    request: pytest.FixtureRequest, open_page: Open, size: str, kind: str
) -> None:
    page = open_page(site_of(request, size).pages()[kind], width=400)
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Also the pictures that are read when they come into view.
    page.evaluate("document.querySelectorAll('img').forEach((i) => { i.loading = 'eager'; })")
    page.wait_for_function("[...document.images].every((i) => i.complete && i.naturalWidth)")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("size", "kind"), CASES)
def test_pages_are_accessible(
    request: pytest.FixtureRequest, open_page: Open, size: str, scheme: str, kind: str
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="needs the package axe-playwright-python, which is not installed",
    )
    page = open_page(site_of(request, size).pages()[kind], color_scheme=scheme)
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]
    assert [(v["id"], v["impact"], [n["html"] for n in v["nodes"]][:3]) for v in found] == []


def column(page: Any, section: str, number: int) -> list[str]:
    cells = page.locator(f"section[aria-labelledby={section}] tbody tr:visible")
    return [row.locator("td").nth(number).inner_text() for row in cells.all()]


def test_tables_are_sorted_by_mouse_and_keyboard(many: Site, open_page: Open) -> None:
    page = open_page(many.pages()["index"])
    before = column(page, "used", 3)
    head = page.locator("section[aria-labelledby=used] th", has_text="mean FD")
    button = head.get_by_role("button")
    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    rising = column(page, "used", 3)
    assert rising == sorted(before, key=float) != before
    button.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "used", 3) == sorted(before, key=float, reverse=True)
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") is None
    assert column(page, "used", 3) == before
    names = page.locator("section[aria-labelledby=left-out] th").first
    names.get_by_role("button").click()
    found = column(page, "left-out", 0)
    assert found == sorted(found, key=str.lower)


def test_what_is_missing_comes_last(few: Site, open_page: Open) -> None:
    page = open_page(few.pages()["regions"])
    button = page.get_by_role("button", name="voxels")
    table = page.locator("table", has=button)
    cells = table.locator("td:nth-child(4)")
    cells.nth(1).evaluate("cell => { cell.textContent = '–' }")
    for _ in range(2):
        button.click()
        assert cells.last.inner_text() == "–"


def test_tables_are_searched(many: Site, open_page: Open) -> None:
    page = open_page(many.pages()["index"])
    box = page.get_by_role("searchbox", name="Search Left out")
    box.focus()
    page.keyboard.type("QUARANTINED extract")
    shown = column(page, "left-out", 2)
    assert set(shown) == {"extract"}
    search = page.get_by_role("search", name="Left out")
    assert search.get_by_role("status").inner_text() == f"{len(shown)} of 18 rows"
    box.fill("<script>")
    assert len(column(page, "left-out", 0)) == 10
    box.fill("")
    assert len(column(page, "left-out", 0)) == 18
    assert search.get_by_role("status").inner_text() == "18 rows"


def test_a_mark_of_a_distribution_leads_to_its_recording(many: Site, open_page: Open) -> None:
    page = open_page(many.pages()["index"])
    group = page.get_by_role("group", name="mean FD of 86 recordings")
    links = group.get_by_role("link")
    # One tab stop for all of them.
    assert group.locator("a[tabindex='0']").count() == 1
    links.first.focus()
    values = []
    for _ in range(links.count()):
        name = page.evaluate("document.activeElement.querySelector('title').textContent")
        values.append(float(name.split(": ")[1].split(" mm")[0]))
        page.keyboard.press("ArrowRight")
    assert len(values) == 86
    # By columns, within which the used ones come first.
    assert all(later > earlier - 0.02 for earlier, later in itertools.pairwise(values))
    page.keyboard.press("Home")
    name = page.evaluate("document.activeElement.querySelector('title').textContent")
    page.keyboard.press("Enter")
    page.wait_for_url("**/recordings/**")
    assert name.startswith(page.title().split(" – ")[0]), "the page of the mark that had the focus"


def follow(page: Any, rel: str) -> None:
    """Follow a link, and wait for its page: a click does not."""
    with page.expect_navigation():
        page.locator(f"a[rel={rel}]").first.click()


def test_previous_and_next_lead_through_all_recordings(few: Site, open_page: Open) -> None:
    page = open_page(few.pages()["recording"])
    seen = [page.title()]
    while page.locator("a[rel=next]").count():
        follow(page, "next")
        seen.append(page.title())
    assert len(set(seen)) == few.n
    follow(page, "prev")
    assert page.title() == seen[-2]


def opacity(page: Any, image: str) -> float:
    script = f"Number(document.querySelector('figure[data-image={image}]').style.opacity)"
    value: float = page.evaluate(script)
    return value


def test_registrations_flicker(few: Site, open_page: Open) -> None:
    page = open_page(few.pages()["recording"], reduced_motion="no-preference")
    play = page.get_by_role("button", name="Flicker")
    assert play.get_attribute("aria-pressed") == "true"
    changes = page.evaluate(
        """new Promise((done) => {
          let n = 0;
          const image = document.querySelector('figure[data-image=T1w]');
          new MutationObserver(() => { n += 1; }).observe(image, { attributeFilter: ['style'] });
          setTimeout(() => done(n), 2100);
        })"""
    )
    # 1.5 Hz to and fro, and never more than three changes a second.
    assert 4 <= changes <= 7
    play.focus()
    page.keyboard.press("Space")
    assert play.get_attribute("aria-pressed") == "false"
    still = opacity(page, "T1w")
    page.wait_for_timeout(700)
    assert opacity(page, "T1w") == still


def test_registrations_are_compared_at_rest(few: Site, open_page: Open) -> None:
    page = open_page(few.pages()["recording"])
    assert page.get_by_role("button", name="Flicker").get_attribute("aria-pressed") == "false"
    toggle = page.get_by_role("button", name="Show T1w")
    assert (opacity(page, "template"), opacity(page, "T1w")) == (1, 0)
    toggle.focus()
    page.keyboard.press("Enter")
    assert toggle.get_attribute("aria-pressed") == "true"
    assert opacity(page, "T1w") == 1
    slider = page.get_by_role("slider", name="Crossfade")
    slider.fill("25")
    assert opacity(page, "T1w") == 0.25
    assert slider.get_attribute("aria-valuetext") == "25 % T1w over template"
    # By keyboard to the last pair: template and EPI.
    page.get_by_role("radio", name="template ↔ T1w").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("radio", name="template ↔ EPI").is_checked()
    assert not page.locator("figure[data-image=T1w]").is_visible()
    page.get_by_role("button", name="Show EPI").click()
    assert opacity(page, "EPI") == 1
    # It lies on top of the other.
    top = """(() => {
      const box = document.querySelector('.pair').getBoundingClientRect();
      const under = document.elementFromPoint(box.x + box.width / 2, box.y + 10);
      return under.closest('figure').dataset.image;
    })()"""
    page.locator(".pair").scroll_into_view_if_needed()
    assert page.evaluate(top) == "EPI"


def test_light_and_dark_are_chosen_and_remembered(few: Site, open_page: Open) -> None:
    page = open_page(few.pages()["index"], color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    button = page.get_by_role("button", name="Dark")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    dark = page.evaluate(paper)
    assert dark != light
    with page.expect_navigation():
        page.get_by_role("link", name="Regions", exact=True).click()
    assert page.evaluate(paper) == dark
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(paper) == light
    # The system's choice, where the reader made none.
    other = open_page(few.pages()["index"], color_scheme="dark")
    assert other.evaluate(paper) == dark


def test_the_first_tab_stop_skips_to_the_content(few: Site, open_page: Open) -> None:
    page = open_page(few.pages()["index"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_whole_without_javascript(few: Site, open_page: Open, kind: str) -> None:
    page = open_page(few.pages()[kind], java_script_enabled=False)
    assert page.locator("button, input").count() == 0
    # What is folded away opens without a script.
    for fold in page.locator("details").all():
        if fold.get_attribute("open") is None:
            fold.locator("summary").first.click()
    for row in page.locator("tbody tr").all():
        assert row.is_visible()
    if kind == "recording":
        assert page.locator(".flicker img").count() == 3
        for image in page.locator("img").all():
            assert image.is_visible()
    if kind == "regions":
        assert page.locator("polyline").count() == 9
    if kind == "index":
        assert page.locator(".strip a").count() == 10
