"""Signals: recovery, honest evidence, no leakage, bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from braindata.config import parse_config
from braindata.config_regions import load_regions
from braindata.derive.signal_parameters import STANDARD_PROCESSES
from braindata.derive.signal_tables import CONSTANT, NO_TARGET, Process, derive_signals
from braindata.derive.signals import (
    MIN_OTHERS,
    MIN_TRIALS,
    Activity,
    Signals,
    estimate_signals,
)
from braindata.errors import UsageError
from braindata.latents.names import LATENT_NAMES
from braindata.latents.registry import MODELS
from braindata.layout import Layout
from braindata.planning_signals import SignalPlan
from braindata.receipts import Receipt, receipt_beside
from braindata.stages import signals as stage
from braindata.tables.schemas.latents import LATENTS
from braindata.tables.schemas.signals import SIGNAL_FITS, SIGNALS
from braindata.tables.schemas.trials import TRIALS
from braindata.tables.shards import read_shard, write_shard
from tests.bench.signal_phantom import PROCESSES, Phantom, simulate


def people(
    n_people: int = 8, n_trials: int = 40, r: float = 0.4, n_regions: int = 2, seed: int = 0
) -> list[Activity]:
    """Regions of which the first follows the target, at some correlation."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n_people):
        target = rng.standard_normal(n_trials)
        estimate = rng.standard_normal((n_trials, n_regions))
        estimate[:, 0] = r * target + np.sqrt(1 - r**2) * estimate[:, 0]
        # Units, and the level, differ between people and regions.
        estimate = estimate * rng.uniform(0.1, 3, n_regions) + rng.normal(0, 5, n_regions)
        made.append(
            Activity(
                f"sub-{i:02d}_bold", f"{i:02d}", estimate, np.full(estimate.shape, 0.5), target
            )
        )
    return made


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [simulate(seed, 20) for seed in range(3)]


@pytest.mark.parametrize("name", list(PROCESSES))
def test_what_is_planted_is_recovered(phantoms: list[Phantom], name: str) -> None:
    regions, target = PROCESSES[name]
    true = np.tanh(np.mean([phantom.analytic[name] for phantom in phantoms]))
    held, found = 0, []
    for phantom in phantoms:
        trials = [phantom.trials[region] for region in regions]
        signals, fits = derive_signals(Process(name, (target,)), trials, phantom.latents)
        row = signals.slice(0, 1).to_pylist()[0]
        held += row["evidence_lower"] <= true <= row["evidence_upper"]
        found.append(row["evidence_r"])
        assert row["evidence_people"] == 20
        assert row["target_model"] == "q_learning"
        assert (row["evidence_p"] <= 0.05) == (name != "nothing")
        assert signals["estimate"].null_count == 0
        for person in set(fits["subject"].to_pylist()):
            own = fits.filter(pc.equal(fits["subject"], person)).to_pylist()
            assert len(own) == len(regions)
            assert f"sub-{person}" not in own[0]["fitted_on"]
            assert len(own[0]["fitted_on"]) == 19
    # Of three intervals of 95 %; the bench counts 40.
    assert held >= 2
    assert np.mean(found) == pytest.approx(true, abs=0.06)


def test_the_interval_holds_nothing_where_there_is_nothing() -> None:
    # Weights of which chance alone decides the sign would hold 0 in 80 % of these.
    held = {1: 0, 3: 0}
    n = 100
    for n_regions in held:
        for seed in range(n):
            found = _without_permutations(people(12, 40, 0.0, n_regions, seed))
            evidence = found.evidence
            assert evidence.lower is not None
            assert evidence.upper is not None
            held[n_regions] += evidence.lower <= 0 <= evidence.upper
    assert min(held.values()) >= 0.9 * n


def _without_permutations(recordings: list[Activity]) -> Signals:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("braindata.derive.signals.N_PERMUTATIONS", 1)
        return estimate_signals(recordings)


def test_people_are_the_sample_not_trials() -> None:
    # Half follow the target and half its opposite: over trials that would be certain either way.
    recordings = [
        replace(one, target=one.target * (1 if i % 2 else -1))
        for i, one in enumerate(people(12, 400, 0.7, 1))
    ]
    evidence = estimate_signals(recordings).evidence
    assert evidence.lower is not None
    assert evidence.upper is not None
    assert evidence.lower < -0.4
    assert evidence.upper > 0.4


