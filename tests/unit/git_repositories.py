"""Repositories with OpenNeuro's layout, made object by object, and git-annex to compare with."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

PUBLIC = "a20bb269-f723-4574-af29-a49fa098f07e"
GONE = "e8393e99-9bd1-48ce-bc7f-b334e4d55c52"
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": "test@x"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
    **{f"GIT_{who}_DATE": "1700000000 +0000" for who in ("AUTHOR", "COMMITTER")},
}
ANNEX = Path(sys.executable).parent / "git-annex"


def git(*arguments: str, folder: Path | None = None, data: bytes | None = None) -> str:
    where = ["-C", str(folder)] if folder else []
    done = subprocess.run(
        ["git", *where, *arguments], input=data, capture_output=True, check=True, env=ENVIRONMENT
    )
    return done.stdout.decode().strip()


def key_of(contents: bytes, extension: str = ".nii.gz", backend: str = "MD5E") -> str:
    digest = hashlib.new(backend.removesuffix("E").lower(), contents).hexdigest()
    return f"{backend}-s{len(contents)}--{digest}{extension}"


def log_folder(key: str) -> str:
    digest = hashlib.md5(key.encode()).hexdigest()
    return f"{digest[:3]}/{digest[3:6]}"


class MadeRepository:
    """A bare repository whose commits are made without a checkout."""

    def __init__(self, path: Path, url: str = "https://s3.example.org/openneuro.org"):
        self.path = path
        self.name = path.name.removesuffix(".git")
        self.url = url
        self.logs: dict[str, str] = {
            "remote.log": f"{PUBLIC} autoenable=true bucket=openneuro.org datacenter=US "
            f"encryption=none exporttree=yes fileprefix={self.name}/ host=s3.amazonaws.com "
            f"name=s3-PUBLIC partsize=1GiB port=80 public=yes publicurl={url} "
            "storageclass=STANDARD type=S3 versioning=yes timestamp=1661473705.040097393s\n",
            "uuid.log": f"{PUBLIC} s3-PUBLIC timestamp=1661473705.04s\n",
        }
        git("init", "-q", "--bare", "-b", "main", str(path))

    def blob(self, contents: bytes) -> str:
        return self._write(b"blob", contents)

    def _write(self, kind: bytes, body: bytes) -> str:
        # As git does it, which would be a process for each.
        text = b"%s %d\0" % (kind, len(body)) + body
        name = hashlib.sha1(text).hexdigest()
        path = self.path / "objects" / name[:2] / name[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(text, 1))
        return name

    def raw_tree(self, entries: list[tuple[str, bytes, str]]) -> str:
        """Write a tree as it stands: mode, name and object of each entry."""
        body = b"".join(
            mode.encode() + b" " + name + b"\0" + bytes.fromhex(blob)
            for mode, name, blob in entries
        )
        return self._write(b"tree", body)

    def tree(self, files: Mapping[str, tuple[str, str]]) -> str:
        """Write nested trees of paths to (mode, object)."""
        below: dict[str, dict[str, tuple[str, str]]] = {}
        entries = []
        for path, entry in files.items():
            first, slash, rest = path.partition("/")
            if slash:
                below.setdefault(first, {})[rest] = entry
            else:
                entries.append((entry[0], first.encode(), entry[1]))
        entries += [("40000", name.encode(), self.tree(inner)) for name, inner in below.items()]
        entries.sort(key=lambda e: e[1] + (b"/" if e[0] == "40000" else b""))
        return self.raw_tree(entries)

    def commit(self, tree: str, tag: str | None = None, branch: str = "main") -> str:
        commit = git("commit-tree", tree, "-m", "x", folder=self.path)
        git("update-ref", f"refs/heads/{branch}", commit, folder=self.path)
        if tag:
            git("tag", "-f", tag, commit, folder=self.path)
        return commit

    def link(self, path: str, key: str) -> tuple[str, str]:
        up = "../" * path.count("/")
        return ("120000", self.blob(f"{up}.git/annex/objects/aa/bb/{key}/{key}".encode()))

    def state(
        self, key: str, versions: Mapping[str, str], uuid: str = PUBLIC, time: int = 0
    ) -> None:
        """Note in the logs that a remote has a key: the paths by version id."""
        folder = f"{log_folder(key)}/{key}"
        stamp = f"{1661473705 + time}.5s"
        self.logs[f"{folder}.log"] = self.logs.get(f"{folder}.log", "") + f"{stamp} 1 {uuid}\n"
        for version, path in versions.items():
            value = f"{version}#{self.name}/{path}"
            if " " in value:
                value = "!" + base64.b64encode(value.encode()).decode()
            name = f"{folder}.log.rmet"
            self.logs[name] = self.logs.get(name, "") + f"{stamp} {uuid}:V +{value}\n"

    def write_annex_branch(self) -> None:
        files = {name: ("100644", self.blob(text.encode())) for name, text in self.logs.items()}
        self.commit(self.tree(files), branch="git-annex")

    def version(
        self,
        tag: str,
        texts: Mapping[str, bytes],
        annexed: Mapping[str, bytes],
        serve: object = None,
    ) -> str:
        """Commit a version; `serve.put(path, contents)` returns an object's version id."""
        files = {path: ("100644", self.blob(contents)) for path, contents in texts.items()}
        for path, contents in annexed.items():
            extension = path[path.rindex("/") + 1 :].partition(".")[2]
            key = key_of(contents, f".{extension}")
            files[path] = self.link(path, key)
            if serve is not None:
                version = serve.put(f"openneuro.org/{self.name}/{path}", contents)  # type: ignore[attr-defined]
                self.state(key, {version: path})
        commit = self.commit(self.tree(files), tag)
        self.write_annex_branch()
        return commit


def whereis(bundle: Path, folder: Path, tag: str) -> dict[str, set[str]]:
    """Return the addresses by key, as git-annex itself tells them of a clone."""
    environment = {**ENVIRONMENT, "PATH": f"{ANNEX.parent}{os.pathsep}{os.environ['PATH']}"}
    if not folder.exists():
        git("clone", "-q", str(bundle), str(folder))
        git("branch", "-q", "git-annex", "origin/git-annex", folder=folder)
        subprocess.run(
            [str(ANNEX), "init", "-q"], cwd=folder, env=environment, check=True, capture_output=True
        )
    told = subprocess.run(
        [str(ANNEX), "whereis", "--json", f"--branch={tag}"],
        cwd=folder, env=environment, capture_output=True, check=False,
    )  # fmt: skip
    found: dict[str, set[str]] = {}
    for line in told.stdout.splitlines():
        one = json.loads(line)
        urls = {url for place in one["whereis"] for url in place["urls"]}
        found[one["key"]] = found.get(one["key"], set()) | urls
    return found


def have_annex() -> bool:
    return ANNEX.is_file() and shutil.which("git") is not None
