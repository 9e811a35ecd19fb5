"""Versions of repositories, pulled from servers on this machine."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from braindata.errors import BraindataError, UsageError
from braindata.layout import Layout
from braindata.planning import Plan
from braindata.pull.parameters import Download, PullJob, PullParameters, Subset
from braindata.pull.repository import read_version
from braindata.receipts import Receipt
from braindata.stages import pull as stage
from tests.unit.git_repositories import MadeRepository, git, key_of
from tests.unit.openneuro_server import OpenNeuro, serving

QUICK = Download(pause=0.001, timeout=1)


def contents(name: str, size: int = 60_000) -> bytes:
    return random.Random(name).randbytes(size)


TEXTS = {
    "dataset_description.json": b'{"Name": "x", "BIDSVersion": "1.8.0"}',
    "participants.tsv": b"participant_id\nsub-01\n",
    "README": b"\xef\xbb\xbfread\r\n",
    "task-rest_bold.json": b'{"RepetitionTime": 2}',
    ".bidsignore": b"x\n",
    ".datalad/config": b"[datalad]\n",
    "derivatives/x/sub-01/a.tsv": b"a\n",
}
for one in ("01", "02", "03"):
    TEXTS[f"sub-{one}/func/sub-{one}_task-rest_events.tsv"] = b"onset\tduration\n"
ANNEXED = {
    f"sub-{one}/{path}": contents(f"{one}{path}")
    for one in ("01", "02", "03")
    for path in (f"anat/sub-{one}_T1w.nii.gz", f"func/sub-{one}_task-rest_bold.nii.gz")
}
# The same contents under another name.
ANNEXED["sub-03/anat/sub-03_T1w.nii.gz"] = ANNEXED["sub-01/anat/sub-01_T1w.nii.gz"]
NEW = {
    **ANNEXED,
    "sub-02/func/sub-02_task-rest_bold.nii.gz": contents("changed"),
    "sub-04/func/sub-04_task-rest_bold.nii.gz": contents("new"),
}
del NEW["sub-01/func/sub-01_task-rest_bold.nii.gz"]
NEW_TEXTS = {**TEXTS, "CHANGES": b"1.1.0\n"}
OBJECT = "openneuro.org/ds000777/"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OpenNeuro]:
    (tmp_path / "git").mkdir()
    with serving(tmp_path / "git") as one:
        made = MadeRepository(tmp_path / "git" / "ds000777.git", f"{one.url}/openneuro.org")
        made.version("1.0.0", TEXTS, ANNEXED, one)
        made.version("1.1.0", NEW_TEXTS, NEW, one)
        yield one


def job(site: OpenNeuro, tag: str, **subset: tuple[str, ...]) -> PullJob:
    commit = git("rev-parse", tag, folder=site.repositories / "ds000777.git")
    address = f"{site.url}/git/ds000777.git"
    return PullJob(address=address, tag=tag, commit=commit, subset=Subset(**subset))  # type: ignore[arg-type]


def pull(folder: Path, what: PullJob, download: Download = QUICK) -> bool:
    source = f"openneuro:ds000777@{what.tag}"
    parameters = PullParameters()
    return stage.run(Layout(folder), "ds", source, parameters, job=what, download=download)


def tree(folder: Path) -> dict[str, bytes]:
    root = folder / "raw" / "ds"
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def expected(texts: dict[str, bytes], annexed: dict[str, bytes]) -> dict[str, bytes]:
    shown = {k: v for k, v in texts.items() if k == ".bidsignore" or k[0] not in ".d"}
    return {"dataset_description.json": texts["dataset_description.json"], **shown, **annexed}


def test_each_version_is_pulled_exactly_and_an_update_moves_what_changed(
    site: OpenNeuro, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    assert pull(output, job(site, "1.0.0"))
    assert tree(output) == expected(TEXTS, ANNEXED)
    assert Receipt.read(Layout(output).receipt("raw", "ds")).notes["version"] == "1.0.0"
    # What is there twice moves once.
    assert sum(site.sent.values()) == 5 * 60_000
    assert not pull(output, job(site, "1.0.0"))
    assert sum(site.sent.values()) == 5 * 60_000
    site.sent.clear()
    assert pull(output, job(site, "1.1.0"))
    assert tree(output) == expected(NEW_TEXTS, NEW)
    assert Receipt.read(Layout(output).receipt("raw", "ds")).notes["version"] == "1.1.0"
    assert sum(site.sent.values()) == 2 * 60_000
    # And back: all of it is in the store.
    assert pull(output, job(site, "1.0.0"))
    assert tree(output) == expected(TEXTS, ANNEXED)
    assert sum(site.sent.values()) == 2 * 60_000


def test_a_new_output_folder_gives_the_same_receipt(site: OpenNeuro, tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        pull(tmp_path / name, job(site, "1.1.0"))
        texts.append(Layout(tmp_path / name).receipt("raw", "ds").read_bytes())
    assert texts[0] == texts[1]


def test_a_repository_that_has_lost_its_files_is_fetched_anew(
    site: OpenNeuro, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    assert pull(output, job(site, "1.0.0"))
    (repository,) = (output / "raw/.store/repositories").iterdir()
    (repository / "HEAD").unlink()
    assert not pull(output, job(site, "1.0.0"))
    assert (repository / "HEAD").is_file()
    assert tree(output) == expected(TEXTS, ANNEXED)


def test_downloads_run_side_by_side_within_the_limit(site: OpenNeuro, tmp_path: Path) -> None:
    site.delay = 0.1
    pull(tmp_path / "four", job(site, "1.0.0"), Download(connections=4))
    assert site.most_at_once == 4
    site.most_at_once = 0
    pull(tmp_path / "one", job(site, "1.0.0"), Download(connections=1))
    assert site.most_at_once == 1


def test_the_rate_limit_holds(site: OpenNeuro, tmp_path: Path) -> None:
    began = time.monotonic()
    pull(tmp_path / "results", job(site, "1.0.0"), Download(megabytes_per_second=0.3))
    # 300 kB, of which the first piece need not wait.
    assert 0.7 < time.monotonic() - began < 5


@pytest.mark.parametrize("seed", range(3))
def test_no_byte_is_accepted_wrong_where_responses_go_wrong(
    site: OpenNeuro, tmp_path: Path, seed: int
) -> None:
    made = MadeRepository(site.repositories / "ds000778.git", f"{site.url}/openneuro.org")
    many = {
        f"sub-{n:03}/func/sub-{n:03}_task-rest_bold.nii.gz": contents(f"{n}", 500)
        for n in range(300)
    }
    commit = made.version("1.0.0", TEXTS, many, site)
    what = PullJob(address=f"{site.url}/git/ds000778.git", tag="1.0.0", commit=commit)
    site.random, site.rate = random.Random(seed), 0.01
    pull(tmp_path / "results", what)
    assert site.done.total() >= 1
    assert tree(tmp_path / "results") == expected(TEXTS, many)


def test_a_network_that_is_mostly_broken_gives_right_bytes_too(
    site: OpenNeuro, tmp_path: Path
) -> None:
    site.rate = 0.4
    pull(tmp_path / "results", job(site, "1.0.0"), Download(pause=0.001, timeout=0.5, attempts=20))
    assert tree(tmp_path / "results") == expected(TEXTS, ANNEXED)


SCRIPT = """
import sys
from pathlib import Path
from braindata.layout import Layout
from braindata.pull.parameters import Download, PullJob, PullParameters
from braindata.stages import pull
job = PullJob.model_validate_json(sys.argv[2])
layout, slow = Layout(Path(sys.argv[1])), Download(megabytes_per_second=0.4, connections=4)
print("begins", flush=True)
pull.run(layout, "ds", "openneuro:ds000777@1.0.0", PullParameters(), job=job, download=slow)
"""


def test_killed_at_any_moment_the_same_command_gives_the_same_tree(
    site: OpenNeuro, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    moments = random.Random(5)
    made = MadeRepository(site.repositories / "ds000778.git", f"{site.url}/openneuro.org")
    large = {path: contents(path, 300_000) for path in ANNEXED}
    commit = made.version("1.0.0", TEXTS, large, site)
    what = PullJob(address=f"{site.url}/git/ds000778.git", tag="1.0.0", commit=commit)
    killed = 0
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(output), what.model_dump_json()],
            start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.6))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        killed += process.returncode == -signal.SIGKILL
        for path in (output / "raw" / ".store" / "contents").rglob("*.gz"):
            assert hashlib.md5(path.read_bytes()).hexdigest() in path.name
    assert killed == 10
    pull(output, what)
    assert tree(output) == expected(TEXTS, large)
    pull(tmp_path / "other", what)
    receipts = [
        Layout(one).receipt("raw", "ds").read_bytes() for one in (output, tmp_path / "other")
    ]
    assert receipts[0] == receipts[1]
    # Resumed rather than begun again.
    assert any("Range" in headers for _, headers in site.requests)


def test_a_file_that_is_gone_costs_no_others(site: OpenNeuro, tmp_path: Path) -> None:
    lost = "sub-01/func/sub-01_task-rest_bold.nii.gz"
    site.faults[OBJECT + lost] = "404"
    output = tmp_path / "results"
    pull(output, job(site, "1.0.0"))
    assert tree(output) == expected(TEXTS, {k: v for k, v in ANNEXED.items() if k != lost})
    assert (output / "raw" / "ds" / lost).is_symlink()
    notes = Receipt.read(Layout(output).receipt("raw", "ds")).notes
    assert list(notes["absent"]) == [lost]
    assert "404" in notes["absent"][lost]
    # It is back: the same command fetches it.
    site.faults.clear()
    assert pull(output, job(site, "1.0.0"))
    assert tree(output) == expected(TEXTS, ANNEXED)


def test_a_version_that_is_gone_is_taken_without_version_if_the_checksum_says_so(
    site: OpenNeuro, tmp_path: Path
) -> None:
    same = OBJECT + "sub-02/anat/sub-02_T1w.nii.gz"
    other = OBJECT + "sub-02/func/sub-02_task-rest_bold.nii.gz"
    for name, version in list(site.objects):
        if name in (same, other):
            body = site.objects.pop((name, version))
            if version == site.current[name]:
                site.objects[name, "renewed"] = body
                site.current[name] = "renewed"
    pull(tmp_path / "results", job(site, "1.0.0"))
    lost = other.removeprefix(OBJECT)
    assert tree(tmp_path / "results") == expected(
        TEXTS, {k: v for k, v in ANNEXED.items() if k != lost}
    )


def test_a_server_that_is_down_is_told_and_what_is_here_is_kept(
    site: OpenNeuro, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    down = OBJECT + "sub-03/func/sub-03_task-rest_bold.nii.gz"
    site.faults[down] = "503"
    with pytest.raises(BraindataError, match=r"6 of 7|5 of 6") as caught:
        pull(output, job(site, "1.0.0"))
    assert "has a fault (503)" in caught.value.problem
    assert not (output / "raw" / "ds").exists()
    site.faults.clear()
    site.sent.clear()
    pull(output, job(site, "1.0.0"))
    assert sum(site.sent.values()) == 60_000


def test_damage_is_mended_and_strangers_removed(site: OpenNeuro, tmp_path: Path) -> None:
    output = tmp_path / "results"
    pull(output, job(site, "1.0.0"))
    raw = output / "raw" / "ds"
    broken = raw / "sub-01/anat/sub-01_T1w.nii.gz"
    broken.chmod(0o644)
    broken.write_bytes(b"x")
    (raw / "README").write_text("changed")
    (raw / "participants.tsv").unlink()
    (raw / "sub-09").mkdir()
    (raw / "sub-09" / "stranger").write_text("x")
    pull(output, job(site, "1.0.0"))
    assert tree(output) == expected(TEXTS, ANNEXED)


def test_a_disk_that_is_too_small_is_told_before_anything_moves(
    site: OpenNeuro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("braindata.pull.pinned.MIN_FREE_MB", 10**9)
    with pytest.raises(BraindataError, match="are to be downloaded, the disk has"):
        pull(tmp_path / "results", job(site, "1.0.0"))
    assert not site.sent


def test_a_subset_brings_what_belongs_to_it_and_nothing_else(
    site: OpenNeuro, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    pull(output, job(site, "1.0.0", subject=("sub-02",), task=("rest",)))
    assert sorted(tree(output)) == [
        ".bidsignore",
        "README",
        "dataset_description.json",
        "participants.tsv",
        "sub-02/anat/sub-02_T1w.nii.gz",
        "sub-02/func/sub-02_task-rest_bold.nii.gz",
        "sub-02/func/sub-02_task-rest_events.tsv",
        "task-rest_bold.json",
    ]
    assert sum(site.sent.values()) == 120_000
    with pytest.raises(UsageError, match="no subject 2") as caught:
        pull(output, job(site, "1.0.0", subject=("2",)))
    assert "02" in str(caught.value.hint)


def test_hostile_trees_write_nothing_outside_and_run_nothing(
    site: OpenNeuro, tmp_path: Path
) -> None:
    made = MadeRepository(site.repositories / "evil.git", f"{site.url}/openneuro.org")
    text = made.blob(b"touch pwned")
    key = key_of(b"x" * 10)
    hostile = made.raw_tree([("100755", b"pwned", text)])
    deep = hostile
    for _ in range(1500):
        deep = made.raw_tree([("40000", b"d", deep)])
    subject = made.raw_tree(
        [
            ("120000", b"loop", made.blob(b"../sub-01")),
            ("100644", b"long_events.tsv", made.blob(b"9" * 5_000_000)),
            ("120000", b"a_bold.nii.gz", made.link("a/b/c", key)[1]),
        ]
    )
    root = made.raw_tree(
        [
            ("40000", b"..", hostile),
            ("40000", b".git", made.raw_tree([("40000", b"hooks", hostile)])),
            ("120000", b"absolute", made.blob(b"/etc/passwd")),
            ("100644", b"dataset_description.json", made.blob(b'{"Name": "x"}')),
            ("40000", b"deep", deep),
            ("40000", b"sub-01", subject),
        ]
    )
    commit = made.commit(root, "1.0.0")
    version = site.put("openneuro.org/evil/sub-01/a_bold.nii.gz", b"x" * 10)
    made.state(key, {version: "../../etc/x.nii.gz", "v": "sub-01/a_bold.nii.gz"})
    made.write_annex_branch()
    before = {p for p in tmp_path.rglob("*") if not p.is_relative_to(tmp_path / "results")}
    output = tmp_path / "results"
    pull(output, PullJob(address=f"{site.url}/git/evil.git", tag="1.0.0", commit=commit))
    assert sorted(tree(output)) == [
        "dataset_description.json", "sub-01/a_bold.nii.gz", "sub-01/long_events.tsv",
    ]  # fmt: skip
    assert before == {p for p in tmp_path.rglob("*") if not p.is_relative_to(output)}
    notes = Receipt.read(Layout(output).receipt("raw", "ds")).notes
    assert {name for name in notes["refused"] if name[0] != "d"} == {
        "../pwned", ".git/hooks/pwned", "absolute", "sub-01/loop",
    }  # fmt: skip
    assert not list(output.rglob("pwned"))


@pytest.mark.parametrize("name", ["ds000005", "ds003061", "ds002336"])
def test_subsets_of_real_repositories(shared_data: Path, tmp_path: Path, name: str) -> None:
    from braindata.pull.subset import select

    bundle = shared_data / "openneuro-git" / f"{name}.bundle"
    if not bundle.is_file():
        pytest.skip(f"needs {bundle.name}, which is not here")
    git("clone", "-q", "--bare", str(bundle), str(tmp_path / "bare"))
    tag = git("tag", folder=tmp_path / "bare").split()[-1]
    if name == "ds000005":
        tag = "00001"
    paths = [f.path for f in read_version(tmp_path / "bare", tag).files]
    subject, task, about = {
        "ds000005": ("01", "mixedgamblestask", "task-mixedgamblestask_bold.json"),
        "ds003061": ("001", "P300", "task-P300_events.json"),
        "ds002336": ("xp101", "eegNF", "task-eegNF_events.json"),
    }[name]
    found = select(paths, Subset(subject=(subject,), task=(task,)))
    about_all = {p for p in found if "/" not in p}
    below = set(found) - about_all
    # Independently: by plain text of names.
    own = {p for p in paths if p.startswith(f"sub-{subject}/")}
    assert below == {
        p
        for p in own
        if f"_task-{task}_" in p
        or "_T1w." in p
        or p.endswith(("_electrodes.tsv", "_coordsystem.json"))
    }
    assert {"dataset_description.json"} <= about_all
    assert {p for p in about_all if p.startswith("task-")} == {
        p for p in paths if "/" not in p and p.startswith(f"task-{task}_")
    }
    assert any(p.endswith("_events.tsv") for p in found) or about in found


def config(folder: Path, site: OpenNeuro, **dataset: object) -> list[Path]:
    (folder / "config").mkdir(exist_ok=True)
    regions = Path(__file__).resolve().parents[2] / "config" / "regions" / "spheres"
    body = {
        "output": "results",
        "regions": str(regions),
        "datasets": [{"id": "ds", "source": "openneuro:ds000777"} | dataset],
        "pull": {"openneuro": f"{site.url}/git/{{id}}.git", "download": {"pause": 0.001}},
    }
    path = folder / "config" / "config.yaml"
    path.write_text(yaml.safe_dump(body))
    return [path]


def plan(files: list[Path]) -> Plan:
    return Plan(yaml.safe_load(files[0].read_text()), files)


def test_a_version_is_asked_for_once_and_then_stays(site: OpenNeuro, tmp_path: Path) -> None:
    files = config(tmp_path, site)
    first = plan(files)
    assert first.pins.of("ds").tag == "1.1.0"
    first.pins.write()
    assert first.pins.lock_file == tmp_path / "config" / "datasets.lock"
    asked = len(site.requests)
    MadeRepository(site.repositories / "ds000777.git", f"{site.url}/openneuro.org").version(
        "1.10.0", TEXTS, {}
    )
    later = plan(files)
    assert later.pins.of("ds").tag == "1.1.0"
    assert later.source_state("ds") == later.pull_job("ds").commit
    assert len(site.requests) == asked
    (before, now) = later.pins.update()["ds"]
    assert before is not None
    assert before.version == "1.1.0"
    assert getattr(now, "version", None) == "1.10.0"
    assert plan(files).pins.of("ds").tag == "1.10.0"


def test_without_a_network_what_is_here_goes_on(
    site: OpenNeuro, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = config(tmp_path, site)
    body = files[0].read_text().replace(site.url, "http://127.0.0.1:9")
    there = plan(files)
    stage.run(there.layout, "ds", there.source("ds"), there.config.pull, job=there.pull_job("ds"))
    files[0].write_text(body)
    with caplog.at_level("WARNING"):
        assert plan(files).pins.of("ds") == there.pins.of("ds")
    assert "going on with version 1.1.0, which is here" in caplog.text
    files[0].write_text(body.replace("id: ds", "id: other"))
    with pytest.raises(BraindataError, match=r"other: .* does not answer"):
        plan(files).pins.of("other")


@pytest.mark.parametrize(
    ("source", "problem", "hint"),
    [
        ("openneuro:ds000777@1.0.9", "no version 1.0.9", "1.0.0"),
        ("openneuro:ds000779", "no repository", "check the id"),
        ("openneuro:ds777", "no id of OpenNeuro", "openneuro:ds000777?"),
        ("openneuro:localizer", "no id of OpenNeuro", "ids look like"),
        ("opneuro:ds000777", "opneuro: is not known", "did you mean openneuro:?"),
        ("git+https://me:secret@host/x", "no address", "without name and password"),
        ("git+file:///no/such", "no repository", "check"),
        ("openneuro:ds000777@", "no tag follows", "leave the @ out"),
        ("git+ssh://host/x", "is not known", "git+http"),
    ],
)
def test_unknown_ids_and_tags_offer_the_nearest(
    site: OpenNeuro, tmp_path: Path, source: str, problem: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        plan(config(tmp_path, site, source=source)).pins.of("ds")
    assert problem in caught.value.problem
    assert hint in str(caught.value.hint)


def test_the_newest_tag_is_a_version_never_a_hash(site: OpenNeuro, tmp_path: Path) -> None:
    from braindata.pull.source import newest

    assert newest(["1.9.0", "1.10.0", "00001", "57fed2b8cce88d000bc17596"]) == "1.10.0"
    assert newest(["00001", "00002", "57fed2b8cce88d000bc17596"]) == "00002"
    assert newest(["57fed2b8cce88d000bc17596"]) is None
    made = MadeRepository(site.repositories / "ds000780.git")
    made.version("57fed2b8cce88d000bc17596", TEXTS, {})
    with pytest.raises(UsageError, match="which version is the newest") as caught:
        plan(config(tmp_path, site, source="openneuro:ds000780")).pins.of("ds")
    assert "57fed2b8cce88d000bc17596" in str(caught.value.hint)


def test_a_server_of_plain_files_will_do(site: OpenNeuro, tmp_path: Path) -> None:
    folder = site.repositories / "ds000777.git"
    git("update-server-info", folder=folder)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(site.repositories))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/ds000777.git"
        what = job(site, "1.0.0").model_copy(update={"address": address})
        try:
            pull(tmp_path / "results", what)
        finally:
            server.shutdown()
            thread.join()
    assert tree(tmp_path / "results") == expected(TEXTS, ANNEXED)


def test_a_tag_that_was_moved_is_not_followed(site: OpenNeuro, tmp_path: Path) -> None:
    what = job(site, "1.0.0")
    made = MadeRepository(site.repositories / "ds000777.git", f"{site.url}/openneuro.org")
    git("tag", "-d", "1.1.0", folder=made.path)
    made.version("1.0.0", {"dataset_description.json": b"{}"}, {})
    git("reflog", "expire", "--expire=now", "--all", folder=made.path)
    git("gc", "-q", "--prune=now", folder=made.path)
    with pytest.raises(BraindataError, match="no longer has the commit") as caught:
        pull(tmp_path / "results", what)
    assert "--update" in str(caught.value.hint)


def test_files_of_git_and_local_folders_are_sources_too(site: OpenNeuro, tmp_path: Path) -> None:
    repository = site.repositories / "ds000777.git"
    files = config(tmp_path, site, source=f"git+file://{repository}@1.0.0")
    found = plan(files)
    stage.run(found.layout, "ds", "x", found.config.pull, job=found.pull_job("ds"))
    assert tree(tmp_path / "results") == expected(TEXTS, ANNEXED)
    derived = plan(config(tmp_path, site, source="openneuro-derivatives:ds000777-fmriprep"))
    assert derived.pins.remotes["ds"].derivatives
    assert derived.pins.remotes["ds"].address.endswith(
        "/OpenNeuroDerivatives/ds000777-fmriprep.git"
    )
