"""The command line: exit codes, messages, and that the rules call commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from braindata.cli import cli
from braindata.stages import STEP_VERSION


def braindata(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "braindata.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_rule_calls_a_command_that_exists(repository: Path) -> None:
    rules = {path.stem: path.read_text() for path in (repository / "rules").glob("*.smk")}
    rules.pop("common")
    assert set(rules) == set(STEP_VERSION)
    for stage, text in rules.items():
        (called,) = re.findall(r'"braindata (\w+)', text)
        assert called == stage
        options = {option for p in cli.commands[stage].params for option in p.opts}
        assert set(re.findall(r"--[a-z]+", text)) <= options
        assert "run:" not in text
        for needed in ("log:", "benchmark:", "resources:", "conda:", "step_version="):
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
        (["tables", "{}"], 2, "hint"),
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


def test_debug_shows_where(tmp_path: Path) -> None:
    run = braindata("--debug", "curate", "--output", str(tmp_path), "--dataset", "a")
    assert "Traceback" in run.stderr
