"""The methods text: it says what ran, with the values of the run, and cites what it rests on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pybtex.database import BibliographyData, parse_string

from braindata.align.parameters import AlignSettings
from braindata.bids.confounds import MOTION_24
from braindata.config_regions import load_regions
from braindata.curate.parameters import CurateParameters
from braindata.derive import signals
from braindata.derive.connectivity_parameters import ConnectivityParameters
from braindata.derive.parameters import DeriveParameters
from braindata.derive.trial_design import MIN_SAMPLED_HEIGHT
from braindata.extract.parameters import ExtractParameters
from braindata.extract.strategies import Preset
from braindata.fmri import anatomy, compcor, confounds, motion, native, run
from braindata.fmri.parameters import NativeParameters
from braindata.pack.parameters import QualityParameters
from braindata.regions.definition import Region
from braindata.report.literature import WORKS, Bibliography, parse_reference
from braindata.report.methods import (
    MAX_REASONS,
    DatasetFacts,
    MethodsFacts,
    Pipeline,
    cited_keys,
    methods,
)

DATASET = DatasetFacts(
    id="ds1",
    version="1.0.2",
    name="Gambles",
    licence="CC0",
    doi="10.18112/openneuro.ds000001.v1.0.2",
    authors=("Jane Doe", "The Gambling Consortium"),
    tasks=("gamble", "rest"),
    n_recordings=12,
    n_used=9,
    n_people=5,
    left_out={"it has 40 volumes, fewer than 50": 2, "volume 3 is constant": 1},
)


@pytest.fixture(scope="module")
def regions(repository: Path) -> tuple[Region, ...]:
    return tuple(load_regions(str(repository / "config/regions/spheres")))


@pytest.fixture(scope="module")
def facts(regions: tuple[Region, ...]) -> MethodsFacts:
    return MethodsFacts(
        datasets=(DATASET,),
        curate=CurateParameters(),
        preprocess=NativeParameters(),
        space="MNI152NLin2009aSym",
        extract=ExtractParameters(),
        regions=regions,
        derive=DeriveParameters(),
        versions={"braindata": ("0.1.0",), "nilearn": ("0.13.1",), "numpy": ("2.3.0", "2.4.6")},
    )


def parsed(bibtex: str) -> BibliographyData:
    return parse_string(bibtex, "bibtex")


def flat(text: str) -> str:
    return " ".join(text.split())


def test_what_is_cited_is_in_the_bibliography_and_nothing_else(facts: MethodsFacts) -> None:
    text = methods(facts)
    cited = set(re.findall(r"@([\w-]+)", text.markdown))
    assert cited == cited_keys(text.markdown)
    entries = parsed(text.bibtex).entries
    assert set(entries) == cited
    assert {"mumford2012", "greve2009", "bartra2013", "dataset-ds1"} <= cited
    # Each key once, also where a region and the code cite the same work.
    assert len(re.findall(r"^@", text.bibtex, re.MULTILINE)) == len(cited)
    dois = [entry.fields["doi"].lower() for entry in entries.values() if "doi" in entry.fields]
    assert len(set(dois)) == len(dois)


def test_every_reference_of_the_regions_is_kept_as_it_stands(
    facts: MethodsFacts, regions: tuple[Region, ...]
) -> None:
    entries = parsed(methods(facts).bibtex).entries.values()
    by_title = {entry.fields["title"].strip("{}"): entry for entry in entries}
    texts = {flat(text) for region in regions for text in region.references}
    assert len(texts) > 30
    for text in texts:
        (title,) = [title for title in by_title if title in text]
        entry = by_title[title]
        assert text.startswith(entry.persons["author"][0].last_names[0].strip("{}"))
        assert f"({entry.fields['year']})" in text
        pages = entry.fields["pages"].replace("--", "-")
        assert f" {entry.fields['journal']} {entry.fields['volume']}:{pages}." in text
        assert ("doi" in entry.fields) == ("doi:" in text)
        assert text.endswith(entry.fields.get("doi", f"{pages}."))
        assert ("others" in str(entry.persons["author"][-1])) == ("et al." in text)
    # So does where the coordinates come from.
    named = {doi for r in regions for s in r.definition.sources() for doi in _dois(s)}
    assert named <= {entry.fields.get("doi") for entry in entries}


def test_regions_of_images_are_described(facts: MethodsFacts) -> None:
    image = {"file": "a.nii.gz", "sha256": "0" * 64, "source": "doi:10.1093/cercor/bhx179, theirs"}
    atlas = {"kind": "atlas", "labels": "a.tsv", "parcels": ["a"], "indices": [1], **image}
    shared = {"level": "valuation", "processes": ["p"], "references": ["r"], "space": "MNI152Lin"}
    regions = [
        Region.model_validate({"name": "a", **shared, "definition": atlas}),
        Region.model_validate(
            {"name": "b", **shared, "definition": {"kind": "mask", "weights": True, **image}}
        ),
    ]
    made = replace(facts, regions=tuple(regions), placements={"a": "accepted", "b": "transformed"})
    text = methods(made).markdown
    assert "2 regions were defined in MNI152 space: 1 region of parcels of an atlas and 1" in text
    assert "interpolated linearly, labels by nearest voxel" in text
    assert "defined in MNI152Lin were carried to MNI152NLin2009aSym by a spatial" in text
    assert "defined in MNI152Lin were used in MNI152NLin2009aSym as they are" in text
    assert "Coordinates and images are from [@" in text
    assert "defined by coordinates in MNI152 space" in methods(facts).markdown


def _dois(text: str) -> list[str]:
    return [doi.rstrip(",)") for doi in re.findall(r"doi:(\S+)", text)]


def test_further_exclusions_are_told(facts: MethodsFacts) -> None:
    said = "left out by rules and by decisions of people"
    assert said not in flat(methods(facts).markdown)
    assert said in flat(methods(replace(facts, chosen=True)).markdown)


@pytest.mark.parametrize(
    ("stage", "changes", "before", "after"),
    [
        ("preprocess", {"motion_fwhm": 6.5}, "smoothed by 4 mm", "smoothed by 6.5 mm"),
        ("preprocess", {"resolution": 3}, "to 2 mm voxels", "to 3 mm voxels"),
        ("preprocess", {"high_pass_period": 100.0}, "above 128 s", "above 100 s"),
        (
            "preprocess",
            {"fd_threshold": 0.2},
            "framewise displacement above 0.5 mm",
            "framewise displacement above 0.2 mm",
        ),
        (
            "preprocess",
            {"std_dvars_threshold": 2.0},
            "standardised DVARS above 1.5",
            "standardised DVARS above 2",
        ),
        ("curate", {"min_volumes": 80}, "fewer than 50 volumes", "fewer than 80 volumes"),
        ("curate", {"tasks": ("gamble",)}, "magnitude;", "and tasks other than gamble;"),
        ("extract", {"min_coverage": 0.25}, "fewer than 50 %", "fewer than 25 %"),
        ("extract", {"strategies": ("none",)}, "strategy simple of nilearn", "was not cleaned"),
        ("extract", {"min_time": 90.0}, "less than 60 s", "less than 90 s"),
        (
            "extract",
            {"strategies": ("none", "scrubbing")},
            "strategy simple of",
            "0.5 mm or a standardised DVARS above 1.5, or in segments of fewer than 5",
        ),
        (
            "extract",
            {"strategies": ("none", "compcor")},
            "strategy simple of",
            "all CompCor components",
        ),
        (
            "extract",
            {
                "strategies": ("none", "own"),
                "presets": {"own": Preset(strategy=("motion",), motion="power2", low_pass=0.1)},
            },
            "strategy simple of",
            "kept frequencies below 0.1 Hz, of the confounds as well",
        ),
        ("derive", {"hrf_model": "glover"}, "SPM's canonical", "Glover's"),
        ("derive", {"high_pass": 0.01}, "up to 0.008 Hz", "up to 0.01 Hz"),
        (
            "derive",
            {"confounds": "motion"},
            "run, 24 motion parameters and",
            "parameters, discrete",
        ),
        ("derive", {"confounds": "none", "high_pass": 0.0}, "Hz", "no confounds or drifts"),
        ("derive", {"slice_time_ref": 0.0}, "the moment 0.5 of", "the moment 0 of"),
    ],
)
def test_numbers_are_those_of_the_run(
    facts: MethodsFacts, stage: str, changes: dict[str, object], before: str, after: str
) -> None:
    usual = methods(facts)
    parameters = getattr(facts, stage)
    other = methods(replace(facts, **{stage: parameters.model_copy(update=changes)}))
    for one, there, not_there in ((usual, before, after), (other, after, before)):
        assert there in one.markdown
        assert not_there not in one.markdown
        assert set(parsed(one.bibtex).entries) == cited_keys(one.markdown)
    assert ("glover1999" in other.bibtex) == ("Glover" in other.markdown)


@pytest.mark.parametrize(
    ("stage", "words", "works"),
    [
        ("preprocess", "motion_fwhm|Head motion|slice timing|greedy", "power2012 greve2009"),
        ("extract", "Regions and time series|time course|spheres", "wang2024 bartra2013"),
        ("derive", "trial|haemodynamic|least squares separate", "mumford2012 worsley2002"),
        ("curate", "validator|Excluded were", ""),
    ],
)
def test_a_stage_that_did_not_run_is_not_mentioned(
    facts: MethodsFacts, stage: str, words: str, works: str
) -> None:
    text = methods(replace(facts, **{stage: None}))
    assert not re.search(words, text.markdown)
    assert re.search(words, methods(facts).markdown)
    assert not set(works.split()) & set(parsed(text.bibtex).entries)


def test_what_was_not_done_is_said(facts: MethodsFacts) -> None:
    text = methods(facts).markdown
    assert "neither smoothed nor corrected for susceptibility distortion" in text
    assert "or state what cannot be, it was not" in text
    assert "marked as motion outliers; they were not removed" in text


def test_constants_in_the_template_are_those_of_the_code(facts: MethodsFacts) -> None:
    text = methods(facts).markdown
    assert f"Each T1w image was resampled to {anatomy.WORK_MM:g} mm" in text
    assert f"by less than {anatomy.MINIMUM_CORRELATION:g} within the brain" in text
    assert f"({anatomy._BIAS_FWHM_MM:g} mm FWHM)" in text
    assert f"up to {motion.REFERENCE_VOLUMES} volumes" in text
    assert f"Dice coefficient below {run.MINIMUM_DICE:g}" in text
    assert f"the {100 * compcor.MOST_VARIABLE:g} % most variable" in text
    assert compcor.VARIANCE == 0.5
    assert f"({confounds.HEAD_RADIUS_MM:g} mm radius)" in text
    assert f"less than {100 * MIN_SAMPLED_HEIGHT:g} %" in text
    assert f"{len(MOTION_24)} motion parameters" in text
    assert native.SPACE == "MNI152NLin2009aSym"


def test_processes_are_told_with_the_constants_of_the_code(facts: MethodsFacts) -> None:
    assert "Cognitive processes" not in methods(facts).markdown
    text = methods(replace(facts, n_processes=26)).markdown
    assert "26 cognitive processes were estimated" in text
    assert "poldrack2006" in cited_keys(text)
    assert signals.PRIOR == 5
    assert "worth five standard errors" in text
    assert f"penalty {signals.RIDGE:g}" in text
    assert f"{signals.N_PERMUTATIONS} permutations" in text
    assert f"fewer than {signals.MIN_TRIALS} trials" in text
    assert f"fewer than {signals.MIN_OTHERS + 1} such people" in text


def test_further_models_of_trials_are_told(facts: MethodsFacts) -> None:
    models = ("lss", "lsa", "fir", "window")
    derive = DeriveParameters(models=models, hrf_model="glover + derivative")
    text = methods(replace(facts, derive=derive)).markdown
    assert "Glover's haemodynamic response function [@glover1999], with its derivative" in text
    assert "inflate more than 5-fold" in text
    assert "from 4 to 8 s after the onset" in text
    assert "inite impulse" not in methods(facts).markdown


def test_the_native_backend_is_the_one_that_is_described() -> None:
    from braindata.stages.methods import NATIVE
    from braindata.stages.preprocess_native import BACKEND

    assert NATIVE == BACKEND


def test_what_others_preprocessed_is_told(facts: MethodsFacts) -> None:
    pipelines = (
        Pipeline("", True, "MNI152NLin6Asym", 2),
        Pipeline("fMRIPrep 1.1.4", True, "MNI152NLin2009cAsym", 1),
        Pipeline("fMRIPrep 25.2.7", False, "MNI152NLin2009cAsym", 40),
    )
    text = flat(methods(replace(facts, pipelines=pipelines)).markdown)
    assert (
        "2 recordings were taken as others had preprocessed them; with what is not stated, in the "
        "space MNI152NLin6Asym. 1 recording was taken as others had preprocessed it with fMRIPrep "
        "1.1.4 [@esteban2019], in the space MNI152NLin2009cAsym. 40 recordings were preprocessed "
        "with fMRIPrep 25.2.7 [@esteban2019], in the space MNI152NLin2009cAsym. The others were "
        "preprocessed natively. Anatomy." in text
    )
    placed = {region.name: "accepted" for region in facts.regions}
    alone = methods(
        replace(facts, preprocess=None, space=None, pipelines=pipelines[:1], placements=placed)
    )
    assert "were used in MNI152NLin6Asym as they are" in alone.markdown
    assert "## Preprocessing" in alone.markdown
    assert "natively" not in alone.markdown


def test_data_sets_are_told(facts: MethodsFacts) -> None:
    text = methods(facts)
    assert (
        "Gambles [@dataset-ds1] (version 1.0.2; licence CC0; "
        "doi:10.18112/openneuro.ds000001.v1.0.2): 9 of 12 functional recordings were used, of 5 "
        "people (tasks gamble and rest). 3 were left out: 2 because of “it has 40 volumes, fewer "
        "than 50”; 1 because of “volume 3 is constant”." in text.markdown
    )
    entry = parsed(text.bibtex).entries["dataset-ds1"]
    assert entry.fields["doi"] == DATASET.doi
    assert [str(person) for person in entry.persons["author"]] == [
        "{Jane Doe}",
        "{The Gambling Consortium}",
    ]
    bare = replace(DATASET, name=None, licence=None, doi=None, left_out={}, n_used=0, tasks=())
    text = methods(replace(facts, datasets=(bare, replace(DATASET, id="b"))))
    assert "came from 2 data sets" in text.markdown
    assert "ds1 (version 1.0.2; its licence is not stated): 0 of 12 functional" in text.markdown
    assert "dataset-ds1" not in text.bibtex


def test_many_reasons_are_cut_and_counted(facts: MethodsFacts) -> None:
    many = {f"reason {i:02d}": 1 + (i == 3) for i in range(MAX_REASONS + 4)}
    text = methods(replace(facts, datasets=(replace(DATASET, left_out=many),))).markdown
    assert f"{MAX_REASONS + 5} were left out: 2 because of “reason 03”; 1 because" in text
    assert "; 4 for other reasons, listed in the table `recordings`." in text


def test_strange_names_stay_text(facts: MethodsFacts) -> None:
    strange = "<b>A & B</b> [@fake2000] *x* _y_ `z` $1$ 100 % # {c} ~ ^ \\"
    data = replace(DATASET, name=strange, authors=("A & B {x}",), left_out={strange: 1})
    text = methods(replace(facts, datasets=(data,)))
    assert "fake2000" not in cited_keys(text.markdown)
    assert "<b>" not in text.html
    shown = _Text(text.html)
    assert f"because of “{strange}”" in shown.text
    entry = parsed(text.bibtex).entries["dataset-ds1"]
    assert r"A \& B" in entry.fields["title"]


class _Text(HTMLParser):
    """The text of a page, its links and its targets; every tag must be closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.links, self.ids, self.open = "", set(), set(), []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        found = dict(attrs)
        self.links |= {found["href"]} if "href" in found else set()
        self.ids |= {found["id"]} if "id" in found else set()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_html_holds_the_same_text_and_its_references(facts: MethodsFacts) -> None:
    text = methods(facts)
    page = _Text(text.html)
    internal = {link[1:] for link in page.links if link and link.startswith("#")}
    assert internal == {f"ref-{key}" for key in cited_keys(text.markdown)} == page.ids
    outside = {link for link in page.links if link and not link.startswith("#")}
    assert all(link.startswith("https://doi.org/10.") for link in outside)
    assert "(Mumford et al., 2012)" in page.text
    assert "(Greve & Fischl, 2009)" in page.text
    without = re.sub(r" \[@[^\]]+\]|[#`\\]", "", text.markdown.partition("# References")[0])
    shown = re.sub(r" \((?=[A-Z])[^()]*\d{4}[^()]*\)", "", page.text)
    assert flat(without).startswith("Methods Data Functional recordings came from 1 data set in")
    for sentence in ("Brain mask and tissue probabilities are", "Trials of whose response"):
        assert sentence in flat(without)
        assert sentence in flat(shown)


