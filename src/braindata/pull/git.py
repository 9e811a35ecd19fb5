"""git's plumbing on bare clones: nothing is checked out, no hook runs, no credential is sent."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from braindata.errors import BraindataError

_SAFE = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "protocol.ext.allow=never",
    "-c", "credential.helper=",
    "-c", "gc.auto=0",
    # Larger objects go by in pieces, not through memory.
    "-c", "core.bigFileThreshold=16m",
    # A server that says nothing for a minute has stalled.
    "-c", "http.lowSpeedLimit=1",
    "-c", "http.lowSpeedTime=60",
)  # fmt: skip
_CHUNK = 1 << 20
ANNEX_BRANCH = "refs/heads/git-annex"
_PINNED = "refs/heads/pinned"


class UnreachableError(BraindataError):
    """A repository does not answer: there is no network, or its host is down."""


class UnknownRepositoryError(BraindataError):
    """A host answers that there is no such repository."""


@dataclass(frozen=True)
class TreeEntry:
    """One entry of a commit's tree.

    Attributes
    ----------
    path : bytes
        As git has it.
    mode : str
        ``100644``, ``120000`` for a symbolic link, ``160000`` for another repository.
    blob : str
        Its object.
    size : int
        In bytes; 0 for another repository.
    """

    path: bytes
    mode: str
    blob: str
    size: int


def list_refs(address: str) -> dict[str, str]:
    """Ask a repository for its branches and tags.

    Returns
    -------
    dict of str to str
        Commits by name of the ref; of a tag that is an object of its own, the commit it names.

    Raises
    ------
    UnknownRepositoryError
        When the host says that there is none.
    UnreachableError
        When it does not answer.
    """
    text = _run(["ls-remote", "--", address], address=address).decode(errors="replace")
    refs: dict[str, str] = {}
    for line in text.splitlines():
        commit, _, name = line.partition("\t")
        # The commit of an annotated tag follows the tag, with ^{} behind the name.
        refs[name.removesuffix("^{}")] = commit
    return refs


def fetch_commit(address: str, commit: str, refs: Sequence[str], target: Path) -> None:
    """Fetch one commit and the branch of git-annex into a new bare repository.

    Parameters
    ----------
    address : str
        Of the repository.
    commit : str
        What is wanted.
    refs : sequence of str
        Refs of the repository that should lead to it.
    target : Path
        The repository to make. It is there in full or not at all.

    Raises
    ------
    BraindataError
        When the repository has no such commit any more.
    """
    if (target / "HEAD").is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"fetching-{target.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    _run(["init", "--quiet", "--bare", "--template=", str(unfinished)])
    wanted = [f"+{ref}:{_PINNED}" for ref in refs[:1]] or [f"+{commit}:{_PINNED}"]
    there = list_refs(address)
    if ANNEX_BRANCH in there:
        wanted.append(f"+{ANNEX_BRANCH}:{ANNEX_BRANCH}")
    fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]
    try:
        _run([*fetch, "--depth=1", "--", address, *wanted], unfinished, address)
    except BraindataError:
        # A server of plain files (dumb HTTP) knows no depth, and some give out no bare commit.
        everything = ["+refs/heads/*:refs/fetched/heads/*", "+refs/tags/*:refs/fetched/tags/*"]
        annex = wanted[1:]
        _run([*fetch, "--", address, *everything, *annex], unfinished, address)
    kind = ["cat-file", "-e", f"{commit}^{{commit}}"]
    if _call(kind, unfinished).returncode:
        raise BraindataError(
            f"{address} no longer has the commit {commit}: the tag was moved, or history rewritten",
            hint="`braindata pull --update` takes the version that is there now",
        )
    # One that has lost its files, to a failing disk or to somebody who tidied up.
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


class Repository:
    """A bare repository on this disk.

    Parameters
    ----------
    path : Path
        Where it lies.
    """

    def __init__(self, path: Path):
        self.path = path

    def commit(self, name: str) -> str | None:
        """Return the commit that a ref, a tag or a hash names, or None."""
        done = _call(["rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"], self.path)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def tree(self, commit: str) -> list[TreeEntry]:
        """Return all files of a commit."""
        listing = _run(["ls-tree", "-r", "-z", "-l", "--full-tree", commit], self.path)
        entries = []
        for line in filter(None, listing.split(b"\0")):
            facts, _, path = line.partition(b"\t")
            mode, _, blob, size = facts.decode().split()
            entries.append(TreeEntry(path, mode, blob, int(size) if size.isdigit() else 0))
        return entries

    def read(self, blobs: Sequence[str]) -> Iterator[bytes]:
        """Yield the contents of small objects, in their order."""
        with self.reader() as reader:
            for blob in blobs:
                yield b"".join(reader.chunks(blob))

    @contextmanager
    def reader(self) -> Iterator[BlobReader]:
        """Yield a reader of objects, one process for all of them."""
        command = _command(["cat-file", "--batch"], self.path)
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield BlobReader(process.stdin, process.stdout)
            finally:
                process.stdin.close()
                process.stdout.close()


class BlobReader:
    """Reads objects as streams, however large they are."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]):
        self._requests = requests
        self._answers = answers

    def chunks(self, blob: str) -> Iterator[bytes]:
        """Yield the contents of an object, and check them against its name at the end.

        Raises
        ------
        BraindataError
            When it is not there or damaged.
        """
        self._requests.write(f"{blob}\n".encode())
        self._requests.flush()
        header = self._answers.readline().split()
        if len(header) != 3:
            raise BraindataError(f"the clone has no object {blob}", hint=_AGAIN)
        left = int(header[2])
        digest = hashlib.new("sha1" if len(blob) == 40 else "sha256", usedforsecurity=False)
        digest.update(b"%s %d\0" % (header[1], left))
        while left:
            chunk = self._answers.read(min(left, _CHUNK))
            if not chunk:
                raise BraindataError(f"the clone's object {blob} is cut off", hint=_AGAIN)
            left -= len(chunk)
            digest.update(chunk)
            yield chunk
        self._answers.read(1)
        if digest.hexdigest() != blob:
            raise BraindataError(f"the clone's object {blob} is damaged", hint=_AGAIN)


