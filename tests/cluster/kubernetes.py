"""What of a Kubernetes Snakemake's plugin asks: pods are processes of this machine.

It answers the requests of the plugin, in the form of the API's version 1, and runs each job's
command in a shell of its own. What a real one adds, images, volumes and quotas, is not there.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml


class FakeKubernetes:
    """An API server on a free port of this machine.

    Parameters
    ----------
    folder : Path
        For the file that says where it is, and the logs of pods.
    environment : mapping of str to str
        What every pod has.

    Attributes
    ----------
    jobs : dict of str to dict
        The jobs that were asked for, by name, as they were sent.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        self.folder, self._environment = folder, dict(environment)
        self.jobs: dict[str, dict[str, Any]] = {}
        self._pods: dict[str, subprocess.Popen[bytes]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def kubeconfig(self) -> Path:
        """The file by which clients find it."""
        return self.folder / "kubeconfig.yaml"

    def __enter__(self) -> FakeKubernetes:
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        context = {"cluster": "here", "user": "me"}
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": {"server": address}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": context}],
            "current-context": "here",
        }
        self.kubeconfig.write_text(yaml.safe_dump(body))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for pod in self._pods.values():
            pod.kill()
            pod.wait()

    def containers(self) -> list[dict[str, Any]]:
        """Return the container of each job."""
        return [job["spec"]["template"]["spec"]["containers"][0] for job in self.jobs.values()]

    def volumes(self) -> list[list[dict[str, Any]]]:
        """Return the volumes of each job's pod."""
        return [job["spec"]["template"]["spec"]["volumes"] for job in self.jobs.values()]

    def _start(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        self.jobs[name] = job
        (container,) = job["spec"]["template"]["spec"]["containers"]
        command = [*container["command"], *container["args"]]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._pods[name] = subprocess.Popen(
                command, env=self._environment, cwd="/", stdout=log, stderr=log
            )

    def _answer(self, method: str, path: str, query: str, body: Any) -> Any:
        kind, _, name = path.partition("/namespaces/")[2].partition("/")[2].partition("/")
        if method == "POST" and kind == "jobs":
            self._start(body)
        if method != "GET":
            return body if method == "POST" else {"kind": "Status", "status": "Success"}
        if kind == "jobs":
            name = name.removesuffix("/status")
            code = self._pods[name].poll()
            counts = {} if code is None else {"failed" if code else "succeeded": 1}
            return {"metadata": {"name": name}, "status": counts}
        (selector,) = parse_qs(query)["labelSelector"]
        return {"items": [self._pod(selector.removeprefix("job-name="))]}

    def _pod(self, name: str) -> dict[str, Any]:
        code = self._pods[name].poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        told = {"name": "snakemake", "image": "x", "imageID": "x", "ready": True}
        status = {"containerStatuses": [told | {"restartCount": 0, "state": state}]}
        return {"metadata": {"name": name}, "status": status}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def _respond(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                address = urlsplit(self.path)
                if address.path.endswith("/log"):
                    name = address.path.split("/")[-2]
                    content, kind = (cluster.folder / f"{name}.log").read_bytes(), "text/plain"
                else:
                    said = cluster._answer(self.command, address.path, address.query, body)
                    content, kind = json.dumps(said).encode(), "application/json"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _respond

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