def test_weights_find_the_region_that_says_something() -> None:
    found = estimate_signals(people(20, 100, 0.5, 3))
    weights = np.array([one.values for one in found.weights.values()])
    assert np.abs(weights).sum(axis=1) == pytest.approx(1)
    assert (weights[:, 0] > 2 * np.abs(weights[:, 1:]).max(axis=1)).all()
    assert found.evidence.r == pytest.approx(0.5, abs=0.06)
    # A region that falls with the target has a negative weight, where others say so clearly.
    opposite = [replace(one, target=-one.target) for one in people(20, 100, 0.5, 1)]
    found = estimate_signals(opposite)
    assert all(one.values[0] == -1 for one in found.weights.values())
    assert found.evidence.r == pytest.approx(0.5, abs=0.06)


def test_a_person_s_own_behaviour_changes_nothing_of_their_estimates() -> None:
    recordings = people()
    before = estimate_signals(recordings)
    rng = np.random.default_rng(1)
    other = replace(recordings[0], target=rng.standard_normal(40))
    after = estimate_signals([other, *recordings[1:]])
    assert (after.estimates[0] == before.estimates[0]).all()
    assert (after.estimates[1] != before.estimates[1]).any()
    assert before.weights["00"].fitted_on == tuple(f"{i:02d}" for i in range(1, 8))


def test_units_levels_and_order_do_not_matter() -> None:
    recordings = people()
    found = estimate_signals(recordings)
    scaled = [
        replace(one, estimate=3 * one.estimate + 7, error=3 * one.error, target=2 * one.target - 1)
        for one in recordings
    ]
    other = estimate_signals(scaled[::-1])
    assert other.evidence.r == pytest.approx(found.evidence.r)
    assert other.evidence.p == found.evidence.p
    for one, two in zip(found.estimates, other.estimates[::-1], strict=True):
        assert two == pytest.approx(one)
    for one, two in zip(found.errors, other.errors[::-1], strict=True):
        assert two == pytest.approx(one)


def test_standard_errors_are_those_of_the_estimates() -> None:
    # The same trials over and over, with noise that both regions share in part.
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((60, 2)) * 0.2
    covariance = np.array([[1.0, 0.6], [0.6, 1.0]])
    shared = np.linalg.cholesky(covariance)
    made, errors = [], []
    for _ in range(300):
        estimate = signal + rng.standard_normal((60, 2)) @ shared.T
        one = Activity("a", "01", estimate, np.ones((60, 2)), np.full(60, np.nan))
        found = estimate_signals([one])
        made.append(found.estimates[0])
        errors.append(found.errors[0])
    assert np.mean(errors) == pytest.approx(np.std(made, axis=0).mean(), rel=0.05)


def test_the_p_value_is_that_of_chance_where_trials_resemble_their_neighbours() -> None:
    rng = np.random.default_rng(3)
    low = []
    for _ in range(60):
        recordings = []
        for i in range(6):
            walks = np.cumsum(rng.standard_normal((60, 2)), axis=0)
            smooth = walks - pd.DataFrame(walks).rolling(15, 1, center=True).mean().to_numpy()
            recordings.append(
                Activity(f"{i}", f"{i}", smooth[:, :1], np.ones((60, 1)), smooth[:, 1])
            )
        low.append((estimate_signals(recordings).evidence.p or 0) <= 0.05)
    assert np.mean(low) <= 0.1


@pytest.mark.parametrize(
    ("n_people", "n_trials", "n_others"), [(MIN_OTHERS, 40, 0), (1, 40, 0), (8, 3, 0)]
)
def test_too_few_people_or_trials(n_people: int, n_trials: int, n_others: int) -> None:
    found = estimate_signals(people(n_people, n_trials))
    assert found.evidence.r is None
    assert "at least 4 must" in str(found.evidence.reason)
    for weights in found.weights.values():
        assert weights.values == pytest.approx(0.5)
        assert len(weights.fitted_on) == n_others
    assert all(np.isfinite(one).all() for one in found.estimates)


def test_who_has_three_trials_is_estimated_by_the_others() -> None:
    recordings = people()
    few = Activity("few", "99", recordings[0].estimate[:3], recordings[0].error[:3], np.arange(3.0))
    found = estimate_signals([*recordings, few])
    assert found.evidence == estimate_signals(recordings).evidence
    assert len(found.weights["99"].fitted_on) == 8
    assert found.weights["99"].r is None
    assert np.isfinite(found.estimates[-1]).all()


def trials_of(region: str, recordings: list[Activity], column: int, **other: object) -> pa.Table:
    rows = [
        {
            "dataset": "ds",
            "recording": one.recording,
            "subject": one.subject,
            "task": "t",
            "trial": i,
            "region": region,
            "definition_hash": f"{region}hash",
            "model": "lss",
            "columns": f'{{"points": {one.target[i]}, "word": "a"}}',
            "outcome": "win",
            "estimate": None if np.isnan(estimate) else float(estimate),
            "estimate_se": 0.5,
            "reason": "it starts late" if np.isnan(estimate) else None,
        }
        | other
        for one in recordings
        for i, estimate in enumerate(one.estimate[:, column])
    ]
    return pa.Table.from_pylist(rows, schema=TRIALS)


