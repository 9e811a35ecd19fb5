"""The methods text for a user's paper, from what ran: Markdown, BibTeX and HTML.

Numbers in it are the values of the run; a stage that did not run is not mentioned. Constants of the
code are written out in the template, and a test holds them against the code.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import jinja2

from braindata.align.parameters import AlignSettings
from braindata.curate.parameters import CurateParameters
from braindata.derive.connectivity_parameters import ConnectivityParameters
from braindata.derive.parameters import DeriveParameters
from braindata.extract.parameters import ExtractParameters
from braindata.fmri.parameters import NativeParameters
from braindata.pack.parameters import QualityParameters
from braindata.regions.definition import Level, Region
from braindata.report import region_words
from braindata.report.literature import WORKS, Bibliography, Entry, find_dois, parse_reference
from braindata.report.methods_cleaning import describe_cleaning

Cite = Callable[..., str]

# More reasons than this make no sentence; the table `recordings` holds them all.
MAX_REASONS = 6

_HRF = {
    "spm": ("SPM's canonical haemodynamic response function", "friston1998"),
    "glover": ("Glover's haemodynamic response function", "glover1999"),
}
_DERIVATIVES = (
    "",
    ", with its derivative in time beside it",
    ", with its derivatives in time and dispersion beside it",
)
_CONFOUNDS = {
    "simple": "24 motion parameters and the mean signals of white matter and cerebrospinal fluid",
    "motion": "24 motion parameters",
}
_SOFTWARE = {
    "nibabel": "nibabel",
    "nilearn": "abraham2014",
    "numba": "lam2015",
    "numpy": "harris2020",
    "picsl-greedy": "yushkevich2016",
    "scipy": "virtanen2020",
}
# What Markdown and pandoc would take for something else.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#@$~^|])")
_INLINE = re.compile(r"\\(?P<escaped>.)|\[(?P<keys>@[^\]]+)\]|`(?P<code>[^`]+)`|(?P<plain>.)", re.S)


@dataclass(frozen=True)
class DatasetFacts:
    """One data set of a release.

    Attributes
    ----------
    id, version : str
        As in the table `recordings`.
    name, licence, doi : str or None
        As its dataset_description.json states them; the DOI begins with ``10.``.
    authors : tuple of str
        As stated there.
    tasks : tuple of str
        Tasks of the used recordings, sorted.
    n_recordings, n_used : int
        Recordings, and those that are used.
    n_people : int
        People with a used recording.
    left_out : mapping of str to int
        Reason, and how many recordings it left out.
    """

    id: str
    version: str
    name: str | None
    licence: str | None
    doi: str | None
    authors: tuple[str, ...]
    tasks: tuple[str, ...]
    n_recordings: int
    n_used: int
    n_people: int
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class Pipeline:
    """What preprocessed some recordings, in this analysis or before it.

    Attributes
    ----------
    name : str
        Such as `fMRIPrep`, with its version; an empty text where nobody says.
    published : bool
        Whether others have run it, and its output was used.
    space : str
        Template space of what was used.
    n_recordings : int
        Of how many recordings.
    """

    name: str
    published: bool
    space: str
    n_recordings: int


@dataclass(frozen=True)
class MethodsFacts:
    """What ran: the parameters of each stage are None when it did not.

    Attributes
    ----------
    datasets : tuple of DatasetFacts
        The data sets.
    curate, preprocess, extract, derive : parameters or None
        What each stage was told.
    space : str or None
        Template space of the preprocessed recordings.
    regions : tuple of Region
        The regions of the release.
    versions : mapping of str to tuple of str
        Distribution, and all versions that took part.
    placements : mapping of str to str
        How each region got into the space of the recordings, as the table `regions` has it.
    chosen : bool
        Whether rules or people leave out further recordings.
    pipelines : tuple of Pipeline
        What preprocessed recordings other than we ourselves.
    quality : QualityParameters or None
        From where on quality counts as bad.
    align : AlignSettings or None
        How people were aligned; None where nobody was.
    aligned : mapping of str to int
        Method, and in how many groups of regions of data sets it was used.
    losses : str or None
        How much signal the used recordings have lost in OFC and vmPFC, in words.
    connectivity : ConnectivityParameters or None
        How regions were held against each other.
    eeg_coupling : bool
        Whether those in EEG were.
    n_processes : int
        Cognitive processes that were estimated in each trial.
    """

    datasets: tuple[DatasetFacts, ...]
    curate: CurateParameters | None
    preprocess: NativeParameters | None
    space: str | None
    extract: ExtractParameters | None
    regions: tuple[Region, ...]
    derive: DeriveParameters | None
    versions: Mapping[str, tuple[str, ...]]
    placements: Mapping[str, str] = field(default_factory=dict)
    chosen: bool = False
    pipelines: tuple[Pipeline, ...] = ()
    quality: QualityParameters | None = None
    losses: str | None = None
    connectivity: ConnectivityParameters | None = None
    eeg_coupling: bool = False
    align: AlignSettings | None = None
    aligned: Mapping[str, int] = field(default_factory=dict)
    n_processes: int = 0


@dataclass(frozen=True)
class MethodsText:
    """The text.

    Attributes
    ----------
    markdown : str
        With pandoc's citations, ``[@key]``.
    bibtex : str
        All works that are cited, and only those.
    html : str
        The same text as a fragment: one ``<section>``, with its references.
    """

    markdown: str
    bibtex: str
    html: str


def _spaces(facts: MethodsFacts) -> str | None:
    """Return the spaces of all recordings, whatever preprocessed them."""
    spaces = {one.space for one in facts.pipelines} | ({facts.space} if facts.space else set())
    return _listed(sorted(spaces)) or None


def methods(facts: MethodsFacts) -> MethodsText:
    """Write the methods text.

    Parameters
    ----------
    facts : MethodsFacts
        What ran.

    Returns
    -------
    MethodsText
        The same for the same facts.
    """
    of_regions = {region.name: _cited_by(region) for region in facts.regions}
    of_datasets = {data.id: _dataset_entry(data) for data in facts.datasets if data.doi}
    entries = [entry for cited in of_regions.values() for entry in cited]
    sources = [source for region in facts.regions for source in region.definition.sources()]
    library = Bibliography([*entries, *of_datasets.values(), *_source_entries(sources, entries)])

    def cite(*keys: str) -> str:
        return f"[{'; '.join(f'@{key}' for key in dict.fromkeys(keys))}]"

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("braindata.report", "."),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    markdown = environment.get_template("methods.md.j2").render(
        facts=facts,
        data_rows=[
            _dataset_row(data, library, of_datasets.get(data.id)) for data in facts.datasets
        ],
        cite=cite,
        count=_count,
        listed=lambda names: _listed([_escape(name) for name in names]),
        number=lambda value: f"{value:g}",
        percent=lambda share: f"{100 * share:g} %",
        kinds=_listed(region_words.kinds(facts.regions)),
        thresholds=_listed(region_words.thresholds(facts.regions)),
        by_coordinates=region_words.by_coordinates(facts.regions),
        resampling=region_words.resampling(facts.regions),
        placements=region_words.placements(facts.regions, facts.placements, _spaces(facts)),
        sources=_cited_sources(sources, library, cite),
        levels=_levels(facts.regions, of_regions, library, cite),
        cleaning=None if facts.extract is None else describe_cleaning(facts.extract, cite),
        hrf=None if facts.derive is None else _hrf(facts.derive, cite),
        nuisance=None if facts.derive is None else _nuisance(facts.derive),
        bands=None if facts.connectivity is None else _bands(facts.connectivity),
        version=" and ".join(facts.versions.get("braindata", ())),
        software=_software(facts.versions, cite),
    )
    markdown = re.sub(r"\n{3,}", "\n\n", markdown).strip() + "\n"
    cited = [library[key] for key in sorted(cited_keys(markdown))]
    return MethodsText(
        markdown=f"{markdown}\n# References\n",
        bibtex="\n".join(entry.to_bibtex() for entry in cited),
        html=_to_html(markdown, cited),
    )


def cited_keys(markdown: str) -> set[str]:
    """Return the keys that a text cites as ``[@key; @key]``."""
    found = (match["keys"] for match in _INLINE.finditer(markdown) if match["keys"])
    return {key.strip().removeprefix("@") for keys in found for key in keys.split(";")}


def _escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _count(n: int, thing: str, things: str | None = None) -> str:
    return f"{n} {thing if n == 1 else things or f'{thing}s'}"


def _listed(items: Iterable[str]) -> str:
    *first, last = list(items) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _bands(parameters: ConnectivityParameters) -> str:
    return _listed(
        f"{_escape(band.name)} ({band.fmin:g} to {band.fmax:g} Hz)" for band in parameters.bands
    )


def _cited_by(region: Region) -> list[Entry]:
    return [parse_reference(reference) for reference in region.references]


def _dataset_entry(data: DatasetFacts) -> Entry:
    return Entry(
        f"dataset-{data.id}",
        "misc",
        data.authors,
        data.name or data.id,
        doi=data.doi,
        note=f"Data set, version {data.version}",
    )


def _dataset_row(
    data: DatasetFacts, library: Bibliography, entry: Entry | None
) -> dict[str, object]:
    reasons = sorted(data.left_out.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{n} because of “{_escape(reason)}”" for reason, n in reasons[:MAX_REASONS]]
    rest = sum(n for _, n in reasons[MAX_REASONS:])
    if rest:
        parts.append(f"{rest} for other reasons, listed in the table `recordings`")
    return {
        "id": _escape(data.id),
        "name": _escape(data.name) if data.name else None,
        "version": _escape(data.version),
        "licence": _escape(data.licence) if data.licence else None,
        "doi": _escape(data.doi) if data.doi else None,
        "cited": f"[@{library.key_of(entry)}]" if entry else None,
        "tasks": data.tasks,
        "n_recordings": data.n_recordings,
        "n_used": data.n_used,
        "n_people": data.n_people,
        "n_left_out": sum(data.left_out.values()),
        "left_out": "; ".join(parts),
    }


def _source_entries(sources: Iterable[str], references: Iterable[Entry]) -> list[Entry]:
    """Return a work for each DOI that a coordinate's source names."""
    known = {entry.doi.lower() for entry in (*WORKS.values(), *references) if entry.doi}
    return [
        replace(parse_reference(source), doi=doi)
        for source in sources
        for doi in find_dois(source)
        if doi.lower() not in known
    ]


