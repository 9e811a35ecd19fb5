"""The three estimators: what they recover, what they refuse, and what stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from braindata.align import (
    ConnectivityHyperalignment,
    DeterministicSRM,
    Piecewise,
    ResponseHyperalignment,
    balanced_parcels,
    load_maps,
    load_template,
    save_maps,
    save_template,
)
from braindata.align.procrustes import Person
from braindata.align.selection import held_out_matching
from braindata.align.shared import _step_apart, _step_together, principal_times
from braindata.errors import DamageError, DataError, UsageError
from tests.unit.align_data import scrambled

PLAIN = {"shrinkage": 1.0, "weighting": False}
MODELS = {
    "response": lambda **k: ResponseHyperalignment(**k),
    "srm": lambda **k: DeterministicSRM(6, **k),
}


def split(data, run):
    fit = {s: {r: x for r, x in runs.items() if r != run} for s, runs in data.items()}
    return fit, {s: {run: runs[run]} for s, runs in data.items()}


@pytest.mark.parametrize("settings", [PLAIN, {}], ids=["plain", "whitened"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n_voxels", [30, 150])
def test_held_out_moments_are_found(name, settings, n_voxels):
    # More volumes than voxels, and fewer (the thin form).
    data = scrambled(n_voxels=n_voxels)
    fit, score = split(data, "run-2")
    model = MODELS[name](**settings).fit(fit)
    assert held_out_matching(model, score) > 0.95
    assert model.transform("01", data["01"]["run-2"]).shape == (120, model.template_.rank)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("settings", [PLAIN, {}], ids=["plain", "whitened"])
def test_the_way_back(name, settings):
    data = scrambled(noise=0.0, n_voxels=20)
    model = MODELS[name](**settings).fit(data)
    own = data["02"]["run-1"]
    again = model.inverse_transform("02", model.transform("02", own))
    assert np.abs(again - own).max() < 0.02 * np.abs(own).max()


def test_response_equals_textbook_procrustes():
    rng = np.random.default_rng(7)
    everybody = rng.standard_normal((3, 80, 12))
    data = {str(n): {"run": series} for n, series in enumerate(everybody)}
    model = ResponseHyperalignment(
        n_iter=2, start="anatomy", **PLAIN, center=False, dtype="float64"
    ).fit(data)
    mean = everybody.mean(axis=0)
    for _ in range(2):
        maps = []
        for series in everybody:
            left, _, right = np.linalg.svd(series.T @ mean)
            maps.append(left @ right)
        mean = np.mean([x @ m for x, m in zip(everybody, maps, strict=True)], axis=0)
    for number, expected in enumerate(maps):
        assert np.allclose(model.maps_[str(number)].matrix(), expected, atol=1e-9)
    assert np.allclose(model.template_.response, mean, atol=1e-9)


def test_srm_equals_chen_in_full_space():
    # Chen et al.'s alternation over whole matrices, from the same start: as much explained.
    data = scrambled(noise=1.0, n_voxels=25, runs=("run",), seed=3)
    model = DeterministicSRM(6, n_iter=30, **PLAIN).fit(data)
    series = [x["run"] - x["run"].mean(axis=0) for x in data.values()]
    shared = principal_times([Person(x, np.arange(120)) for x in series], 120, 6, 0)
    for _ in range(30):
        maps = []
        for x in series:
            left, _, right = np.linalg.svd(x.T @ shared, full_matrices=False)
            maps.append(left @ right)
        shared = np.mean([x @ w for x, w in zip(series, maps, strict=True)], axis=0)
    theirs = sum(((x - shared @ w.T) ** 2).sum() for x, w in zip(series, maps, strict=True))
    response = model.template_.response
    ours = sum(
        ((x - response @ model.maps_[s].matrix().T) ** 2).sum()
        for s, x in zip(data, series, strict=True)
    )
    assert ours == pytest.approx(theirs, rel=0.01)
    for s in data:
        basis = model.maps_[s].matrix()
        assert np.allclose(basis.T @ basis, np.eye(6), atol=1e-5)


def test_a_round_for_all_people_at_once_equals_one_by_one() -> None:
    rng = np.random.default_rng(4)
    people = [Person(rng.standard_normal((50, n)), np.arange(50)) for n in (30, 41, 25)]
    response = rng.standard_normal((50, 6))
    bases, mean = _step_together(people)(response)
    expected, expected_mean = _step_apart(people, 50)(response)
    for found, one in zip(bases, expected, strict=True):
        np.testing.assert_allclose(found, one, atol=1e-12)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_new_person_touches_nobody(name):
    data = scrambled()
    fit, score = split(data, "run-2")
    model = MODELS[name]().fit({s: r for s, r in fit.items() if s != "03"})
    before = {s: m.matrix().tobytes() for s, m in model.maps_.items()}
    template = model.template_.id
    model.fit_subject("03", fit["03"])
    assert {s: m.matrix().tobytes() for s, m in model.maps_.items() if s != "03"} == before
    assert model.template_.id == template
    assert "03" not in model.template_.members
    assert held_out_matching(model, score) > 0.95
    with pytest.raises(DataError, match="has a map already"):
        model.fit_subject("03", fit["03"])
    with pytest.raises(ValueError, match="read-only"):
        model.template_.response[0] = 0


@pytest.mark.parametrize("name", MODELS)
def test_voxels_runs_and_lengths_may_differ(name):
    data = scrambled(runs=("run-1", "run-2", "run-3"))
    data["01"] = {r: x[:, :22] for r, x in data["01"].items()}
    del data["02"]["run-1"]
    data["03"]["run-2"] = data["03"]["run-2"][:70]
    fit, score = split(data, "run-3")
    model = MODELS[name]().fit(fit)
    assert held_out_matching(model, score) > 0.9
    assert dict(model.template_.fitted_on)["02"] == ("run-2",)
    assert model.transform("01", data["01"]["run-3"]).shape[1] == model.template_.rank


@pytest.mark.parametrize("name", MODELS)
def test_constant_and_doubled_voxels(name):
    data = scrambled()
    for runs in data.values():
        for series in runs.values():
            series[:, 3] = 7.0
            series[:, 5] = series[:, 4]
    fit, score = split(data, "run-2")
    model = MODELS[name](**PLAIN).fit(fit)
    assert np.isfinite(model.maps_["01"].matrix()).all()
    # What never varied says nothing.
    assert np.abs(model.maps_["01"].matrix()[3]).max() < 1e-4
    assert held_out_matching(model, score) > 0.95


def test_the_prior_helps_who_has_little_data():
    # Voxels nearly in place, much noise: ten volumes say less than anatomy does.
    rng = np.random.default_rng(11)
    shared = rng.standard_normal((400, 20))
    data = {}
    for number in range(6):
        turn = np.linalg.qr(np.eye(20) + 0.05 * rng.standard_normal((20, 20)))[0]
        turn *= np.sign(np.diag(turn))
        series = shared @ turn + rng.standard_normal((400, 20))
        data[f"{number}"] = {"fit": series[:200], "score": series[200:]}
    fit, score = split(data, "score")
    fit["0"] = {"fit": fit["0"]["fit"][:15]}
    found = []
    for prior in (0.0, 2.0):
        model = ResponseHyperalignment(**PLAIN, prior=prior).fit(
            {s: r for s, r in fit.items() if s != "0"}
        )
        model.fit_subject("0", fit["0"])
        mean = np.mean([model.transform(s, score[s]["score"]) for s in "12345"], axis=0)
        found.append(np.corrcoef(model.transform("0", score["0"]["score"]).ravel(), mean.ravel()))
    assert found[1][0, 1] > found[0][0, 1] + 0.1
    # On inner runs of little data, it is chosen.
    little = {s: {r: x[:30] for r, x in runs.items()} for s, runs in data.items()}
    model = ResponseHyperalignment(**PLAIN, prior="auto").fit(little)
    assert model.prior_ > 0
    with pytest.raises(DataError, match="the prior needs the same voxels"):
        ResponseHyperalignment(prior=1.0).fit(data | {"0": {"fit": data["0"]["fit"][:, :9]}})


def test_rank_is_chosen_on_inner_runs():
    data = scrambled(n_voxels=60, rank=12, noise=1.0, n_subjects=4)
    model = DeterministicSRM("auto", **PLAIN).fit(data)
    assert model.rank_ in (10, 20)
    assert model.template_.parameters["rank_chosen"] == model.rank_


def test_whitening_is_chosen_where_one_wave_drowns_the_rest():
    # All voxels go with one slow wave, and the fine responses are small beside it.
    rng = np.random.default_rng(9)
    data = scrambled(n_subjects=4, noise=0.3)
    for runs in data.values():
        for series in runs.values():
            wave = np.cumsum(rng.standard_normal((len(series), 1)), axis=0)
            series += 8 * (wave - wave.mean()).astype(np.float32)
    fit, score = split(data, "run-2")
    model = ResponseHyperalignment(shrinkage="auto").fit(fit)
    assert model.shrinkage_ < 1
    assert model.template_.parameters["shrinkage"] == "auto"
    assert model.template_.parameters["shrinkage_chosen"] == model.shrinkage_
    plain = ResponseHyperalignment(**PLAIN).fit(fit)
    assert held_out_matching(model, score, 3) > held_out_matching(plain, score, 3) + 0.2
    with pytest.raises(UsageError, match="need not share any"):
        ConnectivityHyperalignment(shrinkage="auto")


def test_connectivity_aligns_who_saw_different_things():
    # Voxels listen to parcels; whom a voxel listens to is what people share, in other places.
    rng = np.random.default_rng(5)
    wiring = rng.standard_normal((30, 12))
    data, targets, moment = {}, {}, {}
    common = rng.standard_normal((100, 30))
    for number in range(5):
        turn = np.linalg.qr(rng.standard_normal((12, 12)))[0]
        name = str(number)
        drive = rng.standard_normal((300, 30))
        noise = rng.standard_normal((400, 12))
        data[name] = {f"own-{name}": drive @ wiring @ turn + noise[:300]}
        targets[name] = {f"own-{name}": drive}
        moment[name] = {"film": common @ wiring @ turn + noise[300:]}
    with pytest.raises(DataError, match="ConnectivityHyperalignment"):
        ResponseHyperalignment().fit(data)
    model = ConnectivityHyperalignment(**PLAIN)
    model.fit({s: data[s] for s in "1234"}, {s: targets[s] for s in "1234"})
    model.fit_subject("0", data["0"], targets["0"])
    assert held_out_matching(model, moment) > 0.95
    with pytest.raises(UsageError, match="no targets"):
        ConnectivityHyperalignment().fit(data)


def test_own_parcels_as_targets():
    data = scrambled(n_voxels=24)
    labels = np.repeat(np.arange(1, 13), 2)
    model = ConnectivityHyperalignment(labels, **PLAIN).fit(data)
    assert model.template_.response.shape == (12, 24)
    # A connectome is Fisher's z of each voxel with each parcel's mean, over both runs.
    runs = [x - x.mean(axis=0) for x in data["01"].values()]
    z = [np.arctanh(np.corrcoef(x[:, :2].mean(axis=1), x[:, 9])[0, 1]) for x in runs]
    found = model._check("01", data["01"])["targets"]
    assert found[0, 9] == pytest.approx(np.mean(z), abs=1e-5)


def nan_in(data):
    data["02"]["run-1"][4, 5] = np.nan
    return data


def constant(data):
    data["02"] = {run: np.ones_like(x) for run, x in data["02"].items()}
    return data


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: {"01": d["01"]}, "at least two people"),
        (lambda d: {s: {f"{s}-{r}": x for r, x in p.items()} for s, p in d.items()}, "share a run"),
        (
            lambda d: d | {s: {f"other-{r}": x for r, x in d[s].items()} for s in ("04", "05")},
            "without a common stimulus: 01, 02, 03 and 04, 05",
        ),
        (nan_in, "run 'run-1' of subject '02' holds NaN or infinite values in 1 voxels"),
        (constant, "all voxels of subject '02' are constant"),
        (lambda d: d | {"02": {}}, "'02' has no runs"),
        (lambda d: d | {"02": {"run-1": np.zeros(5)}}, "not \\(time, voxels\\)"),
        (
            lambda d: d | {"02": {"run-1": d["02"]["run-1"], "run-2": d["02"]["run-2"][:, 1:]}},
            "differ in their numbers of voxels",
        ),
        (lambda d: {s: {r: x[:4] for r, x in p.items()} for s, p in d.items()}, "enough data"),
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_bad_input(name, spoil, message):
    with pytest.raises(DataError, match=message):
        MODELS[name]().fit(spoil(scrambled()))


def test_fewer_volumes_than_rank():
    data = {s: {r: x[:15] for r, x in p.items()} for s, p in scrambled(n_voxels=60).items()}
    with pytest.raises(DataError, match="30 volumes, fewer than the rank of 40"):
        DeterministicSRM(40).fit(data)
    with pytest.raises(DataError, match="30 voxels, fewer than the rank of 40"):
        DeterministicSRM(40).fit(scrambled())


def test_too_little_data_leaves_one_unaligned():
    data = scrambled()
    data["04"] = {"run-1": data["04"]["run-1"][:5]}
    model = ResponseHyperalignment().fit(data)
    assert model.left_out_ == {"04": "5 volumes, and 10 are needed"}
    assert "04" not in model.template_.members
    with pytest.raises(DataError, match="'04' has no map: 5 volumes"):
        model.transform("04", data["04"]["run-1"])
    with pytest.raises(DataError, match="too little data"):
        model.fit_subject("09", data["04"])


def test_runs_that_contradict_the_template():
    data = scrambled()
    model = DeterministicSRM(6).fit(data)
    with pytest.raises(DataError, match="runs \\['rest'\\] of subject '09' are not among"):
        model.fit_subject("09", {"rest": data["01"]["run-1"]})
    with pytest.raises(DataError, match="the map of subject '01' is for 30 voxels"):
        model.transform("01", np.zeros((5, 29)))
    with pytest.raises(DataError, match="the template has 6 dimensions"):
        model.inverse_transform("01", np.zeros((5, 7)))
    with pytest.raises(UsageError, match="call fit first"):
        DeterministicSRM(6).transform("01", np.zeros((5, 29)))


@pytest.mark.parametrize(
    "wrong", [{"shrinkage": 0}, {"prior": -1}, {"dtype": "int8"}, {"n_iter": 0}, {"rank": 0}]
)
def test_wrong_parameters(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        DeterministicSRM(**wrong)


def test_templates_are_saved_as_the_same_bytes(tmp_path):
    data = scrambled()
    ids = []
    for name in ("one", "two"):
        model = DeterministicSRM(6, seed=4, parcellation="abc").fit(data)
        save_template(model.template_, tmp_path / f"{name}.npz")
        ids.append(model.template_.id)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    again = load_template(tmp_path / "one.npz")
    assert again.id == ids[0] == ids[1]
    assert again.members == ("01", "02", "03", "04", "05")
    assert again.seed == 4
    assert again.parcellation == "abc"
    assert again.rank == 6
    assert again.versions["numpy"] == np.__version__
    other = DeterministicSRM(6, seed=4).fit({s: p for s, p in data.items() if s != "05"})
    assert other.template_.id != again.id
    (tmp_path / "bad.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:500])
    with pytest.raises(DamageError, match="no template or maps can be read"):
        load_template(tmp_path / "bad.npz")


@pytest.mark.parametrize("settings", [{**PLAIN, "scaling": True}, {}], ids=["scaled", "whitened"])
def test_maps_of_all_are_kept_in_one_file(tmp_path, settings):
    data = scrambled(n_voxels=150)
    labels = np.repeat([1, 2], 75)
    model = Piecewise(lambda h: ResponseHyperalignment(**settings), labels).fit(data)
    maps = {str(label): one.maps_ for label, one in model.models_.items()}
    save_maps(maps, tmp_path / "one.npz")
    again = load_maps(tmp_path / "one.npz")
    assert sorted(again) == ["1", "2"]
    for parcel, people in maps.items():
        for subject, one in people.items():
            assert np.array_equal(again[parcel][subject].matrix(), one.matrix())
            assert again[parcel][subject].runs == ("run-1", "run-2")
    save_maps(again, tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_parcels_are_balanced_compact_and_the_same_everywhere():
    grid = np.stack(np.meshgrid(*[np.arange(n) * 3.0 for n in (20, 15, 10)]), -1).reshape(-1, 3)
    labels = balanced_parcels(grid, 250)
    sizes = np.bincount(labels)[1:]
    assert len(sizes) == 12
    assert sizes.sum() == 3000
    assert sizes.min() >= 200
    assert sizes.max() <= 300
    # Compact: parcels as thick as they are long.
    for label in range(1, 13):
        assert np.ptp(grid[labels == label], axis=0).max() <= 36
    order = np.random.default_rng(0).permutation(len(grid))
    moved = balanced_parcels(grid[order] + [100, -30, 12], 250)
    assert sorted(np.bincount(moved)[1:]) == sorted(sizes)
    assert (balanced_parcels(grid[:40], 250) == 1).all()


def test_piecewise_is_each_parcel_by_itself():
    data = scrambled(n_voxels=40)
    labels = np.repeat([2, 1, 0, 2], 10)
    whole = Piecewise(lambda h: ResponseHyperalignment(**PLAIN, parcellation=h), labels)
    whole.fit({s: p for s, p in data.items() if s != "05"}).fit_subject("05", data["05"])
    for label, columns in ((1, slice(0, 10)), (2, slice(10, 30))):
        index = np.flatnonzero(labels == label)
        part = {s: {r: x[:, index] for r, x in p.items()} for s, p in data.items()}
        alone = ResponseHyperalignment(**PLAIN).fit({s: p for s, p in part.items() if s != "05"})
        alone.fit_subject("05", part["05"])
        for subject in ("01", "05"):
            assert np.array_equal(
                whole.transform(subject, data[subject]["run-1"])[:, columns],
                alone.transform(subject, part[subject]["run-1"]),
            )
    back = whole.inverse_transform("01", whole.transform("01", data["01"]["run-1"]))
    assert np.allclose(back[:, labels > 0], data["01"]["run-1"][:, labels > 0], atol=1e-3)
    assert not back[:, labels == 0].any()
    # Other labels elsewhere leave a parcel's template the same one.
    other = Piecewise(
        lambda h: ResponseHyperalignment(**PLAIN, parcellation=h), np.repeat([3, 1, 4, 4], 10)
    ).fit({s: p for s, p in data.items() if s != "05"})
    assert other.models_[1].template_.id == whole.models_[1].template_.id


@pytest.mark.parametrize("order", ["F", "strided"])
def test_a_template_does_not_depend_on_how_memory_lies(order: str) -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((60, 5))
    people = {s: {"film": shared @ rng.standard_normal((5, 30))} for s in ("01", "02", "03")}
    wide = np.zeros((120, 60))
    wide[::2, ::2] = people["01"]["film"]
    other = np.asfortranarray(people["01"]["film"]) if order == "F" else wide[::2, ::2]
    plain = ResponseHyperalignment().fit(people)
    moved = ResponseHyperalignment().fit(people | {"01": {"film": other}})
    assert moved.template_.id == plain.template_.id


@pytest.mark.parametrize("scale", [1e-13, 1e9, 1e30])
def test_values_whose_products_are_lost_are_refused(scale: float) -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((60, 5))
    people = {s: {"film": shared @ rng.standard_normal((5, 30))} for s in ("01", "02", "03")}
    scaled = {s: {"film": runs["film"] * scale} for s, runs in people.items()}
    with pytest.raises(DataError, match="size of"):
        ResponseHyperalignment().fit(scaled)
    # Volts are well within; and in double precision teslas too.
    volts = {s: {"film": runs["film"] * 1e-6} for s, runs in people.items()}
    after, before = ResponseHyperalignment().fit(volts), ResponseHyperalignment().fit(people)
    np.testing.assert_allclose(
        after.transform("01", volts["01"]["film"]) * 1e6,
        before.transform("01", people["01"]["film"]),
        atol=0.02,
    )
