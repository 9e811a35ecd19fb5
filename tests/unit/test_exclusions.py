"""Rules and people's decisions that leave recordings out or bring them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from braindata.config_exclusions import MAX_LENGTH, read_exclusions
from braindata.curate.parameters import CurateParameters
from braindata.errors import UsageError
from braindata.stages.leaving_out import leave_out, without
from braindata.tables.exclusions import Decision, Decisions
from braindata.tables.parameters import PublishParameters
from braindata.tables.rules import METADATA, QUALITY, first_match, parse_rule
from braindata.tables.schemas.recordings import RECORDINGS
from braindata.tables.schemas.series import SERIES
from braindata.tables.shards import read_shard, write_shard

ALL = METADATA | QUALITY
SIGNED = {"who": "A. Author", "when": "2026-01-31", "why": "fell asleep"}


def row(**values: Any) -> dict[str, Any]:
    return dict.fromkeys(RECORDINGS.names) | {"dataset": "ds", "recording": "sub-01_bold"} | values


def test_columns_and_their_kinds_are_those_of_the_table() -> None:
    kinds = {"number": (pa.float64(), pa.int64()), "text": (pa.string(),), "flag": (pa.bool_(),)}
    for column, kind in ALL.items():
        assert RECORDINGS.field(column).type in kinds[kind], column


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        ("n_volumes < 100", {"n_volumes": 99}, True),
        ("n_volumes < 100", {"n_volumes": 100}, False),
        ("n_volumes<=100", {"n_volumes": 100}, True),
        ("tr >= 2.0", {"tr": 2.0}, True),
        ("tr > 2", {"tr": 2.0}, False),
        ("tr != 2", {"tr": 2.5}, True),
        ("mean_fd > 0.5", {"fd_mean": 0.51}, True),
        ("task == rest", {"task": "rest"}, True),
        ("task != rest", {"task": "rest"}, False),
        ("run == '01'", {"run": "01"}, True),
        ("run == 1", {"run": "01"}, False),
        ("distortion_corrected == false", {"distortion_corrected": False}, True),
        # What is not there is neither more nor less, nor different.
        ("fd_mean > 0.5", {}, False),
        ("task != rest", {}, False),
        ("fd_mean == null", {}, True),
        ("fd_mean != null", {}, False),
        ("fd_mean != null", {"fd_mean": 0.0}, True),
    ],
)
def test_what_a_rule_is_true_of(rule: str, values: dict[str, Any], expected: bool) -> None:
    assert parse_rule(rule, ALL).matches(row(**values)) is expected


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("n_volume < 100", "there is no column n_volume; did you mean n_volumes?"),
        ("fd_maen > 1", "did you mean fd_mean?"),
        ("boundry_cost > 0.8", "did you mean boundary_cost?"),
        ("vmpfc_loss > 0.8", "did you mean vmpfc_signal_loss?"),
        ("xyzzy > 1", "known: subject, session"),
        ("n_volumes = 100", "equality is written =="),
        ("n_volumes", "a rule is a column"),
        ("n_volumes <", "a rule is a column"),
        ("n_volumes <> 3", "a rule is a column"),
        ("__import__('os') == 1", "there is no column"),
        ("n_volumes < many", "n_volumes is a number, 'many' is none"),
        ("n_volumes < nan", "n_volumes is a number"),
        ("task < rest", "has no order"),
        ("fd_mean < null", "null has no order"),
        ("distortion_corrected == yes", "is true or false"),
    ],
)
def test_rules_that_are_none(rule: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_rule(rule, ALL)
    assert said in str(caught.value)


def test_a_rule_of_quality_is_sent_to_the_stage_that_knows_it() -> None:
    with pytest.raises(ValidationError, match=r"write the rule in publish\.exclude"):
        CurateParameters(exclude=("mean_fd > 0.5",))
    with pytest.raises(ValidationError, match=r"(?s)no column fd_maen.*no column n_volume;"):
        PublishParameters(exclude=("fd_maen > 1", "tr > 3", "n_volume < 3"))
    assert PublishParameters(exclude=("mean_fd>0.50",)).exclude == ("fd_mean > 0.5",)
    assert PublishParameters(exclude=("task=='a b'",)).exclude == ("task == 'a b'",)
    assert CurateParameters(exclude=("tr>3", "tr > 3.0")).exclude == ("tr > 3",)


@pytest.mark.parametrize("rule", ["task == 'a b'", 'task == "it\'s"', "run == 'null'", "tr > 0.1"])
def test_a_rule_is_what_it_is_shown_as(rule: str) -> None:
    parsed = parse_rule(rule, ALL)
    assert parse_rule(str(parsed), ALL) == parsed


def test_people_overrule_rules_at_publish() -> None:
    bad = row(subject="01", fd_mean=0.61)
    rules = ("tr > 3", "fd_mean > 0.5")
    assert str(first_match(rules, bad)) == "fd_mean > 0.5"
    outcome = leave_out(bad, rules, Decisions())
    assert outcome is not None
    assert outcome.state == "excluded"
    assert outcome.reason == "fd_mean is 0.61, and publish.exclude has the rule fd_mean > 0.5"
    back = Decisions(include=(Decision(subject="01", **SIGNED),))
    assert leave_out(bad, rules, back) is None
    assert bad["warnings"] == [
        f"{outcome.reason}; brought back: fell asleep (A. Author, 2026-01-31)"
    ]
    out = Decisions(exclude=(Decision(subject="01", stage="publish", **SIGNED),))
    outcome = leave_out(row(subject="01", fd_mean=0.1), rules, out)
    assert outcome is not None
    assert outcome.reason == "fell asleep (A. Author, 2026-01-31)"
    assert leave_out(row(subject="02", fd_mean=0.1), rules, out) is None


@pytest.mark.parametrize("column", sorted(n for n, kind in QUALITY.items() if kind == "number"))
def test_every_figure_can_leave_out_and_none_does_so_unknown(column: str) -> None:
    rules = PublishParameters(exclude=(f"{column} >= 0.5",)).exclude
    outcome = leave_out(row(**{column: 0.5}), rules, Decisions())
    assert outcome is not None
    assert outcome.reason == (f"{column} is 0.5, and publish.exclude has the rule {column} >= 0.5")
    assert leave_out(known := row(**{column: 0.4}), rules, Decisions()) is None
    assert known["warnings"] is None
    # A figure that is not known leaves nothing out, and says so; asked for, it does.
    assert leave_out(unknown := row(), rules, Decisions()) is None
    assert unknown["warnings"] == [
        f"publish.exclude has the rule {column} >= 0.5, but {column} is not known: it is not left "
        "out"
    ]
    outcome = leave_out(row(), (f"{column} == null",), Decisions())
    assert outcome is not None and f"{column} is null" in str(outcome.reason)


def test_what_counts_at_which_stage() -> None:
    one, two = Decision(subject="01", **SIGNED), Decision(subject="02", stage="publish", **SIGNED)
    both = Decisions(exclude=(one, two), include=(one, two))
    assert both.at("curate") == Decisions(exclude=(one,), include=(one,))
    assert both.at("publish") == Decisions(exclude=(two,), include=(one, two))


def test_a_decision_about_nothing_is_told() -> None:
    there = [row(subject="01", task="rest"), row(subject="02", task="rest")]
    decisions = Decisions(exclude=(Decision(subject="01", task="rset", **SIGNED),))
    assert decisions.about_nothing(there) == [
        "no recording has subject 01, task rset; did you mean task rest?"
    ]
    assert Decisions(exclude=(Decision(task="rest", **SIGNED),)).about_nothing(there) == []


def test_files_of_exclusions(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "exclude:\n"
        "  - {subject: '01', task: rest, who: A. Author, when: 2026-01-31, why: fell asleep}\n"
        "include:\n"
        "  - {recording: sub-02_bold, who: B, when: 2026-02-01, why: a start, stage: publish}\n"
    )
    (tmp_path / "other.yaml").write_text("not: looked at\n")
    (tmp_path / "empty.yaml").write_text("")
    found = read_exclusions(tmp_path, ["a", "b", "empty"])
    assert found["a"].exclude[0].signed() == "fell asleep (A. Author, 2026-01-31)"
    assert found["a"].include[0].meant() == {"recording": "sub-02_bold"}
    assert found["empty"] == Decisions()
    assert "b" not in found
    assert read_exclusions(None, ["a"]) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "a mapping with the keys"),
        ("excluded: []\n", "did you mean exclude?"),
        ("exclude:\n  - {who: A, when: 2026-01-31, why: x}\n", "name a recording"),
        ("exclude:\n  - {subject: '01', when: 2026-01-31, why: x}\n", "who is missing"),
        ("exclude:\n  - {subject: 1, who: A, when: 2026-01-31, why: x}\n", "valid string"),
        ("exclude:\n  - {subject: '01', who: A, when: lately, why: x}\n", "when"),
        ("exclude:\n  - {subjekt: '01', who: A, when: 2026-01-31, why: x}\n", "mean subject?"),
        (
            "exclude:\n  - {subject: '01', stage: extract, who: A, when: 2026-01-31, why: x}\n",
            "'curate' or 'publish'",
        ),
        (
            f"exclude:\n  - {{subject: '01', who: A, when: 2026-01-31, why: {'x' * MAX_LENGTH}}}\n",
            "more exclusions than a job can be told of",
        ),
    ],
)
def test_wrong_files_of_exclusions(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_exclusions(tmp_path, ["a"])
    assert said in str(caught.value)
    assert "a.yaml" in str(caught.value.file)


def test_a_file_whose_name_is_a_slip_of_the_pen(tmp_path: Path) -> None:
    (tmp_path / "DS-1.yaml").write_text("exclude: []\n")
    with pytest.raises(UsageError, match="is ds1 meant"):
        read_exclusions(tmp_path, ["ds1"])
    assert read_exclusions(tmp_path, ["ds2"]) == {}


def test_rows_are_left_out_of_a_copy(tmp_path: Path) -> None:
    shard, target = tmp_path / "a.parquet", tmp_path / "staging/series/ds/a.parquet"
    names = ["x", "y", "x", "z"]
    write_shard(pa.table({"recording": names, "strategy": list("abcd")}), shard, "series")
    before = shard.read_bytes()
    assert without(shard, "series", {}, target) == shard
    assert without(shard, "series", {"x"}, target) == target
    assert read_shard(target, "series")["strategy"].to_pylist() == ["b", "d"]
    assert read_shard(target, "series").schema.equals(SERIES)
    assert shard.read_bytes() == before