def test_the_same_facts_give_the_same_text(facts: MethodsFacts) -> None:
    turned = replace(
        facts,
        regions=tuple(reversed(facts.regions)),
        versions=dict(reversed(facts.versions.items())),
        datasets=(replace(DATASET, left_out=dict(reversed(DATASET.left_out.items()))),),
    )
    assert methods(turned) == methods(facts)
    assert "numpy 2.3.0 and 2.4.6" in methods(facts).markdown


@pytest.mark.parametrize(
    ("text", "key", "authors", "title", "doi"),
    [
        (
            "De Martino et al. (2013). Confidence in choice. Nature Neuroscience 16:105-110. "
            "doi:10.1038/nn.3279",
            "demartino2013",
            ("De Martino", "others"),
            "Confidence in choice",
            "10.1038/nn.3279",
        ),
        (
            "Binder et al. (2009). Where is it? A review. Cerebral Cortex 19:2767-2796.",
            "binder2009",
            ("Binder", "others"),
            "Where is it? A review",
            None,
        ),
        (
            "O'Doherty et al. 2004, Science, doi:10.1126/science.1094285",
            "odoherty2004",
            (),
            "O'Doherty et al. 2004, Science",
            "10.1126/science.1094285",
        ),
        ("my own pilot data", "my", (), "my own pilot data", None),
    ],
)
def test_references_are_read_not_completed(
    text: str, key: str, authors: tuple[str, ...], title: str, doi: str | None
) -> None:
    entry = parse_reference(text)
    assert (entry.key, entry.authors, entry.title, entry.doi) == (key, authors, title, doi)
    assert parsed(entry.to_bibtex()).entries[key].fields["title"] == f"{{{title}}}"


