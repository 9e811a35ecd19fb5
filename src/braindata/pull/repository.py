"""What a commit of a data set's repository holds: files, their sizes and addresses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from braindata.pull.annex import (
    DEAD,
    WEB_UUID,
    Counter,
    Key,
    Remote,
    key_of_link,
    key_of_pointer,
    parse_locations,
    parse_remotes,
    parse_trust,
    parse_versions,
    parse_web,
)
from braindata.pull.git import ANNEX_BRANCH, Repository, TreeEntry

# Longer targets and pointers name no key; longer logs are no logs.
_MAX_LINK = 4096
_MAX_POINTER = 1024
_MAX_LOG = 8 << 20
# What every file system takes, with a temporary name before it.
_MAX_NAME = 220
_MAX_PATH = 1000


@dataclass(frozen=True)
class Address:
    """Where contents can be fetched.

    Attributes
    ----------
    url : str
        Without credentials.
    stated : bool
        Whether the branch of git-annex says that the contents are there; otherwise they may be,
        and their checksum decides.
    """

    url: str
    stated: bool


@dataclass(frozen=True)
class RemoteFile:
    """One file of a version.

    Attributes
    ----------
    path : str
        Below the root.
    size : int or None
        In bytes; None where the key does not say.
    blob : str or None
        The object of git that it is; None for an annexed file.
    key : Key or None
        Of an annexed file.
    addresses : tuple of Address
        Of an annexed file, the best one first.
    trouble : str or None
        Why there is no address.
    """

    path: str
    size: int | None
    blob: str | None = None
    key: Key | None = None
    addresses: tuple[Address, ...] = ()
    trouble: str | None = None


@dataclass(frozen=True)
class Version:
    """The files of one commit.

    Attributes
    ----------
    files : tuple of RemoteFile
        Sorted by path.
    refused : dict of str to str
        Paths that are not pulled, and why.
    malformed : int
        Lines of git-annex' logs that were skipped.
    """

    files: tuple[RemoteFile, ...]
    refused: dict[str, str] = field(default_factory=dict)
    malformed: int = 0


def read_version(folder: Path, commit: str) -> Version:
    """List what a commit of a bare repository holds.

    Parameters
    ----------
    folder : Path
        The repository.
    commit : str
        A commit or tag.
    """
    repository = Repository(folder)
    branch = _Branch(repository)
    files, refused = _safe_entries(repository.tree(commit))
    maybe = [
        entry
        for entry in files.values()
        if entry.size <= (_MAX_LINK if entry.mode == "120000" else _MAX_POINTER)
    ]
    contents = dict(
        zip((one.path for one in maybe), repository.read([e.blob for e in maybe]), strict=True)
    )
    found = []
    keys: dict[str, Key] = {}
    for path, entry in files.items():
        text = contents.get(entry.path, b"")
        if entry.mode == "120000":
            key = key_of_link(text.decode(errors="replace"))
            if key is None:
                refused[path] = "a symbolic link that is no key of git-annex"
                continue
        else:
            key = key_of_pointer(text)
        if key is None:
            found.append(RemoteFile(path, entry.size, blob=entry.blob))
        else:
            keys[path] = key
    branch.load(keys.values())
    found += [branch.locate(path, key) for path, key in keys.items()]
    ordered = tuple(sorted(found, key=lambda file: file.path))
    return Version(ordered, refused, branch.counter.malformed)


def refusal(path: bytes) -> str | None:
    """Return why a path of a repository is not written to this disk, or None when it can be."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return "its name is no UTF-8"
    parts = text.split("/")
    if text.startswith("/") or "\\" in text:
        return "its path is absolute or holds a backslash"
    if any(part in ("", ".", "..") for part in parts):
        return "its path leads out of the data set"
    if any(part.casefold().rstrip(". ") == ".git" for part in parts):
        return "it would lie in a folder of git"
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") for letter in text):
        return "its name holds control characters"
    if len(path) > _MAX_PATH or any(len(part.encode()) > _MAX_NAME for part in parts):
        return "its name is too long"
    return None