NO_LATENTS = LATENTS.empty_table()


def test_columns_of_the_events_are_targets() -> None:
    recordings = people(r=0.6)
    trials = [trials_of(name, recordings, i) for i, name in enumerate(("b", "a"))]
    signals, fits = derive_signals(Process("p", ("column:points",)), trials, NO_LATENTS)
    assert (signals.schema, fits.schema) == (SIGNALS, SIGNAL_FITS)
    row = signals.slice(0, 1).to_pylist()[0]
    assert row["regions"] == ["a", "b"]
    assert row["definition_hashes"] == ["ahash", "bhash"]
    assert (row["target"], row["target_model"]) == ("column:points", None)
    assert row["evidence_r"] == pytest.approx(
        estimate_signals(
            [replace(one, estimate=one.estimate[:, ::-1]) for one in recordings]
        ).evidence.r
    )
    again = derive_signals(Process("p", ("column:points",)), trials[::-1], NO_LATENTS)
    assert again[0].equals(signals)
    assert again[1].equals(fits)


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        ((), NO_TARGET),
        (("latent:value_chosen",), "there is no latent value_chosen with numbers in this task"),
        (("column:outcome", "column:word"), "no column outcome and no column word with numbers"),
    ],
)
def test_nothing_to_compare_with_is_null_and_said(targets: tuple[str, ...], reason: str) -> None:
    trials = [trials_of("a", people(), 0)]
    signals, fits = derive_signals(Process("p", targets), trials, NO_LATENTS)
    row = signals.slice(0, 1).to_pylist()[0]
    assert reason in row["evidence_reason"]
    assert row["evidence_r"] is None
    assert row["target"] is None
    assert row["weighting"] == "equal"
    assert signals["estimate"].null_count == 0
    assert fits.slice(0, 1).to_pylist()[0]["fitted_on"] is None


def test_the_first_target_that_is_there_counts() -> None:
    process = Process("p", ("latent:value_chosen", "column:outcome", "column:points"))
    signals, _ = derive_signals(process, [trials_of("a", people(), 0)], NO_LATENTS)
    assert signals["target"][0].as_py() == "column:points"


def test_missing_and_impossible_values_of_a_column_do_not_count() -> None:
    recordings = people(r=0.6)
    table = trials_of("a", recordings, 0).to_pandas()
    rng = np.random.default_rng(0)
    table["response_time"] = rng.uniform(0.3, 1, len(table))
    # One person lacks the column, one has responded now and then, one has times that cannot be.
    table.loc[table["subject"] == "00", "response_time"] = None
    table.loc[(table["subject"] == "01") & (table["trial"] >= 3), "response_time"] = None
    table.loc[(table["subject"] == "02") & (table["trial"] < 20), "response_time"] = -1.0
    trials = pa.Table.from_pandas(table, schema=TRIALS, preserve_index=False)
    signals, fits = derive_signals(Process("p", ("column:response_time",)), [trials], NO_LATENTS)
    assert fits["n_trials"].to_pylist() == [0, 0, 20, 40, 40, 40, 40, 40]
    assert signals["evidence_people"][0].as_py() == 6
    assert signals["estimate"].null_count == 0
    assert [len(on) for on in fits["fitted_on"].to_pylist()] == [6, 6, 5, 5, 5, 5, 5, 5]


def test_latents_of_which_chance_was_not_beaten_say_nothing() -> None:
    recordings = people()
    rows = [row | {"value": None} for row in latent_rows(recordings, "q_learning", -0.1, 8)]
    latents = pa.Table.from_pylist(rows, schema=LATENTS)
    process = Process("p", ("latent:value_chosen",))
    signals, _ = derive_signals(process, [trials_of("a", recordings, 0)], latents)
    assert signals["evidence_reason"][0].as_py() == (
        "there is no latent value_chosen with numbers in this task"
    )


def test_a_target_that_never_varies_is_none() -> None:
    # One response throughout, as the behaviour may be.
    recordings = [replace(one, target=np.ones(40)) for one in people()]
    signals, _ = derive_signals(
        Process("p", ("column:points",)), [trials_of("a", recordings, 0)], NO_LATENTS
    )
    assert signals["evidence_r"].null_count == len(signals)
    assert "0 people have" in signals["evidence_reason"][0].as_py()
    assert signals["estimate"].null_count == 0


