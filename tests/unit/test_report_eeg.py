"""The report's pages of EEG: what they show is what is there, the same bytes each time."""

from __future__ import annotations

import io
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from braindata.errors import DamageError
from braindata.report.charts import axis_within
from braindata.report.eeg_page import eeg_page, spectrum_chart
from braindata.report.eeg_pictures import (
    USUAL_SPHERE,
    eeg_pictures,
    head_sphere,
    project,
    topography,
)
from braindata.report.measures import EEG_MEASURES, MEASURES, measures_of
from braindata.report.pictures import PictureSet, Shelf
from braindata.report.site import pages
from tests import synthetic_eeg
from tests.synthetic_eeg import HOSTILE, PEAK, write_recording


def biosemi() -> tuple[list[str], np.ndarray]:
    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(montage.ch_names, 100.0, "eeg", verbose="ERROR")
    info.set_montage(montage, verbose="ERROR")
    return info.ch_names, np.array([one["loc"][:3] for one in info["chs"]])


def test_the_head_is_seen_from_above() -> None:
    names, places = biosemi()
    disc = dict(zip(names, project(places), strict=True))
    assert np.linalg.norm(disc["Cz"]) < 0.2
    assert disc["Fpz"][1] > 0.7 and abs(disc["Fpz"][0]) < 0.05
    assert disc["Oz"][1] < -0.7
    assert disc["T8"][0] > 0.7 and disc["T7"][0] < -0.7
    assert np.abs(list(disc.values())).max() < 1.4
    # Where the origin lies changes nothing.
    moved = dict(zip(names, project(places - [0, 0, 0.05]), strict=True))
    assert all(np.allclose(moved[name], disc[name]) for name in names)
    # Of few electrodes there is no sphere, and of none far away.
    assert head_sphere(places[:4]) == USUAL_SPHERE
    assert head_sphere(places * 3) == USUAL_SPHERE
    assert head_sphere(places)[3] == pytest.approx(0.095, abs=0.01)


def test_an_axis_ends_where_its_values_do() -> None:
    axis = axis_within(-0.203, 0.8, 6)
    assert [tick.label for tick in axis.ticks] == ["−0.2", "0.0", "0.2", "0.4", "0.6", "0.8"]
    assert axis.at(-0.203) == 0 and axis.at(0.8) == 100
    assert axis.ticks[1].at == pytest.approx(20.24, abs=0.01)


