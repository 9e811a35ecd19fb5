"""The report's page of alignment: what it says of scores, of people and of templates."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from braindata.report.alignment import alignment_sections, score_chart, template_curves
from braindata.report.pictures import Shelf
from braindata.report.site import pages
from braindata.tables.schemas.alignment import ALIGNMENT
from tests.synthetic_report import HOSTILE, corpus


def row(subject: str, **more: Any) -> dict[str, Any]:
    told = {
        "dataset": "ds",
        "subject": subject,
        "region_group": "vmpfc",
        "grouping": "region",
        "group_hash": "0" * 12,
        "regions": ["vmpfc"],
        "status": "aligned",
        "method": "procrustes",
        "method_reason": "the events of all people are the same",
        "template": "abc",
        "n_members": 3,
        "n_voxels": 120,
        "coverage": 1.0,
        "n_volumes": 200,
    }
    return dict.fromkeys(ALIGNMENT.names) | told | more


def scored(subject: str, before: float | None, after: float) -> dict[str, Any]:
    names = ("before", "after", "chance", "chance_sd", "ceiling")
    values = (before, after, 0.5, 0.05, None)
    return row(subject, **{f"decoding_{n}": v for n, v in zip(names, values, strict=True)})


ROWS = [
    scored("02", 0.5, 0.9),
    scored("01", 0.45, 0.8),
    scored("03", 0.6, 0.7),
    row("04", status="unaligned", reason=f"too few volumes {HOSTILE}", template=None),
]


def test_a_chart_holds_everybody_who_is_scored() -> None:
    chart = score_chart("decoding", ROWS)
    assert chart is not None
    assert (chart.before, chart.after, chart.chance_value, chart.ceiling) == (0.5, 0.8, 0.5, None)
    assert [pair.subject for pair in chart.pairs] == ["02", "01", "03"]
    assert chart.pairs[0].after == chart.y.at(0.9)
    assert score_chart("matching", ROWS) is None


def test_a_template_is_drawn_by_its_first_dimensions() -> None:
    response = np.random.default_rng(0).standard_normal((1000, 8)) * 7 + 3
    curves = np.array(template_curves(response))
    assert curves.shape == (3, 334)
    expected = (response[:, 1] - response[:, 1].mean()) / response[:, 1].std()
    assert np.allclose(curves[1], expected[::3], atol=1e-3)
    assert template_curves(np.zeros((20, 2))) == [[0.0] * 20] * 2


def test_sections_are_of_groups_and_name_who_is_left_out() -> None:
    other = row("01", region_group="visual", group_hash="1" * 12, method=None, status="unaligned")
    second, first = alignment_sections([*ROWS, other], {})
    assert (first["group"], second["group"]) == ("vmpfc", "visual")
    assert (first["n_aligned"], first["n_people"]) == (3, 4)
    assert [one["subject"] for one in first["people"]] == ["01", "02", "03", "04"]
    assert first["reasons"] == [(f"too few volumes {HOSTILE}", 1)]
    assert first["scored"] == ["decoding"]
    assert second["charts"] == []


@pytest.mark.parametrize("method", ["procrustes", "connectivity"])
def test_the_page(tmp_path: Any, method: str) -> None:
    from dataclasses import replace

    rows = [one | {"method": method} for one in ROWS]
    curves = template_curves(np.random.default_rng(0).standard_normal((60, 4)))
    parcel = {"region": "vmpfc", "n_rows": 60, "curves": curves}
    told = replace(
        corpus(3, Shelf(tmp_path)),
        alignment=rows,
        templates={("ds", "vmpfc", "0" * 12): {"parcels": [parcel]}},
    )
    texts = dict(pages(told))
    page = texts["alignment.html"]
    assert HOSTILE not in page
    assert page.count('class="line dot c0"') == 3
    assert page.count("<polyline") == 3
    assert "0.50 → 0.80 (0.50)" in page
    assert ("blocks of grey matter" in page) == (method == "connectivity")
    assert 'href="alignment.html"' in texts["index.html"]
    without = dict(pages(corpus(3, Shelf(tmp_path))))
    assert "alignment.html" not in without
    assert 'href="alignment.html"' not in without["index.html"]
    assert not re.search(r"nan|None", re.sub(r"<[^>]*>", "", page))
