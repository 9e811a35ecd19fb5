"""The report's site: what its pages say, what is drawn again, what is left on disk."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from braindata.files import sha256_file, write_text
from braindata.report.pictures import Shelf
from braindata.report.site import Corpus, TrialCounts, page_name, pages, remove_others, write_site
from tests.synthetic_report import HOSTILE_RECORDING, corpus


class Links(HTMLParser):
    """Every address in a page, and every name of an element and an identifier."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.elements: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            if name in ("href", "src"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def state(folder: Path) -> dict[str, tuple[int, str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, sha256_file(path))
        for path in files
    }


def write(folder: Path, n: int, **size: int) -> tuple[Shelf, set[Path]]:
    shelf = Shelf(folder)
    files = {*write_site(folder, corpus(n, shelf, **size)), *shelf.paths}
    remove_others(folder, files)
    return shelf, files


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "report"
    write(folder, 30)
    return folder


def assert_whole(first: Path) -> None:
    """Everything that can be reached from a page is there."""
    seen, todo = {first.resolve()}, [first.resolve()]
    while todo:
        page = todo.pop()
        for address in Links(page.read_text()).addresses:
            path = unquote(address.partition("#")[0])
            if path and address != "data:,":
                target = (page.parent / path).resolve()
                assert target.is_file(), (page, address)
                if target.suffix == ".html" and target not in seen:
                    seen.add(target)
                    todo.append(target)


def test_every_link_leads_to_a_file_of_the_site(site: Path) -> None:
    wanted = set()
    for page in site.rglob("*.html"):
        links = Links(page.read_text())
        assert len(set(links.ids)) == len(links.ids)
        for address in links.addresses:
            path, _, anchor = address.partition("#")
            if address == "data:,":
                continue
            # Relative: the folder can be moved, and nothing is asked of any host.
            assert not re.match(r"[a-z]+:|/", address), address
            target = (page.parent / unquote(path)).resolve() if path else page
            assert target.is_file(), address
            assert target.is_relative_to(site.resolve()) or target == page
            wanted.add(target.resolve())
            if anchor and target == page:
                assert anchor in links.ids
    files = {path.resolve() for path in site.rglob("*") if path.suffix != ".json"}
    assert {path for path in files if path.is_file()} == wanted


def test_names_from_data_sets_are_text_and_nothing_else(site: Path) -> None:
    for page in site.rglob("*.html"):
        links = Links(page.read_text())
        assert links.elements.count("script") == 1
        assert links.handlers == []
        assert "b" not in links.elements or page.name in (
            "index.html",
            "quality.html",
            "regions.html",
        )
    assert "&lt;script&gt;alert" in (site / "index.html").read_text()
    assert "&lt;script&gt;alert" in (site / "regions.html").read_text()
    assert "0.21 to 0.41" in (site / "regions.html").read_text()
    assert "latent:value_chosen (prospect)" in (site / "regions.html").read_text()
    odd = site / page_name("localizer", HOSTILE_RECORDING)
    assert re.fullmatch(r"[A-Za-z0-9-]+\.html", odd.name.replace("_", "-"))
    assert "sub-66_task-&lt;b onmouseover=" in odd.read_text()


def test_the_first_page_says_what_was_left_out_and_why(site: Path) -> None:
    text = (site / "index.html").read_text()
    assert "Recordings used: 24 (of 15 people)" in text
    assert "left out: 6." in text
    assert "the image is cut off after 12 of 160 volumes" in text
    assert "fetch it again: &#34;datalad get&#34; &lt;file&gt;" in text
    assert "the events file has a header only" in text
    assert "12: too few volumes &lt;after&gt; it" in text
    assert "CC0" in text
    assert "not stated" in text
    # Three were quarantined and one excluded before anything was measured, two quarantined later.
    assert text.count("4 without a value.") == 5
    more = (site / "quality.html").read_text()
    assert more.count("4 without a value.") == 4
    # Of some the area of vmPFC is not covered.
    assert more.count(" without a value.") == 5
    assert text.count('class="quarantined"') == 5 * 2 + 1


def test_the_page_of_a_quarantined_recording_helps(site: Path) -> None:
    text = (site / page_name("localizer", HOSTILE_RECORDING)).read_text()
    assert "Why it is left out" in text
    assert "logs/preprocess/localizer/sub-001.log" in text
    assert 'rel="prev" href="../../recordings/' in text
    # It is the last one.
    assert 'rel="next"' not in text


def test_the_same_corpus_makes_the_same_bytes(site: Path, tmp_path: Path) -> None:
    write(tmp_path / "again", 30)
    first, second = state(site), state(tmp_path / "again")
    assert {name: digest for name, (_, digest) in first.items()} == {
        name: digest for name, (_, digest) in second.items()
    }


