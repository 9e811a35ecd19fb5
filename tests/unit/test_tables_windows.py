"""Windows of series: the right values, people in one split, a cache that may be thrown away."""

from __future__ import annotations

import errno
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindata.errors import BraindataError, UsageError
from braindata.tables.cache import FOLDER, clear_cache
from braindata.tables.reading import Tables, open_tables
from braindata.tables.splits import split_of
from tests.small_disk import small_disk
from tests.unit.series_release import LEVELS, recording, release, series_rows, series_values

N_PEOPLE = 12


@pytest.fixture(scope="module")
def rows():
    """People with two runs each, of different lengths; first runs fit alignment."""
    return [
        recording(f"{person:02d}", 20 + person + 3 * run, str(run), fits_alignment=run == 1)
        for person in range(1, N_PEOPLE + 1)
        for run in (1, 2)
    ]


@pytest.fixture(scope="module")
def output(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("output")
    series = {region: series_rows(rows, region) for region in LEVELS}
    # One region is missing in one recording; one volume is scrubbed in another.
    series["visual"][0] |= {"values": None, "kept": None, "reason": "min_coverage: nothing there"}
    for region in LEVELS:
        series[region][1]["kept"][10] = False
        series[region] += [
            row | {"strategy": "simple", "unit": "z", "values": [0.0] * len(row["kept"])}
            for row in series_rows(rows[:2], region)
        ]
    return release(folder, rows, series)


@pytest.fixture(scope="module")
def tables(output) -> Tables:
    return open_tables(output)


def expected_windows(rows, regions, length, stride, broken=()):
    """Return all windows one by one, by recording, start and values."""
    found = {}
    for number, row in enumerate(sorted(rows, key=lambda row: row["recording"])):
        for start in range(0, row["_n_samples"] - length + 1, stride):
            if not any(number == b and start <= t < start + length for b, t in broken):
                columns = [series_values(row, region)[start : start + length] for region in regions]
                found[number, start] = np.column_stack(columns).astype(np.float32)
    return found


@pytest.mark.parametrize(("length", "stride"), [(8, 3), (5, None), (29, 1), (1, 1)])
def test_every_window_comes_once_with_its_values(tables, rows, length, stride):
    regions = ["vmpfc", "insula"]
    windows = tables.windows(length, stride, regions=regions, batch_size=7)
    expected = expected_windows(rows, regions, length, stride or length, [(1, 10)])
    found = {}
    for batch in windows:
        assert batch.values.dtype == np.float32 and batch.kept.all()
        for number, start, values in zip(batch.recording, batch.start, batch.values, strict=True):
            assert (number, start) not in found
            found[number, start] = values
    assert found.keys() == expected.keys()
    assert len(windows) == len(expected)
    for key, values in found.items():
        assert np.array_equal(values, expected[key])
    names = windows.recordings["recording"].to_pylist()
    assert names == sorted(row["recording"] for row in rows)
    assert windows.recordings["sampling_frequency"][0].as_py() == 0.5


def test_what_is_missing_is_left_out_or_nan(tables):
    whole = tables.windows(10, 1)
    first = {int(n) for batch in whole for n in batch.recording}
    assert first == set(range(1, 2 * N_PEOPLE))
    everything = tables.windows(10, 1, kept_only=False)
    assert everything.regions == ("insula", "visual", "vmpfc")
    (batch,) = tables.windows(10, 1, kept_only=False, batch_size=10**6).batches(shuffle=False)
    missing = batch.recording == 0
    assert np.isnan(batch.values[missing][:, :, 1]).all()
    assert np.isfinite(batch.values[missing][:, :, [0, 2]]).all()
    assert np.isfinite(batch.values[~missing]).all()
    scrubbed = (batch.recording == 1) & (batch.start == 5)
    assert np.flatnonzero(~batch.kept[scrubbed][0]).tolist() == [5]


def test_the_order_is_the_seeds_and_the_epochs(tables):
    def order(seed, epoch):
        windows = tables.windows(8, 2, seed=seed)
        return [
            (int(n), int(s))
            for b in windows.batches(epoch)
            for n, s in zip(b.recording, b.start, strict=True)
        ]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) and order(0, 0) != order(1, 0)
    assert sorted(order(0, 0)) == sorted(order(1, 7)) != order(0, 0)


