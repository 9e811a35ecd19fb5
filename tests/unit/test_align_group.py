"""Groups of regions: what is fitted on, what counts as shared, who is left out, who is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from braindata.align import ConnectivityHyperalignment, Piecewise, ResponseHyperalignment
from braindata.align.connectivity import connectome
from braindata.align.evaluation import DECODING, MATCHING
from braindata.align.group import NO_OTHERS, TOO_FEW, fit_group, score_group
from braindata.align.parameters import AlignParameters, AlignSettings, find_groups
from braindata.align.sharing import Shown, why_not_shared
from braindata.align.split import Run, split_runs
from braindata.align.template import load_templates, save_template, save_templates
from braindata.config_regions import load_regions
from braindata.errors import DamageError, DataError, UsageError
from tests.unit.align_data import gains_and_losses, scrambled

SPHERES = Path(__file__).parents[2] / "config" / "regions" / "spheres"


def run(subject: str, rest: str, n_volumes: int = 100, fits: bool = True) -> Run:
    return Run(subject, f"{subject}_{rest}_bold", n_volumes, fits)


def names(pieces: list) -> list[str]:
    return sorted({piece.name for piece in pieces})


def test_named_recordings_are_fitted_on_and_the_others_scored() -> None:
    runs = [run("sub-01", "task-film", fits=True), run("sub-01", "task-x_run-1", fits=False)]
    fit, score = split_runs(runs)
    assert (names(fit), names(score)) == (["task-film"], ["task-x_run-1"])
    assert all(piece.is_whole for piece in [*fit, *score])


def test_the_earlier_half_of_the_runs_is_fitted_on() -> None:
    runs = [run(s, f"task-x_run-{n}") for s in ("sub-01", "sub-02") for n in (10, 2, 1)]
    # Somebody with the last run alone has nothing to be fitted on.
    runs.append(run("sub-03", "task-x_run-10"))
    fit, score = split_runs(runs)
    assert (names(fit), names(score)) == (["task-x_run-1", "task-x_run-2"], ["task-x_run-10"])
    assert {piece.run.subject for piece in fit} == {"sub-01", "sub-02"}


def test_an_only_run_is_cut_at_the_same_volume_for_everybody() -> None:
    fit, score = split_runs([run("sub-01", "task-x", 100), run("sub-02", "task-x", 40)])
    assert [(p.run.subject, p.start, p.stop) for p in fit] == [("sub-01", 0, 50), ("sub-02", 0, 40)]
    assert [(p.run.subject, p.start, p.stop) for p in score] == [("sub-01", 50, 100)]
    assert names(fit) == ["task-x:1"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sub-01", "sub-02", "sub-03"]),
            st.sampled_from(["task-a", "task-b_run-1", "task-b_run-2", "task-b_run-11"]),
            st.integers(1, 300),
            st.booleans(),
        ),
        max_size=12,
        unique_by=lambda one: one[:2],
    )
)
def test_no_volume_is_both_fitted_on_and_scored(told: list) -> None:
    runs = [run(*one) for one in told]
    fit, score = split_runs(runs)
    seen = [
        {(p.run.recording, v) for p in pieces for v in range(p.start, p.stop)}
        for pieces in (fit, score)
    ]
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == {(r.recording, v) for r in runs for v in range(r.n_volumes)}
    assert (fit, score) == split_runs(runs[::-1])


def shown(subject: str, onsets: list[float], kinds: list[str] | None, tr: float = 2.0) -> Shown:
    events = {"onset": onsets} if kinds is None else {"onset": onsets, "trial_type": kinds}
    return Shown(subject, "task-x", tr, pd.DataFrame(events))


ONE = shown("sub-01", [1.0, 5.0], ["a", "b"])


def test_the_same_events_are_a_shared_stimulus() -> None:
    assert why_not_shared([ONE, shown("sub-02", [1.1, 5.2], ["a", "b"])]) is None


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (shown("sub-02", [1.0, 5.4], ["a", "b"]), "onsets are up to 0.40 s apart"),
        (shown("sub-02", [1.0, 5.0], ["b", "a"]), "other values of trial_type"),
        (shown("sub-02", [1.0], ["a"]), "2 and 1 events"),
        (shown("sub-02", [1.0, 5.0], ["a", "b"], tr=1.5), "repetition times of 2 s and 1.5 s"),
        (shown("sub-02", [1.0, np.nan], ["a", "b"]), "an onset is not known"),
        (shown("sub-02", [1.0, 5.0], None), "no column trial_type or stim_file"),
        (Shown("sub-02", "task-x", 2.0, None), "has no events in sub-02"),
        (Shown("sub-02", "task-y", 2.0, None), "no two people have a run of the same name"),
    ],
)
def test_in_doubt_nothing_is_shared(other: Shown, why: str) -> None:
    said = why_not_shared([ONE, other])
    assert said is not None
    assert why in said
    assert why_not_shared([other, ONE]) is not None


def test_groups_are_levels_and_regions() -> None:
    regions = load_regions(str(SPHERES))
    assert find_groups(regions, []) == []
    groups = find_groups(regions, ["levels", "regions"])
    assert len(groups) == 4 + 18
    assert [g.name for g in groups[:4]] == ["execution", "integration", "perception", "valuation"]
    assert [g.key for g in groups] == [
        g.key for g in find_groups(regions[::-1], ["regions", "levels"])
    ]
    assert [g.name for g in find_groups(regions, ["vmpfc", "valuation"])] == ["valuation", "vmpfc"]
    valuation = groups[3]
    assert len(valuation.parts) == 5
    assert len({g.key for g in groups}) == 22
    with pytest.raises(UsageError, match="there is no vmpcf") as caught:
        find_groups(regions, ["vmpcf"])
    assert caught.value.hint == "did you mean vmpfc?"
    taken = regions[0].model_copy(update={"name": "valuation"})
    with pytest.raises(UsageError, match="a region has the name valuation"):
        find_groups([*regions, taken], ["levels"])
    with pytest.raises(ValidationError, match="listed twice"):
        AlignParameters(groups=("levels", "levels"))


LABELS = np.repeat([1, 2], 15)


def make() -> Piecewise:
    return Piecewise(lambda h: ResponseHyperalignment(parcellation=h), LABELS, {1: "a", 2: "b"})


def test_somebody_with_too_little_is_left_out_of_all_parcels() -> None:
    data = scrambled()
    data["02"] = {"run-1": data["02"]["run-1"][:5]}
    model = make().fit(data)
    assert list(model.left_out_) == ["02"]
    assert "5 volumes, and 10 are needed" in model.left_out_["02"]
    assert model.maps_ == ["01", "03", "04", "05"]
    assert [one.template_.parcellation for one in model.models_.values()] == ["a", "b"]
    with pytest.raises(DataError, match="'02' has no map: 5 volumes"):
        model.transform("02", data["02"]["run-1"])


def test_a_person_enters_all_parcels_or_none() -> None:
    data = scrambled()
    model = make().fit({s: data[s] for s in ("01", "02", "03")})
    broken = {"run-1": data["04"]["run-1"].copy()}
    broken["run-1"][:, LABELS == 2] = 0
    with pytest.raises(DataError, match="constant"):
        model.fit_subject("04", broken)
    assert model.maps_ == ["01", "02", "03"]
    assert all("04" not in one.maps_ for one in model.models_.values())
    assert "04" in model.fit_subject("04", data["04"]).maps_


def test_who_cannot_be_aligned_has_a_reason() -> None:
    data = scrambled(n_subjects=7)
    data["02"] = {}
    data["03"]["run-1"][4, 3] = np.nan
    data["04"] = {"other": data["04"]["run-1"]}
    data["05"] = {"run-1": data["05"]["run-1"] * np.where(LABELS == 2, 0, 1).astype(np.float32)}
    fitted = fit_group(make, data, LABELS, shared=True)
    assert fitted.aligned == ["01", "06", "07"]
    told = {
        "02": "no recording that maps are fitted on can be used",
        "03": "NaN or infinite values in 1 voxels",
        "04": "no run in common with the other people",
        "05": "all voxels of subject '05' are constant",
    }
    assert fitted.left_out.keys() == told.keys()
    assert all(words in fitted.left_out[subject] for subject, words in told.items())


def test_fewer_than_two_people_are_nobody() -> None:
    data = scrambled(n_subjects=3)
    fitted = fit_group(make, {"01": data["01"], "02": {}}, LABELS, shared=True)
    assert fitted.model is None
    assert fitted.left_out["01"] == TOO_FEW
    # Members are counted, not those who would enter.
    assert fit_group(make, data, LABELS, ["01"], shared=True).left_out == dict.fromkeys(
        data, TOO_FEW
    )


def test_the_person_scored_is_no_part_of_the_template() -> None:
    films, patterns, labels = gains_and_losses(n_voxels=30, noise=0.5)
    used: list[set[str]] = []

    class Watched(Piecewise):
        def fit(self, data: dict) -> Piecewise:
            used.append(set(data))
            return super().fit(data)

    def watched() -> Piecewise:
        return Watched(lambda h: ResponseHyperalignment(parcellation=h), LABELS)

    people = sorted(films)
    fold = ["film:2", "task-2"]
    fit = {s: {"film:1": films[s]["film"][:100]} for s in people}
    score = {s: {"film:2": films[s]["film"][100:]} for s in people}
    scores = score_group(
        watched, fit, people, score=score, patterns=patterns, labels=labels, fold=fold
    )
    assert used == [set(people) - {subject} for subject in people]
    for metric in (MATCHING, DECODING):
        own = [one for one in scores if one.metric == metric]
        assert [one.subject for one in own] == people
        assert np.mean([one.after for one in own]) > 0.7
        assert np.mean([one.before for one in own]) < 0.6
    assert all(one.ceiling is not None for one in scores)
    two = people[:2]
    alone = score_group(make, fit, two, score=score, patterns={}, labels={}, fold=fold)
    assert {one.reason for one in alone} == {NO_OTHERS}
    # With many people several are left out at once, everybody once.
    used.clear()
    many = {f"{n:02d}": {"film:1": np.random.default_rng(n).random((30, 30))} for n in range(23)}
    score_group(watched, many, sorted(many), score={}, patterns={}, labels={}, fold=fold)
    assert [len(one) for one in used] == [20] * 3 + [21] * 7
    assert set.intersection(*used) == set()


def test_connectomes_given_are_connectomes_made() -> None:
    data = scrambled(seed=4)
    rng = np.random.default_rng(0)
    targets = {
        s: {r: x @ rng.standard_normal((30, 12)).astype(np.float32) for r, x in runs.items()}
        for s, runs in data.items()
    }
    one = ConnectivityHyperalignment().fit(data, targets)
    centred = {s: {r: x - x.mean(axis=0) for r, x in runs.items()} for s, runs in data.items()}
    made = {s: {"all": connectome(centred[s], targets[s])} for s in data}
    other = ConnectivityHyperalignment(precomputed=True).fit(made)
    assert np.allclose(one.template_.response, other.template_.response, atol=1e-5)
    with pytest.raises(DataError, match="differ in shape"):
        ConnectivityHyperalignment(precomputed=True).fit(
            {"01": {"a": made["01"]["all"], "b": made["01"]["all"][:4]}, "02": made["02"]}
        )


def test_templates_of_parcels_are_kept_in_one_file(tmp_path: Path) -> None:
    model = make().fit(scrambled())
    templates = {str(label): one.template_ for label, one in model.models_.items()}
    save_templates(templates, tmp_path / "a.npz", {"voxels": LABELS}, {"space": "x"})
    again = load_templates(tmp_path / "a.npz")
    assert {name: one.id for name, one in again.items()} == {
        name: one.id for name, one in templates.items()
    }
    save_template(templates["1"], tmp_path / "b.npz")
    with pytest.raises(DamageError, match="no templates are in this file"):
        load_templates(tmp_path / "b.npz")


def test_settings_that_change_no_result_are_told_to_no_job() -> None:
    one = AlignParameters(groups=("levels",), strategy="compcor", rank="auto", shrinkage=1)
    assert one.settings() == AlignSettings(rank="auto", shrinkage=1)
    with pytest.raises(ValidationError):
        AlignParameters(shrinkage=0)
