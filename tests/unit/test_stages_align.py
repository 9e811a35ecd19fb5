"""People through `align`: what fine patterns say in the common space, and who is left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from braindata.align import load_maps
from braindata.align.parameters import AlignSettings, Group, find_groups
from braindata.align.template import load_templates
from braindata.bids.events import read_events
from braindata.derive.parameters import DeriveParameters
from braindata.derive.patterns import voxel_patterns
from braindata.derive.trials import RecordingEvents, derive_trials
from braindata.extract.clean import clean_series
from braindata.extract.parameters import ExtractParameters
from braindata.extract.series import extract_region
from braindata.extract.strategies import BUILT_IN
from braindata.layout import Layout
from braindata.pack.store import Grid, open_store, write_store
from braindata.receipts import Outcome, Receipt, receipt_beside
from braindata.regions.definition import Region
from braindata.regions.kinds import Sphere, Spheres
from braindata.regions.resolve import resolve
from braindata.regions.template import grey_matter
from braindata.stages import align
from braindata.stages.job import read_inventory
from braindata.stages.leaving_out import without_people
from braindata.stages.pseudonymising import pseudonymised
from braindata.tables.keys import RecordingKey
from braindata.tables.pseudonyms import Pseudonyms
from braindata.tables.publish import publish
from braindata.tables.reading import open_tables
from tests.unit.align_stores import Phantom, region, write_inventory, write_phantom

VMPFC = region("vmpfc")
GROUP = find_groups([VMPFC], ["regions"])[0]


def parameters(group: Group = GROUP, **more: Any) -> align.Parameters:
    settings = {"n_permutations": 20, "parcel_size": 60, **more.pop("settings", {})}
    return align.Parameters(group=group, align=AlignSettings(**settings), **more)


def aligned(layout: Layout, **more: Any) -> tuple[dict[str, dict], list[dict]]:
    chosen = parameters(**more)
    assert align.run(layout, "ds", chosen)
    assert not align.run(layout, "ds", chosen)
    key = chosen.group.key
    rows = pq.read_table(layout.alignment("ds", key)).to_pylist()
    patterns = pq.read_table(layout.patterns("ds", key)).to_pylist()
    assert [row["subject"] for row in rows] == sorted(row["subject"] for row in rows)
    return {row["subject"]: row for row in rows}, patterns


def decoded(people: dict[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """Return how often the nearer of the others' mean patterns is the right one."""
    right = []
    centred = {s: (x - x.mean(axis=0), y) for s, (x, y) in people.items()}
    for subject, (own, labels) in centred.items():
        others = [both for s, both in centred.items() if s != subject]
        x = np.concatenate([x for x, _ in others])
        y = np.concatenate([y for _, y in others])
        names = np.unique(y)
        middles = np.stack([x[y == name].mean(axis=0) for name in names])
        right += (names[(own @ middles.T).argmax(axis=1)] == labels).tolist()
    return float(np.mean(right))


def by_person(rows: list[dict], value: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {}
    for subject in sorted({row["subject"] for row in rows}):
        own = [row for row in rows if row["subject"] == subject and row[value] is not None]
        vectors = np.array([np.atleast_1d(row[value]) for row in own], float)
        found[subject] = (vectors, np.array([row["trial_type"] for row in own]))
    return found


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("align") / "out")
    write_phantom(layout, Phantom((VMPFC,), voxel=3.0))
    return layout


SMALL = {"n_people": 4, "n_film": 120, "n_runs": 2, "n_trials": 10}


def small(folder: Path, regions: tuple[Region, ...] = (VMPFC,), **more: Any) -> Layout:
    layout = Layout(folder / "out")
    write_phantom(layout, Phantom(regions, **{**SMALL, **more}))
    return layout


def means(layout: Layout) -> list[dict]:
    """Return the trials of the region's mean, by the stages that every region goes through."""
    keys = [
        RecordingKey.from_row(row)
        for row in read_inventory(layout, "ds")
        if row["events"] is not None
    ]
    stores = [(key, layout.store("ds", key.recording)) for key in keys]
    series, _ = extract_region(VMPFC, stores, ExtractParameters(strategies=("none",)))
    recordings = []
    for row in read_inventory(layout, "ds"):
        if row["events"] is not None:
            with open_store(layout.store("ds", row["recording"])) as store:
                events = read_events(layout.raw("ds") / row["events"])
                key = RecordingKey.from_row(row)
                recordings.append(RecordingEvents(key, events, store.confounds, store.tr))
    return derive_trials(series, recordings, DeriveParameters())[0].to_pylist()