@pytest.mark.parametrize("seed", (0, 2, 3))
def test_a_person_is_in_one_split_only(tables, rows, seed):
    shares = (0.4, 0.3, 0.3)
    people = {}
    for split in ("train", "validation", "test"):
        windows = tables.windows(5, regions=["vmpfc"], split=split, shares=shares, seed=seed)
        numbers = {int(n) for batch in windows for n in batch.recording}
        subjects = windows.recordings["subject"].to_pylist()
        people[split] = {subjects[n] for n in numbers}
        if split == "test":
            # What alignment was fitted on is not tested on.
            assert {windows.recordings["run"][n].as_py() for n in numbers} == {"2"}
    assert set.union(*people.values()) == {row["subject"] for row in rows}
    assert sum(map(len, people.values())) == N_PEOPLE
    for split, subjects in people.items():
        assert all(split_of("ds", subject, seed, shares) == split for subject in subjects)


@given(st.text(), st.text(), st.integers(0, 2**31))
def test_shares_only_move_borders(dataset, subject, seed):
    assert split_of(dataset, subject, seed, (1, 0, 0)) == "train"
    assert split_of(dataset, subject, seed, (0, 0, 1)) == "test"
    if split_of(dataset, subject, seed, (0.5, 0.25, 0.25)) == "train":
        assert split_of(dataset, subject, seed) == "train"


def test_shares_are_met_in_many_people():
    splits = [split_of("ds", f"{n:05d}") for n in range(10_000)]
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        # Four standard deviations of a binomial count.
        assert abs(splits.count(split) / 10_000 - share) < 4 * (share * (1 - share) / 10_000) ** 0.5
    # The same in every process and version.
    first = [split_of("ds", f"{n:02d}", 3) for n in range(1, 7)]
    assert first == ["train", "train", "train", "train", "train", "test"]


def test_levels_strategies_and_wrong_names(tables):
    assert tables.windows(5, level="valuation").regions == ("insula", "vmpfc")
    assert tables.windows(5, regions="visual").regions == ("visual",)
    assert len(tables.windows(24, strategy="simple", regions=["insula"])) == 2
    for wrong, message in [
        ({"regions": ["vmpcf"]}, "no region vmpcf; did you mean vmpfc"),
        ({"level": "value"}, "no region is of the level value"),
        ({"regions": ["visual"], "level": "valuation"}, "none of these regions"),
        ({"modality": "meg"}, "no recording of the modality meg; known: fmri"),
        ({"split": "tests"}, "did you mean test?"),
        ({"shares": (1, 1, 1), "split": "test"}, "no shares"),
        ({"split": "test", "shares": (1, 0, 0)}, "none of the 12 people"),
        ({"stride": 0}, "stride is 0"),
        ({"strategy": "scrub"}, "cleaned by `scrub`"),
    ]:
        with pytest.raises(UsageError, match=message):
            tables.windows(5, **wrong)
    with pytest.raises(UsageError, match="no window of 90") as caught:
        tables.windows(90)
    assert caught.value.hint == "the longest recording has 38 samples"


def test_regions_without_values_are_named(tmp_path):
    rows = [recording("01", 20)]
    series = {region: series_rows(rows, region) for region in ("insula", "visual")}
    series["visual"][0] |= {"values": None, "kept": None}
    tables = open_tables(release(tmp_path, rows, series))
    with pytest.raises(UsageError, match="no window") as caught:
        tables.windows(5)
    assert "any of the recordings: visual;" in str(caught.value.hint)
    assert len(tables.windows(5, regions=["insula"])) == 4


def test_modalities_are_not_mixed(tmp_path):
    rows = [recording("01", 20), recording("02", 30, modality="eeg")]
    tables = open_tables(release(tmp_path, rows, {"insula": series_rows(rows, "insula")}))
    with pytest.raises(UsageError, match="several modalities") as caught:
        tables.windows(5)
    assert caught.value.hint == "name one: modality='eeg' or 'fmri'"
    assert len(tables.windows(10, modality="eeg")) == 3
    assert len(tables.windows(10, modality="fmri")) == 2


