"""A reward model that predicts neural value alongside ratings (RLHB).

    python -m examples.reward_model

Ratings of texts are few and noisy. Two things that the tables hold may help, and each is ablated:

- **confidence**: a rating counts as much as is expected of it, by the neural estimate of how
  confident the person was;
- **value**: the model predicts the neural estimate of value too, from the same single direction in
  the space of features that gives the reward. How much that counts is decided by cross-validation
  over people, by how well *ratings* are predicted; it may be decided that it counts nothing.

People and texts that are tested on are seen in no fit. Controls: the same tables with the neural
columns shuffled within people, and people whose brains show nothing.

The people are simulated, and that value and confidence show in two regions is put into them. So
this shows that the tables suffice, that the method finds what is there, and that it finds nothing
where nothing is. It does not show that real brains help a real reward model, nor by how much.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import braindata
from braindata.tables.reading import Tables
from braindata.tables.splits import split_of
from examples.simulated_people import WORDS, publish_simulated, ratings, true_values

COUPLING = 0.4
N_SEEDS = 12
RIDGES = (3.0, 10.0, 30.0, 100.0)
NEURAL_WEIGHTS = (0.0, 0.3, 1.0, 3.0)
N_FOLDS = 4
MODELS = ("ratings alone", "+ confidence", "+ value", "+ both", "+ both, shuffled")


@dataclass(frozen=True)
class Trials:
    """What a reward model is trained on: arrays with a row per trial.

    Attributes
    ----------
    features : ndarray, shape (n_trials, n_features)
        Of the text; here how often each word is in it.
    rating, value, confidence : ndarray, shape (n_trials,)
        The rating, and two neural estimates, each standardised within the person.
    person : ndarray, shape (n_trials,)
        Who.
    """

    features: np.ndarray
    rating: np.ndarray
    value: np.ndarray
    confidence: np.ndarray
    person: np.ndarray

    def where(self, chosen: np.ndarray) -> Trials:
        """Return some of the trials."""
        return Trials(**{name: array[chosen] for name, array in vars(self).items()})


def read_trials(tables: Tables, dataset: str) -> tuple[Trials, pd.DataFrame]:
    """Return the trials of a data set as arrays, and the table they are from."""
    columns = ["subject", "recording", "trial", "region", "stimulus", "response", "estimate"]
    rows = tables["trials"].to_pandas(columns, {"dataset": dataset})
    keys = ["subject", "recording", "trial", "stimulus", "response"]
    table = rows.pivot_table("estimate", keys, "region").reset_index()
    texts = tables["stimuli"].to_pandas(["stimulus", "text"], {"dataset": dataset})
    table = table.merge(texts, on="stimulus", validate="many_to_one")
    table["rating"] = table["response"].astype(float)

    def standardised(column: str) -> np.ndarray:
        # People use scales, and scanners units, in their own ways.
        of_person = table.groupby("subject")[column]
        return (
            (table[column] - of_person.transform("mean")) / of_person.transform("std")
        ).to_numpy()

    features = np.array([[text.split().count(word) for word in WORDS] for text in table["text"]])
    trials = Trials(
        features - features.mean(axis=0),
        standardised("rating"),
        standardised("ventral_striatum"),
        standardised("vmpfc"),
        table["subject"].to_numpy(),
    )
    return trials, table


def fit(trials: Trials, weights: np.ndarray, neural_weight: float, ridge: float) -> np.ndarray:
    """Return the direction that predicts ratings and neural value at once.

    Minimises, by turns, ``sum w (rating - a u'x)^2 + neural_weight sum (value - b u'x)^2 +
    ridge |u|^2``, with ``|a|^2 + |b|^2 = 1`` so that the penalty means something.
    """
    x = trials.features
    a, b = 1.0, 0.0 if neural_weight == 0 else 0.5
    for _ in range(10):
        size = np.hypot(a, b)
        a, b = a / size, b / size
        of_trial = a**2 * weights + neural_weight * b**2
        target = a * weights * trials.rating + neural_weight * b * trials.value
        gram = (x * of_trial[:, None]).T @ x + ridge * np.eye(x.shape[1])
        direction = np.linalg.solve(gram, x.T @ target)
        reward = x @ direction
        a = (weights * reward) @ trials.rating / (weights @ reward**2)
        b = reward @ trials.value / (reward @ reward) if neural_weight else 0.0
        if neural_weight == 0:
            break
    return np.sign(a) * direction


def rating_weights(trials: Trials) -> np.ndarray:
    """Return how much ratings are worth: one over the variance expected at that confidence.

    The variance is fitted to what is left of ratings, so that a signal without information gives
    equal weights.
    """
    equal = np.ones(len(trials.rating))
    left = trials.rating - trials.features @ fit(trials, equal, 0.0, 10.0)
    logarithm = np.log(left**2 + 0.05)
    slope, _ = np.polyfit(trials.confidence, logarithm, 1)
    weights = np.exp(-slope * trials.confidence)
    return weights / weights.mean()


def train(trials: Trials, confidence: bool, value: bool) -> np.ndarray:
    """Fit a reward model; ridge and weight of the neural value by cross-validation over people."""
    people = np.unique(trials.person)
    fold = np.searchsorted(people, trials.person) % N_FOLDS
    settings = [(n, r) for n in (NEURAL_WEIGHTS if value else (0.0,)) for r in RIDGES]
    error = np.zeros(len(settings))
    for number in range(N_FOLDS):
        seen, left_out = trials.where(fold != number), trials.where(fold == number)
        weights = rating_weights(seen) if confidence else np.ones(len(seen.rating))
        for i, (neural_weight, ridge) in enumerate(settings):
            reward = left_out.features @ fit(seen, weights, neural_weight, ridge)
            error[i] -= np.corrcoef(reward, left_out.rating)[0, 1]
    neural_weight, ridge = settings[int(error.argmin())]
    weights = rating_weights(trials) if confidence else np.ones(len(trials.rating))
    return fit(trials, weights, neural_weight, ridge)


def shuffled(trials: Trials, rng: np.random.Generator) -> Trials:
    """Return trials whose neural columns belong to other trials of the same person."""
    order = np.arange(len(trials.person))
    for person in np.unique(trials.person):
        own = np.flatnonzero(trials.person == person)
        order[own] = rng.permutation(own)
    return Trials(
        trials.features,
        trials.rating,
        trials.value[order],
        trials.confidence[order],
        trials.person,
    )


def evaluate(tables: Tables, dataset: str, seed: int) -> pd.DataFrame:
    """Return, for each model, how well held-out texts are judged.

    ``rating`` is the correlation with the ratings of held-out people, which can be had of real
    people too; ``truth`` that with the true value, which only a simulation knows.
    """
    trials, table = read_trials(tables, dataset)
    tested_person = np.array(
        [split_of(dataset, person, seed, (0.7, 0.0, 0.3)) == "test" for person in trials.person]
    )
    # Texts are split by a hash too: a model that knows the texts by heart must not gain by it.
    tested_text = np.array(
        [hashlib.sha256(name.encode()).digest()[0] < 0.3 * 256 for name in table["stimulus"]]
    )
    seen, test = trials.where(~tested_person & ~tested_text), tested_person & tested_text
    texts = table[tested_text].drop_duplicates("stimulus")
    counts = trials.features[texts.index]
    truth = true_values(texts["text"].tolist(), seed)
    neural = {
        "ratings alone": (seen, False, False),
        "+ confidence": (seen, True, False),
        "+ value": (seen, False, True),
        "+ both": (seen, True, True),
        "+ both, shuffled": (shuffled(seen, np.random.default_rng(seed)), True, True),
    }
    rows = []
    for name in MODELS:
        direction = train(*neural[name])
        on_ratings = np.corrcoef(trials.features[test] @ direction, trials.rating[test])[0, 1]
        on_truth = np.corrcoef(counts @ direction, truth)[0, 1]
        rows.append({"model": name, "seed": seed, "rating": on_ratings, "truth": on_truth})
    return pd.DataFrame(rows)


def compare(folder: Path, coupling: float, n_seeds: int = N_SEEDS) -> pd.DataFrame:
    """Simulate data sets, publish them, and return all evaluations."""
    publish_simulated(folder, [ratings(f"ratings{n}", coupling, n) for n in range(n_seeds)])
    tables = braindata.open_tables(folder)
    return pd.concat([evaluate(tables, f"ratings{n}", n) for n in range(n_seeds)])


def gains(found: pd.DataFrame, column: str = "truth") -> pd.DataFrame:
    """Return mean gain of each model over ratings alone, and its standard error over data sets."""
    wide = found.pivot_table(column, "seed", "model")
    gain = wide.sub(wide["ratings alone"], axis=0)[list(MODELS)]
    error = gain.std() / np.sqrt(len(gain))
    return pd.DataFrame({"r": wide[list(MODELS)].mean(), "gain": gain.mean(), "error": error})


def main() -> None:
    """Print what each part brings, in people whose brains show something and in those without."""
    for coupling in (COUPLING, 0.0):
        with tempfile.TemporaryDirectory() as folder:
            found = compare(Path(folder), coupling)
        print(
            f"\nNeural estimates correlate {coupling:g} with value and confidence, by construction"
        )
        for column in ("rating", "truth"):
            print(f"\nheld-out texts, against {column}:")
            print(gains(found, column).round(3).to_string())


if __name__ == "__main__":
    main()
