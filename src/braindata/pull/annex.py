"""git-annex as it lies in git: keys, what links and pointers name, and the logs of its branch.

Formats: https://git-annex.branchable.com/internals/ and .../internals/key_format/. Lines that are
not understood are counted and skipped: one of them must not cost the other contents.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import quote

# Backends whose names hold a checksum that Python computes; `E` appends the file's extension.
_ALGORITHMS = {
    "MD5": "md5",
    "SHA1": "sha1",
    "SHA224": "sha224",
    "SHA256": "sha256",
    "SHA384": "sha384",
    "SHA512": "sha512",
    "SHA3_224": "sha3_224",
    "SHA3_256": "sha3_256",
    "SHA3_384": "sha3_384",
    "SHA3_512": "sha3_512",
}
_KEY = re.compile(r"(?P<backend>[A-Z][A-Z0-9_]*)(?P<fields>(?:-[a-zA-Z]\d+)*)--(?P<name>[^/]+)")
# A key becomes a file's name in the store.
MAX_KEY = 200
_LINK = re.compile(r"(?:\.\./)*\.git/annex/objects/(?:[^/]+/[^/]+/)?(?P<key>[^/]+)/(?P=key)")
_POINTER = re.compile(r"/annex/objects/(?P<key>[^/\n]+)\n?(?:\n.*)?", re.DOTALL)
_TIME = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)s")
_ESCAPED = re.compile(r"&(\d{1,6});")
DEAD = "X"
WEB_UUID = "00000000-0000-0000-0000-000000000001"


@dataclass(frozen=True)
class Key:
    """The name of contents: their size and checksum.

    Attributes
    ----------
    name : str
        The whole key.
    size : int or None
        In bytes, where the key says it.
    algorithm, digest : str or None
        Name of the hash for `hashlib`, and its value in hexadecimal; None where the key holds none.
    """

    name: str
    size: int | None
    algorithm: str | None
    digest: str | None

    @property
    def folder(self) -> str:
        """Where the key's logs lie in the branch `git-annex`."""
        digest = hashlib.md5(self.name.encode(), usedforsecurity=False).hexdigest()
        return f"{digest[:3]}/{digest[3:6]}"


def parse_key(name: str) -> Key | None:
    """Return the key that `name` is, or None when it is none."""
    match = _KEY.fullmatch(name)
    if match is None or len(name.encode()) > MAX_KEY or not name.isprintable():
        return None
    size = re.search(r"-s(\d{1,18})(?:-|$)", match["fields"])
    backend = match["backend"]
    algorithm = _ALGORITHMS.get(backend) or _ALGORITHMS.get(backend.removesuffix("E"))
    digest = None
    if algorithm is not None:
        length = hashlib.new(algorithm, usedforsecurity=False).digest_size * 2
        digest = match["name"].partition(".")[0]
        if not re.fullmatch(rf"[0-9a-f]{{{length}}}", digest):
            return None
    return Key(name, int(size[1]) if size else None, algorithm, digest)


def key_of_link(target: str) -> Key | None:
    """Return the key that a symbolic link of git-annex leads to; None for any other link."""
    match = _LINK.fullmatch(target)
    return parse_key(match["key"]) if match else None


def key_of_pointer(contents: bytes) -> Key | None:
    """Return the key that a pointer file (an unlocked annexed file) names, or None."""
    if not contents.startswith(b"/annex/objects/"):
        return None
    try:
        match = _POINTER.fullmatch(contents.decode())
    except UnicodeDecodeError:
        return None
    return parse_key(match["key"]) if match else None


@dataclass
class Counter:
    """How many lines of logs were not understood."""

    malformed: int = 0


@dataclass(frozen=True)
class Remote:
    """A place that holds contents, as `remote.log` describes it.

    Attributes
    ----------
    uuid : str
        Its identifier.
    settings : mapping of str to str
        Its configuration.
    """

    uuid: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str | None:
        """Address below which its objects lie for everybody, or None."""
        settings = self.settings
        if settings.get("type") != "S3" or settings.get("public") != "yes":
            return None
        if url := settings.get("publicurl"):
            return url if url.startswith(("http://", "https://")) else None
        bucket = settings.get("bucket")
        amazon = settings.get("host", "s3.amazonaws.com") == "s3.amazonaws.com"
        return f"https://{bucket}.s3.amazonaws.com" if bucket and amazon else None

    def address(self, name: str, version: str | None = None) -> str | None:
        """Return the address of the object `name`, which includes `fileprefix`."""
        if self.base is None:
            return None
        url = f"{self.base.rstrip('/')}/{quote(name, safe='/')}"
        return url if version is None else f"{url}?versionId={quote(version, safe='')}"

    def exported(self, path: str) -> str | None:
        """Return the address at which an exported tree has `path`, in whatever version."""
        if self.settings.get("exporttree") != "yes":
            return None
        return self.address(f"{self.settings.get('fileprefix', '')}{path}")


