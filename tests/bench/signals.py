"""Bench: whether the evidence of signals holds what is planted, and no more.

    python -m tests.bench.signals [--people 20] [--seeds 40] [--write docs/signals.md]

Series of regions follow value, prediction error and confidence of simulated learners; one region
responds to every trial alike. Each seed goes through `trials`, `latents` (the model is fitted) and
`signals`. Printed: the analytic correlation, the mean of what was found, how often the 95 %
interval holds the analytic one, and how often permutations find it at 5 %.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import numpy as np

from braindata.derive.signal_tables import Process, derive_signals
from braindata.latents.columns import Columns
from braindata.latents.derive_latents import derive_latents
from braindata.latents.registry import MODELS
from tests.bench.signal_phantom import PROCESSES, simulate

# Of 40 data sets.
LEAST_HELD = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    columns = Columns(choice="choice", outcome="outcome")
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in PROCESSES}
    analytic: dict[str, list[float]] = {name: [] for name in PROCESSES}
    cpu = 0.0
    for seed in range(chosen.seeds):
        phantom = simulate(seed, chosen.people)
        latents, _, _ = derive_latents(phantom.runs, [MODELS["q_learning"]], columns)
        for name, (regions, target) in PROCESSES.items():
            analytic[name] += phantom.analytic[name]
            began = time.process_time()
            trials = [phantom.trials[region] for region in regions]
            signals, _ = derive_signals(Process(name, (target,)), trials, latents)
            cpu += time.process_time() - began
            row = signals.slice(0, 1).to_pylist()[0]
            evidence = ("evidence_r", "evidence_lower", "evidence_upper", "evidence_p")
            found[name].append(tuple(row[key] for key in evidence))
        print(seed, {name: round(own[-1][0], 3) for name, own in found.items()}, flush=True)
    lines = [
        "| process | analytic r | mean r found | interval holds it | p ≤ .05 |",
        "|---|---|---|---|---|",
    ]
    missed = []
    for name, own in found.items():
        r, lower, upper, p = np.array(own).T
        true = np.tanh(np.mean(analytic[name]))
        held = np.mean((lower <= true) & (true <= upper))
        if held < LEAST_HELD:
            missed.append(f"{name}: held in {held:.2f}")
        lines.append(
            f"| `{name}` | {true:.3f} | {r.mean():.3f} | {held:.0%} | {np.mean(p <= 0.05):.0%} |"
        )
    block = "\n".join(lines)
    print(block)
    print(f"{cpu / chosen.seeds / len(PROCESSES):.2f} CPU s per process of {chosen.people} people")
    print("\n".join(missed) if missed else "every figure is reached")
    if chosen.write:
        text = chosen.write.read_text(encoding="utf-8")
        pattern = r"(<!-- measured -->\n).*?(\n<!-- end -->)"
        written = re.sub(pattern, lambda m: f"{m[1]}{block}{m[2]}", text, flags=re.DOTALL)
        chosen.write.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