def test_contradictions_and_damage_are_named(tmp_path):
    rows = [recording("01", 20)]
    series = {region: series_rows(rows, region) for region in ("insula", "visual")}
    series["visual"][0]["values"] = [0.0] * 19
    series["visual"][0]["kept"] = None
    tables = open_tables(release(tmp_path, rows, series))
    with pytest.raises(BraindataError, match="ds/sub-01_task-t_run-1_bold differ in length"):
        tables.windows(5)
    broken = tables["series"].files_with({"region": "visual"})
    assert len(broken) == 1
    content = broken[0].read_bytes()
    broken[0].write_bytes(content[:4] + bytes(len(content) - 4))
    with pytest.raises(BraindataError, match="cannot be read") as caught:
        tables.windows(5)
    assert caught.value.file == str(broken[0])
    # The rest reads.
    assert len(tables.windows(5, regions=["insula"])) == 4


def test_the_cache_is_made_once_and_may_be_thrown_away(output, tables, tmp_path, monkeypatch):
    made = []
    from braindata.tables import cache

    write = cache._write
    monkeypatch.setattr(cache, "_write", lambda *a: (made.append(a), write(*a)))
    first = tables.windows(8, cache=tmp_path, regions=["insula"])
    tables.windows(5, cache=tmp_path, regions=["insula"], split="train")
    assert len(made) == 1
    tables.windows(8, cache=tmp_path, regions=["visual"])
    assert len(made) == 2
    values = [batch.values for batch in first]
    shutil.rmtree(tmp_path)
    # What is mapped stays, and what is deleted is made anew.
    assert all(np.array_equal(a, b.values) for a, b in zip(values, first, strict=True))
    tables.windows(8, cache=tmp_path, regions=["insula"])
    assert len(made) == 3
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        again = tables.windows(8, cache=tmp_path, regions=["insula"])
        assert file.read_bytes() == content
        assert len(again) == len(first)
    tables.windows(8, regions=["insula"])
    assert (output / "tables" / FOLDER).is_dir()
    assert clear_cache(output / "tables") and not (output / "tables" / FOLDER).exists()
    assert not clear_cache(output / "tables")


def test_a_new_region_leaves_the_cache_valid(tmp_path, rows):
    few = rows[:2]
    series = {region: series_rows(few, region) for region in ("insula", "visual")}
    release(tmp_path, few, {"insula": series["insula"]})
    open_tables(tmp_path).windows(5, regions=["insula"])
    release(tmp_path, few, series)
    tables = open_tables(tmp_path)
    assert tables.release == 2
    tables.windows(5, regions=["insula"])
    caches = [path for path in (tmp_path / "tables" / FOLDER).iterdir() if path.is_dir()]
    assert len(caches) == 1