def test_two_works_with_one_key_are_told_apart() -> None:
    make: Callable[[str], str] = "Smith (2010). {}. Nature 1:1-2.".format
    first, second = parse_reference(make("Beta")), parse_reference(make("Alpha"))
    for order in ([first, second, first], [second, first]):
        library = Bibliography(order)
        assert library.key_of(second) == "smith2010"
        assert library.key_of(first) == "smith2010b"


def test_the_works_are_whole() -> None:
    for key, entry in WORKS.items():
        fields = parsed(entry.to_bibtex()).entries[key].fields
        # The proceedings of that meeting have no DOIs.
        elsewhere = fields.get("note", "")
        assert "doi" in fields or "arXiv" in elsewhere or "Neural Information" in elsewhere, key
        assert "year" in fields or key == "nibabel"
        if entry.doi:
            assert re.fullmatch(r"10\.\d{4,5}/\S+", entry.doi), key


def test_signal_loss_and_the_figures_of_quality_are_told(facts: MethodsFacts) -> None:
    assert "lost their signal" not in methods(facts).markdown
    quality = QualityParameters(signal_floor=0.4, fd_threshold=0.3)
    losses = "47 % of OFC (up to 60 %) and 5 % of vmPFC (up to 9 %)"
    text = flat(methods(replace(facts, quality=quality, losses=losses)).markdown)
    assert (
        f"below 40 % of the brain's median were counted as having lost their signal: in the "
        f"median recording, {losses}." in text
    )
    assert "above 0.3 mm or a standardised DVARS of 1.5" in text
    assert "neither smoothed nor corrected for susceptibility distortion" in text


