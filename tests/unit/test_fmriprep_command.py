"""The command lines of fMRIPrep: what its own parsers make of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from braindata.fmri.fmriprep.command import Limits, Place, command, fmriprep_arguments
from braindata.fmri.fmriprep.parameters import FmriprepParameters

fmriprep_docker = pytest.importorskip("fmriprep_docker.__main__", reason="fmriprep-docker")
LIMITS = Limits(threads=4, memory_mb=16_000)
PYTHON = "BRAINDATA_FMRIPREP_PYTHON"
# Each key of the configuration that changes an argument, with a value that is not its default, and
# what fMRIPrep 25.2 makes of it.
CHANGES: dict[str, tuple[Any, str, Any]] = {
    "output_spaces": (
        ["MNI152NLin6Asym:res-2", "MNIPediatricAsym:cohort-2:res-1"],
        "output_spaces",
        ["MNI152NLin6Asym:res-2", "MNIPediatricAsym:cohort-2:res-1"],
    ),
    "reconall": (True, "run_reconall", True),
    "ignore": (["fieldmaps", "slicetiming", "sbref", "t2w", "flair"], "ignore", None),
    "force": (["bbr", "syn-sdc", "fmap-jacobian"], "force", None),
    "use_syn_sdc": ("warn", "use_syn_sdc", "warn"),
    "slice_time_ref": (0.0, "slice_time_ref", 0.0),
    "dummy_scans": (4, "dummy_scans", 4),
    "bold2anat_init": ("header", "bold2anat_init", "header"),
    "bold2anat_dof": (12, "bold2anat_dof", 12),
    "anatomical_reference": ("sessionwise", "subject_anatomical_reference", "sessionwise"),
    "skull_strip_t1w": ("auto", "skull_strip_t1w", "auto"),
    "skull_strip_template": ("MNI152NLin2009cAsym", "skull_strip_template", "MNI152NLin2009cAsym"),
    "fd_threshold": (0.3, "regressors_fd_th", 0.3),
    "std_dvars_threshold": (2.0, "regressors_dvars_th", 2.0),
    "all_components": (True, "regressors_all_comps", True),
    "fallback_total_readout_time": (0.05, "fallback_total_readout_time", 0.05),
    "seed": (7, "_random_seed", 7),
    "extra": (["--stop-on-first-crash", "--fmap-bspline"], "fmap_bspline", True),
}
# Each choice of a key, alone.
CHOICES = [
    *({"ignore": [one]} for one in ("fieldmaps", "slicetiming", "sbref", "t2w", "fmap-jacobian")),
    *({"force": [one]} for one in ("bbr", "no-bbr", "syn-sdc", "fmap-jacobian")),
    *({"use_syn_sdc": one} for one in ("no", "warn", "error")),
    *({"bold2anat_init": one} for one in ("auto", "t1w", "t2w", "header")),
    *({"bold2anat_dof": one} for one in (6, 9, 12)),
    *({"anatomical_reference": one} for one in ("first-lex", "unbiased", "sessionwise")),
    *({"skull_strip_t1w": one} for one in ("auto", "skip", "force")),
    {"fallback_total_readout_time": "estimated"},
]
ENGINES = ("docker", "apptainer", "singularity")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("bids", "output", "work", "templates"):
        (tmp_path / name).mkdir()
    for name in ("filter.json", "license.txt"):
        (tmp_path / name).write_text("{}")
    folders = (tmp_path / name for name in ("bids", "output", "work"))
    files = (tmp_path / name for name in ("filter.json", "license.txt", "templates"))
    return Place(*folders, *files)


def changed(**values: Any) -> FmriprepParameters:
    return FmriprepParameters.model_validate(values)


def test_each_option_of_the_configuration_is_tried() -> None:
    assert {*CHANGES, "version", "run"} == set(FmriprepParameters.model_fields)


@pytest.mark.parametrize("name", CHANGES)
def test_each_option_changes_the_line(name: str) -> None:
    value = CHANGES[name][0]
    lines = [fmriprep_arguments(one, "01", LIMITS) for one in (changed(), changed(**{name: value}))]
    assert lines[0] != lines[1]


def test_what_only_concerns_this_machine_is_no_parameter() -> None:
    run = {"engine": "apptainer", "image": "x.sif", "threads": 9, "license_file": "l"}
    one = changed(run=run)
    assert "run" not in one.model_dump()
    assert one.model_dump() == changed().model_dump()


@pytest.mark.parametrize("one", ["--nprocs", "--mem_mb=1", "-w", "--output-spaces", "--user"])
def test_arguments_that_the_job_sets_cannot_be_set_twice(one: str) -> None:
    with pytest.raises(ValidationError, match="is set by a key of its own"):
        changed(extra=[one])


def started(place: Place, parameters: FmriprepParameters, folder: Path) -> list[str]:
    """Run the wrapper with a docker that records its call, and return what it was asked to run."""
    docker = folder / "bin" / "docker"
    docker.parent.mkdir(exist_ok=True)
    record = folder / "calls.jsonl"
    docker.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        f"open({str(record)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "if '--entrypoint=free' in sys.argv: print('Mem: 4000 1 1')\n"
        "elif sys.argv[1] == 'images': print('abc')\n"
        "elif '--format' in sys.argv: print('27.0')\n"
    )
    docker.chmod(0o755)
    line = command(parameters, "01", LIMITS, place, "12:34")
    assert line[0] == "fmriprep-docker"
    own = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{docker.parent}:{own}:/usr/bin:/bin"}
    done = subprocess.run(
        line,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    calls: list[list[str]] = [json.loads(one) for one in record.read_text().splitlines()]
    (run,) = [call for call in calls if call[0] == "run" and "--entrypoint=free" not in call]
    return run


def test_the_wrapper_of_docker_starts_what_is_meant(place: Place, tmp_path: Path) -> None:
    """On a machine of 4 GB, without a terminal: it must ask nothing."""
    parameters = changed()
    run = started(place, parameters, tmp_path)
    assert "-it" not in run
    image = run.index("nipreps/fmriprep:25.2.7")
    mounts = {run[k + 1] for k, word in enumerate(run[:image]) if word == "-v"}
    assert mounts == {
        f"{place.license}:/opt/freesurfer/license.txt:ro",
        f"{place.bids}:/data:ro",
        f"{place.output}:/out",
        f"{place.work}:/scratch",
        f"{place.filters}:/tmp/bids_filter.json",
    }
    assert run[run.index("-u") + 1] == "12:34"
    environment = {run[k + 1] for k, word in enumerate(run[:image]) if word == "-e"}
    assert {
        "TEMPLATEFLOW_HOME=/out/.templateflow",
        "TEMPLATEFLOW_AUTOUPDATE=off",
        "TEMPLATEFLOW_USE_DATALAD=off",
    } < environment
    given = run[image + 1 :]
    assert given[:3] == ["/data", "/out", "participant"]
    own = {"-w": "/scratch", "--bids-filter-file": "/tmp/bids_filter.json"}
    for option, value in own.items():
        assert given[given.index(option) + 1] == value
    # All the rest arrives, whatever the wrapper knows of it.
    rest = fmriprep_arguments(parameters, "01", LIMITS)
    spaces = rest.index("--output-spaces")
    del rest[spaces : spaces + 2]
    text = "\0".join(given)
    assert text.index("\0".join(rest[:8])) > 0
    assert set(rest) <= set(given)


@pytest.mark.parametrize("name", CHANGES)
def test_the_wrappers_own_parser_takes_every_option(place: Place, name: str) -> None:
    line = command(changed(**{name: CHANGES[name][0]}), "01", LIMITS, place, "1:2")
    known, rest = fmriprep_docker.get_parser().parse_known_args(line[1:])
    assert (known.bids_dir, known.output_dir) == (str(place.bids), str(place.output))
    assert known.work_dir == str(place.work)
    assert known.no_tty
    assert known.user == "1:2"
    assert known.image == "nipreps/fmriprep:25.2.7"
    expected = fmriprep_arguments(changed(**{name: CHANGES[name][0]}), "01", LIMITS)
    start = expected.index("--output-spaces")
    end = next(k for k in range(start + 1, len(expected)) if expected[k].startswith("--"))
    assert known.output_spaces == expected[start + 1 : end]
    assert rest == expected[:start] + expected[end:]


@pytest.mark.parametrize("engine", ["apptainer", "singularity"])
def test_apptainer_mounts_what_docker_does(place: Place, engine: str) -> None:
    parameters = changed(run={"engine": engine, "image": "/images/fmriprep.sif"})
    line = command(parameters, "01", LIMITS, place, "1:2")
    assert line[:4] == [engine, "run", "--cleanenv", "--containall"]
    image = line.index("/images/fmriprep.sif")
    mounts = {line[k + 1] for k, word in enumerate(line[:image]) if word == "--bind"}
    assert mounts == {
        f"{place.bids}:/data:ro",
        f"{place.output}:/out",
        f"{place.work}:/scratch",
        f"{place.license}:/opt/freesurfer/license.txt:ro",
        f"{place.filters}:/opt/bids_filter.json:ro",
        f"{place.templates}:/templateflow:ro",
    }
    environment = {line[k + 1] for k, word in enumerate(line[:image]) if word == "--env"}
    assert "TEMPLATEFLOW_HOME=/templateflow" in environment
    assert line[image + 1 : image + 4] == ["/data", "/out", "participant"]
    assert line[-len(fmriprep_arguments(parameters, "01", LIMITS)) :] == fmriprep_arguments(
        parameters, "01", LIMITS
    )


_PARSE = """
import json, pathlib, sys, tempfile
from fmriprep.cli import version
version.check_latest = lambda: None
version.is_flagged = lambda: (False, None)
from fmriprep import __version__
from fmriprep.cli.parser import _build_parser
with tempfile.TemporaryDirectory() as folder:
    base = pathlib.Path(folder)
    (base / "data").mkdir()
    for name in ("license.txt", "filter.json"):
        (base / name).write_text("{}")
    here = {"/data": base / "data", "/out": base / "out", "/scratch": base / "work",
            "/opt/freesurfer/license.txt": base / "license.txt",
            "/opt/bids_filter.json": base / "filter.json",
            "/tmp/bids_filter.json": base / "filter.json"}
    found = []
    for line in json.load(sys.stdin):
        options = _build_parser().parse_args([str(here.get(word, word)) for word in line])
        body = vars(options)
        body["output_spaces"] = [one.space for one in body["output_spaces"].references]
        body["skull_strip_template"] = [one.space for one in body["skull_strip_template"]]
        plain = (int, float, list, type(None))
        found.append({name: value if isinstance(value, plain) else str(value)
                      for name, value in body.items()})
    print("FOUND" + json.dumps([__version__, found]))