def test_a_map_is_red_where_values_are_positive_and_the_same_each_time() -> None:
    _, places = biosemi()
    values = places[:, 1] / np.abs(places[:, 1]).max()
    drawn = topography(places, values)
    assert drawn == topography(places, values)
    picture = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGBA")).astype(int)
    size = len(picture)
    front, back = picture[round(0.27 * size), size // 2], picture[round(0.75 * size), size // 2]
    assert front[0] - front[2] > 60 and back[2] - back[0] > 60
    # No background: it stands on a light or a dark page.
    assert picture[3, 3, 3] == 0 and front[3] == 255


def test_what_is_collected_is_what_is_there(tmp_path: Path) -> None:
    body, continuous, epochs = write_recording(tmp_path)
    pictures, data = eeg_pictures(body, continuous, epochs)
    assert sorted(pictures) == ["component-001.webp", "evoked-0.webp", "evoked-1.webp"]
    again, same = eeg_pictures(body, continuous, epochs)
    assert (again, same) == (pictures, data)
    bad = {one["name"]: one["bad"] for one in data["channels"]["placed"] if one["bad"]}
    assert bad == {"Fp1": "deviation, ransac", "O2": "channels.tsv"}
    assert len(data["channels"]["placed"]) == data["channels"]["n"] == 32
    (removed,) = data["components"]["removed"]
    assert (removed["number"], removed["kind"], removed["probability"]) == (1, "eye blink", 0.97)
    assert removed["others"] == [("muscle artifact", 0.02), ("brain", 0.01)]
    assert data["epochs"]["n"] == 80 and data["epochs"]["n_clean"] == 60
    assert data["epochs"]["reasons"] == {"autoreject rejected its epoch": 20}
    by_kind = {one["label"]: one for one in data["evoked"]}
    target = by_kind["target"]
    assert target["channel"] == "Pz" and target["n"] == 30
    assert target["peak"] == pytest.approx(PEAK, abs=0.06)
    assert max(target["odd"]) == pytest.approx(8, abs=2.5)
    assert target["correlation"] > 0.1 > abs(by_kind[HOSTILE]["correlation"])
    # The halves are odd and even epochs of the kind.
    clean = mne.read_epochs(epochs, verbose="ERROR")["target"].get_data(picks="Pz")[:, 0]
    assert_allclose(target["odd"], 1e6 * clean[0::2].mean(axis=0), atol=1e-3)
    assert_allclose(target["even"], 1e6 * clean[1::2].mean(axis=0), atol=1e-3)


def test_a_recording_without_positions_events_or_ica(tmp_path: Path) -> None:
    info = mne.create_info(["TP9", "TP10"], 100.0, "eeg", verbose="ERROR")
    path = tmp_path / "sub-01_desc-preproc_eeg.fif"
    mne.io.RawArray(np.zeros((2, 500)), info, verbose="ERROR").save(path, verbose="ERROR")
    body = {"Steps": [{"step": "ica", "done": False, "reason": "2 good channels"}], "Events": None}
    pictures, data = eeg_pictures(body, path, None)
    assert pictures == {}
    assert data["channels"]["placed"] == [] and data["channels"]["n"] == 2
    assert data["components"] == {"n": 0, "removed": [], "skipped": "2 good channels"}
    page = eeg_page(PictureSet(data=data), [{"eeg_class": None, "reason": "positions: none"}] * 2)
    assert page.spectrum is None and page.evoked == [] and page.epochs is None
    assert page.without_regions == "positions: none"
    path.write_bytes(b"no fif")
    with pytest.raises(DamageError, match="cannot be read"):
        eeg_pictures(body, path, None)


def test_spectra_are_in_decibel() -> None:
    chart = spectrum_chart(
        {"frequencies": [1.0, 2.0, 3.0], "before": [100.0, 1.0, 0.0], "after": [10.0, 1e-30, 1.0]}
    )
    assert chart is not None
    assert (chart.y.low, chart.y.high) == (-60, 20)
    before, after = (line.points.split() for line in chart.lines)
    # What is zero has no decibel; what is far below all others lies at the bottom.
    assert len(before) == 2 and before[0].endswith(",0")
    assert after[1].endswith(",100")


def test_regions_are_listed_by_how_far_they_can_be_trusted(tmp_path: Path) -> None:
    page = synthetic_eeg.page(tmp_path, Shelf(tmp_path / "report"))
    assert [row["region"] for row in page.regions] == ["ifg", "pcc", "acc"]


def test_pages_say_it_all_and_escape_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "report")
    texts = dict(pages(synthetic_eeg.corpus(tmp_path / "data", shelf)))
    text = texts["recordings/oddball/sub-01_task-x_eeg.html"]
    for said in (
        "32 channels, 2 of them bad",
        "<b>Fp1</b> (deviation, ransac, interpolated)",
        "1 of 2 were removed",
        "<b>eye blink</b> 0.97",
        "60 of 80 events have a clean epoch (25 % rejected)",
        "20: autoreject rejected its epoch",
        "Regions on this montage",
        "not claimed",
        "epochs rejected",
        "<dt>positions</dt><dd>standard</dd>",
    ):
        assert said in text, said
    assert HOSTILE not in text and "&lt;script&gt;" in text
    assert "volumes</dt>" not in text and "distortion" not in text and "Registration" not in text
    other = texts["recordings/oddball/sub-01_task-y_eeg.html"]
    assert "What its pictures are drawn from is no longer" in other
    person = texts["subjects/oddball/sub-01.html"]
    assert person.count('id="r1-channels"') == 1 and "Regions on this montage" in person
    assert "mean FD" not in person and "bad channels" in person
    index = texts["index.html"]
    assert "volumes" not in index.split("Used</h2>")[1].split("</table>")[0]
    assert "susceptibility" not in index
    for name in shelf.paths:
        if name.suffix == ".webp":
            assert name.name in text


def test_figures_are_those_of_the_modality() -> None:
    fmri, eeg = {"modality": "fmri"}, {"modality": "eeg"}
    assert measures_of([fmri]) == MEASURES == measures_of([])
    assert measures_of([eeg]) == EEG_MEASURES
    assert measures_of([eeg, fmri]) == (*MEASURES, *EEG_MEASURES)
