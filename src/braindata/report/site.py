"""The report as a small site of files: what its pages say, and writing them."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import jinja2

from braindata.files import write_text
from braindata.receipts import content_hash
from braindata.regions.definition import Level
from braindata.report.alignment import alignment_sections
from braindata.report.cards import dataset_cards
from braindata.report.charts import N_COLUMNS, Measured, Strip, distribution, response_chart
from braindata.report.cost import Costs
from braindata.report.eeg_page import EegPage
from braindata.report.measures import (
    EEG_MEASURES,
    MEASURES,
    Measure,
    compare,
    loss_words,
    measures_of,
)
from braindata.report.pictures import FOLDER as PICTURES
from braindata.report.pictures import PictureSet
from braindata.report.recording_pictures import CAPTIONS
from braindata.report.responses import Responses
from braindata.report.subjects import FOLDER as SUBJECTS
from braindata.report.subjects import subject_name, subjects

FIRST = "index.html"
ASSETS = ("site.css", "site.js")
RECORDINGS = "recordings"
# What a recording can be in a distribution, from the bottom of a column to its top.
MARKS = ("used", "part", "excluded", "quarantined")
# Names that are the same on every file system and leave room for an ending and a temporary prefix.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,149}")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TrialCounts:
    """How many trials there are, and how many of their estimates in all regions."""

    n_trials: int = 0
    n_estimates: int = 0
    null_reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Methods:
    """The methods text.

    Attributes
    ----------
    html : str
        As a fragment in which everything is escaped that has to be.
    files : tuple of str
        Names of files in the report's folder that hold it in other forms.
    """

    html: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """All that the pages say.

    Attributes
    ----------
    release : int
        Number of the release.
    recordings, regions : sequence of mapping
        Rows of these tables. A recording may have further keys: `log` (path of the log below the
        output folder) and `file` (the file at fault).
    trials : TrialCounts
        Over all regions.
    coverage : mapping of str to float
        Least coverage of each region over recordings.
    strategy : str
        The cleaning strategy whose series are averaged.
    responses : mapping of str to Responses
        By name of the region.
    recording_pictures : mapping of (str, str) to PictureSet
        By data set and recording.
    region_pictures : mapping of str to PictureSet
        By name of the region.
    template : str or None
        Path of the template's picture below the report's folder.
    methods : Methods or None
        What was done; without it there is no such page.
    facts : mapping of str to mapping
        By data set, what curation found out beside its recordings (see `cards`).
    region_quality : mapping of str to mapping
        By name of the region, `tsnr` and `signal_loss`: medians over recordings.
    eeg : mapping of (str, str) to EegPage
        By data set and recording, what is shown of EEG.
    alignment : sequence of mapping
        Rows of that table; without any there is no such page.
    templates : mapping of (str, str, str) to mapping
        By data set, group and its hash: what is drawn of its templates (see `alignment`).
    signals : sequence of mapping
        Per data set, task and cognitive process, what the table `signals` says of its evidence.
    costs : Costs or None
        What all this has cost; without it there is no such page.
    """

    release: int
    recordings: Sequence[Row]
    regions: Sequence[Row]
    trials: TrialCounts
    coverage: Mapping[str, float]
    strategy: str
    responses: Mapping[str, Responses]
    recording_pictures: Mapping[tuple[str, str], PictureSet]
    region_pictures: Mapping[str, PictureSet]
    template: str | None = None
    methods: Methods | None = None
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    region_quality: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    eeg: Mapping[tuple[str, str], EegPage] = field(default_factory=dict)
    alignment: Sequence[Row] = ()
    templates: Mapping[tuple[str, str, str], Mapping[str, Any]] = field(default_factory=dict)
    signals: Sequence[Row] = ()
    costs: Costs | None = None


def write_site(report: Path, corpus: Corpus) -> list[Path]:
    """Write all pages, so that none that can be reached ever points to one that is not there.

    Parameters
    ----------
    report : Path
        The report's folder, where the pictures are already.
    corpus : Corpus
        What the pages say.

    Returns
    -------
    list of Path
        The pages and what they share, without the pictures.
    """
    texts = dict([*_assets(), *pages(corpus)])
    # First what is new: to this no page leads yet. Then those that lead to it, the first page last.
    ordered = sorted(texts, key=lambda name: (name == FIRST, (report / name).is_file()))
    for name in ordered:
        path = report / name
        # A page that says the same keeps its file: copying a report again moves what changed.
        if not path.is_file() or path.read_bytes() != texts[name].encode():
            write_text(path, texts[name])
    return [report / name for name in ordered]


def remove_others(report: Path, keep: set[Path]) -> list[Path]:
    """Remove what earlier reports left in the report's own folders, and return its paths."""
    gone = []
    for folder in (report / RECORDINGS, report / SUBJECTS, report / PICTURES, report / "assets"):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in keep:
                path.unlink()
                gone.append(path)
    for folder in (report / RECORDINGS, report / SUBJECTS, report / PICTURES):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for name in ("methods.html", "alignment.html", "cost.html"):
        if (page := report / name) not in keep and page.is_file():
            page.unlink()
            gone.append(page)
    return gone