def test_trials_without_a_response_have_a_reason() -> None:
    recordings = people()
    recordings[0].estimate[5, 0] = np.nan
    recordings[1].estimate[:, 1] = 2.0
    trials = [trials_of(name, recordings, i) for i, name in enumerate(("a", "b"))]
    signals, _ = derive_signals(Process("p", ("column:points",)), trials, NO_LATENTS)
    rows = [row for row in signals.to_pylist() if row["estimate"] is None]
    assert [(row["recording"], row["trial"]) for row in rows] == [
        ("sub-00_bold", 5),
        *(("sub-01_bold", i) for i in range(40)),
    ]
    assert rows[0]["reason"] == "a: it starts late"
    assert {row["reason"] for row in rows[1:]} == {CONSTANT}
    assert signals["evidence_people"][0].as_py() == 7


def test_a_region_that_nobody_has_takes_no_part_and_one_that_some_lack_is_told() -> None:
    recordings = people()
    nowhere = trials_of("a", recordings, 0, estimate=None, reason="null series")
    some = trials_of("b", recordings[1:], 1)
    whole = trials_of("c", recordings, 0)
    signals, _ = derive_signals(Process("p"), [nowhere, some, whole], NO_LATENTS)
    assert signals["regions"][0].as_py() == ["b", "c"]
    missing = signals.filter(pc.is_null(signals["estimate"]))
    assert set(missing["recording"].to_pylist()) == {"sub-00_bold"}
    assert set(missing["reason"].to_pylist()) == {"b: the recording has no trials of it"}


def test_tasks_are_apart_and_other_models_do_not_count() -> None:
    recordings = people()
    other = [replace(one, recording=f"{one.recording}-2") for one in people(seed=5)]
    tables = [
        trials_of("a", recordings, 0),
        trials_of("a", other, 0, task=None),
        trials_of("a", recordings, 0, model="erp"),
    ]
    process = Process("p", ("column:points",))
    both, _ = derive_signals(process, [pa.concat_tables(tables)], NO_LATENTS)
    alone, _ = derive_signals(process, tables[:1], NO_LATENTS)
    assert both.filter(pc.equal(both["task"], "t")).equals(alone)
    assert len(both) == 2 * len(alone)


def test_no_trials_no_rows() -> None:
    signals, fits = derive_signals(Process("p"), [TRIALS.empty_table()], NO_LATENTS)
    assert (len(signals), len(fits)) == (0, 0)


def latent_rows(recordings: list[Activity], model: str, gain: float, n: int) -> list[dict]:
    return [
        {
            "dataset": "ds",
            "recording": one.recording,
            "subject": one.subject,
            "task": "t",
            "trial": i,
            "model": model,
            "latent": "value_chosen",
            "value": float(one.target[i]),
            "held_out_log_likelihood": -0.5,
            "chance_log_likelihood": -0.5 - gain,
        }
        for one in recordings[:n]
        for i in range(len(one.target))
    ]


def test_the_model_that_beats_chance_in_most_people_is_taken() -> None:
    recordings = people()
    rows = [
        *latent_rows(recordings, "prospect", 0.9, 5),
        *latent_rows(recordings, "q_learning", 0.1, 8),
        *latent_rows(recordings, "kalman_bandit", 0.2, 8),
    ]
    latents = pa.Table.from_pylist(rows, schema=LATENTS)
    process = Process("p", ("latent:value_chosen",))
    signals, _ = derive_signals(process, [trials_of("a", recordings, 0)], latents)
    assert set(signals["target_model"].to_pylist()) == {"kalman_bandit"}


# --- the mapping and the configuration -------------------------------------------------------


@pytest.fixture(scope="module")
def regions(repository: Path) -> list:
    return load_regions(str(repository / "config/regions/spheres"))


def config(**values: object):
    return parse_config({"datasets": [{"id": "ds", "source": "."}], **values})


def test_every_process_of_every_region_is_there(regions) -> None:
    plan = SignalPlan(config(), regions)
    tied = {name for one in STANDARD_PROCESSES.values() for name in one.tied_to}
    of_rules = {"representation of current and alternative rules", "retrieval of a rule"}
    assert {name for region in regions for name in region.processes} - of_rules == tied
    assert set(plan.processes) == set(STANDARD_PROCESSES)
    names = {
        process: {key.rpartition("-")[0] for key in keys}
        for process, keys in plan.processes.items()
    }
    # What the paper names for chain of thought from human brain.
    assert names["rule_reliability_current"] == {"vmpfc"}
    assert names["rule_reliability_alternative"] == {"frontopolar"}
    assert names["exploration_value"] == {"acc"}
    assert names["rule_retrieval"] == {"dlpfc"}
    assert names["rule_confirmation"] == {"ventral_striatum"}
    assert names["value"] == {"ventral_striatum", "vmpfc", "ofc"}


