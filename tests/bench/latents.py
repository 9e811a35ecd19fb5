"""Bench: how well models of behaviour are recovered where the truth is simulated.

    python -m tests.bench.latents [--people 50] [--trials 200] [--seed 0] [--write docs/latents.md]

With OPENBLAS_NUM_THREADS=1, as `make` sets it: more threads take ten times the CPU time.

Prints per model: the correlation over people of true and fitted parameters (on the unbounded
scale), in how many people the 95 % interval holds the true one, the median over people of the
correlation over trials of true and fitted latents, the share of people taken for their own model,
and CPU seconds per person, held-out likelihood included. Where people of all models are one group,
also by criteria other than `model_probability`, which are shown and not held against anything. With
``--write`` the tables of the page are replaced by what was measured.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from braindata.latents.behaviour import Task
from braindata.latents.models.base import Model
from braindata.latents.recovery import (
    Criterion,
    Recovery,
    confusion,
    gambles,
    recover,
    rules,
    walking_bandit,
)
from braindata.latents.registry import MODELS

# What the figures are held against; the exceptions are explained in docs/latents.md.
MIN_PARAMETER, MIN_ERROR, MIN_OWN, MAX_CPU = 0.85, 0.99, 0.7, 0.5
EXCEPTIONS = {
    ("q_learning_forgetting", "forgetting"),
    ("volatile_bayes", "meta_volatility"),
    ("rule_reliability", "rule_volatility"),
}
CRITERIA: dict[Criterion, str] = {
    "model_probability": "`model_probability`",
    "bic": "`bic`",
    "held_out_log_likelihood": "`held_out_log_likelihood`",
}
MakeTask = Callable[[int, np.random.Generator], Task]
COMPARED: dict[str, tuple[MakeTask, tuple[str, ...]]] = {
    "two options whose chances walk": (
        walking_bandit,
        (
            "q_learning",
            "q_learning_two_rates",
            "q_learning_forgetting",
            "q_learning_perseveration",
            "kalman_bandit",
            "volatile_bayes",
        ),
    ),
    "three rules that recur": (rules, ("q_learning", "rule_reliability")),
    "gambles": (gambles, ("expected_value", "prospect")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    rows = ["| model | parameters | latents | CPU s per person |", "|---|---|---|---|"]
    missed = []
    for model in MODELS.values():
        # Compiled before anything is timed.
        recover(model, 2, 30, 0)
        found = recover(model, chosen.people, chosen.trials, chosen.seed)
        missed += short_of(model, found)
        rows.append(
            f"| `{model.name}` | {_recovered(found)} | {_listed(found.latents, 3)} "
            f"| {found.cpu:.2f} |"
        )
        print(rows[-1], flush=True)
    tables = ["\n".join(rows)]
    for title, (make, names) in COMPARED.items():
        models = [MODELS[name] for name in names]
        for mixed in (False, True):
            criteria = tuple(CRITERIA) if mixed else ("model_probability",)
            found = confusion(
                models,
                make,
                chosen.people,
                chosen.trials,
                chosen.seed,
                mixed=mixed,
                criteria=criteria,
            )
            counts = found["model_probability"]
            how = "all in one group" if mixed else "groups of one kind"
            missed += [
                f"{name}: {own:.2f} of its people are taken for it, {how}"
                for name, own in zip(names, np.diag(counts), strict=True)
                if own < MIN_OWN
            ]
            rows_of = {f"`{name}`": row for name, row in zip(names, counts, strict=True)}
            tables.append(_table(f"{title}, {how}", names, rows_of))
            print(tables[-1], flush=True)
            if mixed:
                own = {CRITERIA[one]: np.diag(found[one]) for one in criteria}
                tables.append(_table(f"{title}, {how}: taken for their own model by", names, own))
                print(tables[-1], flush=True)
    print("\n".join(missed) if missed else "every figure is reached, but for the exceptions")
    if chosen.write:
        text = chosen.write.read_text(encoding="utf-8")
        block = "\n\n".join(tables)
        pattern = r"(<!-- measured -->\n).*?(\n<!-- end -->)"
        written = re.sub(pattern, lambda m: f"{m[1]}{block}{m[2]}", text, flags=re.DOTALL)
        chosen.write.write_text(written, encoding="utf-8")


def short_of(model: Model, found: Recovery) -> list[str]:
    """Return what of a model's figures is not reached."""
    missed = [
        f"{model.name}: {name} {r:.3f}"
        for name, r in found.parameters.items()
        if r < MIN_PARAMETER and (model.name, name) not in EXCEPTIONS
    ]
    error = found.latents.get("prediction_error", 1.0)
    if error < MIN_ERROR:
        missed.append(f"{model.name}: prediction errors {error:.4f}")
    if found.cpu > MAX_CPU:
        missed.append(f"{model.name}: {found.cpu:.2f} CPU s per person")
    return missed


def _table(title: str, names: Sequence[str], rows: Mapping[str, Iterable[float]]) -> str:
    lines = [f"| {title} | " + " | ".join(f"`{name}`" for name in names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{v:.2f}" for v in row) + " |")
    return "\n".join(lines)


def _recovered(found: Recovery) -> str:
    return ", ".join(
        f"{name} {r:.2f} ({found.coverage[name]:.0%})" for name, r in found.parameters.items()
    )


def _listed(figures: dict[str, float], digits: int) -> str:
    there = {name: value for name, value in figures.items() if not math.isnan(value)}
    return ", ".join(f"{name} {value:.{digits}f}" for name, value in there.items())


if __name__ == "__main__":
    main()
