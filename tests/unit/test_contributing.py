"""The worked example of CONTRIBUTING.md does what it says."""

from __future__ import annotations

import re
import sys
import textwrap
import types
from pathlib import Path

import pytest

NAME = "braindata.regions.kinds.boxes"


def test_the_box_of_the_example(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = [
        textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ]
    (module_text,) = [block for block in blocks if block.startswith('"""Regions made of boxes')]
    (test_text,) = [block for block in blocks if block.startswith('"""Boxes')]
    module = types.ModuleType(NAME)
    monkeypatch.setitem(sys.modules, NAME, module)
    exec(module_text, module.__dict__)
    tests: dict[str, object] = {}
    exec(test_text, tests)
    (check,) = [value for name, value in tests.items() if name.startswith("test_")]
    assert callable(check)
    check()
    # The promise of the title: a kind with its test in under 60 lines.
    assert len((module_text + test_text).splitlines()) < 60