def test_nothing_is_drawn_or_written_twice(tmp_path: Path) -> None:
    write(tmp_path, 10)
    before = state(tmp_path)
    shelf, _ = write(tmp_path, 10)
    assert shelf.n_drawn == 0
    assert state(tmp_path) == before


def test_a_new_region_draws_itself_only(tmp_path: Path) -> None:
    write(tmp_path, 10, n_regions=3)
    before = state(tmp_path)
    shelf, _ = write(tmp_path, 10, n_regions=4)
    assert shelf.n_drawn == 1
    after = state(tmp_path)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {"index.html", "regions.html"}


def test_what_no_page_needs_any_more_is_removed(tmp_path: Path) -> None:
    write(tmp_path, 10)
    (tmp_path / "notes.txt").write_text("the user's own")
    write(tmp_path, 3)
    shelf = Shelf(tmp_path)
    expected = {*write_site(tmp_path, corpus(3, shelf)), *shelf.paths, tmp_path / "notes.txt"}
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == expected
    empty = Corpus(8, [], [], TrialCounts(), {}, "simple", {}, {}, {})
    files = set(write_site(tmp_path, empty))
    remove_others(tmp_path, files)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "assets",
        "index.html",
        "notes.txt",
        "quality.html",
        "regions.html",
    ]
    assert "Release 8" in (tmp_path / "index.html").read_text()


def test_the_first_page_is_written_last(tmp_path: Path) -> None:
    names = [name for name, _ in pages(corpus(3, Shelf(tmp_path)))]
    assert names[-1] == "index.html"


def test_an_interrupted_report_leaves_pages_that_point_to_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "earlier", 10)
    shutil.copytree(tmp_path / "earlier", tmp_path / "undisturbed")
    write(tmp_path / "undisturbed", 12, n_types=8)
    whole = {name: digest for name, (_, digest) in state(tmp_path / "undisturbed").items()}

    class Killed(BaseException):
        pass

    for n_written in range(100):
        report = tmp_path / f"killed{n_written}"
        shutil.copytree(tmp_path / "earlier", report)
        left = iter(range(n_written))

        def until_killed(path: Path, text: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Killed
            write_text(path, text)

        with monkeypatch.context() as patch:
            patch.setattr("braindata.report.site.write_text", until_killed)
            try:
                write(report, 12, n_types=8)
            except Killed:
                assert_whole(report / "index.html")
            else:
                break
        write(report, 12, n_types=8)
        assert {name: digest for name, (_, digest) in state(report).items()} == whole
    # New pages, and those that lead to them.
    assert n_written >= 5


def test_a_damaged_picture_is_drawn_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    key = {"of": "something"}
    made = shelf.get(key, lambda: ({"a.svg": b"<svg/>"}, [1.5]))
    (tmp_path / made.files["a.svg"]).write_bytes(b"<sv")
    assert shelf.get(key, lambda: ({"a.svg": b"<svg/>"}, [1.5])) == made
    assert (tmp_path / made.files["a.svg"]).read_bytes() == b"<svg/>"
    assert shelf.n_drawn == 2
    for note in (tmp_path / "pictures").glob("*.json"):
        note.write_text("{")
    assert shelf.get(key, lambda: ({"a.svg": b"<svg/>"}, [1.5])) == made
    assert shelf.n_drawn == 3


def test_pictures_outlive_their_inputs_and_come_when_the_input_does(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    key = {"of": "a recording"}
    assert shelf.get(key, lambda: ({"a.svg": b"a"}, None), ["t1w"]).files.keys() == {"a.svg"}
    both = {"a.svg": b"a", "t1w.webp": b"t"}
    # The image is there now.
    assert shelf.get(key, lambda: (both, None)).files.keys() == both.keys()
    # It is gone: what was drawn from it stays.
    assert shelf.get(key, lambda: ({}, None), ["t1w"]).files.keys() == both.keys()
    assert shelf.n_drawn == 2


def test_the_pages_of_a_hundred_recordings_leave_room_for_their_pictures(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    texts = dict(pages(corpus(100, shelf, n_regions=18, n_types=8)))
    # Pictures take 58 kB a recording and 14 kB a region at most: 8 MB in all.
    assert sum(len(text.encode()) for text in texts.values()) < 1_750_000
    many = dict(pages(corpus(1000, shelf, n_regions=18, n_types=8)))["index.html"]
    assert len(many.encode()) < 1_500_000


def test_page_names_stay_apart_and_are_short() -> None:
    names = ["a", "a b", "a-b", "a_b", "ä b", "x" * 248, "x" * 247 + "y", ".hidden", "-", "a/b"]
    found = {page_name("ds", name) for name in names}
    assert len(found) == len(names)
    assert all(re.fullmatch(r"recordings/ds/[A-Za-z0-9][\w.-]{0,160}\.html", n) for n in found)