def test_scrambled_patterns_are_decoded_where_means_say_nothing(phantom: Layout) -> None:
    rows, patterns = aligned(phantom, shared_stimulus=True)
    assert {row["status"] for row in rows.values()} == {"aligned"}
    assert {row["method"] for row in rows.values()} == {"procrustes"}
    task = [row for row in patterns if row["task"] == "task"]
    assert len(task) == 8 * 2 * 20
    assert not any(row["in_fit"] for row in task)
    assert {tuple(row["fitted_on"]) for row in task} == {
        (f"sub-{n:02d}_task-film_bold",) for n in range(1, 9)
    }
    assert decoded(by_person(task, "vector")) >= 0.7
    # 320 trials: a standard error of .028 around chance, were they independent.
    assert decoded(by_person(means(phantom), "estimate")) < 0.6
    after, before, chance = (
        np.mean([row[f"decoding_{name}"] for row in rows.values()])
        for name in ("after", "before", "chance")
    )
    assert after >= 0.7
    assert before < 0.65
    assert abs(chance - 0.5) < 0.05
    # The film was fitted on throughout: its series are scored by maps from its first half.
    assert all(row["matched_within_fit"] for row in rows.values())
    for metric in ("matching", "prediction"):
        for row in rows.values():
            assert row[f"{metric}_after"] > row[f"{metric}_before"]
            assert row[f"{metric}_after"] > row[f"{metric}_chance"] + 3 * row[f"{metric}_chance_sd"]


def test_vectors_are_the_responses_mapped(phantom: Layout) -> None:
    rows, patterns = aligned(phantom, shared_stimulus=True, settings={"parcel_size": 30})
    templates = load_templates(phantom.alignment_template("ds", GROUP.key))
    maps = load_maps(phantom.maps("ds", GROUP.key))
    assert len(templates) > 1
    assert rows["01"]["dimensions"] == [one.rank for one in templates.values()]
    assert rows["01"]["n_voxels"] == sum(rows["01"]["dimensions"])
    with np.load(phantom.alignment_template("ds", GROUP.key)) as file:
        voxels, labels = file["voxels"], file["labels"]
    name = "sub-03_task-task_run-2_bold"
    with open_store(phantom.store("ds", name)) as store:
        raw = store.read_voxels(store.order.positions(voxels)).astype(np.float64)
        confounds, tr = store.confounds, store.tr
    cleaned = [clean_series(one, confounds, {}, tr, BUILT_IN["simple"])[0] for one in raw]
    assert np.allclose(np.std(cleaned, axis=1, ddof=1), 1)
    plain = BUILT_IN["simple"].model_copy(update={"standardize": "none"})
    spread = [clean_series(one, confounds, {}, tr, plain)[0].std(ddof=1) for one in raw]
    events = read_events(phantom.raw("ds") / "sub-03/func/sub-03_task-task_run-2_events.tsv")
    key = RecordingKey("ds", name, "03")
    own = RecordingEvents(key, events, confounds, tr)
    estimates = voxel_patterns(
        raw.T / spread, own, None, np.ones(raw.shape[1], bool), DeriveParameters()
    ).estimates
    expected = np.concatenate(
        [
            maps[parcel]["sub-03"].forward(estimates[:, labels == int(parcel)]) @ one.finish
            for parcel, one in templates.items()
        ],
        axis=1,
    )
    found = [row["vector"] for row in patterns if row["recording"] == name]
    assert np.allclose(found, expected, atol=1e-3)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    layout = small(tmp_path)
    files = [
        path("ds", GROUP.key)
        for path in (layout.alignment, layout.patterns, layout.maps, layout.alignment_template)
    ]
    aligned(layout)
    first = [file.read_bytes() for file in files]
    receipt = receipt_beside(files[0])
    told = receipt.read_text()
    receipt.unlink()
    aligned(layout)
    assert [file.read_bytes() for file in files] == first
    assert receipt.read_text() == told


