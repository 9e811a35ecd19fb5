"""The command line: exit codes, messages, and that the rules call commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from braindata.cli import cli, main
from braindata.stages import STEP_VERSION


def braindata(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "braindata.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_rule_calls_a_command_that_exists(repository: Path) -> None:
    rules = {path.stem: path.read_text() for path in (repository / "rules").glob("*.smk")}
    rules.pop("common")
    # They fetch or sum up what a stage needs, and are none: no receipt and no STEP_VERSION.
    # What `preprocess` makes is packed in the same job.
    assert set(rules) | {"pack"} == {*STEP_VERSION, "templateflow", "gather"}
    for stage, text in rules.items():
        # `derive` has a second rule, for EEG at its sensors.
        commands = {"preprocess", "pack"} if stage == "preprocess" else {stage}
        assert set(re.findall(r"\bbraindata (\w+) --", text)) == commands
        options = {o for command in commands for p in cli.commands[command].params for o in p.opts}
        assert set(re.findall(r"--[a-z]+", text)) <= options
        assert "run:" not in text
        of_stage = ["step_version="] if stage in STEP_VERSION else []
        for needed in ("log:", "benchmark:", "resources:", "conda:", *of_stage):
            assert needed in text, f"rule {stage} has no {needed}"


def test_every_command_explains_itself() -> None:
    for name, command in cli.commands.items():
        assert command.help, name
        assert braindata("--help").stdout.count(f"  {name} ") == 1, name


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["extract", "--output", "{}", "--dataset", "a", "--parameters", "{{"], 2, "--parameters"),
        (["derive", "--output", "{}", "--dataset", "a"], 2, "--region"),
        (["curate", "--output", "{}", "--dataset", "a"], 1, "the receipt is missing"),
        (["pull", "--output", "{}", "--dataset", "a", "--source", "{}"], 2, "no BIDS data set"),
        (["pull", "--output", "{}", "--dataset", "../a", "--source", "{}"], 2, "'../a' is no name"),
        (["pack", "--output", "{}", "--dataset", "a", "--unit", "a/../.."], 2, "is no name"),
        (["derive", "--output", "{}", "--dataset", "a", "--region", ".."], 2, "is no name"),
        (["tables", "{}"], 2, "hint"),
        (["run", "--configfile", "{}/none.yaml"], 2, "none.yaml: there is no such file"),
        (["run", "--configfile", "{}"], 2, "this file cannot be read"),
        (["init", "{}/x", "--dataset", "a=none"], 2, "hint: looked in"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_errors_are_one_word_to_the_user(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    run = braindata(*(argument.format(tmp_path) for argument in arguments))
    assert run.returncode == code, run.stderr
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_libraries_say_nothing_of_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # numexpr, which pandas imports, tells of its threads where nobody has set their number.
    for variable in ("OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    assert "INFO" not in braindata("tables", str(tmp_path)).stderr


def test_debug_shows_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ["curate", "--output", str(tmp_path), "--dataset", "a"]
    assert "Traceback" in braindata("--debug", *wrong).stderr
    # By the environment it reaches the jobs that Snakemake starts.
    monkeypatch.setenv("BRAINDATA_DEBUG", "1")
    assert "Traceback" in braindata(*wrong).stderr
    monkeypatch.setenv("BRAINDATA_DEBUG", "0")
    assert "Traceback" not in braindata(*wrong).stderr


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ZeroDivisionError("by zero"), 1, "error: unexpected ZeroDivisionError: by zero\n  hint: "),
        (MemoryError(), 1, "error: there is not enough memory"),
        (OSError(28, "No space left on device", "a"), 1, "is full\n  hint: free some space"),
        (KeyboardInterrupt(), 130, "stopped; what is done is kept"),
    ],
)
def test_no_error_is_a_traceback(
    error: BaseException,
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: Path) -> str:
        raise error

    monkeypatch.setattr("braindata.tables.reading.describe", fail)
    monkeypatch.setattr("sys.argv", ["braindata", "tables", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == code
    told = capsys.readouterr().err
    assert message in told
    assert len(told.strip().splitlines()) <= 2


def test_run_outside_of_a_project(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("braindata")), "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "this folder is no project" in done.stderr
    assert "braindata init" in done.stderr
    assert not list(tmp_path.iterdir())
