"""Pseudonyms: a keyed hash in the place of people's labels, and the key itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindata.config import parse_config
from braindata.config_pseudonyms import pseudonym_key
from braindata.errors import UsageError
from braindata.stages.pseudonymising import pseudonymised
from braindata.tables.pseudonyms import KEY_VARIABLE, Pseudonyms, fingerprint, read_key
from braindata.tables.shards import read_shard, write_shard

KEY = bytes(range(32))
CONFIG = {"datasets": [{"id": "ds", "source": "."}], "pseudonymise": True}


def expected(label: str, key: bytes = KEY, dataset: str = "ds") -> str:
    digest = hmac.digest(key, f"{dataset}\0{label}".encode(), hashlib.sha256)
    return base64.b32encode(digest)[:10].decode().lower()


def test_a_label_has_one_pseudonym_for_each_key_and_data_set() -> None:
    own = Pseudonyms(KEY, "ds").of("01")
    assert own == expected("01")
    assert re.fullmatch("[a-z2-7]{10}", own)
    others = {Pseudonyms(KEY, "other").of("01"), Pseudonyms(bytes(32), "ds").of("01")}
    assert len({own, Pseudonyms(KEY, "ds").of("1"), *others}) == 4


def test_two_people_under_one_pseudonym_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pseudonyms, "of", lambda self, label: label[:1])
    with pytest.raises(UsageError, match="two people of ds"):
        Pseudonyms(KEY, "ds", ["a1", "a2"])


def test_wherever_a_text_has_a_label() -> None:
    names = Pseudonyms(KEY, "ds", ["01", "NDAR7", "anna"])
    one, ndar, anna = (expected(label) for label in ("01", "NDAR7", "anna"))
    path = "sub-01/ses-02/func/sub-01_ses-02_task-x_run-01_bold.nii.gz"
    assert names.text(path) == path.replace("sub-01", f"sub-{one}")
    assert names.text("sub-01, sub-01: twice.") == f"sub-{one}, sub-{one}: twice."
    assert names.text("faces/NDAR7.png, xNDAR7") == f"faces/{ndar}.png, xNDAR7"
    # Numbers and words mean other things too.
    assert names.text("run 01 of anna") == "run 01 of anna"
    assert names.value({"subject": "anna", "x": ["sub-anna", None, 1.5]}) == {
        "subject": anna,
        "x": [f"sub-{anna}", None, 1.5],
    }


@given(st.from_regex(r"[A-Za-z0-9]{1,12}", fullmatch=True), st.text(max_size=20))
def test_no_label_is_left(label: str, around: str) -> None:
    names = Pseudonyms(KEY, "ds")
    text = names.text(f"{around}/sub-{label}_bold")
    assert text.endswith(f"/sub-{expected(label)}_bold")


def test_of_events_no_dates() -> None:
    said = {"time": "2014-03-02T10:11:12", "day": "2.3.2014", "word": "March", "n": 2014}
    found = Pseudonyms(KEY, "ds").value({"columns": json.dumps(said), "run": "01"})
    assert json.loads(found["columns"]) == {"time": None, "day": None, "word": "March", "n": 2014}
    assert found["run"] == "01"


def test_a_shard_stays_as_it_is(tmp_path: Path) -> None:
    rows = {
        "dataset": ["ds", "ds"],
        "recording": ["sub-Q7_task-x_bold", None],
        "subject": ["Q7", "02"],
        "warnings": [["sub-Q7 is odd"], None],
        "tr": [2.0, None],
    }
    shard, target = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write_shard(pa.table(rows), shard, "recordings")
    before = shard.read_bytes()
    assert pseudonymised(shard, "recordings", None, target) == shard
    assert pseudonymised(shard, "recordings", Pseudonyms(KEY, "ds", ["Q7"]), target) == target
    assert shard.read_bytes() == before
    assert read_shard(target, "recordings").select(list(rows)).to_pydict() == {
        "dataset": ["ds", "ds"],
        "recording": [f"sub-{expected('Q7')}_task-x_bold", None],
        "subject": [expected("Q7"), expected("02")],
        "warnings": [[f"sub-{expected('Q7')} is odd"], None],
        "tr": [2.0, None],
    }


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "pseudonyms.key"
    key = read_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path) == key
    assert fingerprint(key) != fingerprint(KEY)
    assert key.hex() not in fingerprint(key)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others may read"):
        read_key(path)


@pytest.mark.parametrize("text", ["", "secret words", "00ff\n"])
def test_what_is_no_key_is_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pseudonyms.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        read_key(path)
    assert not text.strip() or text.strip() not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be written"):
        read_key(tmp_path / "none" / "pseudonyms.key")


def test_where_the_key_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    file = tmp_path / "my.yaml"
    output = tmp_path / "results"

    def found(**more: object) -> Path | None:
        values = CONFIG | more
        # JSON is YAML.
        file.write_text(json.dumps(values))
        return pseudonym_key(parse_config(values), values, [file], output)

    assert found(pseudonymise=False) is None
    assert found() == tmp_path / "pseudonyms.key"
    assert found(pseudonym_key="keys/ours") == tmp_path / "keys/ours"
    with pytest.raises(UsageError, match="lies in the output folder"):
        found(pseudonym_key="results/key")
    with pytest.raises(UsageError, match="subject == 01"):
        found(publish={"exclude": ["subject == 01"]})
    monkeypatch.setenv(KEY_VARIABLE, "/elsewhere/key")
    assert found() == Path("/elsewhere/key")