def test_without_a_choice_runs_are_split_and_half_is_scored(tmp_path: Path) -> None:
    layout = small(tmp_path, film_events=True)
    rows = [row | {"fits_alignment": True} for row in read_inventory(layout, "ds")]
    write_inventory(layout, rows)
    found, patterns = aligned(layout, shared_stimulus=True)
    film, first, second = (f"sub-01_task-{n}_bold" for n in ("film", "task_run-1", "task_run-2"))
    assert found["01"]["fitted_on"] == [film, first]
    assert found["01"]["scored_on"] == [film, second]
    in_fit = {
        (row["recording"], row["onset"]): row["in_fit"]
        for row in patterns
        if row["subject"] == "01"
    }
    assert all(fit for (name, _), fit in in_fit.items() if name == first)
    assert not any(fit for (name, _), fit in in_fit.items() if name == second)
    # The film has 120 volumes of 2 s: its first 120 s were fitted on.
    of_film = {onset: fit for (name, onset), fit in in_fit.items() if name == film}
    assert of_film == {0.0: True, 90.0: True, 180.0: False, 270.0: False}


def test_a_new_person_changes_nobody_where_members_are_named(tmp_path: Path) -> None:
    layout = small(tmp_path, n_people=5)
    everybody = read_inventory(layout, "ds")
    old = {f"{n:02d}" for n in range(1, 5)}
    named = {"members": ("01", "02", "03"), "shared_stimulus": True}
    seen = []
    for people in (old, {*old, "05"}):
        write_inventory(layout, [row for row in everybody if row["subject"] in people])
        rows, patterns = aligned(layout, **named)
        seen.append((rows, [row for row in patterns if row["subject"] in old]))
    assert seen[0][1] == seen[1][1]
    assert seen[0][0]["01"]["template"] == seen[1][0]["05"]["template"]
    assert [row["in_template"] for row in seen[1][0].values()] == [True] * 3 + [False] * 2
    assert seen[1][0]["05"]["decoding_after"] is not None
    # Without names, the new person is one of those from whom the template is made.
    rows, _ = aligned(layout, shared_stimulus=True)
    assert rows["01"]["template"] != seen[1][0]["01"]["template"]
    assert rows["01"]["n_members"] == 5


def test_a_group_keeps_its_template_when_other_regions_come(tmp_path: Path) -> None:
    striatum, visual = region("ventral_striatum"), region("visual")
    before = find_groups([VMPFC, visual], ["levels", "regions"])
    after = find_groups([VMPFC, visual, striatum], ["levels", "regions"])
    kept = {group.key for group in before} & {group.key for group in after}
    assert sorted(key.rpartition("-")[0] for key in kept) == ["perception", "visual", "vmpfc"]
    assert GROUP.key == VMPFC.key
    # What the literature says of a region is no part of it.
    other = VMPFC.model_copy(update={"processes": ("something else",)})
    assert find_groups([other], ["regions"]) == [GROUP]
    layout = small(tmp_path, (VMPFC, striatum))
    level = find_groups([VMPFC, striatum], ["valuation"])[0]
    rows, _ = aligned(layout, group=level, shared_stimulus=True)
    assert rows["01"]["regions"] == ["ventral_striatum", "vmpfc"]
    one = load_templates(layout.alignment_template("ds", level.key))
    aligned(layout, shared_stimulus=True)
    alone = load_templates(layout.alignment_template("ds", GROUP.key))
    # Parcels lie within regions: a region's templates are the same ones in its level.
    assert {t.id for t in alone.values()} <= {t.id for t in one.values()}


