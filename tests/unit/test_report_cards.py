"""Cards of data sets."""

from __future__ import annotations

from typing import Any

from braindata.report.cards import PARAMETERS, dataset_cards, describe_column, variants
from braindata.tables.schemas.recordings import RECORDINGS


def row(name: str, **values: Any) -> dict[str, Any]:
    own = {"dataset": "ds", "recording": name, "subject": name, "task": "a", "status": "used"}
    return dict.fromkeys(RECORDINGS.names) | own | values


def test_parameters_are_columns() -> None:
    assert set(PARAMETERS) <= set(RECORDINGS.names)


def test_a_card_says_who_and_what_was_left_out() -> None:
    out = {"status": "excluded", "stage": "publish", "reason": "fd_mean is 1"}
    rows = [row("01"), row("02", **out), row("03", **out), row("03", task="b")]
    people = {"n": 4, "columns": {"sex": {"kind": "levels", "n": 4, "levels": {"F": 3, "M": 1}}}}
    facts = {"ds": {"participants": people, "images": {"recording": 4, "not used": 7}}}
    (card,) = dataset_cards(rows, facts)
    assert (card["n_people"], card["n_listed"], card["n_images"]) == (3, 4, 11)
    assert card["tasks"] == [{"task": "a", "n": 3, "used": 1}, {"task": "b", "n": 1, "used": 1}]
    assert card["left_out"] == [out | {"n": 2}]
    assert card["columns"][0]["said"] == "F: 3, M: 1"
    assert card["images"][0] == ("not used", 7)
    assert dataset_cards(rows, {})[0]["n_images"] == 0


def test_columns_in_words() -> None:
    age = {"kind": "number", "n": 9, "unit": "year", "median": 30.5, "min": 20.0, "max": 89.0}
    assert describe_column(age) == "median 30.5 year, 20 to 89 (n = 9)"
    assert describe_column({"kind": "text", "n": 9, "n_distinct": 8}) == "8 different texts"
    assert describe_column({"kind": "date", "n": 9}) == "dates, not shown"
    assert describe_column({"kind": "levels", "n": 0, "levels": {}}) == "empty"


def test_variants_by_number_with_their_exemplar() -> None:
    rows = [row(f"{n:02}", variant=f"task-a_variant-{n % 11 + 1}", tr=2.0) for n in range(22)]
    found = variants([*rows, row("99")])
    assert [one["variant"].rpartition("-")[2] for one in found] == [str(n) for n in range(1, 12)]
    assert [one["n"] for one in found] == [2] * 11
    assert found[0]["exemplar"] == "00"
    assert dict(zip(PARAMETERS, found[0]["parameters"], strict=True))["tr"] == "2"
    shown = variants([row("1", variant="x_variant-1", shape=[4, 5], slice_timing=False)])
    assert {"4 × 5", "no"} <= set(shown[0]["parameters"])


def test_a_column_of_which_nobody_states_anything_is_left_out() -> None:
    one = row("x", variant="x-1", tr=2.0, echo_time=0.03)
    other = row("y", variant="x-2", tr=1.5)
    (card,) = dataset_cards([one, other], {})
    assert card["parameters"] == ["TR (s)", "echo time (s)"]
    assert [v["parameters"] for v in card["variants"]] == [["2", "0.03"], ["1.5", "–"]]