def parse_remotes(text: str, counter: Counter) -> dict[str, Remote]:
    """Read `remote.log`: remotes by uuid, the newest line of each."""
    newest: dict[str, tuple[Decimal, Remote]] = {}
    for line in text.splitlines():
        uuid, *words = line.split()[:200] or [""]
        pairs = [word.partition("=") for word in words]
        settings = {key: _unescape(value) for key, equals, value in pairs if equals}
        time = _time(settings.pop("timestamp", ""))
        if not uuid or time is None:
            counter.malformed += 1
        elif uuid not in newest or time >= newest[uuid][0]:
            newest[uuid] = (time, Remote(uuid, settings))
    return {uuid: remote for uuid, (_, remote) in newest.items()}


def parse_trust(text: str, counter: Counter) -> dict[str, str]:
    """Read `trust.log`: the newest level (`1`, `0`, `?`, `X` for dead) by uuid."""
    newest: dict[str, tuple[Decimal, str]] = {}
    for line in text.splitlines():
        words = line.split()
        time = _time(words[-1].removeprefix("timestamp=")) if len(words) == 3 else None
        if time is None:
            counter.malformed += 1
        elif words[0] not in newest or time >= newest[words[0]][0]:
            newest[words[0]] = (time, words[1])
    return {uuid: level for uuid, (_, level) in newest.items()}


def parse_locations(text: str, counter: Counter) -> set[str]:
    """Read a key's `.log`: the uuids of the remotes that have its contents."""
    newest = _newest_states(text, counter)
    return {uuid for uuid, (_, state) in newest.items() if state == "1"}


def parse_web(text: str, counter: Counter) -> list[str]:
    """Read a key's `.log.web`: the http(s) addresses that are recorded, newest first."""
    newest = _newest_states(text, counter)
    urls = [(time, url) for url, (time, state) in newest.items() if state == "1"]
    return [url for _, url in sorted(urls, reverse=True) if url.startswith(("http://", "https://"))]


def _newest_states(text: str, counter: Counter) -> dict[str, tuple[Decimal, str]]:
    """Return time and state of the newest line about each thing, of lines `time state thing`."""
    newest: dict[str, tuple[Decimal, str]] = {}
    for line in text.splitlines():
        words = line.split(maxsplit=2)
        time = _time(words[0]) if len(words) == 3 else None
        if time is None:
            counter.malformed += 1
        elif words[2] not in newest or time >= newest[words[2]][0]:
            newest[words[2]] = (time, words[1])
    return newest


def parse_versions(text: str, counter: Counter) -> list[tuple[str, str, str]]:
    """Read a key's `.log.rmet`: where each version of an object lies.

    Returns
    -------
    list of (uuid, version, object)
        Newest first. A value that a later line removes is not there.
    """
    newest: dict[tuple[str, str], tuple[Decimal, bool]] = {}
    for line in text.splitlines():
        try:
            found = list(_values(line))
        except ValueError:
            counter.malformed += 1
            continue
        for time, uuid, value, there in found:
            earlier = newest.get((uuid, value))
            if earlier is None or time >= earlier[0]:
                newest[uuid, value] = (time, there)
    versions = []
    for (uuid, value), (time, there) in newest.items():
        version, hash_sign, name = value.partition("#")
        if not (version and hash_sign and name):
            counter.malformed += 1
        elif there:
            versions.append((time, uuid, version, name))
    return [(uuid, version, name) for _, uuid, version, name in sorted(versions, reverse=True)]


def _values(line: str) -> Iterator[tuple[Decimal, str, str, bool]]:
    """Yield time, uuid, value and whether it is set, of the fields `V` in a line."""
    first, *words = line.split(" ")
    time = _time(first)
    if time is None or not words:
        raise ValueError("no time")
    uuid = None
    for word in words:
        if not word:
            continue
        if word[0] not in "+-":
            name, colon, kind = word.rpartition(":")
            uuid = name if colon and kind == "V" else None
        elif uuid is not None:
            value = word[1:]
            if value.startswith("!"):
                try:
                    value = base64.b64decode(value[1:], validate=True).decode()
                except (binascii.Error, UnicodeDecodeError) as error:
                    raise ValueError("no base64") from error
            yield time, uuid, value, word[0] == "+"


def _time(text: str) -> Decimal | None:
    match = _TIME.fullmatch(text)
    return Decimal(match[1]) if match else None


def _unescape(value: str) -> str:
    return _ESCAPED.sub(lambda match: chr(min(int(match[1]), 0x10FFFF)), value)
