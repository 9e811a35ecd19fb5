"""Scores of planted estimates are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from braindata.errors import UsageError
from braindata.phantom.score import score

N = 120


def rows(region: str, subject: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject": subject,
            "task": "gamble",
            "run": np.repeat(["01", "02"], N // 2),
            "trial": np.tile(np.arange(N // 2), 2),
            "region": region,
        }
    )


@pytest.fixture
def planted(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame, Path]:
    """Truth of two regions and three people; each person's estimates have a scale of their own."""
    rng = np.random.default_rng(5)
    truth, ideal, estimates = [], [], []
    for number, subject in enumerate(("01", "02", "03")):
        value = rng.uniform(-1, 1, N)
        for region, weight in (("vmpfc", 1.0), ("visual", 0.0)):
            base = rows(region, subject)
            estimate = 10.0**number * (weight * value + 0.5 * rng.standard_normal(N)) + number
            truth.append(base.assign(value=value, onset=0.0, response=1.0))
            ideal.append(base.assign(estimate=value))
            estimates.append(base.assign(estimate=estimate, definition_hash="x"))
    tables = [pd.concat(part, ignore_index=True) for part in (truth, ideal, estimates)]
    tables[0].to_csv(tmp_path / "trials_truth.tsv", sep="\t", index=False)
    tables[1].to_csv(tmp_path / "ideal_observer.tsv", sep="\t", index=False)
    return tables[2], tables[0], tmp_path


def by_hand(trials: pd.DataFrame, truth: pd.DataFrame, region: str) -> float:
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for subject in ("01", "02", "03"):
        left = trials[(trials["subject"] == subject) & (trials["region"] == region)]
        right = truth[(truth["subject"] == subject) & (truth["region"] == region)]
        kept = left["estimate"].notna().to_numpy()
        pairs.append(
            (
                stats.zscore(left["estimate"].to_numpy()[kept]),
                stats.zscore(right["value"].to_numpy()[kept]),
            )
        )
    x, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return float(stats.pearsonr(x, y).statistic)


def test_planted_estimates_have_their_correlation(
    planted: tuple[pd.DataFrame, pd.DataFrame, Path],
) -> None:
    trials, truth, folder = planted
    table = score(trials, folder).set_index("region")
    for region in ("vmpfc", "visual"):
        assert table.loc[region, "r"] == pytest.approx(by_hand(trials, truth, region), abs=1e-12)
        assert table.loc[region, "ideal_r"] == pytest.approx(1.0)
        assert abs(table.loc[region, "r_shuffled"]) < 0.15
    # Uniform values with noise of half their range: r = 1 / sqrt(1 + 0.25 / (1 / 3)).
    assert table.loc["vmpfc", "r"] == pytest.approx(1 / np.sqrt(1.75), abs=0.06)
    assert abs(table.loc["visual", "r"]) < 0.15
    assert (table["n_trials"] == 3 * N).all()


def test_rows_may_come_in_any_order_and_other_regions_are_ignored(
    planted: tuple[pd.DataFrame, pd.DataFrame, Path],
) -> None:
    trials, _, folder = planted
    more = pd.concat([trials, trials[trials["region"] == "visual"].assign(region="pcc")])
    pd.testing.assert_frame_equal(
        score(more.sample(frac=1, random_state=1), folder), score(trials, folder)
    )


def test_missing_estimates_are_left_out_and_counted(
    planted: tuple[pd.DataFrame, pd.DataFrame, Path],
) -> None:
    trials, truth, folder = planted
    holes = trials.copy()
    holes.loc[holes.index[holes["region"] == "vmpfc"][::7], "estimate"] = np.nan
    table = score(holes, folder).set_index("region")
    missing = int(holes["estimate"].isna().sum())
    assert table.loc["vmpfc", "n_missing"] == missing > 40
    assert table.loc["vmpfc", "n_trials"] == 3 * N - missing
    assert table.loc["vmpfc", "r"] == pytest.approx(by_hand(holes, truth, "vmpfc"), abs=1e-12)


def test_shuffle_is_seeded_and_stays_within_person(
    planted: tuple[pd.DataFrame, pd.DataFrame, Path],
) -> None:
    trials, _, folder = planted
    first, again, other = (score(trials, folder, seed=seed)["r_shuffled"] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_a_region_that_was_not_estimated_has_no_score(
    planted: tuple[pd.DataFrame, pd.DataFrame, Path],
) -> None:
    trials, _, folder = planted
    table = score(trials[trials["region"] == "visual"], folder).set_index("region")
    assert np.isnan(table.loc["vmpfc", "r"])
    assert table.loc["vmpfc", "n_trials"] == 0


def test_trials_that_occur_twice_are_refused(
    planted: tuple[pd.DataFrame, pd.DataFrame, Path], tmp_path: Path
) -> None:
    trials, _, folder = planted
    with pytest.raises(UsageError, match="twice"):
        score(pd.concat([trials, trials]), folder)
    with pytest.raises(UsageError, match="no such file"):
        score(trials, tmp_path / "elsewhere")