def shown(path: bytes) -> str:
    """Return a path for a message: printable, and not longer than a line."""
    text = path.decode(errors="backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(path)} bytes)"


def _safe_entries(entries: list[TreeEntry]) -> tuple[dict[str, TreeEntry], dict[str, str]]:
    refused: dict[str, str] = {}
    files: dict[str, TreeEntry] = {}
    for entry in entries:
        why = refusal(entry.path)
        if why is None and entry.mode == "160000":
            why = "another repository (a DataLad subdataset), which is not pulled"
        if why is None and entry.path.decode() in files:
            why = "the tree names it twice"
        if why is None:
            files[entry.path.decode()] = entry
        else:
            refused[shown(entry.path)] = why
    # A tree that was made by hand can have a file where it has a folder.
    for path in list(files):
        parts = path.split("/")
        if any("/".join(parts[:depth]) in files for depth in range(1, len(parts))):
            refused[path] = "the tree has a file where it has a folder"
            del files[path]
    return files, refused


class _Branch:
    """What the branch `git-annex` says of keys; it may not be there."""

    def __init__(self, repository: Repository):
        self._repository = repository
        self._logs: dict[str, str] = {}
        self.counter = Counter()

    @cached_property
    def _entries(self) -> dict[str, TreeEntry]:
        commit = self._repository.commit(ANNEX_BRANCH)
        entries = [] if commit is None else self._repository.tree(commit)
        return {entry.path.decode(errors="replace"): entry for entry in entries}

    @cached_property
    def _remotes(self) -> dict[str, Remote]:
        return parse_remotes(self._log("remote.log"), self.counter)

    @cached_property
    def _trust(self) -> dict[str, str]:
        return parse_trust(self._log("trust.log"), self.counter)

    def load(self, keys: Iterable[Key]) -> None:
        """Read the logs of keys, all at once."""
        names = ["remote.log", "trust.log"]
        for key in keys:
            names += [f"{key.folder}/{key.name}{s}" for s in (".log", ".log.rmet", ".log.web")]
        there = [n for n in dict.fromkeys(names) if n in self._entries]
        small = [n for n in there if self._entries[n].size <= _MAX_LOG]
        self.counter.malformed += len(there) - len(small)
        texts = self._repository.read([self._entries[name].blob for name in small])
        for name, text in zip(small, texts, strict=True):
            self._logs[name] = text.decode(errors="replace")

    def _log(self, name: str) -> str:
        return self._logs.get(name, "")

    def locate(self, path: str, key: Key) -> RemoteFile:
        """Return an annexed file with its addresses."""
        if key.digest is None:
            unknown = "its key has no checksum by which its contents could be verified"
            return RemoteFile(path, key.size, key=key, trouble=unknown)
        log = f"{key.folder}/{key.name}.log"
        locations = parse_locations(self._log(log), self.counter)
        dead = {uuid for uuid, level in self._trust.items() if level == DEAD}
        # The version that was stored under this very name comes first: a name may be gone.
        stated: list[str] = []
        others: list[str] = []
        versions = parse_versions(self._log(f"{log}.rmet"), self.counter)
        for uuid, version, name in sorted(versions, key=lambda v: not v[2].endswith(f"/{path}")):
            remote = self._remotes.get(uuid)
            url = None if remote is None or uuid in dead else remote.address(name, version)
            if url is not None:
                (stated if uuid in locations else others).append(url)
        if WEB_UUID in locations:
            stated += parse_web(self._log(f"{log}.web"), self.counter)
        for uuid, holder in self._remotes.items():
            current = None if uuid in dead else holder.exported(path)
            if current is not None:
                others.append(current)
        addresses = [Address(one, True) for one in dict.fromkeys(stated) if _plain(one)]
        known = set(stated)
        addresses += [
            Address(one, False) for one in dict.fromkeys(others) if one not in known and _plain(one)
        ]
        trouble = None if addresses else self._no_address(locations, dead)
        return RemoteFile(path, key.size, key=key, addresses=tuple(addresses), trouble=trouble)

    def _no_address(self, locations: set[str], dead: set[str]) -> str:
        if not self._entries:
            return "the repository has no branch git-annex, which would say where its contents are"
        if locations & dead and not locations & self._remotes.keys() - dead:
            return "its contents were only on a remote that is declared dead"
        return "git-annex knows no public address of its contents"


def _plain(url: str) -> bool:
    """Whether an address holds neither credentials nor anything but printable ASCII."""
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and "@" not in parts.netloc and url.isascii() and re.search(r"[\s\\]", url) is None