# A region in two tasks of one data set and in another: r of each process there, and who takes part.
EVIDENCE = [
    ("ds", "t", "value", 0.35, ("insula", "vmpfc")),
    ("ds", "t", "salience", 0.05, ("insula",)),
    ("ds", "t", "vision", None, ("visual",)),
    ("other", "t", "value", 0.1, ("insula", "vmpfc")),
    ("other", "t", "salience", 0.5, ("insula",)),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Tables:
    """Two people in each of two data sets; one recording has no signals."""
    rows = [
        recording(f"{person:02d}", 20, str(run), dataset)
        for dataset in ("ds", "other")
        for person in (1, 2)
        for run in (1, 2)
    ]
    signals, fits = [], []
    for dataset, task, process, r, regions in EVIDENCE:
        reason = None if r is not None else "nothing to hold it against"
        shared = {"dataset": dataset, "task": task, "process": process}
        for row in rows:
            if row["dataset"] != dataset or (row["subject"], row["run"]) == ("02", "2"):
                continue
            who = shared | {"recording": row["recording"], "subject": row["subject"]}
            more = {"evidence_r": r, "evidence_reason": reason, "regions": list(regions)}
            signals += [who | more | {"trial": trial} for trial in range(3)]
            fits += [shared | {"subject": row["subject"], "region": region} for region in regions]
    series = {region: series_rows(rows, region) for region in LEVELS}
    more = {"signals": signals, "signal_fits": fits}
    return open_tables(release(tmp_path_factory.mktemp("judged"), rows, series, more))


def whose(windows):
    """Return the regions, and of which data sets and recordings the windows are."""
    numbers = {int(n) for batch in windows for n in batch.recording}
    rows = windows.recordings.select(["dataset", "subject", "run"]).to_pylist()
    return windows.regions, {tuple(rows[n].values()) for n in numbers}


DS = {("ds", "01", "1"), ("ds", "01", "2"), ("ds", "02", "1")}
OTHER = {("other", *rest) for _, *rest in DS}


@pytest.mark.parametrize(
    ("chosen", "regions", "recordings"),
    [
        ({"evidence": {"value": 0.2}}, ("insula", "vmpfc"), DS),
        ({"evidence": {"value": 0.05}}, ("insula", "vmpfc"), DS | OTHER),
        # It has to be exceeded.
        ({"evidence": {"value": 0.1}}, ("insula", "vmpfc"), DS),
        ({"evidence": {"salience": 0.2}}, ("insula",), OTHER),
        ({"evidence": {"value": 0.2}, "regions": ["vmpfc", "visual"]}, ("vmpfc",), DS),
        ({"evidence": 0.2, "regions": ["insula"]}, ("insula",), DS | OTHER),
        # In the other data set vmPFC has none.
        ({"evidence": 0.2}, ("insula", "vmpfc"), DS),
        ({"evidence": {"value": 0.2, "salience": 0.2}}, ("insula", "vmpfc"), DS),
        ({"evidence": -1.0, "level": "valuation"}, ("insula", "vmpfc"), DS | OTHER),
    ],
)
def test_only_where_there_is_evidence(judged, chosen, regions, recordings):
    assert whose(judged.windows(5, **chosen)) == (regions, recordings)
    # The same windows as without evidence, where it leaves them.
    everything = whose(judged.windows(5, regions=regions))[1]
    assert recordings < everything and len(everything) == 8


@pytest.mark.parametrize(
    ("chosen", "told", "hint"),
    [
        ({"evidence": {"valeu": 0.2}}, "no process valeu is in signals; did you mean value?", ""),
        ({"evidence": 1.2}, "evidence is 1.2", ""),
        ({"evidence": {}}, "names no process", "salience, value, vision"),
        ({"evidence": {"value": 0.4}}, r"none of the regions .* \(value 0.4\)",
         "the most is 0.35, of value in ds (task t)"),
        ({"evidence": 0.2, "regions": ["visual"]}, "none of the regions visual",
         "vision in ds (task t): nothing to hold it against"),
        ({"evidence": {"value": 0.2}, "regions": ["visual"]}, "none of the regions visual",
         "they take part in none of value"),
        ({"evidence": {"value": 0.2}, "split": "test", "shares": (0.4, 0.3, 0.3), "seed": 8},
         "no fmri recording of the split test", "ask for less"),
    ],
)  # fmt: skip
def test_why_there_is_no_evidence_is_told(judged, chosen, told, hint):
    with pytest.raises(UsageError, match=told) as caught:
        judged.windows(5, **chosen)
    assert hint in str(caught.value.hint)


def test_regions_with_evidence_in_different_places(judged, tables, tmp_path):
    rows = [recording("01", 20, dataset=name) for name in ("a", "b")]
    of = {"a": "insula", "b": "visual"}
    shared = [
        {"dataset": row["dataset"], "task": "t", "process": "p", "subject": "01"} for row in rows
    ]
    more = {
        "signals": [
            one | {"recording": row["recording"], "evidence_r": 0.3, "trial": 0}
            for one, row in zip(shared, rows, strict=True)
        ],
        "signal_fits": [one | {"region": of[one["dataset"]]} for one in shared],
    }
    series = {region: series_rows(rows, region) for region in of.values()}
    apart = open_tables(release(tmp_path, rows, series, more))
    with pytest.raises(UsageError, match="evidence of all of insula, visual") as caught:
        apart.windows(5, evidence=0.2)
    assert "(insula: a (task t); visual: b (task t))" in str(caught.value.hint)
    assert apart.windows(5, evidence=0.2, regions=["visual"]).regions == ("visual",)
    with pytest.raises(UsageError, match="release 1 has no signals"):
        tables.windows(5, evidence=0.2)


READ = """
import sys
from braindata import open_tables
windows = open_tables(sys.argv[1]).windows(8, 1, cache=sys.argv[2])
print(len(windows), sum(float(batch.values.sum(dtype="f8")) for batch in windows))
"""


def test_several_processes_and_killed_ones(output, tables, tmp_path):
    command = [sys.executable, "-c", READ, str(output), str(tmp_path / "cache")]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE)
    killed.kill()
    killed.wait()
    key = next(iter(_folders(tables, tmp_path / "other"))).name
    tmp_path = tmp_path / "cache"
    left = tmp_path / f".part-{key}"
    left.mkdir(parents=True, exist_ok=True)
    (left / "values.npy").write_bytes(b"half")
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    (text,) = printed
    windows = tables.windows(8, 1, cache=tmp_path)
    total = sum(float(batch.values.sum(dtype="f8")) for batch in windows)
    assert text == f"{len(windows)} {total}\n"
    assert [path.name for path in _folders(tables, tmp_path)] == [key]