BROKEN = {
    "short": ("60 volumes, fewer than the rank of 70", {"method": "srm", "rank": 70}),
    "constant": ("all voxels are constant", {}),
    "nan": ("voxels that should hold data hold NaN or infinity", {}),
    "absent": ("no recording that maps are fitted on can be used", {}),
    "uncovered": ("of a parcel's voxels hold data in all recordings", {}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_who_cannot_be_aligned_is_left_out_and_the_rest_goes_on(tmp_path: Path, what: str) -> None:
    reason, settings = BROKEN[what]
    layout = small(tmp_path, broken={"03": what}, voxel=3.0)
    rows, patterns = aligned(
        layout, shared_stimulus=True, settings={"parcel_size": 200, **settings}
    )
    assert {s: row["status"] for s, row in rows.items()} == {
        "01": "aligned",
        "02": "aligned",
        "03": "unaligned",
        "04": "aligned",
    }
    assert reason in rows["03"]["reason"]
    assert rows["03"]["template"] == rows["01"]["template"]
    assert rows["01"]["n_members"] == 3
    assert rows["01"]["decoding_after"] is not None
    own = [row for row in patterns if row["subject"] == "03"]
    assert own
    assert all(row["vector"] is None and reason in row["reason"] for row in own)
    assert all(row["in_fit"] is None and row["fitted_on"] is None for row in own)
    assert all(row["vector"] for row in patterns if row["subject"] == "01")
    if what in ("constant", "nan"):
        outcome = Receipt.read(receipt_beside(layout.alignment("ds", GROUP.key)))
        assert outcome.recordings["sub-03_task-film_bold"].state == "done"


def speck() -> Region:
    """A sphere between the voxels of the grid, smaller than they are."""
    sphere = Sphere(center=(-2, 26, -12), radius=1, hemisphere="left", source="made for a test")
    definition = Spheres(spheres=(sphere,), grey_matter=False)
    return VMPFC.model_copy(update={"name": "a_speck", "definition": definition})


def test_a_region_too_small_for_the_grid_is_left_out_of_its_groups(tmp_path: Path) -> None:
    layout = small(tmp_path)
    both, alone = find_groups([VMPFC, speck()], ["levels"])[0], find_groups([speck()], ["regions"])
    assert [part.name for part in both.parts] == ["a_speck", "vmpfc"]
    why = (
        "region a_speck: the sphere of 1 × 1 × 1 mm around (-2, 26, -12) holds no voxel of the "
        "image grid (voxels of 4 × 4 × 4 mm)"
    )
    see = "see the table `alignment`"
    rows, patterns = aligned(layout, group=both, shared_stimulus=True)
    receipt = Receipt.read(receipt_beside(layout.alignment("ds", both.key)))
    assert set(receipt.recordings.values()) == {Outcome("done", why, see)}
    # The others of the group are aligned as they are without it.
    others, plain = aligned(layout, shared_stimulus=True)
    assert {row["status"] for row in rows.values()} == {"aligned"}
    assert rows["01"]["regions"] == others["01"]["regions"] == ["vmpfc"]
    for name in ("template", "n_voxels", "coverage", "decoding_after"):
        assert rows["02"][name] == others["02"][name] is not None
    assert [row["vector"] for row in patterns] == [row["vector"] for row in plain]

    rows, patterns = aligned(layout, group=alone[0], shared_stimulus=True)
    receipt = Receipt.read(receipt_beside(layout.alignment("ds", alone[0].key)))
    assert set(receipt.recordings.values()) == {Outcome("done", why, see)}
    assert receipt.notes["method"] is None
    for row in rows.values():
        assert (row["status"], row["reason"], row["method"]) == ("unaligned", why, None)
        assert (row["n_voxels"], row["coverage"], row["template"]) == (None, None, None)
    assert patterns
    assert all(row["vector"] is None for row in patterns)
    assert {row["reason"] for row in patterns} == {f"the person is unaligned: {why}"}


def test_one_person_is_left_unaligned(tmp_path: Path) -> None:
    rows, patterns = aligned(small(tmp_path, n_people=1), shared_stimulus=True)
    assert rows["01"]["reason"] == "alignment needs at least two people whose data allow it"
    assert rows["01"]["template"] is None
    assert all(row["vector"] is None for row in patterns)


def test_two_people_are_aligned_and_not_scored(tmp_path: Path) -> None:
    rows, _ = aligned(small(tmp_path, n_people=2), shared_stimulus=True)
    assert rows["01"]["status"] == "aligned"
    assert rows["01"]["decoding_after"] is None
    assert "fewer than two people are left" in rows["01"]["score_reason"]


def test_nobody_is_aligned_in_time_without_a_common_stimulus(tmp_path: Path) -> None:
    layout = small(tmp_path)
    rows, patterns = aligned(layout, settings={"method": "procrustes"})
    assert {row["status"] for row in rows.values()} == {"unaligned"}
    assert "task-film has no events" in rows["01"]["reason"]
    assert "shared_stimulus: true" in rows["01"]["reason"]
    assert all(row["vector"] is None for row in patterns)
    # Runs in which trials come in another order in everybody are no common stimulus.
    tasks = [
        row | {"fits_alignment": row["run"] == "1"}
        for row in read_inventory(layout, "ds")
        if row["task"] == "task"
    ]
    write_inventory(layout, tasks)
    rows, _ = aligned(layout, settings={"method": "srm"})
    assert "is not the same in sub-01 and sub-02" in rows["01"]["reason"]


def test_people_go_by_connectivity_unless_events_are_the_same(tmp_path: Path) -> None:
    rows, patterns = aligned(small(tmp_path / "a", n_people=5))
    assert {row["method"] for row in rows.values()} == {"connectivity"}
    assert "has no events" in rows["01"]["method_reason"]
    assert rows["01"]["connectivity_after"] is not None
    assert rows["01"]["matching_after"] is None
    assert all(row["vector"] for row in patterns)
    rows, _ = aligned(small(tmp_path / "b", film_events=True))
    assert {row["method"] for row in rows.values()} == {"procrustes"}
    assert rows["01"]["method_reason"] == "the events of all people are the same"


def test_data_without_images_make_empty_tables(tmp_path: Path) -> None:
    layout = small(tmp_path)
    write_inventory(layout, [r | {"modality": "eeg"} for r in read_inventory(layout, "ds")])
    assert aligned(layout) == ({}, [])


def test_what_is_passed_on_has_pseudonyms_and_lacks_whom_people_leave_out(tmp_path: Path) -> None:
    layout = small(tmp_path, broken={"03": "constant"})
    aligned(layout, shared_stimulus=True)
    names = Pseudonyms(b"k" * 32, "ds", ["01", "02", "03", "04"])
    for table, path in (
        ("alignment", layout.alignment("ds", GROUP.key)),
        ("patterns", layout.patterns("ds", GROUP.key)),
    ):
        named = pseudonymised(path, table, names, tmp_path / f"{table}.parquet")
        rows = pq.read_table(named).to_pylist()
        assert {row["subject"] for row in rows} == {names.of(f"0{n}") for n in range(1, 5)}
        assert not re.search(r"sub-0[1-4]", str(rows))
    gone = dict.fromkeys(pq.read_table(layout.inventory("ds"))["recording"].to_pylist())
    of_one = [name for name in gone if name.startswith("sub-03")]
    left = without_people(
        layout.alignment("ds", GROUP.key), "alignment", of_one, tmp_path / "left.parquet"
    )
    assert pq.read_table(left)["subject"].to_pylist() == ["01", "02", "04"]


def test_all_readers_read_the_tables(tmp_path: Path) -> None:
    layout = small(tmp_path, broken={"03": "constant"})
    _, rows = aligned(layout, shared_stimulus=True)
    shards = {
        "alignment": [layout.alignment("ds", GROUP.key)],
        "patterns": [layout.patterns("ds", GROUP.key)],
    }
    publish(layout.tables(), shards, {})
    view = open_tables(layout.output)["patterns"]
    expected = [row["vector"] for row in rows]
    assert view.to_pyarrow()["vector"].to_pylist() == expected
    assert view.to_polars()["vector"].to_list() == expected
    frame = view.to_pandas(where={"subject": "01", "region_group": "vmpfc"})
    assert np.array(frame["vector"].tolist()).shape == (20, len(expected[0]))
    assert view.to_pandas(["in_fit"], where={"subject": "03"})["in_fit"].isna().all()
    (file,) = (layout.tables() / "patterns").rglob("*.parquet")
    assert pl.read_parquet(file)["vector"].dtype == pl.List(pl.Float32)
    assert len(pd.read_parquet(file)) == len(rows)
    names = open_tables(layout.output)["alignment"].schema
    assert all(field.metadata[b"description"] for field in names)


def test_in_noise_all_scores_are_at_chance(tmp_path: Path) -> None:
    rows, _ = aligned(small(tmp_path, n_people=6, amplitude=0.0), shared_stimulus=True)
    for name in ("matching", "prediction", "decoding"):
        after, chance, spread = (
            np.array([row[f"{name}_{what}"] for row in rows.values()])
            for what in ("after", "chance", "chance_sd")
        )
        # Six people whose scores rest on each other's series: as if there were two.
        assert abs((after - chance).mean()) < 3 * spread.mean() / 2**0.5 + 0.01


def test_without_grey_matter_elsewhere_there_is_no_connectivity(tmp_path: Path) -> None:
    layout = small(tmp_path)
    for row in read_inventory(layout, "ds"):
        path = layout.store("ds", row["recording"])
        with open_store(path) as store:
            inside = resolve_on(store.grid)
            samples = store.read_voxels(store.order.positions(inside))
            grid, confounds = store.grid, store.confounds
        there = np.ones(len(inside), bool)
        write_store(path, samples, grid, inside, there, 2.0, confounds, {})
    write_inventory(layout, read_inventory(layout, "ds"))
    rows, _ = aligned(layout, settings={"method": "connectivity"})
    assert rows["01"]["reason"] == (
        "there are 0 blocks of grey matter beside the group, and 20 are needed"
    )


def resolve_on(grid: Grid) -> np.ndarray:
    grey = grey_matter(grid.affine, grid.shape)
    return resolve(VMPFC, grid.affine, grid.shape, grey, grid.space).voxels
