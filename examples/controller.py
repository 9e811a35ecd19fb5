"""A controller of reasoning that continues, branches or decomposes (CoTHB).

    python -m examples.controller

A chain of thought goes on step by step. At each step there is an estimate of how reliable the
current rule is, and three things to do: **continue** where it is high, **branch** to another path
where it is low, **decompose** the step into smaller ones where it is in between, which costs more
and nearly always succeeds. The estimate is learned from people: how the activity of vmPFC (current
rule), frontopolar cortex (alternatives) and ACC (exploration), step by step, and their behaviour
(how the steps before came out, how long they hesitate) go with whether the step comes out right.
The two thresholds are learned too.

Everything is learned from some people and scored in others. What is ablated: the brain, behaviour,
and decomposing. Controls: brains shuffled within people, and people whose brains show nothing. The
best that could be is the reliability that the simulated people themselves have concluded.

The people are simulated. That they weigh evidence which their behaviour hardly shows, and that
their regions show what they conclude, is put into them; were all of it in their behaviour, brains
could add nothing. The costs below are chosen, not measured. So this shows that the tables suffice
for such a controller, and that the gain vanishes with the signal. It does not show that human
brains hold what a language model lacks; for that, people have to be recorded while they reason.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import braindata
from braindata.tables.reading import Tables
from braindata.tables.splits import split_of
from examples.simulated_people import publish_simulated, reasoning

COUPLING = 0.5
REGIONS = ("vmpfc", "frontopolar", "acc")
BEHAVIOUR = ("success_1", "success_2", "success_3", "hesitation")
MODEL = ("log_odds",)
# What a step is worth that is right, and one that is wrong.
RIGHT, WRONG = 1.0, -1.0
# Another path is right where the current one is wrong, mostly; and wrong where that was right.
BRANCH_SUCCEEDS, BRANCH_COSTS = 0.95, 0.1
DECOMPOSE_SUCCEEDS, DECOMPOSE_COSTS = 0.9, 0.5
CONTINUE, DECOMPOSE, BRANCH = 0, 1, 2


@dataclass(frozen=True)
class Controller:
    """Two thresholds on the probability that the current rule is right.

    Attributes
    ----------
    low, high : float
        Branch below `low`, continue from `high`, decompose in between.
    """

    low: float
    high: float

    def act(self, reliability: np.ndarray) -> np.ndarray:
        """Return what to do at each step."""
        return np.where(
            reliability >= self.high, CONTINUE, np.where(reliability < self.low, BRANCH, DECOMPOSE)
        )


def payoff(actions: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """Return what actions bring at steps of which the current rule is right or not."""
    branch_wrong = BRANCH_SUCCEEDS * RIGHT + (1 - BRANCH_SUCCEEDS) * WRONG
    decompose = DECOMPOSE_SUCCEEDS * RIGHT + (1 - DECOMPOSE_SUCCEEDS) * WRONG - DECOMPOSE_COSTS
    return np.select(
        [actions == CONTINUE, actions == DECOMPOSE],
        [np.where(is_right, RIGHT, WRONG), decompose],
        np.where(is_right, WRONG, branch_wrong) - BRANCH_COSTS,
    )


def learn_thresholds(
    reliability: np.ndarray, is_right: np.ndarray, may_decompose: bool = True
) -> Controller:
    """Return the thresholds that would have paid best."""
    grid = np.linspace(0, 1, 41)
    pairs = [
        Controller(low, high)
        for low in grid
        for high in grid
        if (low <= high if may_decompose else low == high)
    ]
    return max(pairs, key=lambda one: payoff(one.act(reliability), is_right).mean())


def read_steps(tables: Tables, dataset: str) -> pd.DataFrame:
    """Return a row per trial: neural estimates, outcomes before it, latents, and its outcome."""
    where = {"dataset": dataset}
    keys = ["subject", "recording", "trial"]
    behaviour = ["outcome", "response_time"]
    rows = tables["trials"].to_pandas([*keys, *behaviour, "region", "estimate"], where)
    steps = rows.pivot_table("estimate", [*keys, *behaviour], "region").reset_index()
    current = where | {"latent": "rule_reliability_current"}
    latents = tables["latents"].to_pandas([*keys, "value"], current)
    steps = steps.merge(latents, on=keys).sort_values(keys, ignore_index=True)
    steps["is_right"] = steps["outcome"].astype(float) == 1
    steps["log_odds"] = np.log(steps["value"] / (1 - steps["value"]))
    steps["hesitation"] = np.log(steps["response_time"])
    for region in REGIONS:
        of_person = steps.groupby("subject")[region]
        steps[region] = (steps[region] - of_person.transform("mean")) / of_person.transform("std")
    for number, name in enumerate(BEHAVIOUR[:3], start=1):
        # Nothing of the trial itself: what is to be decided comes before its outcome.
        before = steps.groupby("recording")["is_right"].shift(number)
        steps[name] = before.astype(float).fillna(0.5)
    return steps


def shuffled(steps: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return steps whose neural estimates belong to other steps of the same person."""
    order = np.concatenate(
        [rng.permutation(own) for own in steps.groupby("subject").indices.values()]
    )
    mixed = steps.copy()
    mixed[list(REGIONS)] = steps[list(REGIONS)].to_numpy()[order]
    return mixed


