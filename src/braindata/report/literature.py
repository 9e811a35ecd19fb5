"""The works that a methods text cites, and BibTeX for them.

works.json holds what the code follows; a DOI there is that of the docstring which names the work,
or of the software's own page. What a region or a data set cites is read from its own text, and not
completed: a field that is not stated there is not made up.
"""

from __future__ import annotations

import html
import importlib.resources
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

# "Authors (year). Title. Journal volume:pages. doi:…", as the default regions state references.
_REFERENCE = re.compile(
    r"(?P<authors>[^()]+) \((?P<year>\d{4})\)\. (?P<title>.+?)(?:\.|(?<=[?!])) "
    r"(?P<journal>[^.?!]+) (?P<volume>\w+):(?P<pages>[\w-]+)\.(?: doi:(?P<doi>10\.\S+))?"
)
_DOI = re.compile(r"\b(10\.\d{4,9}/[^\s,;]+[^\s,;.)])")
_YEAR = re.compile(r"\b(?:19|20)\d{2}\b")
_SPECIAL = re.compile(r"([&%$#_{}])")
_SHOWN_AUTHORS = 6


@dataclass(frozen=True)
class Entry:
    """One work.

    Attributes
    ----------
    key : str
        By which it is cited.
    kind : str
        The BibTeX entry type.
    authors : tuple of str
        ``Family, Given`` or a family name; ``others`` last stands for those not named.
    title : str
        Its title.
    year, journal, volume, pages, doi, note : str or None
        None where it is not stated.
    """

    key: str
    kind: str
    authors: tuple[str, ...]
    title: str
    year: str | None = None
    journal: str | None = None
    volume: str | None = None
    pages: str | None = None
    doi: str | None = None
    note: str | None = None

    @property
    def families(self) -> list[str]:
        """The family names, without ``others``."""
        return [name.partition(",")[0] for name in self.authors if name != "others"]

    @property
    def label(self) -> str:
        """How it is cited in running text: ``Greve & Fischl, 2009``."""
        families = self.families
        if not families:
            who = self.title if len(self.title) <= 40 else f"{self.title[:39].rstrip()}…"
        elif len(families) == 1 and "others" not in self.authors:
            who = families[0]
        elif len(families) == 2 and "others" not in self.authors:
            who = " & ".join(families)
        else:
            who = f"{families[0]} et al."
        return f"{who}, {self.year}" if self.year else who

    def to_bibtex(self) -> str:
        """Return it as a BibTeX entry."""
        where = "booktitle" if self.kind == "inproceedings" else "journal"
        fields = {
            "author": " and ".join(_bibtex_name(name) for name in self.authors) or None,
            # Two braces: a style may not change capitals.
            "title": f"{{{_escaped(self.title)}}}",
            where: self.journal and _escaped(self.journal),
            "year": self.year,
            "volume": self.volume,
            "pages": self.pages and re.sub(r"(?<=\w)-(?=\w)", "--", self.pages),
            "doi": self.doi,
            "note": self.note and _escaped(self.note),
        }
        body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
        return f"@{self.kind}{{{self.key},\n{body}}}\n"

    def to_html(self) -> str:
        """Return it as one line of HTML."""
        shown = [name.replace(",", "") for name in self.authors[:_SHOWN_AUTHORS]]
        shown = [name for name in shown if name != "others"]
        if len(shown) < len(self.authors):
            shown.append("et al.")
        parts = [", ".join(shown), f"({self.year})." if self.year else None]
        parts.append(self.title if self.title.endswith(("?", "!")) else f"{self.title}.")
        volume = ":".join(part for part in (self.volume, self.pages) if part)
        if self.journal:
            parts.append(" ".join(part for part in (self.journal, volume) if part) + ".")
        parts.append(f"{self.note}." if self.note else None)
        text = html.escape(" ".join(part for part in parts if part))
        if self.doi:
            doi = html.escape(self.doi)
            text += f' <a href="https://doi.org/{doi}">doi:{doi}</a>'
        return text


def _load() -> dict[str, Entry]:
    text = (importlib.resources.files("braindata.report") / "works.json").read_text("utf-8")
    return {
        key: Entry(key, authors=tuple(work.pop("authors")), **work)
        for key, work in json.loads(text).items()
    }


WORKS = _load()


def find_dois(text: str) -> list[str]:
    """Return the DOIs that a text names, in its order."""
    return list(dict.fromkeys(_DOI.findall(text)))


def parse_reference(text: str) -> Entry:
    """Read one reference as a region file states it.

    What has not the form ``Authors (year). Title. Journal volume:pages. doi:…`` becomes an entry
    whose title is the text itself.
    """
    text = " ".join(text.split())
    found = _REFERENCE.fullmatch(text)
    if found is None:
        year = _YEAR.search(text)
        dois = find_dois(text)
        title = _DOI.sub("", text).replace("doi:", "").rstrip(" ,.;") if dois else text
        stated = year.group() if year else None
        return Entry(_key(text, stated), "misc", (), title, stated, doi=dois[0] if dois else None)
    authors = found["authors"].removesuffix(" et al.")
    names = re.split(r", | & ", authors)
    if authors != found["authors"]:
        names.append("others")
    return Entry(
        _key(names[0], found["year"]),
        "article",
        tuple(names),
        found["title"],
        found["year"],
        found["journal"],
        found["volume"],
        found["pages"],
        found["doi"],
    )


class Bibliography:
    """The works of one text: each once, under a key of its own.

    Parameters
    ----------
    entries : iterable of Entry
        All that may be cited besides `WORKS`. Of two with one DOI (or, without, one title) the
        first counts; two works under one key get a letter, in the order of their titles.
    """

    def __init__(self, entries: Iterable[Entry]):
        self._by_identity = {_identity(entry): entry for entry in WORKS.values()}
        new: dict[str, Entry] = {}
        for entry in entries:
            if _identity(entry) not in self._by_identity:
                new.setdefault(_identity(entry), entry)
        taken = set(WORKS)
        for identity, entry in sorted(new.items(), key=lambda item: (item[1].title, item[0])):
            key, letters = entry.key, iter("bcdefghijklmnopqrstuvwxyz")
            while key in taken:
                key = f"{entry.key}{next(letters)}"
            taken.add(key)
            self._by_identity[identity] = replace(entry, key=key)
        self._by_key = {entry.key: entry for entry in self._by_identity.values()}

    def key_of(self, entry: Entry) -> str:
        """Return the key under which a work is cited."""
        return self._by_identity[_identity(entry)].key

    def key_of_doi(self, doi: str) -> str:
        """Return the key of the work with a DOI."""
        return self._by_identity[doi.lower()].key

    def __getitem__(self, key: str) -> Entry:
        return self._by_key[key]


def _identity(entry: Entry) -> str:
    return entry.doi.lower() if entry.doi else entry.title.lower()


def _key(name: str, year: str | None) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain.replace("'", ""))
    first = "".join(words) if len(words) <= 2 else words[0]
    return f"{first or 'work'}{year if year and not first.endswith(year) else ''}"


def _bibtex_name(name: str) -> str:
    if name == "others":
        return name
    # A name of several words without a comma is one name: De Martino, The braindata developers.
    return f"{{{_escaped(name)}}}" if " " in name and "," not in name else _escaped(name)


def _escaped(text: str) -> str:
    text = text.replace("\\", r"\textbackslash ")
    return _SPECIAL.sub(r"\\\1", text).replace("~", r"\textasciitilde ").replace("^", r"\^{}")
