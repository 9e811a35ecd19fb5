"""Why two releases differ: what each notes of how it was made, and what to conclude from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from braindata.receipts import Receipt, content_hash
from braindata.tables.releases import Release

Kind = Literal["withdrawal", "region", "data", "code", "config", "unknown"]
# Which receipts the rows of a table can rest on, by their first part; of other tables, all.
_RESTS_ON = {
    "recordings": None,
    "series": ("curate", "derivatives", "packed", "series"),
    "stimuli": ("curate",),
    "latents": ("curate", "latents"),
    "latent_fits": ("curate", "latents"),
}
# Stages whose inputs are files of data sets.
_READ_DATA = ("curate", "derivatives")
# Of a configuration's section, so many levels are named.
_DEPTH = 2


@dataclass(frozen=True, order=True)
class Cause:
    """Why rows differ.

    Attributes
    ----------
    kind : str
        `withdrawal`, `region`, `data`, `code`, `config`, or `unknown` where a release does not say.
    what : str
        In words.
    """

    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def how_made(receipts: Mapping[str, Receipt]) -> dict[str, Any]:
    """Return what a release notes of how it was made, so that a later one can be told from it.

    Of parameters, only hashes: they may name people.

    Parameters
    ----------
    receipts : mapping of str to Receipt
        The receipts that the release rests on, under the names that it gives them.

    Returns
    -------
    dict
        `made`: by receipt, step version, hashes of settings, versions and inputs. `settings` and
        `versions`: what the hashes stand for, each once.
    """
    made, settings, versions = {}, {}, {}
    for name, receipt in receipts.items():
        chosen = dict(_flat(receipt.parameters))
        keys = [content_hash(one)[:16] for one in (chosen, receipt.versions, receipt.inputs)]
        settings[keys[0]], versions[keys[1]] = chosen, receipt.versions
        made[name] = {
            "stage": receipt.stage,
            "step_version": receipt.step_version,
            "settings": keys[0],
            "versions": keys[1],
            "inputs": keys[2],
        }
    return {"made": made, "settings": settings, "versions": versions}


def _flat(value: Mapping[str, Any], above: str = "", depth: int = 1) -> Iterator[tuple[str, str]]:
    for key, one in sorted(value.items()):
        name = f"{above}{key}"
        if isinstance(one, Mapping) and one and depth < _DEPTH:
            yield from _flat(one, f"{name}.", depth + 1)
        else:
            yield name, content_hash(one)[:12]


def causes(
    old: Release,
    new: Release,
    table: str | None = None,
    dataset: str | None = None,
    region: str | None = None,
) -> list[Cause]:
    """Return why rows of two releases differ, as far as the releases say.

    Parameters
    ----------
    old, new : Release
        The releases.
    table, dataset : str, optional
        Which rows are meant; all by default.
    region : str, optional
        Their region, as ``name-hash``.
    """
    before, after = old.provenance, new.provenance
    found = _of_region(before, after, region) if region else []
    if found:
        return found
    if dataset is None and region is None:
        for key in {*_regions(before), *_regions(after)}:
            found += _of_region(before, after, key)
    found += _of_datasets(before, after, dataset)
    if _withdrawn(before, dataset) != _withdrawn(after, dataset):
        found.append(Cause("withdrawal", "somebody was withdrawn"))
    if "made" not in before or "made" not in after:
        found.append(Cause("unknown", "a release of an older version does not say how it was made"))
    else:
        found += _of_receipts(before, after, table, dataset, region)
    found += _of_publishing(before, after)
    names = [table] if table else sorted(old.tables.keys() | new.tables.keys())
    for name in names:
        schemas = [one.tables[name].schema if name in one.tables else None for one in (old, new)]
        if schemas[0] != schemas[1]:
            found.append(Cause("code", f"other columns of {name}"))
    return sorted(set(found)) or [Cause("unknown", "nothing that the releases note of it differs")]


def _regions(provenance: Mapping[str, Any]) -> list[str]:
    return list(provenance.get("parameters", {}).get("regions", ()))


def _of_region(before: Mapping[str, Any], after: Mapping[str, Any], region: str) -> list[Cause]:
    was, is_now = _regions(before), _regions(after)
    if (region in was) == (region in is_now):
        return []
    name = region.rpartition("-")[0]
    other = was if region in is_now else is_now
    if any(one.rpartition("-")[0] == name for one in other):
        return [Cause("region", f"{name} is defined otherwise")]
    return [Cause("region", f"{name} is {'new' if region in is_now else 'no longer asked for'}")]


def _of_datasets(
    before: Mapping[str, Any], after: Mapping[str, Any], dataset: str | None
) -> list[Cause]:
    was, is_now = (set(one.get("parameters", {}).get("datasets", ())) for one in (before, after))
    asked = (was ^ is_now) if dataset is None else (was ^ is_now) & {dataset}
    words = {True: "is new", False: "is no longer asked for"}
    return [Cause("data", f"data set {name} {words[name in is_now]}") for name in sorted(asked)]


def _withdrawn(provenance: Mapping[str, Any], dataset: str | None) -> Any:
    said = provenance.get("withdrawn", {})
    return said if dataset is None else said.get(dataset, 0)


def _of_receipts(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    table: str | None,
    dataset: str | None,
    region: str | None,
) -> list[Cause]:
    was, is_now = before["made"], after["made"]
    names = [n for n in {**was, **is_now} if _concerns(n, table, dataset, region)]
    found = []
    n_units = {"new": 0, "gone": 0}
    for name in names:
        folder, of = name.split("/")[:2]
        if name not in was or name not in is_now:
            if folder == "derivatives":
                n_units["new" if name in is_now else "gone"] += 1
            continue
        one, other = was[name], is_now[name]
        if one == other:
            continue
        stage = other["stage"]
        if one["step_version"] != other["step_version"]:
            steps = f"{one['step_version']} → {other['step_version']}"
            found.append(Cause("code", f"step version of {stage} {steps}"))
        if one["versions"] != other["versions"]:
            said = before["versions"][one["versions"]], after["versions"][other["versions"]]
            found += [Cause("code", what) for what in _other_versions(*said)]
        if one["settings"] != other["settings"]:
            chosen = before["settings"][one["settings"]], after["settings"][other["settings"]]
            keys = sorted(
                k for k in {**chosen[0], **chosen[1]} if chosen[0].get(k) != chosen[1].get(k)
            )
            found.append(Cause("config", f"{stage}: {', '.join(keys)}"))
        if folder in _READ_DATA and one["inputs"] != other["inputs"]:
            found.append(Cause("data", f"files of {of} changed"))
    words = {"new": "came", "gone": "went"}
    found += [
        Cause("data", f"{n} {'person or session' if n == 1 else 'people or sessions'} {words[how]}")
        for how, n in n_units.items()
        if n
    ]
    return found


def _concerns(name: str, table: str | None, dataset: str | None, region: str | None) -> bool:
    """Whether rows of a table can rest on a receipt."""
    folder, of, *rest = name.split("/")
    if dataset is not None and of != dataset:
        return False
    stages = _RESTS_ON.get(table or "")
    if stages is not None and folder not in stages:
        return False
    # Receipts of other regions say nothing of this one.
    last = rest[-1].removesuffix(".parquet") if rest else ""
    return not (region and folder in ("series", "derived") and last != region)


def _other_versions(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [
        f"{name} {one.get(name, 'none')} → {other.get(name, 'none')}"
        for name in sorted({**one, **other})
        if one.get(name) != other.get(name)
    ]


def _of_publishing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Cause]:
    found = []
    one, other = before.get("parameters", {}), after.get("parameters", {})
    words = {
        "publish": "rules of publish.exclude",
        "decisions": "exclusions at publishing",
        "pseudonyms": "pseudonyms",
    }
    for key, what in words.items():
        if one.get(key) != other.get(key):
            found.append(Cause("config", what))
    steps = before.get("step_version"), after.get("step_version")
    if None not in steps and steps[0] != steps[1]:
        found.append(Cause("code", f"step version of publish {steps[0]} → {steps[1]}"))
    return found