def test_connectivity_is_told_as_it_was_made(facts: MethodsFacts) -> None:
    assert "Connectivity" not in methods(facts).markdown
    chosen = ConnectivityParameters(given=("vmpfc", "dlpfc"), min_trials=12, epoch=4)
    of_images = flat(methods(replace(facts, connectivity=chosen)).markdown)
    assert "given the regions dlpfc and vmpfc" in of_images
    assert "where both regions had at least 12" in of_images
    assert "phase lag" not in of_images
    both = replace(facts, connectivity=ConnectivityParameters(), eeg_coupling=True)
    text = flat(methods(both).markdown)
    assert "given all other regions" in text
    assert "cut into pieces of 2 s" in text
    assert "theta (4 to 8 Hz), alpha (8 to 13 Hz), beta (13 to 30 Hz) and gamma (30 to 45" in text
    assert "more than 0.5 of the other's own" in text
    of_eeg = flat(methods(replace(both, extract=None)).markdown)
    assert "phase lag" in of_eeg and "Fisher's z" not in of_eeg


def test_alignment_is_told_where_people_were_aligned(facts: MethodsFacts) -> None:
    assert "common spaces" not in methods(facts).markdown
    told = replace(
        facts,
        align=AlignSettings(n_targets=70, n_permutations=30),
        aligned={"procrustes": 1, "connectivity": 3},
    )
    text = flat(methods(told).markdown)
    assert "In 1 group people had the same stimulus at the same time" in text
    assert "In 3 groups people were aligned by the correlations of their voxels with 70" in text
    assert "[@haxby2011]" in text
    assert "[@guntupalli2018]" in text
    assert "[@chen2015]" not in text
    assert "(shrinkage 0.5)" in text
    assert "chance is by 30 permutations" in text