def _cited_sources(sources: Iterable[str], library: Bibliography, cite: Cite) -> str:
    dois = {doi for source in sources for doi in find_dois(source)}
    return cite(*sorted(map(library.key_of_doi, dois))) if dois else ""


def _levels(
    regions: Iterable[Region], works: Mapping[str, list[Entry]], library: Bibliography, cite: Cite
) -> str:
    parts = []
    for level in get_args(Level):
        of_level = sorted((r for r in regions if r.level == level), key=lambda region: region.name)
        if of_level:
            named = [
                f"`{region.name}` {cite(*(library.key_of(entry) for entry in works[region.name]))}"
                for region in of_level
            ]
            parts.append(f"for {level}, {_listed(named)}")
    return "; ".join(parts)


def _hrf(parameters: DeriveParameters, cite: Cite) -> str:
    base, *further = parameters.hrf_model.split(" + ")
    name, key = _HRF[base]
    return f"{name} {cite(key)}" + _DERIVATIVES[len(further)]


def _nuisance(parameters: DeriveParameters) -> str:
    parts = []
    if parameters.confounds != "none":
        parts.append(_CONFOUNDS[parameters.confounds])
    if parameters.high_pass > 0:
        parts.append(f"discrete cosines up to {parameters.high_pass:g} Hz")
    return ", ".join(parts) if parts else "no confounds or drifts"