_AGAIN = "delete raw/.store/repositories in the output folder and run again: it is cloned anew"


def _environment() -> dict[str, str]:
    # Variables such as GIT_DIR would lead elsewhere. What the user's files configure may hold
    # credentials, and a home with .netrc does: git sees neither.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "SSH_"))}
    kept |= {k: v for k, v in os.environ.items() if k in ("GIT_SSL_CAINFO", "GIT_EXEC_PATH")}
    return kept | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ALLOW_PROTOCOL": "http:https:file",
        "GIT_OPTIONAL_LOCKS": "0",
        "HOME": os.devnull,
        "XDG_CONFIG_HOME": os.devnull,
        "LC_ALL": "C",
    }


def _command(arguments: Sequence[str], folder: Path | None) -> list[str]:
    where = [] if folder is None else [f"--git-dir={folder}"]
    return ["git", *_SAFE, *where, *arguments]


def _call(arguments: Sequence[str], folder: Path | None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            _command(arguments, folder),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=_environment(),
            check=False,
        )
    except FileNotFoundError as error:
        raise BraindataError(
            "git is not installed", hint="install it (2.32 or newer); a local folder needs none"
        ) from error


def _run(arguments: Sequence[str], folder: Path | None = None, address: str | None = None) -> bytes:
    done = _call(arguments, folder)
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip()
    if address is None:
        raise BraindataError(f"git {arguments[0]} failed: {_last(said)}")
    if re.search(
        r"not found|does not exist|does not appear to be|could not read Username|error: 40[134]"
        r"|Authentication failed",
        said,
    ):
        raise UnknownRepositoryError(f"there is no repository {address} that everybody may read")
    raise UnreachableError(
        f"{address} does not answer ({_last(said)})", hint="check the network and run again"
    )


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (fatal or lines or ["it says nothing"])[0][:300]
