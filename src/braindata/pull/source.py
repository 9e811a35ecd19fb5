"""What `source:` names: a folder, or a repository and a version of it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from braindata.errors import BraindataError, UsageError
from braindata.files import write_text
from braindata.pull.git import UnknownRepositoryError, list_refs
from braindata.pull.parameters import PullSection

LOCK_NAME = "datasets.lock"
_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{2,}):(?P<rest>.+)")
_SCHEMES = ("openneuro", "openneuro-derivatives", "git+https", "git+http", "git+file")
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_ID = {"openneuro": r"ds\d{6}", "openneuro-derivatives": r"ds\d{6}-[A-Za-z0-9_.-]+"}
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class Remote:
    """A repository that a configuration names.

    Attributes
    ----------
    source : str
        As it is written there.
    address : str
        For git.
    tag : str or None
        The version that was asked for.
    derivatives : bool
        Whether it holds what others made of raw data.
    """

    source: str
    address: str
    tag: str | None
    derivatives: bool = False


@dataclass(frozen=True)
class Pin:
    """One version of a repository, for good.

    Attributes
    ----------
    tag : str or None
        Its name; None of a repository that has no tags.
    commit : str
        What it is.
    """

    tag: str | None
    commit: str

    @property
    def version(self) -> str:
        """The version as tables have it."""
        return self.tag or self.commit[:12]


def parse_source(source: str, section: PullSection) -> Remote | None:
    """Return the repository that a source names, or None when it is a folder.

    Raises
    ------
    UsageError
        When it looks like an address, but is none that is known.
    """
    match = _SCHEME.fullmatch(source)
    if match is None or Path(source).exists():
        return None
    scheme, rest = match["scheme"], match["rest"]
    if scheme not in _SCHEMES:
        near = difflib.get_close_matches(scheme, _SCHEMES, n=1)
        raise UsageError(
            f"{source} is no source: {scheme}: is not known",
            hint=(f"did you mean {near[0]}:? " if near else "")
            + f"known: a folder, {', '.join(f'{one}:' for one in _SCHEMES)}",
        )
    name, at, tag = rest.rpartition("@")
    if not at or "/" in tag:
        name, tag = rest, ""
    elif not tag:
        raise UsageError(f"{source}: no tag follows the @", hint="write one, or leave the @ out")
    if tag and (not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", tag) or tag.endswith(".lock")):
        raise UsageError(f"{source}: {tag!r} is no name of a tag")
    if scheme in _ID:
        _check_id(source, scheme, name)
        template = section.openneuro if scheme == "openneuro" else section.openneuro_derivatives
        return Remote(
            source, template.replace("{id}", name), tag or None, scheme == "openneuro-derivatives"
        )
    address = f"{scheme.removeprefix('git+')}:{name}"
    if not re.fullmatch(r"(https?://[^/@\s]+/|file:///)[^\s\x00-\x1f]+", address):
        raise UsageError(
            f"{source} is no address of a repository",
            hint="git+https://HOST/PATH or git+file:///PATH, without name and password",
        )
    return Remote(source, address, tag or None)


def _check_id(source: str, scheme: str, name: str) -> None:
    if re.fullmatch(_ID[scheme], name):
        return
    digits = re.match(r"(?:ds|on)?[-_ ]?0*(\d{1,6})(-[A-Za-z0-9_.-]+)?$", name, re.IGNORECASE)
    form = "ds000005" if scheme == "openneuro" else "ds000005-fmriprep"
    meant = f"ds{int(digits[1]):06}{digits[2] or ''}" if digits else ""
    fits = re.fullmatch(_ID[scheme], meant)
    raise UsageError(
        f"{source}: {name} is no id of OpenNeuro",
        hint=f"did you mean {scheme}:{meant}?" if fits else f"ids look like {form}",
    )


def resolve(remote: Remote, known: Iterable[str] = ()) -> Pin:
    """Ask a repository which commit is meant; the one thing about it that needs the network.

    Parameters
    ----------
    remote : Remote
        The repository, and the tag that is wanted, if any.
    known : iterable of str
        Other sources, one of which may be meant where there is no such repository.

    Raises
    ------
    UsageError
        When there is no such repository or tag, or when no tag can be chosen without being told.
    UnreachableError
        When it does not answer.
    """
    try:
        refs = list_refs(remote.address)
    except UnknownRepositoryError as error:
        near = _near_repositories(remote, known)
        raise UsageError(
            f"{remote.source}: {error.problem}",
            hint=f"nearest: {', '.join(near)}" if near else "check the id or address",
        ) from error
    tags = {
        name.removeprefix("refs/tags/"): commit
        for name, commit in refs.items()
        if name.startswith("refs/tags/")
    }
    if remote.tag is not None:
        return _tagged(remote, remote.tag, tags)
    tag = newest(tags)
    if tag is not None:
        return Pin(tag, tags[tag])
    if tags:
        some = ", ".join(sorted(tags)[:10])
        raise UsageError(
            f"{remote.source}: none of its tags says which version is the newest",
            hint=f"name one behind an @: {some}",
        )
    if "HEAD" not in refs:
        raise UsageError(f"{remote.source}: the repository {remote.address} is empty")
    return Pin(None, refs["HEAD"])


def _tagged(remote: Remote, tag: str, tags: Mapping[str, str]) -> Pin:
    if tag in tags:
        return Pin(tag, tags[tag])
    if _COMMIT.fullmatch(tag):
        return Pin(None, tag)
    near = difflib.get_close_matches(tag, sorted(tags), n=3) or sorted(tags)[-10:]
    raise UsageError(
        f"{remote.source}: the data set has no version {tag}",
        hint=f"nearest: {', '.join(near)}" if near else "it has no tags: leave the version out",
    )


def newest(tags: Iterable[str]) -> str | None:
    """Return the newest tag: the highest x.y.z, or else the highest of OpenNeuro's old numbers.

    Hashes, which are tags too, say nothing of their order and are never chosen.
    """
    tags = list(tags)
    versions = [tag for tag in tags if _VERSION.fullmatch(tag)]
    if versions:
        return max(versions, key=_numbers)
    numbers = [tag for tag in tags if re.fullmatch(r"\d{1,9}", tag)]
    return max(numbers, key=int, default=None)


def _numbers(tag: str) -> list[int]:
    match = _VERSION.fullmatch(tag)
    assert match is not None
    return [int(number) for number in match.groups()]


def _near_repositories(remote: Remote, known: Iterable[str]) -> list[str]:
    """Return sources that look like one that there is not: neighbours on this disk, and known."""
    candidates = {one.rpartition("@")[0] or one for one in known} - {remote.source}
    wanted = remote.source.rpartition("@")[0] or remote.source
    parts = urlsplit(remote.address)
    if parts.scheme == "file":
        folder, name = Path(unquote(parts.path)).parent, Path(unquote(parts.path)).name
        there = [one.name for one in folder.iterdir()] if folder.is_dir() else []
        shown = {
            wanted.replace(name.removesuffix(".git"), one.removesuffix(".git")) for one in there
        }
        candidates |= shown - {wanted}
    return difflib.get_close_matches(wanted, sorted(candidates), n=3)


def read_lock(path: Path) -> dict[str, Pin]:
    """Read which version each source is pinned to; a file that is not there pins none.

    Raises
    ------
    UsageError
        When it is not what we wrote.
    """
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        pins = {source: Pin(one["tag"], one["commit"]) for source, one in body.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            "this is no lock of data sets",
            file=path,
            hint="restore it, or delete it: the newest versions are looked up anew",
        ) from error
    for source, pin in pins.items():
        if not _COMMIT.fullmatch(str(pin.commit)):
            raise UsageError(f"{source}: {pin.commit} is no commit", file=path, hint="restore it")
    return pins


def write_lock(path: Path, pins: Mapping[str, Pin]) -> None:
    """Write which version each source is pinned to."""
    body = {source: asdict(pin) for source, pin in sorted(pins.items())}
    try:
        write_text(path, json.dumps(body, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise BraindataError(
            f"the versions of data sets cannot be noted ({error.strerror})",
            file=path,
            hint="make its folder writable",
        ) from error
