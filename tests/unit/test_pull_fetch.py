"""Downloads: resumed, retried, limited, verified; a clear word for each thing that goes wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from braindata.pull.annex import parse_key
from braindata.pull.fetch import Fetcher, FetchError, LastingError, Limiter
from braindata.pull.parameters import Download
from braindata.pull.repository import Address, RemoteFile
from braindata.pull.store import Store
from tests.unit.git_repositories import key_of
from tests.unit.openneuro_server import OpenNeuro, serving

CONTENTS = random.Random(3).randbytes(300_000)
PATH = "openneuro.org/ds/sub-01_bold.nii.gz"
FAST = Download(attempts=4, timeout=0.5, pause=1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OpenNeuro]:
    with serving(tmp_path) as one:
        one.put(PATH, CONTENTS)
        yield one


def the_file(*urls: str, backend: str = "MD5E", stated: bool = True) -> RemoteFile:
    key = parse_key(key_of(CONTENTS, backend=backend))
    assert key is not None
    addresses = tuple(Address(url, stated) for url in urls)
    return RemoteFile("sub-01_bold.nii.gz", key.size, key=key, addresses=addresses)


class Run:
    """A fetcher whose pauses are noted, not slept."""

    def __init__(self, folder: Path, settings: Download = FAST):
        self.pauses: list[float] = []
        self.n_bytes = 0
        self.store = Store(folder / "store")
        self.fetcher = Fetcher(self.store, settings, sleep=self.pauses.append, progress=self._count)

    def _count(self, n: int) -> None:
        self.n_bytes += n

    def fetch(self, file: RemoteFile) -> bytes:
        self.fetcher.fetch(file)
        assert file.key is not None
        assert self.n_bytes == len(CONTENTS)
        assert not [p for p in (self.store.folder / "unfinished").rglob("*") if p.is_file()]
        path = self.store.path(file.key)
        assert path.stat().st_mode & 0o222 == 0
        return path.read_bytes()


@pytest.mark.parametrize("backend", ["MD5E", "SHA256E", "MD5", "SHA1", "SHA512E"])
def test_contents_come_verified_and_once(site: OpenNeuro, tmp_path: Path, backend: str) -> None:
    run = Run(tmp_path)
    file = the_file(f"{site.url}/{PATH}", backend=backend)
    assert run.fetch(file) == CONTENTS
    Run(tmp_path).fetch(file)
    assert site.sent[PATH] == len(CONTENTS)
    assert run.pauses == []


@pytest.mark.parametrize("fault", ["500", "503", "429", "cut", "stall", "wrong", "long", "short"])
def test_what_passes_by_is_tried_again_with_longer_pauses(
    site: OpenNeuro, tmp_path: Path, fault: str
) -> None:
    site.faults[PATH] = f"{fault}:once"
    run = Run(tmp_path)
    assert run.fetch(the_file(f"{site.url}/{PATH}")) == CONTENTS
    assert len(run.pauses) == 1
    assert run.pauses[0] == 7 or fault != "429"
    if fault in ("cut", "stall"):
        # Gone on with from the middle.
        assert site.sent[PATH] == len(CONTENTS)


def test_pauses_double_with_a_seeded_jitter(site: OpenNeuro, tmp_path: Path) -> None:
    site.faults[PATH] = "500"
    runs = [Run(tmp_path), Run(tmp_path)]
    for run in runs:
        with pytest.raises(FetchError, match="has a fault \\(500\\)") as caught:
            run.fetcher.fetch(the_file(f"{site.url}/{PATH}"))
        assert not caught.value.lasting
    assert runs[0].pauses == runs[1].pauses
    for pause, longest in zip(runs[0].pauses, [1, 2, 4], strict=True):
        assert longest / 2 <= pause <= longest


@pytest.mark.parametrize(
    ("fault", "word", "lasting"),
    [
        ("404", "no such file", True),
        ("410", "no longer has", True),
        ("403", "does not permit", True),
        ("401", "a login, which is never sent", True),
        ("503", "has a fault", False),
        ("stall", "stalled: nothing came for 0.2 s", False),
        ("wrong", "another checksum", True),
        ("short", "299999 bytes where the key says 300000", True),
        ("long", "300001 bytes where the key says 300000", True),
        ("redirect:file:///etc/passwd", "redirects to 'file:", True),
        ("redirect:http://[", "redirects to", True),
        ("redirect:ftp://127.0.0.1/x", "redirects to 'ftp:", True),
        ("redirect:http://me:word@127.0.0.1/x", "redirects to", True),
    ],
)
def test_each_fault_has_its_word(
    site: OpenNeuro, tmp_path: Path, fault: str, word: str, lasting: bool
) -> None:
    site.faults[PATH] = fault
    run = Run(tmp_path, Download(attempts=2, timeout=0.2))
    with pytest.raises(FetchError, match=word) as caught:
        run.fetcher.fetch(the_file(f"{site.url}/{PATH}"))
    assert caught.value.lasting is lasting
    assert caught.value.file == "sub-01_bold.nii.gz"
    assert not list((tmp_path / "store").glob("contents/**/*.gz"))


def test_nobody_listening_is_no_network(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"127\.0\.0\.1 cannot be reached") as caught:
        Run(tmp_path).fetcher.fetch(the_file("http://127.0.0.1:9/x"))
    assert not caught.value.lasting


def test_an_interrupted_download_goes_on_where_it_stopped(site: OpenNeuro, tmp_path: Path) -> None:
    run = Run(tmp_path)
    file = the_file(f"{site.url}/{PATH}")
    assert file.key is not None
    part = run.store.part(file.key)
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENTS[:200_000])
    assert run.fetch(file) == CONTENTS
    assert site.sent[PATH] == 100_000
    assert site.requests[0][1]["Range"] == "bytes=200000-"


@pytest.mark.parametrize("left", [b"x" * 200_000, b"x" * 400_000, b"x" * 300_000])
def test_what_was_left_and_is_wrong_is_fetched_anew(
    site: OpenNeuro, tmp_path: Path, left: bytes
) -> None:
    run = Run(tmp_path)
    file = the_file(f"{site.url}/{PATH}")
    assert file.key is not None
    run.store.part(file.key).parent.mkdir(parents=True)
    run.store.part(file.key).write_bytes(left)
    assert run.fetch(file) == CONTENTS


def test_a_server_that_ignores_ranges_sends_it_all_again(site: OpenNeuro, tmp_path: Path) -> None:
    run = Run(tmp_path)
    file = the_file(f"{site.url}/{PATH}")
    assert file.key is not None
    run.store.part(file.key).parent.mkdir(parents=True)
    run.store.part(file.key).write_bytes(CONTENTS[:200_000])
    site.faults[PATH] = "norange"
    assert run.fetch(file) == CONTENTS


def test_damage_in_the_store_is_found_and_mended(site: OpenNeuro, tmp_path: Path) -> None:
    file = the_file(f"{site.url}/{PATH}")
    assert file.key is not None
    Run(tmp_path).fetch(file)
    path = Store(tmp_path / "store").path(file.key)
    path.chmod(0o644)
    path.write_bytes(CONTENTS[:-1] + b"x")
    assert Run(tmp_path).fetch(file) == CONTENTS


def test_the_next_address_is_taken_where_one_fails(site: OpenNeuro, tmp_path: Path) -> None:
    site.put("other", CONTENTS[::-1])
    urls = (f"{site.url}/gone", f"{site.url}/other", f"{site.url}/{PATH}")
    run = Run(tmp_path)
    assert run.fetch(the_file(*urls, stated=False)) == CONTENTS
    # What has no version may well be another file: it is not asked for twice.
    assert site.sent["other"] == len(CONTENTS)


def test_redirects_are_followed_but_not_for_ever(site: OpenNeuro, tmp_path: Path) -> None:
    site.put("first", b"")
    site.faults["first"] = f"redirect:/{PATH}"
    assert Run(tmp_path).fetch(the_file(f"{site.url}/first")) == CONTENTS
    site.faults["first"] = "redirect:/first"
    with pytest.raises(LastingError, match="without end"):
        Run(tmp_path / "b").fetcher.fetch(the_file(f"{site.url}/first"))


def test_no_credentials_are_sent(
    site: OpenNeuro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    Run(tmp_path).fetch(the_file(f"{site.url}/{PATH}"))
    assert {name.lower() for name in site.requests[0][1]} == {
        "host", "user-agent", "accept-encoding",
    }  # fmt: skip


def test_the_rate_is_shared_by_all_connections() -> None:
    now = [0.0]
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    limiter = Limiter(1000, clock=lambda: now[0], sleep=sleep)
    for _ in range(10):
        limiter.take(500)
    assert now[0] == pytest.approx(4.5)
    Limiter(None, sleep=sleep).take(10**12)
    assert sum(slept) == pytest.approx(4.5)
