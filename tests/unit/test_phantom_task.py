"""The task, its responses in time, and the ideal observer."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.glm.first_level import run_glm, spm_hrf
from pydantic import ValidationError
from scipy import ndimage

from braindata.phantom.anatomy import HEAD_BOX, WARP_VOXEL, random_warp
from braindata.phantom.ideal import drift_regressors, single_trials
from braindata.phantom.parameters import REGIONS, PhantomParameters
from braindata.phantom.sampling import sample_spline
from braindata.phantom.scan import displacement, random_motion, rigid
from braindata.phantom.task import (
    EVENT_DURATION,
    draw_events,
    frame_times,
    glover,
    random_person,
    trial_responses,
    true_amplitudes,
)

PARAMETERS = PhantomParameters()


def test_responses_equal_a_brute_force_convolution() -> None:
    onsets, times = np.array([3.217, 9.94]), np.arange(0.0, 40.0, 2.0)
    step = 0.001
    neural = np.zeros(45_000)
    kernel = glover(np.arange(0, 32, step), stretch=1.1)
    expected = []
    peak = np.convolve(np.ones(round(EVENT_DURATION / step)), kernel).max()
    for onset in onsets:
        neural[:] = 0
        neural[round(onset / step) : round((onset + EVENT_DURATION) / step)] = 1
        course = np.convolve(neural, kernel)[: len(neural)] / peak
        expected.append(course[np.round(times / step).astype(int)])
    found = trial_responses(onsets, times, stretch=1.1)
    np.testing.assert_allclose(found, np.array(expected).T, atol=2e-3)


def test_simulated_response_is_not_the_one_of_the_analysis() -> None:
    time = np.arange(0, 32, 0.05)
    spm = np.asarray(spm_hrf(0.05, oversampling=1, time_length=32))[: len(time)]
    ours = glover(time)
    difference = np.abs(spm / spm.max() - ours / ours.max()).max()
    assert difference > 0.1
    assert time[ours.argmax()] == pytest.approx(5.25, abs=0.05)
    assert time[glover(time, 1.15).argmax()] == pytest.approx(5.25 * 1.15, abs=0.06)


@pytest.mark.parametrize("seed", range(5))
def test_events_are_what_the_task_promises(seed: int) -> None:
    rng = np.random.default_rng(seed)
    person = random_person(rng)
    events = draw_events(person, PARAMETERS, rng)
    pauses = np.diff(events["onset"]) - EVENT_DURATION
    assert len(events) * PARAMETERS.n_runs >= 120
    assert pauses.min() == pytest.approx(4, abs=0.002)
    assert pauses.max() == pytest.approx(8, abs=0.002)
    assert events["onset"].iloc[-1] + EVENT_DURATION + 10 < frame_times(PARAMETERS)[-1]
    assert events["gain"].between(10, 40).all()
    assert events["loss"].between(5, 20).all()
    assert (events["utility"] > 0).any()
    assert (events["utility"] < 0).any()
    answered = events[events["response"] != "n/a"]
    assert answered["response_time"].between(0.3, 2).all()
    assert events["response_time"].isna().sum() == len(events) - len(answered)
    accepted = events["response"] == "accept"
    assert events[accepted]["utility"].mean() > events[~accepted]["utility"].mean() + 10
    settled = events["outcome"].isin([0]) | (events["outcome"] == events["gain"])
    assert (settled | (events["outcome"] == -events["loss"])).all()
    assert (events["outcome"][~accepted] == 0).all()


def test_value_effect_is_at_most_one_percent() -> None:
    values = np.linspace(-1, 1, 60)
    found = true_amplitudes(values, PARAMETERS, np.random.default_rng(0))
    for region in REGIONS:
        effect = found[region.name] - region.response
        if region.follows_value:
            np.testing.assert_allclose(effect, 0.01 * values, atol=1e-12)
        else:
            assert abs(np.corrcoef(effect, values)[0, 1]) < 0.3
    with pytest.raises(ValidationError):
        PhantomParameters(value_effect=0.011)


def test_parameters_refuse_what_cannot_be() -> None:
    with pytest.raises(ValidationError, match="shortest pause comes first"):
        PhantomParameters(interval=(8.0, 4.0))
    with pytest.raises(ValidationError):
        PhantomParameters.model_validate({"sed": 1})


def test_ideal_observer_equals_a_model_per_trial() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(120) * 2.0
    design = trial_responses(np.arange(10.0, 200.0, 9.0), times, 1.0)
    nuisance = drift_regressors(len(times), 2.0)
    series = design @ rng.standard_normal(design.shape[1]) + rng.standard_normal(len(times))
    found = single_trials(series, design, nuisance)
    for trial in range(design.shape[1]):
        others = np.delete(design, trial, axis=1).sum(axis=1)
        matrix = np.column_stack([design[:, trial], others, nuisance])
        labels, results = run_glm(series[:, None], matrix, noise_model="ols")
        expected = results[labels[0]].theta[0, 0]
        assert found[trial] == pytest.approx(expected, rel=1e-9)


def test_drifts_are_a_constant_and_the_cosines_slower_than_128_s() -> None:
    drifts = drift_regressors(200, 2.0)
    assert drifts.shape == (200, 1 + 6)
    gram = drifts.T @ drifts
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_motion_stays_within_its_bound(seed: int) -> None:
    motion = random_motion(np.random.default_rng(seed), 200, 1.5)
    assert np.all(motion[0] == 0)
    assert displacement(motion).max() == pytest.approx(1.5)
    # The bound holds for every point 50 mm from the centre.
    points = np.random.default_rng(0).standard_normal((100, 3))
    points *= 50 / np.linalg.norm(points, axis=1, keepdims=True)
    for row in motion[::20]:
        matrix = rigid(row)
        moved = points @ matrix[:3, :3].T + matrix[:3, 3]
        assert np.linalg.norm(moved - points, axis=1).max() <= 1.5 + 1e-6
    # Jerks: at least one volume moves by more than a slow drift ever does.
    steps = displacement(np.diff(motion, axis=0))
    assert steps.max() > 5 * np.median(steps)


def test_splines_equal_scipy() -> None:
    rng = np.random.default_rng(1)
    volume = ndimage.spline_filter(rng.standard_normal((14, 15, 16)), order=3, output=np.float32)
    matrix = rigid(np.array([3.1, 2.7, 4.4, 0.1, -0.2, 0.05])) @ np.diag([0.8, 0.7, 0.9, 1.0])
    voxels = np.argwhere(np.ones((9, 10, 7), dtype=bool)).astype(np.int32)
    index = voxels @ matrix[:3, :3].T + matrix[:3, 3]
    inside = np.all((index >= 1) & (index < np.array(volume.shape) - 3), axis=1)
    assert inside.sum() > 300
    expected = ndimage.map_coordinates(volume, index[inside].T, order=3, prefilter=False)
    found = sample_spline(volume, voxels, matrix)
    np.testing.assert_allclose(found[inside], expected, atol=1e-5)
    outside = np.any((index < 1) | (index >= np.array(volume.shape) - 2), axis=1)
    assert np.all(found[outside] == 0)


@pytest.mark.parametrize("seed", range(5))
def test_individual_anatomy_does_not_fold(seed: int) -> None:
    """The warp's Jacobian is positive everywhere, and the warp moves by several mm."""
    warp = random_warp(np.random.default_rng(seed), PARAMETERS)
    assert np.sqrt((warp.field**2).sum(axis=0)).mean() == pytest.approx(4.0, abs=0.6)
    gradient = np.stack([np.stack(np.gradient(f, WARP_VOXEL)) for f in warp.field])
    jacobian = warp.linear[:3, :3] + np.moveaxis(gradient, (0, 1), (-2, -1))
    determinant = np.linalg.det(jacobian)
    assert determinant.min() > 0.3
    assert determinant.max() < 2.5
    origin = np.array([low for low, _ in HEAD_BOX])
    node = np.array([13, 16, 14])
    point = (origin + WARP_VOXEL * node).astype(np.float32).reshape(3, 1)
    expected = warp.linear[:3, :3] @ point[:, 0] + warp.linear[:3, 3] + warp.field[:, *node]
    np.testing.assert_allclose(warp(point)[:, 0], expected, atol=1e-3)
