"""Reading repositories of data sets: keys, logs, addresses, and what is refused."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from braindata.pull.annex import (
    WEB_UUID,
    Counter,
    key_of_link,
    key_of_pointer,
    parse_key,
    parse_locations,
    parse_remotes,
    parse_versions,
)
from braindata.pull.git import Repository
from braindata.pull.repository import read_version, refusal
from tests.unit.git_repositories import (
    GONE,
    PUBLIC,
    MadeRepository,
    git,
    have_annex,
    key_of,
    whereis,
)

MD5 = "0f343b0931126a20f133d67c2b018a3b"
needs_annex = pytest.mark.skipif(not have_annex(), reason="needs git-annex (a wheel of PyPI)")


@pytest.mark.parametrize(
    ("name", "size", "algorithm", "digest"),
    [
        (f"MD5E-s1024--{MD5}.nii.gz", 1024, "md5", MD5),
        (f"MD5-s1024--{MD5}", 1024, "md5", MD5),
        (f"SHA256E-s3--{'ab' * 32}.tsv", 3, "sha256", "ab" * 32),
        (f"SHA1--{'c' * 40}", None, "sha1", "c" * 40),
        (f"SHA512E-s3-S2-C1--{'ab' * 64}.x", 3, "sha512", "ab" * 64),
        ("WORM-s3-m1291--a.nii", 3, None, None),
        ("URL--https&c%%x", None, None, None),
    ],
)
def test_keys_tell_size_and_checksum(
    name: str, size: int | None, algorithm: str | None, digest: str | None
) -> None:
    key = parse_key(name)
    assert key is not None
    assert (key.name, key.size, key.algorithm, key.digest) == (name, size, algorithm, digest)


@pytest.mark.parametrize(
    "name",
    ["", "MD5E-s1", f"MD5E-s1--{MD5[1:]}.nii", "MD5E-s1--../../x", f"MD5E-s1--{MD5}.\n", "x" * 300],
)
def test_other_names_are_no_keys(name: str) -> None:
    assert parse_key(name) is None


def test_links_and_pointers_name_keys() -> None:
    key = f"MD5E-s1--{MD5}.nii"
    for target in (
        f".git/annex/objects/aa/bb/{key}/{key}",
        f"../../.git/annex/objects/aa/bb/{key}/{key}",
    ):
        found = key_of_link(target)
        assert found is not None
        assert found.name == key
    for target in (
        f"/.git/annex/objects/aa/bb/{key}/{key}",
        f"../x/.git/annex/objects/aa/bb/{key}/{key}",
        f".git/annex/objects/aa/bb/{key}/other",
        ".git/annex/objects/aa/bb/../../x/../../x",
        "../../etc/passwd",
    ):
        assert key_of_link(target) is None
    assert key_of_pointer(f"/annex/objects/{key}\n".encode()) == parse_key(key)
    assert key_of_pointer(b"/annex/objects/../x\n") is None
    assert key_of_pointer(b"onset\tduration\n") is None


def test_the_newest_line_of_a_log_counts_whatever_their_order() -> None:
    counter = Counter()
    assert parse_locations("2s 0 a\n1.5s 1 a\n1s 1 b\n", counter) == {"b"}
    remotes = parse_remotes("u type=S3 x=1 timestamp=2s\nu x=0 timestamp=1.9s\n", counter)
    assert remotes["u"].settings == {"type": "S3", "x": "1"}
    lines = f"3s {PUBLIC}:V +new#d/a\n1s {PUBLIC}:V +old#d/a +gone#d/a\n2s {PUBLIC}:V -gone#d/a\n"
    assert parse_versions(lines, counter) == [(PUBLIC, "new", "d/a"), (PUBLIC, "old", "d/a")]
    assert counter.malformed == 0


def test_malformed_lines_are_counted_and_cost_no_others() -> None:
    counter = Counter()
    spaced = base64.b64encode(b"v2#d/a b").decode()
    text = (
        f"1s {PUBLIC}:V +v1#d/a\nnonsense\n\n1s {PUBLIC}:V +!%%%\n1s {PUBLIC}:V +nohash\n"
        f"2s {PUBLIC}:V +!{spaced}\n1s {PUBLIC}:other +v3#d/a\n"
    )
    assert parse_versions(text, counter) == [(PUBLIC, "v2", "d/a b"), (PUBLIC, "v1", "d/a")]
    assert counter.malformed == 4


@pytest.mark.parametrize("name", ["ds000005", "ds003061", "ds002336"])
@needs_annex
def test_addresses_of_real_repositories_equal_git_annex_whereis(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    bundle = shared_data / "openneuro-git" / f"{name}.bundle"
    if not bundle.is_file():
        pytest.skip(f"needs {bundle.name}, which is not here")
    git("clone", "-q", "--bare", str(bundle), str(tmp_path / "bare"))
    for tag in git("tag", folder=tmp_path / "bare").split():
        version = read_version(tmp_path / "bare", tag)
        told = whereis(bundle, tmp_path / "clone", tag)
        ours: dict[str, set[str]] = {}
        for file in version.files:
            if file.key is not None:
                assert file.size == int(file.key.name.split("-s")[1].split("-")[0])
                urls = {address.url for address in file.addresses if address.stated}
                ours[file.key.name] = ours.get(file.key.name, set()) | urls
        assert ours == told
        assert all(told.values())
        assert not version.refused
        assert not version.malformed


@needs_annex
def test_addresses_of_names_with_spaces_equal_git_annex_whereis(tmp_path: Path) -> None:
    made = MadeRepository(tmp_path / "ds.git")
    names = ["sub-01/a b+c&d=é.nii.gz", "plain.nii.gz", "x (1)'!*.nii.gz"]
    keys = {name: key_of(name.encode()) for name in names}
    for name, key in keys.items():
        made.state(key, {"v_1.x-": name}, time=1)
    commit = made.commit(made.tree({n: made.link(n, k) for n, k in keys.items()}), "1.0.0")
    made.write_annex_branch()
    told = whereis(made.path, tmp_path / "clone", "1.0.0")
    for file in read_version(made.path, commit).files:
        assert file.key is not None
        assert {a.url for a in file.addresses if a.stated} == told[file.key.name] != set()
        # The second address is the one without version.
        assert [a.url.partition("?")[0] for a in file.addresses] == [file.addresses[1].url] * 2


def test_dead_remotes_are_skipped_and_what_has_no_address_says_why(tmp_path: Path) -> None:
    made = MadeRepository(tmp_path / "ds.git")
    made.logs["remote.log"] += (
        made.logs["remote.log"].replace(PUBLIC, GONE).replace("fileprefix=ds/", "fileprefix=gone/")
    )
    made.logs["trust.log"] = f"{GONE} X timestamp=1658261037.5s\n"
    both, dead = key_of(b"both"), key_of(b"dead")
    made.state(both, {"old": "renamed.nii.gz", "v1": "both.nii.gz"})
    for key in (both, dead):
        made.state(key, {"v2": "gone.nii.gz"}, uuid=GONE, time=9)
    worm = "WORM-s3-m1--a.nii"
    links = {"both.nii.gz": both, "dead.nii.gz": dead, "worm.nii": worm}
    tree = made.tree({name: made.link(name, key) for name, key in links.items()})
    commit = made.commit(tree, "1.0.0")
    made.write_annex_branch()
    files = {file.path: file for file in read_version(made.path, commit).files}
    base = "https://s3.example.org/openneuro.org/ds"
    assert [(a.url, a.stated) for a in files["both.nii.gz"].addresses] == [
        (f"{base}/both.nii.gz?versionId=v1", True),
        (f"{base}/renamed.nii.gz?versionId=old", True),
        (f"{base}/both.nii.gz", False),
    ]
    assert [a.stated for a in files["dead.nii.gz"].addresses] == [False]
    assert "no checksum" in str(files["worm.nii"].trouble)
    # With no other remote at all:
    made.logs["remote.log"] = made.logs["remote.log"].splitlines(keepends=True)[1]
    made.write_annex_branch()
    files = {file.path: file for file in read_version(made.path, commit).files}
    assert "declared dead" in str(files["dead.nii.gz"].trouble)
    git("update-ref", "-d", "refs/heads/git-annex", folder=made.path)
    files = {file.path: file for file in read_version(made.path, commit).files}
    assert "no branch git-annex" in str(files["both.nii.gz"].trouble)


def test_credentials_in_addresses_are_not_followed(tmp_path: Path) -> None:
    made = MadeRepository(tmp_path / "ds.git", url="https://me:secret@s3.example.org/b")
    key = key_of(b"x")
    made.state(key, {"v": "x.nii.gz"})
    commit = made.commit(made.tree({"x.nii.gz": made.link("x.nii.gz", key)}))
    made.write_annex_branch()
    assert read_version(made.path, commit).files[0].addresses == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://me:secret@host/x", "https://me@host/x", "http://[::1/x", "http:///x", "http://h:0/x",
        "http://h:99999/x", "http://h/a\\b", "file:///etc/passwd", "ftp://h/x", "ext::sh -c x",
    ],
)  # fmt: skip
def test_addresses_that_are_none_are_not_followed(tmp_path: Path, url: str) -> None:
    made = MadeRepository(tmp_path / "ds.git")
    key = key_of(b"x")
    made.state(key, {}, uuid=WEB_UUID)
    folder = next(name for name in made.logs if name.endswith(".log") and "/" in name)
    made.logs[f"{folder}.web"] = f"1s 1 {url}\n1s 1 https://good.example.org/x\n"
    made.logs["remote.log"] = ""
    commit = made.commit(made.tree({"x.nii.gz": made.link("x.nii.gz", key)}))
    made.write_annex_branch()
    (file,) = read_version(made.path, commit).files
    assert [address.url for address in file.addresses] == ["https://good.example.org/x"]


@pytest.mark.parametrize(
    "path",
    [
        b"../x", b"a/../../x", b"/etc/passwd", b"a//b", b"./a", b".git/hooks/post-checkout",
        b"sub-01/.GIT/config", b"a/.git. /x", b"a\\..\\b", b"a\nb", b"a\x1b[2Jb", b"\xff\xfe",
        "a\u202eb".encode(), b"a" * 221, b"a/" * 10_000 + b"a",
    ],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(path: bytes) -> None:
    assert refusal(path)


@pytest.mark.parametrize(
    "path", ["sub-01/anat/a b.nii.gz", ".bidsignore", "é/ü.tsv", "a..b", ".gitignore"]
)
def test_other_paths_are_not(path: str) -> None:
    assert refusal(path.encode()) is None


def test_a_malicious_tree_is_refused_by_name_and_the_rest_is_listed(tmp_path: Path) -> None:
    made = MadeRepository(tmp_path / "ds.git")
    text = made.blob(b"x")
    hostile = made.raw_tree([("100644", b"evil", text)])
    deep = hostile
    for _ in range(2000):
        deep = made.raw_tree([("40000", b"deep", deep)])
    tree = made.raw_tree(
        [
            ("40000", b"..", hostile),
            ("40000", b".git", hostile),
            ("120000", b"absolute", made.blob(b"/etc/passwd")),
            ("120000", b"loop", made.blob(b"loop")),
            ("120000", b"out", made.blob(b"../../outside")),
            ("40000", b"deep", deep),
            ("100644", b"good.tsv", text),
            ("100644", b"twice", text),
            ("40000", b"twice", hostile),
            ("160000", b"sub", "1" * 40),
        ]
    )
    version = read_version(made.path, made.commit(tree))
    assert [file.path for file in version.files] == ["good.tsv", "twice"]
    assert {name for name in version.refused if not name.startswith("deep")} == {
        "../evil", ".git/evil", "absolute", "loop", "out", "twice/evil", "sub",
    }  # fmt: skip
    assert [why for name, why in version.refused.items() if name.startswith("deep")] == [
        "its name is too long"
    ]


def test_no_hook_and_no_configured_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeRepository(tmp_path / "ds.git")
    commit = made.commit(made.tree({"a": ("100644", made.blob(b"x"))}))
    trap = tmp_path / "trap"
    script = f"#!/bin/sh\ntouch {trap}\n"
    hooks = made.path / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "fsmonitor"):
        (hooks / name).write_text(script)
        (hooks / name).chmod(0o755)
    git("config", "core.fsmonitor", str(hooks / "fsmonitor"), folder=made.path)
    monkeypatch.setenv("GIT_DIR", os.devnull)
    assert [file.path for file in read_version(made.path, commit).files] == ["a"]
    assert Repository(made.path).commit("no-such") is None
    assert not trap.exists()