def _software(versions: Mapping[str, tuple[str, ...]], cite: Cite) -> str:
    named = []
    for name, used in sorted(versions.items()):
        if name == "braindata":
            continue
        work = f" {cite(_SOFTWARE[name])}" if name in _SOFTWARE else ""
        named.append(f"{_escape(name)} {' and '.join(used)}{work}")
    return _listed(named)


def _to_html(markdown: str, cited: Iterable[Entry]) -> str:
    """Return the text as HTML: it holds headings and paragraphs, code, and citations."""
    works = {entry.key: entry for entry in cited}
    blocks = []
    for block in markdown.strip().split("\n\n"):
        hashes = len(block) - len(block.lstrip("#"))
        tag = f"h{hashes + 1}" if hashes else "p"
        inner = _INLINE.sub(lambda match: _inline(match, works), block[hashes:].strip())
        blocks.append(f"<{tag}>{inner}</{tag}>\n")
    listed = sorted(works.values(), key=lambda entry: (entry.label.casefold(), entry.key))
    items = "".join(f'<li id="ref-{entry.key}">{entry.to_html()}</li>\n' for entry in listed)
    references = f'<h3>References</h3>\n<ul class="references">\n{items}</ul>\n' if items else ""
    return f'<section class="methods">\n{"".join(blocks)}{references}</section>\n'


def _inline(match: re.Match[str], works: Mapping[str, Entry]) -> str:
    if match["escaped"]:
        return html.escape(match["escaped"])
    if match["code"]:
        return f"<code>{html.escape(match['code'])}</code>"
    if match["keys"]:
        keys = [key.strip().removeprefix("@") for key in match["keys"].split(";")]
        links = [
            f'<a href="#ref-{key}">{html.escape(works[key].label)}</a>' if key in works else key
            for key in keys
        ]
        return f"({'; '.join(links)})"
    return html.escape(match["plain"])