"""


@pytest.mark.skipif(PYTHON not in os.environ, reason="needs fMRIPrep 25.2: make test-fmriprep")
def test_fmripreps_own_parser_takes_every_option(place: Place, tmp_path: Path) -> None:
    """Opt-in: fMRIPrep has hundreds of dependencies, and an environment of its own."""
    cases = [{}, {name: change[0] for name, change in CHANGES.items()}, *CHOICES]
    cases += [{name: change[0]} for name, change in CHANGES.items()]
    lines = []
    for engine in ("docker", "apptainer", "singularity"):
        for number, case in enumerate(cases):
            image = {} if engine == "docker" else {"image": "/images/fmriprep.sif"}
            parameters = changed(**case, run={"engine": engine, **image})
            if engine == "docker":
                folder = tmp_path / f"{engine}-{number}"
                folder.mkdir()
                line = started(place, parameters, folder)
                lines.append(line[line.index("nipreps/fmriprep:25.2.7") + 1 :])
            else:
                line = command(parameters, "01", LIMITS, place, "1:2")
                lines.append(line[line.index("/images/fmriprep.sif") + 1 :])
    done = subprocess.run(
        [os.environ[PYTHON], "-c", _PARSE],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    version, found = json.loads(done.stdout.rpartition("FOUND")[2])
    assert version.startswith("25.2.")
    print(f"\nfMRIPrep {version}: {len(lines)} command lines parsed")
    for case, body in zip(cases * 3, found, strict=True):
        assert body["participant_label"] == ["01"]
        assert body["nprocs"] == 4
        assert body["omp_nthreads"] == 4
        assert body["memory_gb"] == pytest.approx(14.4)
        assert body["skip_bids_validation"] == 1
        assert body["notrack"] == 1
        assert body["skull_strip_fixed_seed"] == 1
        assert body["run_reconall"] == bool(case.get("reconall", False))
        for name, value in case.items():
            _, option, expected = CHANGES[name]
            if name == "output_spaces":
                assert body[option] == [one.partition(":")[0] for one in value]
            elif name == "skull_strip_template":
                assert body[option] == [value]
            elif name == "use_syn_sdc":
                assert body[option] == ("False" if value == "no" else value) or not body[option]
            elif name in ("ignore", "force"):
                assert body[option] == value
            elif value == CHANGES[name][0]:
                assert body[option] == expected
            else:
                assert str(body[option]) == str(value)
