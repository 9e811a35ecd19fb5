"""What the configuration says of cleaning: names, presets, and what of them is a job's."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.interfaces.fmriprep.load_confounds_strategy import preset_strategies
from nilearn.signal import clean
from pydantic import ValidationError

from braindata.config import parse_config
from braindata.errors import UsageError
from braindata.extract.parameters import ExtractParameters
from braindata.extract.strategies import BUILT_IN, Preset

DATASETS = [{"id": "a", "source": "b"}]


def test_defaults_are_those_of_nilearn() -> None:
    theirs = {
        name: parameter.default
        for function in (clean, load_confounds)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    ours = Preset().model_dump()
    # nilearn announces this one; its default of today divides by n.
    assert ours.pop("standardize") == "zscore_sample"
    assert ours.pop("signal") == "mean"
    assert ours == {name: theirs[name] for name in ours}


def test_built_in_strategies_are_those_of_nilearn() -> None:
    assert sorted(BUILT_IN) == sorted(preset_strategies)
    for name, options in preset_strategies.items():
        given = {key: value for key, value in options.items() if value is not None}
        assert BUILT_IN[name] == Preset.model_validate(given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"strategies": ("simple",)},
        {"strategies": ("none", "none")},
        {"strategies": ("none", "mine")},
        {"min_coverage": 1.5},
        {"min_time": -1},
        {"smoothing": 6},
        {"presets": {"Mine": {}}},
        {"presets": {"mine": {"strategy": ("motion", "motion")}}},
        {"presets": {"mine": {"strategy": ("compcor",)}}},
        {"presets": {"mine": {"n_compcor": 0}}},
        {"presets": {"mine": {"filter": "cosine"}}},
        {"presets": {"mine": {"filter": "cosine", "high_pass": 0.01, "low_pass": 0.1}}},
        {"presets": {"mine": {"high_pass": 0.1, "low_pass": 0.1}}},
        {"presets": {"mine": {"high_pass": 0}}},
        {"presets": {"mine": {"low_pass": float("nan")}}},
        {"presets": {"mine": {"standardize": "zscore"}}},
    ],
)
def test_parameters_refuse_what_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ExtractParameters.model_validate(wrong)


@pytest.mark.parametrize(
    ("extract", "message"),
    [
        ({"strategies": ["none", "scrubing"]}, "no strategy `scrubing`; did you mean scrubbing?"),
        (
            {"strategies": ["none", "bandpas"], "presets": {"bandpass": {}}},
            "no strategy `bandpas`; did you mean bandpass?",
        ),
        ({"strategies": ["none", "x"]}, "known: none, simple, scrubbing, compcor, ica_aroma"),
        ({"presets": {"compcor": {}}}, "`compcor` is that of a built-in strategy"),
        ({"presets": {"none": {}}}, "`none` is that of a built-in strategy"),
        (
            {"presets": {"p": {"low_pas": 0.1}}},
            "presets.p.low_pas is not known; did you mean low_pass",
        ),
        ({"presets": {"p": {"strategy": ["motoin"]}}}, "'motion', 'high_pass', 'wm_csf'"),
        (
            {"presets": {"p": {"strategy": ["compcor"]}}},
            "`compcor` needs `high_pass` in `strategy`",
        ),
    ],
)
def test_errors_name_key_and_remedy(extract: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config({"datasets": DATASETS, "extract": extract})
    assert message in str(caught.value)


def test_only_listed_presets_are_a_jobs_parameters() -> None:
    presets = {"b": {"low_pass": 0.1}, "a": {}, "c": {}}
    used = ExtractParameters.model_validate({"presets": presets, "strategies": ("a", "none", "b")})
    dumped = used.model_dump(mode="json")
    assert list(dumped["presets"]) == ["a", "b"]
    assert dumped["presets"]["b"]["low_pass"] == 0.1
    changed = presets | {"c": {"scrub": 9}, "d": {}}
    again = ExtractParameters.model_validate({"presets": changed, "strategies": ("a", "none", "b")})
    assert again.model_dump_json() == used.model_dump_json()
    read = ExtractParameters.model_validate_json(json.dumps(dumped))
    assert read.cleanings == used.cleanings
    assert list(read.cleanings) == ["a", "b", "none"]


def test_every_parameter_is_described() -> None:
    for model in (ExtractParameters, Preset):
        assert all(field.description for field in model.model_fields.values())


def test_reading_parameters_imports_no_numerical_library() -> None:
    code = (
        "import sys, braindata.extract.parameters; "
        "print({'numpy', 'pandas', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
