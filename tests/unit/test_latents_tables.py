"""From events to the tables `latents` and `latent_fits`: columns, bad input, nulls with reasons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from braindata.config import parse_config
from braindata.derive.parameters import EventMapping
from braindata.derive.trials import NO_IMAGE, behaviour_trials
from braindata.errors import UsageError
from braindata.latents.columns import Columns, RunEvents, read_people
from braindata.latents.derive_latents import SEPARATED, derive_latents
from braindata.latents.recovery import walking_bandit
from braindata.latents.registry import MODELS
from braindata.tables.keys import RecordingKey

COLUMNS = Columns(
    choice="answer", gain="gain", loss="loss", response_time="rt",
    choices={"accept": ["yes", "YES"], "reject": ["no"]}, response_time_scale=1e-3,
)  # fmt: skip
PROSPECT = MODELS["prospect"]


def key(subject: str, run: str = "1", task: str = "gamble") -> RecordingKey:
    name = f"sub-{subject}_task-{task}_run-{run}_bold"
    return RecordingKey("ds", name, subject, None, task, run)


def gambles(n: int = 80, seed: int = 0, sensitivity: float = 0.4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    gain, loss = rng.integers(1, 41, n), rng.integers(1, 21, n)
    accepted = rng.random(n) < expit(sensitivity * (gain - 2.0 * loss))
    return pd.DataFrame(
        {
            "onset": np.arange(n) * 4.0,
            "duration": 2.0,
            "gain": gain,
            "loss": -loss,
            "answer": np.where(accepted, "yes", "no").astype(object),
            "rt": 500.0,
        }
    )


def people(n: int = 4, n_trials: int = 80) -> list[RunEvents]:
    return [RunEvents(key(f"{i:02d}"), gambles(n_trials, i)) for i in range(n)]


def test_a_row_per_trial_and_latent_whose_values_are_the_model_s():
    runs = people()
    latents, fits, reasons = derive_latents(runs, [PROSPECT], COLUMNS)
    assert reasons == {}
    table, own = latents.to_pandas(), fits.to_pandas()
    assert len(table) == 4 * 80 * 3
    assert not table.duplicated(["recording", "trial", "model", "latent"]).any()
    assert set(table["latent"]) == set(PROSPECT.latents)
    assert table["held_out_log_likelihood"].gt(table["chance_log_likelihood"]).all()
    one = own[own["subject"] == "02"].set_index("parameter")
    assert (one["lower"] < one["value"]).all()
    assert (one["value"] < one["upper"]).all()
    assert one["lower"]["loss_aversion"] < 2.0 < one["upper"]["loss_aversion"]
    assert one["n_trials"].unique() == [80]
    assert one["fitted_on"]["bias"].tolist() == [runs[2].key.recording]
    value = table[(table["subject"] == "02") & (table["latent"] == "value_chosen")]["value"]
    events = runs[2].events
    expected = events["gain"] + one["value"]["loss_aversion"] * events["loss"]
    expected = np.where(events["answer"] == "yes", expected, 0.0)
    np.testing.assert_allclose(value, expected)


def test_learning_follows_the_clock_and_not_the_file():
    model, columns = MODELS["q_learning"], Columns(choice="choice", outcome="outcome")
    rng = np.random.default_rng(0)
    runs = []
    for i in range(3):
        behaviour = model.simulate(np.array([0.4, 5.0]), walking_bandit(80, rng), rng)
        events = pd.DataFrame({"onset": np.arange(80) * 4.0, "outcome": behaviour.outcome})
        events["choice"] = [behaviour.options[c] for c in behaviour.choice]
        runs.append(RunEvents(key(f"{i:02d}"), events))
    sorted_, fits, _ = derive_latents(runs, [model], columns)
    order = np.random.default_rng(1).permutation(80)
    shuffled = [RunEvents(one.key, one.events.iloc[order]) for one in runs]
    other, fits_of_other, _ = derive_latents(shuffled, [model], columns)
    assert fits_of_other.equals(fits)
    # Rows stay in the order of the file: its row k is the trial that was order[k] by time.
    expected, found = (t["value"].to_numpy().reshape(3, 80, -1) for t in (sorted_, other))
    assert other["trial"].equals(sorted_["trial"])
    assert np.isfinite(expected).any()
    np.testing.assert_array_equal(found, expected[:, order])


def test_oddities_are_told_and_left_out():
    runs = people()
    events = runs[1].events
    events.loc[3, "answer"] = "no idea"
    events.loc[4, "answer"] = None
    events.loc[5, "rt"] = -20.0
    events.loc[6, "answer"] = "YES"
    person = read_people(runs, COLUMNS)[1]
    assert person.behaviour.choice[3:5].tolist() == [-1, -1]
    assert person.behaviour.choice[6] == 0
    assert np.isnan(person.behaviour.response_time[5])
    assert person.behaviour.response_time[0] == pytest.approx(0.5)
    latents, fits, _ = derive_latents(runs, [PROSPECT], COLUMNS)
    own = fits.to_pandas().query("subject == '01'")
    assert own["n_trials"].unique() == [78]
    assert list(own["warnings"].iloc[0]) == [
        "no option of event_mapping.choices: no idea (1)",
        "1 trials without a response",
        "1 response times of 0 or below are left out",
    ]
    values = latents.to_pandas().query("subject == '01' and trial in [3, 4]")["value"]
    assert len(values) == 6
    assert values.isna().all()


def test_the_most_probable_model_is_preferred():
    simple = MODELS["expected_value"]
    runs = people(6, 120)
    for number in (3, 4, 5):
        events = runs[number].events
        accepted = np.random.default_rng(number).random(120) < expit(
            0.4 * (events["gain"] + events["loss"])
        )
        runs[number] = RunEvents(
            runs[number].key, events.assign(answer=np.where(accepted, "yes", "no"))
        )
    _, fits, _ = derive_latents(runs, [simple, PROSPECT], COLUMNS)
    own = fits.to_pandas().query("parameter == 'bias'").set_index(["model", "subject"])
    probability = own["model_probability"].unstack("model")
    assert probability.sum(axis=1).to_numpy() == pytest.approx(1)
    preferred = own["preferred"].astype(bool).unstack("model")
    assert preferred["prospect"].tolist() == [True] * 3 + [False] * 3
    assert preferred["expected_value"].tolist() == [False] * 3 + [True] * 3
    np.testing.assert_array_equal(preferred["prospect"], probability["prospect"] > 0.5)
    assert own["held_out_log_likelihood"].notna().all() and own["bic"].notna().all()


def test_who_lacks_a_model_is_compared_with_none():
    runs = people(4)
    runs[0] = RunEvents(runs[0].key, runs[0].events.head(3))
    _, fits, _ = derive_latents(runs, [MODELS["expected_value"], PROSPECT], COLUMNS)
    own = fits.to_pandas().set_index("subject")
    assert own.loc["00", ["model_probability", "preferred"]].isna().all(axis=None)
    assert own.drop("00")["preferred"].notna().all()
    _, fits, _ = derive_latents(runs, [PROSPECT], COLUMNS)
    alone = fits.to_pandas().set_index("subject").drop("00")
    assert (alone["model_probability"] == 1).all() and alone["preferred"].all()


def drop(events: pd.DataFrame) -> pd.DataFrame:
    return events.drop(columns="gain")


def one_response(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(answer="no")


def three_trials(events: pd.DataFrame) -> pd.DataFrame:
    return events.head(3)


def no_responses(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(answer=None)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (drop, "the events have no gain, which prospect needs"),
        (one_response, "the choice is reject throughout"),
        (three_trials, "3 trials have all that is needed; at least 20 must"),
        (no_responses, "0 trials have all that is needed"),
    ],
)
def test_who_cannot_be_fitted_has_nulls_and_a_reason(spoil, reason):
    runs = people()
    runs[0] = RunEvents(runs[0].key, spoil(runs[0].events))
    latents, fits, reasons = derive_latents(runs, [PROSPECT], COLUMNS)
    assert list(reasons) == [runs[0].key.recording]
    assert reason in reasons[runs[0].key.recording]
    own = fits.to_pandas()
    spoiled = own["subject"] == "00"
    assert own[spoiled]["value"].isna().all()
    assert own[spoiled]["reason"].str.startswith(reason).all()
    assert own[~spoiled]["value"].notna().all()
    of_person = latents.to_pandas().query("subject == '00'")
    assert len(of_person) == len(runs[0].events) * 3
    assert of_person["value"].isna().all()
    assert of_person["reason"].notna().all()


def test_options_that_a_model_does_not_know():
    runs = people(2)
    bare = Columns(choice="answer", gain="gain", loss="loss")
    _, fits, _ = derive_latents(runs, [PROSPECT], bare)
    assert fits.to_pandas()["reason"].str.contains("there are no, yes: say in event_mapping").all()


def test_a_model_that_does_not_beat_chance_yields_nulls():
    rng = np.random.default_rng(0)
    runs = [
        RunEvents(one.key, one.events.assign(answer=rng.choice(["yes", "no"], len(one.events))))
        for one in people(6)
    ]
    latents, fits, _ = derive_latents(runs, [PROSPECT], COLUMNS)
    own, table = fits.to_pandas(), latents.to_pandas()
    lost = own[~own["beats_chance"].astype(bool)]
    assert lost["subject"].nunique() >= 5
    assert (
        lost["reason"]
        .str.contains("not predicted better than by the person's own response rate")
        .all()
    )
    assert table[table["subject"].isin(lost["subject"])]["value"].isna().all()


def test_perfect_separation_is_told_and_its_interval_is_wide():
    runs = [*people(5), RunEvents(key("99"), gambles(80, 9, sensitivity=1e6))]
    _, fits, _ = derive_latents(runs, [PROSPECT], COLUMNS)
    own = fits.to_pandas().query("parameter == 'sensitivity'").set_index("subject")
    ratio = own["upper"] / own["lower"]
    assert ratio["99"] > 2 * ratio.drop("99").max()
    assert SEPARATED in list(own["warnings"]["99"])


def test_tasks_are_fitted_apart():
    runs = [*people(2), RunEvents(key("00", task="rest"), gambles(80, 3))]
    _, fits, _ = derive_latents(runs, [PROSPECT], COLUMNS)
    assert set(fits.to_pandas()["task"]) == {"gamble", "rest"}
    assert fits.num_rows == 3 * 3


def test_no_models_no_rows():
    latents, fits, reasons = derive_latents(people(1), [], COLUMNS)
    assert (latents.num_rows, fits.num_rows, reasons) == (0, 0, {})


def test_trials_without_an_image_hold_what_was_done():
    rows = behaviour_trials(
        [(key("01"), gambles(3))], EventMapping(response="answer", response_time="rt")
    ).to_pylist()
    assert [row["trial"] for row in rows] == [0, 1, 2]
    assert {row["reason"] for row in rows} == {NO_IMAGE}
    assert {row["estimate"] for row in rows} == {None}
    assert {row["region"] for row in rows} == {None}
    assert [row["response"] for row in rows] == gambles(3)["answer"].tolist()


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ({"models": ["prospects"]}, "prospect"),
        ({"models": ["prospect", "prospect"]}, "a model is listed twice"),
        ({"event_mapping": {"gains": "x"}}, "gain"),
        ({"event_mapping": {"choices": {"a": ["x"], "b": ["x"]}}}, "x stands for two options"),
    ],
)
def test_slips_in_the_configuration_are_told(dataset, told):
    with pytest.raises(UsageError) as caught:
        parse_config({"datasets": [{"id": "ds", "source": ".", **dataset}]})
    assert told in str(caught.value)
