"""Bad data: one named outcome each, and everything else is delivered as if they were not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import braindata
from braindata.receipts import SUFFIX, Outcome, Receipt

from .conftest import REGIONS, TINY, Project, Run
from .damage import ALONE, KINDS, NEGATIVE, REST, SOUND, Target, make_damaged

Damaged = tuple[Project, Run, dict[str, Target]]


@pytest.fixture(scope="module")
def damaged(
    bids: Path, new_project: Callable[[Path], Project], tmp_path_factory: pytest.TempPathFactory
) -> Damaged:
    """The damaged data set, after one run over all of it."""
    source = tmp_path_factory.mktemp("damaged") / "bids"
    targets = make_damaged(bids, source)
    project = new_project(source)
    return project, project.run(), targets


@pytest.fixture(scope="module")
def recordings(damaged: Damaged) -> pd.DataFrame:
    """The published recordings by name."""
    project, run, _ = damaged
    assert run.returncode == 0, run.text
    return braindata.open_tables(project.results)["recordings"].to_pandas().set_index("recording")


@pytest.fixture(scope="module")
def outcomes(damaged: Damaged) -> dict[tuple[str, str], Outcome]:
    """What the receipts say of each recording that is not done, by stage and recording."""
    receipts = [Receipt.read(path) for path in sorted(damaged[0].results.rglob(f"*{SUFFIX}"))]
    return {
        (receipt.stage, name): outcome
        for receipt in receipts
        for name, outcome in receipt.recordings.items()
        if outcome.state != "done"
    }


def test_there_are_at_least_24_kinds_in_6_people(recordings: pd.DataFrame) -> None:
    assert len(KINDS) >= 24
    assert recordings["subject"].nunique() == 6


@pytest.mark.parametrize("kind", KINDS)
def test_one_named_outcome(
    kind: str,
    damaged: Damaged,
    recordings: pd.DataFrame,
    outcomes: dict[tuple[str, str], Outcome],
) -> None:
    damage, target = KINDS[kind], damaged[2][kind]
    rows = recordings.loc[[target.recording]]
    assert len(rows) == (2 if kind == "a recording twice" else 1)
    file: Path = getattr(target, damage.file)
    for _, row in rows.iterrows():
        assert (row["status"], row["stage"]) == ("quarantined", damage.stage)
        assert damage.reason in row["reason"]
        assert row["hint"]
        if damage.file != "bold":
            # The table has a column for the image only: the reason names any other file.
            assert file.name in row["reason"]
    # One outcome, in the receipt of the stage that found it.
    (stage,) = (stage for stage, name in outcomes if name == target.recording)
    outcome = outcomes[stage, target.recording]
    assert stage == damage.stage
    assert damage.reason in str(outcome.reason)
    assert outcome.hint
    named = Path(str(outcome.file))
    assert not named.is_absolute()
    assert named.name.removesuffix(".gz") == file.name.removesuffix(".gz")
    assert target.recording in (damaged[0].results / f"logs/{log_of(stage, target)}").read_text()


def log_of(stage: str, target: Target) -> str:
    if stage == "curate":
        return "curate/tiny.log"
    session = next((part for part in target.recording.split("_") if part.startswith("ses-")), None)
    unit = target.recording.split("_")[0] + (f"_{session}" if session else "")
    return f"preprocess/tiny/{unit}.log"


def test_all_else_is_used(damaged: Damaged, recordings: pd.DataFrame) -> None:
    used = {f"sub-{subject}_task-gamble_run-01_bold" for subject in SOUND} | {REST, NEGATIVE, ALONE}
    assert set(recordings.index[recordings["status"] == "used"]) == used
    assert set(recordings.index) == used | {target.recording for target in damaged[2].values()}


def test_the_undamaged_are_as_if_the_others_were_not_there(
    damaged: Damaged, finished: tuple[Project, Run]
) -> None:
    project, reference = damaged[0], finished[0]
    stores = {
        name: digest for name, (_, digest) in reference.files("packed").items() if ".h5" in name
    }
    assert len(stores) == len(SOUND)
    found = {name: digest for name, (_, digest) in project.files("packed").items()}
    assert {name: found[name] for name in stores} == stores
    for table in ("series", "trials"):
        expected, all_rows = (
            braindata.open_tables(where.results)[table].to_pyarrow()
            for where in (reference, project)
        )
        kept = [row in SOUND for row in all_rows["subject"].to_pylist()]
        assert len(expected) > 0
        assert all_rows.filter(kept).equals(expected)


def test_without_a_t1w_image_the_epi_is_normalised_by_itself(recordings: pd.DataFrame) -> None:
    assert recordings.loc[ALONE, "normalisation"] == "epi"
    assert pd.isna(recordings.loc[ALONE, "coregistration_cost"])
    assert "no T1w image" in recordings.loc[ALONE, "warnings"][0]
    assert set(
        recordings.loc[[f"sub-{s}_task-gamble_run-01_bold" for s in SOUND], "normalisation"]
    ) == {"t1w"}


def test_without_events_there_are_series_and_no_trials(
    damaged: Damaged, recordings: pd.DataFrame
) -> None:
    tables = braindata.open_tables(damaged[0].results)
    series, trials = (tables[name].to_pandas() for name in ("series", "trials"))
    assert set(series[series["recording"] == REST]["region"]) == set(REGIONS)
    assert series[series["recording"] == REST]["values"].notna().all()
    assert not (trials["recording"] == REST).any()
    assert recordings.loc[REST, ["stage", "reason", "hint"]].isna().all()


def test_a_negative_duration_is_one_trial_without_an_estimate(damaged: Damaged) -> None:
    trials = braindata.open_tables(damaged[0].results)["trials"].to_pandas()
    own = trials[trials["recording"] == NEGATIVE]
    assert len(own) == TINY.n_trials * len(REGIONS)
    hurt = own[own["trial"] == 4]
    assert set(hurt["reason"]) == {"its duration is negative"}
    assert hurt["estimate"].isna().all()
    assert own[own["trial"] != 4]["estimate"].notna().all()


def test_nobody_sees_a_traceback(damaged: Damaged) -> None:
    project, run, _ = damaged
    assert "Traceback" not in run.text
    for log in sorted((project.results / "logs").rglob("*.log")):
        text = log.read_text()
        assert "Traceback" not in text, log
        assert "Warning" not in text, log


def test_the_same_command_again_does_nothing(damaged: Damaged) -> None:
    run = damaged[0].run()
    assert run.returncode == 0, run.text
    assert "Nothing to be done" in run.text