def test_a_new_region_touches_only_its_processes(regions) -> None:
    before = SignalPlan(config(), [one for one in regions if one.name != "amygdala"])
    after = SignalPlan(config(), regions)
    changed = {
        name
        for name in after.processes
        if name not in before.processes
        or before.parameters("ds", name) != after.parameters("ds", name)
    }
    assert changed == {"salience"}


def test_standard_targets_are_latents_that_models_have() -> None:
    assert {latent for model in MODELS.values() for latent in model.latents} == set(LATENT_NAMES)
    named = [target for one in STANDARD_PROCESSES.values() for target in one.targets]
    latents = {name.removeprefix("latent:") for name in named if name.startswith("latent:")}
    assert latents <= set(LATENT_NAMES)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"signals": {"only": ["vallue"]}}, "did you mean value?"),
        ({"signals": {"processes": {"x": {"regions": ["vmpfcc"]}}}}, "did you mean vmpfc?"),
        ({"signals": {"processes": {"x": {"targets": ["latent:valu_chosen"]}}}}, "value_chosen?"),
        ({"signals": {"processes": {"x": {"targets": ["points"]}}}}, "signals.processes.x.targets"),
        ({"signals": {"process": {}}}, "did you mean processes?"),
        ({"datasets": [{"id": "ds", "source": ".", "targets": {"efort": "column:x"}}]}, "effort?"),
        (
            {"datasets": [{"id": "ds", "source": ".", "targets": {"effort": "latent:volatilty"}}]},
            "did you mean volatility?",
        ),
    ],
)
def test_slips_are_told(regions, values, told) -> None:
    with pytest.raises(UsageError) as caught:
        SignalPlan(config(**values), regions)
    assert told in f"{caught.value} {caught.value.hint}"


def test_a_data_set_names_its_own_target(regions) -> None:
    plan = SignalPlan(
        config(datasets=[{"id": "ds", "source": ".", "targets": {"effort": "column:force"}}]),
        regions,
    )
    assert plan.parameters("ds", "effort")["targets"] == ["column:force"]
    assert plan.parameters("ds", "effort")["required"]
    assert not plan.parameters("ds", "value")["required"]


# --- the stage -------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    recordings = people()
    for i, region in enumerate(("a-1", "b-2")):
        path = layout.trials("ds", region)
        write_shard(trials_of(region[0], recordings, i), path, "trials")
        Receipt("derive", region, 1, {}, {}, {region: str(i)}).write(receipt_beside(path))
    latents = layout.latents("ds")
    write_shard(NO_LATENTS, latents, "latents")
    name = latents.relative_to(layout.output).as_posix()
    Receipt("latents", "ds", 1, {}, {}, {name: "x"}).write(receipt_beside(latents))
    return layout


def test_the_stage_runs_once(layout: Layout) -> None:
    parameters = stage.Parameters(regions=("a-1", "b-2"), targets=("column:points",))
    assert stage.run(layout, "ds", "value", parameters)
    receipt = Receipt.read(receipt_beside(layout.signals("ds", "value")))
    assert sorted(receipt.outputs) == [
        "derived/ds/signal_fits/value.parquet",
        "derived/ds/signals/value.parquet",
    ]
    assert len(receipt.with_state("done")) == 8
    assert not stage.run(layout, "ds", "value", parameters)


def test_a_column_that_no_events_have_is_a_slip_of_the_pen(layout: Layout) -> None:
    parameters = stage.Parameters(regions=("a-1",), targets=("column:pionts",), required=True)
    with pytest.raises(UsageError, match="no events file of ds has a column pionts") as caught:
        stage.run(layout, "ds", "value", parameters)
    assert caught.value.hint == "did you mean points?"
    # The first region has no trials where it is too small for the voxels; the second tells.
    empty = layout.trials("ds", "a-1")
    write_shard(TRIALS.empty_table(), empty, "trials")
    both = parameters.model_copy(update={"regions": ("a-1", "b-2")})
    with pytest.raises(UsageError, match="no events file of ds has a column pionts"):
        stage.run(layout, "ds", "value", both)
    right = both.model_copy(update={"targets": ("column:points",)})
    assert stage.run(layout, "ds", "value", right)
    signals = read_shard(layout.signals("ds", "value"), "signals")
    assert {tuple(one) for one in signals["regions"].to_pylist()} == {("b",)}
    assert MIN_TRIALS == 10
