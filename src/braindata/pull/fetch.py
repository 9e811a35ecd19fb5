"""Downloads that are resumed, retried and verified.

By urllib3: it keeps connections open (a data set is thousands of small files on one host), has
timeouts and checks certificates, and unlike requests it reads no .netrc, keeps no cookies and
sends nothing that it was not given.
"""

from __future__ import annotations

import random
import re
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import IO
from urllib.parse import urljoin, urlsplit

import urllib3

from braindata.errors import BraindataError
from braindata.pull.annex import Key
from braindata.pull.parameters import Download
from braindata.pull.repository import Address, RemoteFile
from braindata.pull.store import Content, Store

_CHUNK = 1 << 16
_MAX_REDIRECTS = 5
_LONGEST_PAUSE = 60.0
# Later attempts may find another state of the server; that there is no such object stays so.
_LASTING = {400, 401, 403, 404, 405, 410, 414}
_MEANING = {
    401: "the server wants a login, which is never sent",
    403: "the server does not permit it (403)",
    404: "the server has no such file (404)",
    410: "the server no longer has this file (410)",
}


class FetchError(BraindataError):
    """Contents cannot be had.

    Attributes
    ----------
    lasting : bool
        Whether the same would be said tomorrow: a file that is gone, not a server that is down.
    """

    lasting = False


class LastingError(FetchError):
    """One that trying again does not mend."""

    lasting = True


class OtherContentsError(LastingError):
    """A server has something else there: it stays so, unless it was damaged on its way."""


class Stopped(Exception):
    """Another download met something that ends all of them, or the user stopped it."""


@dataclass
class Limiter:
    """Lets bytes through at a rate, shared by all connections.

    Parameters
    ----------
    rate : float or None
        Bytes per second; None for no limit.
    clock, sleep : callable
        Time in seconds, and waiting for it.
    """

    rate: float | None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._free_at = self.clock()

    def take(self, n_bytes: int) -> None:
        """Wait until `n_bytes` more may have passed."""
        if self.rate is None:
            return
        with self._lock:
            now = self.clock()
            pause = self._free_at - now
            self._free_at = max(self._free_at, now) + n_bytes / self.rate
        if pause > 0:
            self.sleep(pause)


