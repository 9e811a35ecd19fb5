"""EEG and fMRI at the same time: the trials of both join on the same event."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.derive.region_trials import CourseEvents, derive_region_trials
from braindata.derive.sensor_parameters import SensorParameters
from braindata.derive.simultaneous import TOLERANCE, Partner, shared_events
from braindata.derive.trials import RecordingEvents, derive_trials, trial_types
from braindata.errors import UsageError
from braindata.stages.events import require_codes
from braindata.stages.simultaneous import simultaneous
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import SERIES

BOLD, EEG = "sub-01_task-x_bold", "sub-01_task-x_eeg"


def row(recording: str, modality: str, **more: object) -> dict[str, object]:
    same = {"subject": "01", "session": None, "task": "x", "run": None, "events": "e.tsv"}
    return {"recording": recording, "modality": modality, **same, **more}


def test_two_recordings_of_one_run_are_simultaneous() -> None:
    rows = [row(EEG, "eeg"), row(BOLD, "fmri"), row("sub-01_task-y_eeg", "eeg", task="y")]
    found = simultaneous(rows)
    assert {name: one["recording"] for name, one in found.items()} == {BOLD: EEG, EEG: BOLD}
    assert simultaneous([row(EEG, "eeg"), row(BOLD, "fmri", events=None)]) == {}
    echoes = [row(f"sub-01_task-x_echo-{n}_bold", "fmri") for n in (1, 2)]
    pairs = simultaneous([*echoes[::-1], row(EEG, "eeg")])
    assert sorted(pairs) == ["sub-01_task-x_echo-1_bold", EEG]


@given(
    st.lists(st.floats(0, 500), max_size=15), st.lists(st.floats(0, 500), max_size=15), st.data()
)
def test_both_recordings_come_to_the_same_pairs(
    one: list[float], other: list[float], data: st.DataObject
) -> None:
    copies = data.draw(st.lists(st.sampled_from(one), max_size=5)) if one else []
    mine = np.array([*one, np.nan])
    yours = np.array([*other, *(onset + 0.01 for onset in copies)])
    names, rows = shared_events(BOLD, mine, Partner(EEG, yours))
    assert names == [BOLD] * len(mine) and rows == list(range(len(mine)))
    names, rows = shared_events(EEG, yours, Partner(BOLD, mine))
    known = list(zip(names, rows, strict=True))
    assert len(set(known)) == len(known)
    for own, (name, at) in enumerate(known):
        if name == BOLD:
            assert abs(mine[at] - yours[own]) <= TOLERANCE
        else:
            assert at == own


def test_without_a_partner_an_event_is_its_own() -> None:
    assert shared_events(EEG, np.array([1.0, 2.0])) == ([EEG, EEG], [0, 1])


def test_trials_of_both_modalities_join() -> None:
    rng = np.random.default_rng(0)
    common = {"region": "visual", "definition_hash": "abc", "strategy": "none", "start": 0.0}
    n_volumes, tr, sfreq = 120, 2.0, 100.0
    keys = {name: RecordingKey("ds", name, "01", task="x") for name in (BOLD, EEG)}
    values = {
        BOLD: (100 + rng.standard_normal(n_volumes), 1 / tr, "a.u."),
        EEG: (rng.standard_normal(24_000) * 1e-9, sfreq, "A·m"),
    }
    table = pa.Table.from_pylist(
        [
            {
                **vars(keys[name]),
                **common,
                "values": list(course),
                "kept": [True] * n_volumes if name == BOLD else None,
                "sampling_frequency": rate,
                "unit": unit,
            }
            for name, (course, rate, unit) in values.items()
        ],
        schema=SERIES,
    )
    # EEG has a break more, lacks the second event, and its onsets are those of its samples.
    onsets = {BOLD: [10.0, 30.0, 50.0, 70.0], EEG: [5.0, 10.004, 50.002, 69.998]}
    events = {
        name: pd.DataFrame({"onset": times, "duration": 1.0, "trial_type": "a"})
        for name, times in onsets.items()
    }
    partners = {
        BOLD: Partner(EEG, np.array(onsets[EEG])),
        EEG: Partner(BOLD, np.array(onsets[BOLD])),
    }
    confounds = pd.DataFrame(index=range(n_volumes))
    bold, _ = derive_trials(
        table,
        [RecordingEvents(keys[BOLD], events[BOLD], confounds, tr, partners[BOLD])],
        DeriveParameters(confounds="none"),
    )
    eeg, _ = derive_region_trials(
        table,
        [CourseEvents(keys[EEG], events[EEG], {}, partners[EEG])],
        SensorParameters(),
        EventMapping(),
    )
    trials = pa.concat_tables([bold, eeg]).to_pandas()
    p300 = trials[trials["feature"] == "P300"]
    by = ["dataset", "event_recording", "event", "region"]
    joined = trials[trials["feature"] == "bold"].merge(p300, on=by, suffixes=("", "_eeg"))
    assert joined["onset"].tolist() == [10.0, 50.0, 70.0]
    assert joined["onset_eeg"].tolist() == [10.004, 50.002, 69.998]
    assert joined["estimate"].notna().all() and joined["estimate_eeg"].notna().all()
    assert p300["event_recording"].tolist() == [EEG, BOLD, BOLD, BOLD]


def test_codes_become_labels_and_slips_are_told() -> None:
    mapping = EventMapping(labels={1: "target", "boundary": "break"})
    assert mapping.labels == {"1": "target", "boundary": "break"}
    events = pd.DataFrame({"onset": [1.0, 2.0, 3.0], "duration": 0.0, "value": [1.0, np.nan, 2.0]})
    by_value = mapping.model_copy(update={"trial_type": "value"})
    assert trial_types(events, by_value) == ["target", None, "2"]
    assert trial_types(events, mapping) == [None] * 3
    other = pd.DataFrame({"trial_type": ["boundary"]})
    require_codes(mapping, [events, other], "ds")
    with pytest.raises(UsageError, match="no trial of ds has the code boundary") as caught:
        require_codes(mapping, [events], "ds")
    assert caught.value.hint == "there are 1, 2"
