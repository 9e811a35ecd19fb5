"""The list of people who were withdrawn, and texts without them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from braindata.cli import cli
from braindata.errors import BraindataError
from braindata.layout import Layout
from braindata.pull.local import read_manifest
from braindata.pull.parameters import PullJob, PullParameters
from braindata.stages import pull as stage
from braindata.withdrawn import NAME, Withdrawn, without_people
from tests.searching import files_holding
from tests.unit.git_repositories import git

LABELS = st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True)


def gone_of(*labels: str, dataset: str = "ds"):
    withdrawn = Withdrawn()
    for label in labels:
        withdrawn = withdrawn.adding(dataset, label)
    return withdrawn.of("ds")


def test_the_list_holds_no_label_and_is_read_back(tmp_path):
    Withdrawn.read(tmp_path).adding("ds", "NDARX7Q9", "abcdefghij").write(tmp_path)
    assert files_holding(tmp_path, ["NDARX7Q9", "abcdefghij"]) == []
    again = Withdrawn.read(tmp_path)
    assert again.of("ds").has("NDARX7Q9") and again.of("ds").has("sub-NDARX7Q9")
    assert not again.of("ds").has("NDARX7Q8")
    # The same label of another data set is another person.
    assert not again.of("other").has("NDARX7Q9")
    assert not Withdrawn().of("ds")
    more = again.adding("ds", "02")
    assert len(more.of("ds")) == 3
    (tmp_path / NAME).write_text("{}")
    with pytest.raises(BraindataError, match="no list of people who were withdrawn"):
        Withdrawn.read(tmp_path)


@given(LABELS, LABELS)
def test_only_that_label_is_found_in_paths(one, other):
    gone = gone_of(one)
    for label in (one, other):
        paths = [
            f"sub-{label}",
            f"sub-{label}/func/sub-{label}_task-x_bold.nii.gz",
            f"derivatives/ds/sub-{label}.receipt.json",
            f"logs/pack/ds/sub-{label}_ses-1.log",
            f"a sentence about sub-{label}, who fell asleep.",
        ]
        assert [gone.named_in(path) for path in paths] == [label == one] * len(paths)
    text = f"sub-{one} and sub-{other}"
    left = gone.without(text)
    assert not gone.named_in(left)
    assert left == (text if one == other else f"withdrawn and sub-{other}").replace(
        f"sub-{one}" if one == other else "\0", "withdrawn"
    )


def test_labels_that_stand_alone():
    gone = gone_of("NDAR01", "07")
    assert gone.named_in("as NDAR01 said") and not gone.named_in("as NDAR012 said")
    # Digits alone are words for other things too.
    assert not gone.named_in("run 07")
    assert gone.without("NDAR01/sub-07/07") == "withdrawn/withdrawn/07"
    body = {
        "exclude": [{"subject": "07", "why": "asleep"}, {"subject": "08", "why": "like sub-07"}],
        "subjects": ["07", "08"],
        "runs": ["07"],
        "sub-07": 1,
        "files": ["sub-07_bold.json", "sub-08_bold.json"],
    }
    assert gone.value(body) == {
        "exclude": [{"subject": "08", "why": "like withdrawn"}],
        "subjects": ["08"],
        "runs": ["07"],
        "files": ["sub-08_bold.json"],
    }


def test_texts_lose_rows_entries_and_lines():
    gone = gone_of("07")
    table = b"participant_id\tage\r\nsub-07\t87\r\nsub-08\t21\r\n"
    assert (
        without_people("participants.tsv", table, gone) == b"participant_id\tage\r\nsub-08\t21\r\n"
    )
    plain = b"subject,score\n07,9\n08,7\n"
    assert without_people("phenotype/iq.csv", plain, gone) == b"subject,score\n08,7\n"
    assert without_people("README", b"All well.\nsub-07 slept.\n", gone) == b"All well.\n"
    # A number that is no label stays, in tables too.
    runs = b"run\tn\n07\t3\n"
    assert without_people("task-x_events.tsv", runs, gone) is None
    told = without_people("x.json", b'{"a": 1, "people": {"sub-07": 2}}', gone)
    assert told is not None and json.loads(told) == {"a": 1, "people": {}}
    assert without_people("x.json", b'{"a":    1}', gone) is None
    assert without_people("README", "sub-07 \udcff\nok\n".encode("utf-8", "surrogateescape"), gone)


@pytest.fixture
def bids(tmp_path):
    root = tmp_path / "bids"
    for label in ("01", "NDARX7Q9"):
        func = root / f"sub-{label}" / "func"
        func.mkdir(parents=True)
        (func / f"sub-{label}_task-x_events.tsv").write_text(f"onset\n{label}\n")
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    (root / "participants.tsv").write_text(
        "participant_id\tage\nsub-01\t30\nsub-NDARX7Q9\t87.4321\n"
    )
    return root


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_pull_leaves_them_out(tmp_path, bids, mode):
    layout = Layout(tmp_path / "out")
    stage.run(layout, "ds", bids, PullParameters(mode=mode))
    assert files_holding(layout.output, ["NDARX7Q9"])
    before = {path: path.read_bytes() for path in bids.rglob("*") if path.is_file()}
    Withdrawn.read(layout.output).adding("ds", "NDARX7Q9").write(layout.output)
    assert stage.run(layout, "ds", bids, PullParameters(mode=mode))
    assert files_holding(layout.output, ["NDARX7Q9", "87.4321"]) == []
    pulled = layout.raw("ds") / "participants.tsv"
    assert pulled.read_text() == "participant_id\tage\nsub-01\t30\n"
    manifest = read_manifest(layout.manifest("ds"))
    assert manifest["participants.tsv"].size == len(pulled.read_bytes())
    assert set(manifest) == {
        "dataset_description.json",
        "participants.tsv",
        "sub-01/func/sub-01_task-x_events.tsv",
    }
    # The source is never changed, and nothing changes when nothing does.
    assert before == {path: path.read_bytes() for path in bids.rglob("*") if path.is_file()}
    inode = pulled.stat().st_ino
    assert not stage.run(layout, "ds", bids, PullParameters(mode=mode))
    assert pulled.stat().st_ino == inode
    # Of another data set, the same label is another person.
    assert stage.run(layout, "other", bids, PullParameters(mode=mode))
    assert (layout.raw("other") / "sub-NDARX7Q9").is_dir()


def test_a_pull_of_a_repository_leaves_them_out(tmp_path, bids):
    git("init", "-q", "-b", "main", folder=bids)
    git("add", ".", folder=bids)
    git("commit", "-q", "-m", "x", folder=bids)
    commit = git("rev-parse", "HEAD", folder=bids)
    layout = Layout(tmp_path / "out")
    job = PullJob(address=bids.as_uri(), commit=commit)
    stage.run(layout, "ds", "git+file", PullParameters(), job=job)
    assert list((layout.mirror() / "repositories").iterdir())
    shutil.rmtree(layout.mirror() / "repositories")
    Withdrawn.read(layout.output).adding("ds", "NDARX7Q9").write(layout.output)
    assert stage.run(layout, "ds", "git+file", PullParameters(), job=job)
    # Neither in files nor in the trees of a repository.
    assert files_holding(layout.output, ["NDARX7Q9", "87.4321"]) == []
    assert not Path(layout.mirror() / "repositories").exists()
    # Nor after the commands that look at a repository by themselves.
    file = tmp_path / "my.yaml"
    values = {
        "output": str(layout.output),
        "datasets": [{"id": "ds", "source": f"git+{bids.as_uri()}"}],
    }
    file.write_text(yaml.safe_dump(values))
    for arguments in ([], ["--verify"], ["--dry-run"]):
        done = CliRunner().invoke(
            cli, ["pull", "--configfile", str(file), *arguments], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        assert "NDARX7Q9" not in done.output
        assert files_holding(layout.output, ["NDARX7Q9", "87.4321"]) == []
    assert (layout.raw("ds") / "sub-01/func/sub-01_task-x_events.tsv").is_file()