class Fetcher:
    """Fetches contents into a store.

    Parameters
    ----------
    store : Store
        Where they go.
    settings : Download
        How it is done.
    seed : int
        Of the jitter of pauses.
    sleep : callable, optional
        Waits some seconds; it is told how many.
    progress : callable, optional
        Called with the number of bytes that arrived; a negative one takes some back.
    """

    def __init__(
        self,
        store: Store,
        settings: Download,
        *,
        seed: int = 0,
        sleep: Callable[[float], object] | None = None,
        progress: Callable[[int], object] = lambda _: None,
    ):
        self.store = store
        self.stopped = threading.Event()
        self._settings = settings
        self._random = random.Random(seed)
        self._sleep = sleep or self.stopped.wait
        self._progress = progress
        rate = settings.megabytes_per_second
        self._limiter = Limiter(None if rate is None else rate * 1e6)
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def fetch(self, file: RemoteFile) -> Content:
        """Bring the contents of an annexed file into the store, unless they are there.

        Raises
        ------
        FetchError
            When no address gives them.
        """
        key = file.key
        assert key is not None
        content = self.store.check(key)
        if content is not None:
            self._progress(content.size)
            return content
        if not file.addresses:
            raise LastingError(file.trouble or "it has no address", file=file.path)
        with self.store.claimed(key) as part:
            # Another process, or another name of the same contents, may have been first.
            content = self.store.check(key)
            if content is not None:
                self.store.part(key).unlink(missing_ok=True)
                self._progress(content.size)
                return content
            self._progress(part.seek(0, 2))
            errors = []
            for address in file.addresses:
                try:
                    return self._from(address, key, part)
                except FetchError as error:
                    errors.append(error)
            if not part.tell():
                self.store.part(key).unlink(missing_ok=True)
        # One that may go away says more than one that stays: then it is worth to run again.
        told = next((error for error in errors if not error.lasting), errors[0])
        raise type(told)(told.problem, file=file.path, hint=told.hint)

    def _from(self, address: Address, key: Key, part: IO[bytes]) -> Content:
        error: FetchError = LastingError("no attempt was made")
        pause = 0.0
        # What an address of whatever version has may well be something else.
        tolerated = self._settings.attempts if address.stated else 1
        for attempt in range(self._settings.attempts):
            if attempt:
                self._wait(attempt, pause)
            if self.stopped.is_set():
                raise Stopped
            pause = 0.0
            try:
                self._receive(address.url, key, part)
                size = part.seek(0, 2)
                content = self.store.finish(key, part)
                if content is not None:
                    return content
                self._progress(-size)
                raise OtherContentsError(
                    f"what {_host(address.url)} sends has another checksum than the key",
                    hint="the file on the server was changed or is damaged",
                )
            except OtherContentsError as other:
                error = other
                tolerated -= 1
                if not tolerated:
                    break
            except LastingError:
                raise
            except _Busy as busy:
                error, pause = busy.error, busy.pause
            except FetchError as failed:
                error = failed
        raise error

    def _wait(self, attempt: int, least: float) -> None:
        """Wait longer before each attempt, and not as long as the other connections do."""
        longest = min(_LONGEST_PAUSE, self._settings.pause * 2 ** (attempt - 1))
        with self._lock:
            jitter = self._random.uniform(0.5, 1.0)
        self._sleep(max(longest * jitter, least))

    def _receive(self, url: str, key: Key, part: IO[bytes]) -> None:
        """Append what is missing of a file to `part`."""
        start = part.seek(0, 2)
        if key.size is not None and start > key.size:
            start = self._empty(part)
        if start == key.size:
            return
        try:
            with self._open(url, start) as response:
                if response.status == 200 and start:
                    # The server ignores ranges.
                    start = self._empty(part)
                self._check_length(response, start, key, url)
                self._copy(response, part, start, key, url)
        except urllib3.exceptions.LocationValueError as e:
            raise LastingError(f"{url[:100]!r} is no address that can be fetched") from e
        except urllib3.exceptions.NewConnectionError as e:
            raise FetchError(f"{_host(url)} cannot be reached", hint=_NET) from e
        except (urllib3.exceptions.ReadTimeoutError, urllib3.exceptions.ConnectTimeoutError) as e:
            raise FetchError(
                f"{_host(url)} stalled: nothing came for {self._settings.timeout:g} s", hint=_NET
            ) from e
        except (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError) as e:
            raise FetchError(f"{_host(url)} broke the connection off", hint=_NET) from e
        except urllib3.exceptions.HTTPError as e:
            raise FetchError(f"{_host(url)} cannot be reached", hint=_NET) from e

    def _open(self, url: str, start: int) -> urllib3.BaseHTTPResponse:
        headers = {"User-Agent": "braindata", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._pool(url).request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(self._settings.timeout),
            )
            if response.status not in (301, 302, 303, 307, 308):
                self._check_status(response, url)
                return response
            location = response.headers.get("Location", "")
            response.drain_conn()
            response.release_conn()
            url = _redirected(url, location)
        raise LastingError(f"{_host(url)} redirects without end")

    def _check_status(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        status = response.status
        if status in (200, 206):
            return
        response.close()
        if status in _LASTING:
            raise LastingError(_MEANING.get(status, f"{_host(url)} refuses it ({status})"))
        told = FetchError(f"{_host(url)} has a fault ({status})", hint="run again later")
        raise _Busy(told, _retry_after(response.headers.get("Retry-After")))

    def _check_length(
        self, response: urllib3.BaseHTTPResponse, start: int, key: Key, url: str
    ) -> None:
        problem = None
        if response.status == 206:
            stated = re.fullmatch(
                r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "")
            )
            if stated is None or int(stated[1]) != start:
                problem = f"{_host(url)} sends another range than was asked for"
            elif key.size is not None and stated[3] not in ("*", str(key.size)):
                problem = f"{_host(url)} has {stated[3]} bytes where the key says {key.size}"
        else:
            length = response.headers.get("Content-Length", "")
            if key.size is not None and length.isdigit() and int(length) != key.size:
                problem = f"{_host(url)} has {length} bytes where the key says {key.size}"
        if problem is not None:
            response.close()
            raise OtherContentsError(problem, hint=_LENGTH)

    def _copy(
        self,
        response: urllib3.BaseHTTPResponse,
        part: IO[bytes],
        start: int,
        key: Key,
        url: str,
    ) -> None:
        got = start
        try:
            # read1 gives what has come; read would lose it where a connection breaks off.
            while chunk := response.read1(_CHUNK):
                if self.stopped.is_set():
                    raise Stopped
                got += len(chunk)
                if key.size is not None and got > key.size:
                    self._empty(part)
                    raise OtherContentsError(
                        f"{_host(url)} sends more than the {key.size} bytes of the key",
                        hint=_LENGTH,
                    )
                self._limiter.take(len(chunk))
                part.write(chunk)
                self._progress(len(chunk))
        finally:
            part.flush()
            if key.size is None or got != key.size:
                # What is left in it would be taken for the next answer.
                response.close()
        if key.size is not None and got < key.size:
            raise FetchError(
                f"{_host(url)} sent {got} of {key.size} bytes and then nothing", hint=_LENGTH
            )

    def _empty(self, part: IO[bytes]) -> int:
        self._progress(-part.seek(0, 2))
        part.truncate(0)
        return part.seek(0)

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxies = urllib.request.getproxies()
        bypassed = urllib.request.proxy_bypass(parts.hostname or "")
        proxy = None if bypassed else proxies.get(parts.scheme, proxies.get("all"))
        with self._lock:
            if (proxy or "") not in self._pools:
                n = self._settings.connections
                self._pools[proxy or ""] = (
                    urllib3.ProxyManager(proxy, maxsize=n)
                    if proxy
                    else urllib3.PoolManager(maxsize=n)
                )
            return self._pools[proxy or ""]

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.clear()


class _Busy(Exception):
    """A server that says when to come back."""

    def __init__(self, error: FetchError, pause: float):
        self.error = error
        self.pause = pause


_NET = "check the network and run the same command again: what is here is kept"
_LENGTH = "run again; if it stays so, the server's file was changed"


def _redirected(url: str, location: str) -> str:
    """Return where a redirect leads, if it is one that is followed."""
    refused = LastingError(f"{_host(url)} redirects to {location[:100]!r}, which is refused")
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
    except ValueError as error:
        raise refused from error
    downgraded = url.startswith("https:") and parts.scheme != "https"
    if parts.scheme not in ("http", "https") or downgraded or "@" in parts.netloc:
        raise refused
    return target


def _retry_after(text: str | None) -> float:
    if not text:
        return 0.0
    if text.isdigit():
        return min(float(text[:6]), _LONGEST_PAUSE)
    try:
        pause = parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(pause, 0.0), _LONGEST_PAUSE)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url[:50]
