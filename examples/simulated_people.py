"""Tables of simulated people, in the form of a real release, for the two examples.

What the people compute is known, and so is how much of it their brains show: `coupling` is the
correlation of an estimate with what it stands for, trial by trial. At 0 the tables look the same
and hold nothing, which is what an example has to be held against.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from braindata.tables.keys import stimulus_id
from braindata.tables.publish import publish
from braindata.tables.shards import write_shard

WORDS = tuple(f"word{number:02d}" for number in range(40))
WORDS_PER_TEXT = 8
EVIDENCE_NOISE = 1.2


def true_values(texts: Sequence[str], seed: int) -> np.ndarray:
    """Return what texts are worth to everybody, of unit variance over texts."""
    worth = np.random.default_rng([seed, 1]).standard_normal(len(WORDS))
    counts = np.array([[text.split().count(word) for word in WORDS] for text in texts])
    return counts @ worth / np.sqrt(WORDS_PER_TEXT)


def ratings(
    dataset: str, coupling: float, seed: int, n_people: int = 16, n_texts: int = 80
) -> dict[str, pd.DataFrame]:
    """Simulate people who read texts and rate them from 1 to 5, some ratings with confidence.

    Half of the texts each. The noise of a rating falls with confidence. Ventral striatum shows
    the value of the text, vmPFC the confidence.
    """
    rng = np.random.default_rng([seed, 2])
    texts = [" ".join(rng.choice(WORDS, WORDS_PER_TEXT)) for _ in range(n_texts)]
    values = true_values(texts, seed)
    stimuli = pd.DataFrame({"dataset": dataset, "stim_file": [f"{n}.txt" for n in range(n_texts)]})
    stimuli["stimulus"] = [stimulus_id(dataset, file) for file in stimuli["stim_file"]]
    stimuli["text"] = texts
    trials = []
    for person in range(n_people):
        read = rng.permutation(n_texts)[: n_texts // 2]
        confidence = rng.standard_normal(len(read))
        noise = 1.5 * np.exp(-0.8 * confidence) * rng.standard_normal(len(read))
        rating = np.clip(np.round(3 + values[read] + noise), 1, 5).astype(int)
        shown = {"ventral_striatum": values[read], "vmpfc": confidence}
        trials += _trials(
            dataset,
            f"{person:02d}",
            "rating",
            {region: _observed(signal, coupling, rng) for region, signal in shown.items()},
            stimulus=stimuli["stimulus"].to_numpy()[read],
            response=rating.astype(str),
        )
    return {"stimuli": stimuli, "trials": pd.concat(trials)}


def reasoning(
    dataset: str, coupling: float, seed: int, n_people: int = 100, n_steps: int = 120
) -> dict[str, pd.DataFrame]:
    """Simulate people who reason step by step with a rule that may have become wrong.

    A right rule becomes wrong in 15 % of steps, a wrong one is replaced by a right one in 30 %.
    Before a step people know how the last one came out, and weigh private evidence on whether the
    rule still holds: that posterior is the reliability of the current rule. They hesitate, a little
    more than chance, where they are unsure. vmPFC shows the reliability of the current rule,
    frontopolar cortex that of the alternatives, ACC the uncertainty.
    """
    rng = np.random.default_rng([seed, 3])
    trials, latents = [], []
    for person in range(n_people):
        subject = f"{person:02d}"
        is_right, reliability = np.empty(n_steps, bool), np.empty(n_steps)
        before = True
        for step in range(n_steps):
            prior = 0.85 if before else 0.3
            is_right[step] = rng.random() < prior
            evidence = (1 if is_right[step] else -1) + EVIDENCE_NOISE * rng.standard_normal()
            odds = prior / (1 - prior) * np.exp(2 * evidence / EVIDENCE_NOISE**2)
            reliability[step] = odds / (1 + odds)
            before = is_right[step]
        unsure = 1 - np.abs(2 * reliability - 1)
        shown = {"vmpfc": reliability, "frontopolar": 1 - reliability, "acc": unsure}
        trials += _trials(
            dataset,
            subject,
            "reasoning",
            {region: _observed(signal, coupling, rng) for region, signal in shown.items()},
            outcome=is_right.astype(int).astype(str),
            response_time=np.exp(0.3 * unsure + 0.4 * rng.standard_normal(n_steps)),
        )
        rows = pd.DataFrame({"trial": np.arange(n_steps), "value": reliability})
        named = _who(dataset, subject, "reasoning") | {"latent": "rule_reliability_current"}
        latents.append(rows.assign(**named))
    return {"trials": pd.concat(trials), "latents": pd.concat(latents)}


def publish_simulated(folder: Path, simulated: Sequence[dict[str, pd.DataFrame]]) -> None:
    """Publish simulated data sets as one release."""
    names = sorted({name for tables in simulated for name in tables})
    content = {name: pd.concat([t[name] for t in simulated if name in t]) for name in names}
    who = ["dataset", "recording", "subject", "task"]
    content["recordings"] = (
        content["trials"][who]
        .drop_duplicates()
        .assign(modality="fmri", status="used", licence_class="CC0", reason="simulated")
    )
    shards = {name: [folder / "shards" / f"{name}.parquet"] for name in content}
    for name, rows in content.items():
        write_shard(pa.Table.from_pandas(rows, preserve_index=False), shards[name][0], name)
    publish(folder / "tables", shards, {"simulated": json.dumps(names)})


def _observed(signal: np.ndarray, coupling: float, rng: np.random.Generator) -> np.ndarray:
    """Return estimates that correlate with a signal as `coupling` says, of unit variance."""
    spread = signal.std() or 1.0
    noise = rng.standard_normal(len(signal))
    return coupling * (signal - signal.mean()) / spread + np.sqrt(1 - coupling**2) * noise


def _who(dataset: str, subject: str, task: str) -> dict[str, str]:
    recording = f"sub-{subject}_task-{task}_bold"
    return {"dataset": dataset, "recording": recording, "subject": subject, "task": task}


def _trials(
    dataset: str, subject: str, task: str, estimates: dict[str, np.ndarray], **columns: object
) -> list[pd.DataFrame]:
    return [
        pd.DataFrame({"trial": np.arange(len(estimate)), "estimate": estimate, **columns}).assign(
            **_who(dataset, subject, task), region=region, feature="bold", unit="percent"
        )
        for region, estimate in estimates.items()
    ]