def pages(corpus: Corpus) -> Iterator[tuple[str, str]]:
    """Yield the path below the report's folder and the text of each page, the first page last."""
    environment = _environment()
    shared = {
        "release": corpus.release,
        "has_methods": corpus.methods is not None,
        "has_alignment": bool(corpus.alignment),
        "has_costs": corpus.costs is not None,
    }

    def page(name: str, template: str, **values: Any) -> tuple[str, str]:
        root = "../" * name.count("/")
        text = environment.get_template(template).render(root=root, page=name, **shared, **values)
        return name, text

    recordings = _recording_rows(corpus)
    with_page = [row for row in recordings if row["page"]]
    compared = compare(with_page)
    people = subjects(with_page)
    for person in people:
        measures = measures_of(person.recordings)
        yield page(person.page, "subject.html.j2", person=person, measures=measures)
    for number, row in enumerate(with_page):
        yield page(
            row["page"],
            "recording.html.j2",
            row=row,
            earlier=with_page[number - 1] if number else None,
            later=with_page[number + 1] if number + 1 < len(with_page) else None,
            compared=compared[number],
            subject=subject_name(row["dataset"], row["subject"]),
            pictures=row["pictures"],
            captions=CAPTIONS,
            overlays=_overlays(corpus.template, row["pictures"]),
        )
    regions = _region_rows(corpus)
    yield page(
        "regions.html",
        "regions.html.j2",
        regions=regions,
        strategy=corpus.strategy,
        signals=corpus.signals,
    )
    if corpus.alignment:
        sections = alignment_sections(corpus.alignment, corpus.templates)
        yield page("alignment.html", "alignment.html.j2", sections=sections)
    if corpus.methods is not None:
        yield page("methods.html", "methods.html.j2", methods=corpus.methods)
    used = [row for row in recordings if row["status"] == "used"]
    if corpus.costs is not None:
        yield page("cost.html", "cost.html.j2", costs=corpus.costs, n_used=len(used))
    measured = [row for row in with_page if _is_measured(row)]
    marks = [kind for kind in MARKS if any(row["mark"] == kind for row in measured)]
    n_eeg = sum(row["modality"] == "eeg" for row in recordings)
    distributions = [
        _distribution(one, with_page, n_eeg if one in EEG_MEASURES else len(recordings) - n_eeg)
        for one in measures_of(with_page)
    ]
    yield page(
        "quality.html",
        "quality.html.j2",
        distributions=[one for one in distributions if not one["measure"].first],
        recordings=with_page,
        marks=marks,
    )
    yield page(
        FIRST,
        "index.html.j2",
        datasets=dataset_rows(recordings),
        used=used,
        left_out=[row for row in recordings if row["status"] != "used"],
        in_part=[row for row in used if row["reason"]],
        cards=dataset_cards(recordings, corpus.facts),
        validator=_finding_rows(recordings, "validator_errors"),
        warnings=_finding_rows(recordings, "warnings"),
        people=people,
        uncorrected=sum(row["distortion_corrected"] is False for row in used),
        unknown_correction=sum(
            row["distortion_corrected"] is None and row["modality"] != "eeg" for row in used
        ),
        has_images=any(row["modality"] != "eeg" for row in used) or not used,
        losses=loss_words(used),
        n_regions=len(regions),
        n_people=len({(row["dataset"], row["subject"]) for row in used}),
        trials=corpus.trials,
        n_nulls=sum(corpus.trials.null_reasons.values()),
        measures=[one for one in measures_of(used) if one.first],
        spaces=sorted({row["space"] for row in used if row["space"]}),
        distributions=[one for one in distributions if one["measure"].first],
        recordings=with_page,
        marks=marks,
        n_columns=N_COLUMNS,
    )