def _folders(tables: Tables, cache: Path) -> list[Path]:
    tables.windows(8, 1, cache=cache)
    return [path for path in cache.iterdir() if path.is_dir()]


def test_a_folder_that_cannot_be_written(tables, monkeypatch, tmp_path):
    def refuse(*_arguments, **_more):
        raise PermissionError(13, "no")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(UsageError, match="cannot be written here") as caught:
        tables.windows(8, cache=tmp_path / "none")
    assert "cache=FOLDER" in str(caught.value.hint)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOTDIR, errno.EEXIST])
def test_a_read_only_disk_or_a_file_in_the_way(tables, monkeypatch, tmp_path, number):
    def refuse(*_arguments, **_more):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(UsageError, match="cannot be written here") as caught:
        tables.windows(8, cache=tmp_path / "none")
    assert "cache=FOLDER" in str(caught.value.hint)


@pytest.mark.parametrize(
    "wrong",
    [{"length": 8.5}, {"stride": 2.0}, {"stride": 0}, {"seed": -1}, {"seed": "x"},
     {"batch_size": 2.5}, {"batch_size": None}],
)  # fmt: skip
def test_numbers_that_are_no_counts_are_named(tables, tmp_path, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(UsageError, match=re.escape(f"{name} is {value!r}")):
        tables.windows(**({"length": 8} | wrong), cache=tmp_path)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    rows = [recording("01", 400_000)]
    kept = {"kept": None, "values": [1.0] * 400_000}
    tables = open_tables(
        release(tmp_path / "out", rows, {"insula": series_rows(rows, "insula", **kept)})
    )
    cache = tmp_path / "cache"
    cache.mkdir()
    with small_disk(cache, 1):
        with pytest.raises(OSError, match="No space left") as caught:
            tables.windows(8, cache=cache)
        assert str(caught.value.filename).endswith("values.npy")
        assert not [path for path in cache.iterdir() if path.is_dir()]
    assert len(tables.windows(8, cache=cache)) == 50_000


def test_windows_are_passed_to_workers_without_their_values(tables):
    windows = tables.windows(8, 1)
    packed = pickle.dumps(windows)
    index = 3 * 8 * len(windows)
    assert len(packed) < index + 10_000
    again = pickle.loads(packed)
    for one, other in zip(windows, again, strict=True):
        assert np.array_equal(one.values, other.values)


def test_torch_is_asked_for_only_when_needed(tables):
    pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    windows = tables.windows(8, 1, split="train")
    dataset = windows.to_torch()
    assert len(dataset) == len(windows)
    expected = windows.take([5])
    item = dataset[5]
    assert np.array_equal(item["values"].numpy(), expected.values[0])
    assert int(item["recording"]) == expected.recording[0]
    for workers in (0, 2):
        loader = DataLoader(dataset, batch_size=16, shuffle=True, num_workers=workers)
        seen = [
            (int(n), int(s))
            for batch in loader
            for n, s in zip(batch["recording"], batch["start"], strict=True)
        ]
        assert len(set(seen)) == len(seen) == len(windows)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_without_torch_it_says_so(tables, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "braindata.tables.torch_windows", raising=False)
    with pytest.raises(UsageError, match="PyTorch is not installed"):
        tables.windows(8).to_torch()
