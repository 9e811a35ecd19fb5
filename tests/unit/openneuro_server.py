"""OpenNeuro on this machine: versioned objects, git over smart HTTP, and faults on order."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.unit.git_repositories import ENVIRONMENT


class OpenNeuro:
    """Objects by path and version id, and the repositories of a folder below `/git/`.

    Attributes
    ----------
    faults : dict of str to str
        What goes wrong by object, or with `git`: a status, `cut`, `stall`, `wrong`, `long`,
        `short`, `norange`, `redirect:<address>`; with `:once` behind it, at the first request only.
    stall : float
        Seconds for which a stalled response says nothing, unless `let_go` is set meanwhile.
    rate : float
        Share of responses that go wrong in a random way.
    sent : Counter
        Bytes of contents that were sent, by object.
    """

    def __init__(self, repositories: Path):
        self.repositories = repositories
        self.objects: dict[tuple[str, str], bytes] = {}
        self.current: dict[str, str] = {}
        self.faults: dict[str, str] = {}
        self.stall = 1.5
        self.let_go = threading.Event()
        self.rate = 0.0
        self.random = random.Random(0)
        self.lock = threading.Lock()
        self.sent: Counter[str] = Counter()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.done: Counter[str] = Counter()
        self.delay = 0.0
        self.at_once = self.most_at_once = 0
        self.url = ""

    def put(self, path: str, contents: bytes) -> str:
        """Store an object, and return its version id."""
        version = self.current.get(path)
        if version is not None and self.objects[path, version] == contents:
            return version
        version = f"v{len(self.objects)}.x_-"
        self.objects[path, version] = contents
        self.current[path] = version
        return version

    def fault(self, path: str) -> str:
        """Return what is to go wrong with a request."""
        with self.lock:
            asked = self.faults.get(path, "")
            if asked.endswith(":once"):
                del self.faults[path]
                return asked.removesuffix(":once")
            if not asked and self.random.random() < self.rate:
                kinds = ["500", "503", "cut", "wrong", "stall", "long", "short", "norange"]
                asked = self.random.choice(kinds)
                self.done[asked] += 1
            return asked


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: OpenNeuro

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.git()

    def do_GET(self) -> None:
        if self.path.startswith("/git/"):
            self.git()
            return
        with self.site.lock:
            self.site.at_once += 1
            self.site.most_at_once = max(self.site.most_at_once, self.site.at_once)
        try:
            self.object()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with self.site.lock:
                self.site.at_once -= 1

    def object(self) -> None:
        site = self.site
        parts = urlsplit(self.path)
        path = unquote(parts.path).lstrip("/")
        site.requests.append((self.path, dict(self.headers.items())))
        version = parse_qs(parts.query).get("versionId", [site.current.get(path, "")])[0]
        contents = site.objects.get((path, version))
        fault = site.fault(path)
        if site.delay:
            time.sleep(site.delay)
        if fault.isdigit() or contents is None:
            self.send_response(int(fault) if fault.isdigit() else 404)
            self.send_header("Content-Length", "0")
            if fault == "429":
                self.send_header("Retry-After", "7")
            self.end_headers()
            return
        if fault.startswith("redirect:"):
            self.send_response(302)
            self.send_header("Location", fault.partition(":")[2])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "norange" else 0
        body = contents[start:]
        if fault == "wrong":
            body = bytes([body[0] ^ 1]) + body[1:]
        elif fault == "long":
            body += b"x"
        elif fault == "short":
            body = body[:-1]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(contents) - 1}/{len(contents)}")
        self.end_headers()
        if fault in ("cut", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            site.sent[path] += len(body) // 2
            if fault == "stall":
                site.let_go.wait(site.stall)
            self.close_connection = True
            return
        self.wfile.write(body)
        site.sent[path] += len(body)

    def git(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        if self.site.fault("git") == "stall":
            self.site.let_go.wait(self.site.stall)
            self.close_connection = True
            return
        environment = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.site.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": unquote(parts.path).removeprefix("/git"),
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(data)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "PATH": os.environ["PATH"],
        }
        self.site.requests.append((self.path, dict(self.headers.items())))
        done = subprocess.run(
            ["git", "http-backend"], input=data, capture_output=True, env=environment, check=False
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(repositories: Path, port: int = 0) -> Iterator[OpenNeuro]:
    """Serve on this machine only, until the block ends; at any free port unless one is given."""
    site = OpenNeuro(repositories)
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    # A client that is killed is no fault of the server's.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield site
    finally:
        site.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()