def dataset_rows(recordings: Sequence[Row]) -> list[dict[str, Any]]:
    """Return what each data set brings: version, licence, people and recordings by status."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    people: dict[tuple[str, str], set[str]] = {}
    for row in recordings:
        key = (row["dataset"], row["dataset_version"])
        counts = {"used": 0, "excluded": 0, "quarantined": 0}
        start = {"dataset": key[0], "version": key[1], "licence": row["licence"], **counts}
        rows.setdefault(key, start)[row["status"]] += 1
        people.setdefault(key, set()).add(row["subject"])
    return [row | {"subjects": len(people[key])} for key, row in sorted(rows.items())]


def page_name(dataset: str, recording: str) -> str:
    """Return the path of a recording's page below the report's folder.

    A name that not every file system takes is spelt with plain letters, and its hash keeps it apart
    from others.
    """
    if not _PLAIN_NAME.fullmatch(recording):
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", recording).strip("-")[:100]
        recording = f"{plain or 'recording'}-{content_hash(recording)[:12]}"
    return f"{RECORDINGS}/{dataset}/{recording}.html"


def _recording_rows(corpus: Corpus) -> list[dict[str, Any]]:
    rows = []
    further: dict[str, Any] = {"log": None, "file": None}
    for row in sorted(corpus.recordings, key=lambda r: (r["dataset"], r["recording"])):
        known = further | dict(row)
        pictures = corpus.recording_pictures.get((row["dataset"], row["recording"]), PictureSet())
        # One that a rule left out before anybody looked at its image has nothing to show.
        has_page = row["status"] != "excluded" or _is_measured(known) or bool(pictures.files)
        part = row["status"] == "used" and bool(row["reason"])
        rows.append(
            known
            | {
                "name": f"{row['dataset']}/{row['recording']}",
                "page": page_name(row["dataset"], row["recording"]) if has_page else None,
                "pictures": pictures.files,
                "eeg": corpus.eeg.get((row["dataset"], row["recording"])),
                "mark": "part" if part else row["status"],
            }
        )
    return rows


def _is_measured(row: Row) -> bool:
    return any(row[measure.column] is not None for measure in (*MEASURES, *EEG_MEASURES))


def _region_rows(corpus: Corpus) -> list[dict[str, Any]]:
    order = {level: number for number, level in enumerate(get_args(Level))}
    rows = []
    for row in sorted(corpus.regions, key=lambda r: (order[r["level"]], r["region"])):
        name = row["region"]
        pictures = corpus.region_pictures.get(name, PictureSet())
        responses = corpus.responses.get(name, Responses((), 0))
        rows.append(
            dict(row)
            | {
                "coverage": corpus.coverage.get(name),
                "quality": corpus.region_quality.get(name, {}),
                "pictures": pictures.files,
                "chart": response_chart(responses),
            }
        )
    return rows


def _distribution(measure: Measure, rows: Sequence[Row], n_all: int) -> dict[str, Any]:
    # Those that are used lie at the bottom of each column and the others on top of them.
    values = [
        Measured(float(row[measure.column]), index)
        for index, row in sorted(enumerate(rows), key=lambda one: MARKS.index(one[1]["mark"]))
        if row[measure.column] is not None
    ]
    strip: Strip | None = distribution(values, measure.usual) if values else None
    return {"measure": measure, "strip": strip, "n_missing": n_all - len(values)}


def _overlays(template: str | None, pictures: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the images to flip through, in the order of the chain of registrations."""
    found = {
        "template": template,
        "T1w": pictures.get("t1w.webp"),
        "EPI": pictures.get("boldref.webp"),
    }
    return [{"name": name, "file": file} for name, file in found.items() if file]


def _finding_rows(recordings: Sequence[Row], column: str) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for row in recordings:
        for error in sorted(set(row[column] or ())):
            counts[error] = counts.get(error, 0) + 1
    return [{"error": error, "n": n} for error, n in sorted(counts.items())]


def _assets() -> Iterator[tuple[str, str]]:
    folder = importlib.resources.files("braindata.report") / "assets"
    for name in ASSETS:
        yield f"assets/{name}", (folder / name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("braindata.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "count": _count, "url": _url}
    return environment


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _url(path: str) -> str:
    return quote(path, safe="/")
