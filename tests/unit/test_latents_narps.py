"""Real gambles (NARPS, 12 people × 4 runs; events only): loss aversion, chance, the trial table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog, minimize

from braindata.bids.events import read_events
from braindata.curate.behaviour import ONLY_BEHAVIOUR
from braindata.curate.inventory import Source, build_inventory
from braindata.curate.parameters import CurateParameters
from braindata.curate.validator import Verdict
from braindata.derive.parameters import EventMapping
from braindata.derive.trials import behaviour_trials
from braindata.latents.columns import Columns, RunEvents, read_people
from braindata.latents.derive_latents import derive_latents
from braindata.latents.fitting import fit_group
from braindata.latents.registry import MODELS
from braindata.tables.keys import RecordingKey

ROOT = Path(__file__).parents[3] / "shared/data/narps-events-confounds"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="shared/data/narps… is not there")

ACCEPT, REJECT = ("strongly_accept", "weakly_accept"), ("strongly_reject", "weakly_reject")
COLUMNS = Columns(
    choice="participant_response", gain="gain", loss="loss", response_time="RT",
    choices={"accept": ACCEPT, "reject": REJECT},
)  # fmt: skip


@pytest.fixture(scope="module")
def inventory() -> list[dict[str, Any]]:
    files = {p.relative_to(ROOT).as_posix(): "" for p in sorted(ROOT.rglob("*")) if p.is_file()}
    source = Source("narps", "v", ROOT, files)
    return build_inventory(source, Verdict(), CurateParameters()).table.to_pylist()


@pytest.fixture(scope="module")
def runs(inventory: list[dict[str, Any]]) -> list[RunEvents]:
    return [RunEvents(RecordingKey.from_row(r), read_events(ROOT / r["events"])) for r in inventory]


@pytest.fixture(scope="module")
def fits(runs: list[RunEvents]) -> pd.DataFrame:
    return derive_latents(runs, [MODELS["prospect"]], COLUMNS)[1].to_pandas()


def choices(runs: list[RunEvents], subject: str) -> tuple[np.ndarray, np.ndarray]:
    """Return gains and losses, and whether each was accepted, read by other means."""
    tables = [one.events for one in runs if one.key.subject == subject]
    table = pd.concat(tables).query("participant_response != 'NoResp'")
    accepted = table["participant_response"].isin(ACCEPT).to_numpy()
    return table[["gain", "loss"]].to_numpy(float), accepted


def test_events_without_an_image_are_recordings_with_a_reason(inventory):
    assert len(inventory) == 48
    assert {row["status"] for row in inventory} == {"excluded"}
    assert {row["reason"] for row in inventory} == {ONLY_BEHAVIOUR.reason}
    assert {row["path"] for row in inventory} == {None}
    assert sum(row["n_events"] for row in inventory) == 12 * 4 * 64


def test_the_trial_table_is_complete(runs):
    mapping = EventMapping(response="participant_response", response_time="RT")
    table = behaviour_trials([(one.key, one.events) for one in runs], mapping).to_pandas()
    assert len(table) == 12 * 4 * 64
    assert table["estimate"].isna().all()
    assert table["reason"].notna().all()
    assert table["onset"].notna().all()
    assert table["response"].value_counts().to_dict() == {
        "strongly_accept": 1212, "strongly_reject": 686, "weakly_accept": 687,
        "weakly_reject": 467, "NoResp": 20,
    }  # fmt: skip


def test_loss_aversion_equals_a_penalised_logistic_regression(runs, fits):
    """Logistic regression on gain and loss by other code, with the group's prior as the penalty."""
    model = MODELS["prospect"]
    people = [p.behaviour for p in read_people(runs, COLUMNS)]
    group = fit_group(model, people)
    found = fits.query("parameter == 'loss_aversion'").set_index("subject")["value"]
    for subject, expected in found.items():
        amounts, accepted = choices(runs, subject)
        sign = np.where(accepted, 1.0, -1.0)

        def cost(b, amounts=amounts, sign=sign):
            odds = b[0] + amounts[:, 0] * np.exp(b[1]) - amounts[:, 1] * np.exp(b[2])
            # Weights of gain and loss as a regression has them; their ratio is the loss aversion.
            prior = (np.array([b[2] - b[1], b[1], b[0]]) - group.mean) / group.sd
            return np.logaddexp(0, -sign * odds).sum() + 0.5 * (prior**2).sum()

        best = minimize(cost, [0.0, -1.0, -1.0], method="BFGS", options={"gtol": 1e-6}).x
        assert np.exp(best[2] - best[1]) == pytest.approx(expected, rel=2e-3)


def test_held_out_choices_beat_the_response_rate(fits):
    assert fits.groupby("subject")["beats_chance"].first().sum() >= 11
    # Published: about 2 where gains are twice the losses, about 1 where they span the same range.
    aversion = fits.query("parameter == 'loss_aversion'")["value"]
    print(f"median loss aversion {aversion.median():.2f} of {len(aversion)} people")


def test_who_is_separated_has_a_wide_interval(runs, fits):
    own = fits.query("parameter == 'sensitivity'").set_index("subject")
    width = np.log(own["upper"] / own["lower"])
    separated = [s for s in own.index if _is_separable(*choices(runs, s))]
    for subject in separated:
        assert width[subject] > 1.5 * width.drop(separated).median()
    # Told, where the model says so of itself.
    told = [s for s in own.index if any("predicts every choice" in w for w in own["warnings"][s])]
    assert set(separated) <= set(told)


def _is_separable(amounts: np.ndarray, accepted: np.ndarray) -> bool:
    """Whether a line in gain and loss parts what was accepted from what was not."""
    sign = np.where(accepted, 1.0, -1.0)
    rows = -sign[:, None] * np.column_stack([amounts, np.ones(len(amounts))])
    found = linprog(np.zeros(3), rows, -np.ones(len(rows)), bounds=[(None, None)] * 3)
    return bool(found.status == 0)