def score(
    seen: pd.DataFrame, test: pd.DataFrame, columns: tuple[str, ...], may_decompose: bool = True
) -> tuple[pd.Series, np.ndarray, Controller]:
    """Learn from some people; return what is paid per step to each other, what is done, and how."""
    of_step = LogisticRegression().fit(seen[list(columns)], seen["is_right"])
    controller = learn_thresholds(
        of_step.predict_proba(seen[list(columns)])[:, 1], seen["is_right"], may_decompose
    )
    actions = controller.act(of_step.predict_proba(test[list(columns)])[:, 1])
    paid = pd.Series(payoff(actions, test["is_right"]), test.index)
    shares = np.bincount(actions, minlength=3) / len(actions)
    return paid.groupby(test["subject"]).mean(), shares, controller


def compare(folder: Path, coupling: float, seed: int = 0, n_people: int = 100) -> pd.DataFrame:
    """Simulate people, publish their tables, and return what each controller is paid.

    Returns
    -------
    DataFrame
        Per controller: ``payoff`` per step in held-out people; ``gain`` over behaviour alone and
        its standard ``error`` over people; thresholds; shares of the three actions.
    """
    publish_simulated(folder, [reasoning("reasoning", coupling, seed, n_people)])
    steps = read_steps(braindata.open_tables(folder), "reasoning")
    tested = steps["subject"].map(
        lambda one: split_of("reasoning", one, 1, (0.6, 0, 0.4)) == "test"
    )
    mixed = shuffled(steps, np.random.default_rng(seed))
    kinds = {
        "behaviour alone": (steps, BEHAVIOUR, True),
        "brain alone": (steps, REGIONS, True),
        "brain and behaviour": (steps, (*REGIONS, *BEHAVIOUR), True),
        "the same, never decomposing": (steps, (*REGIONS, *BEHAVIOUR), False),
        "shuffled brain and behaviour": (mixed, (*REGIONS, *BEHAVIOUR), True),
        "people's own reliability": (steps, (*MODEL, *BEHAVIOUR), True),
    }
    always = {"always continue": CONTINUE, "always decompose": DECOMPOSE}
    test = steps[tested]
    paid, rows = {}, {}
    for name, action in always.items():
        same = payoff(np.full(len(test), action), test["is_right"])
        paid[name] = pd.Series(same, test.index).groupby(test["subject"]).mean()
    for name, (table, columns, may_decompose) in kinds.items():
        paid[name], shares, learned = score(table[~tested], table[tested], columns, may_decompose)
        acts = dict(zip(("continue", "decompose", "branch"), shares, strict=True))
        rows[name] = {"low": learned.low, "high": learned.high, **acts}
    for name, of_people in paid.items():
        gain = of_people - paid["behaviour alone"]
        rows[name] = {
            "payoff": of_people.mean(),
            "gain": gain.mean(),
            "error": gain.std() / np.sqrt(len(gain)),
        } | rows.get(name, {})
    return pd.DataFrame.from_dict({name: rows[name] for name in paid}, orient="index")


def main() -> None:
    """Print what each controller is paid, with brains that show something and without."""
    for coupling in (COUPLING, 0.0):
        with tempfile.TemporaryDirectory() as folder:
            found = compare(Path(folder), coupling)
        print(f"\nNeural estimates correlate {coupling:g} with the latents, by construction")
        print(found.round(3).to_string(na_rep=""))


if __name__ == "__main__":
    main()
