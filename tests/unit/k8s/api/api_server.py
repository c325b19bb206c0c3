"""A minimal API server on loopback: stores objects, lists them in pages, and fails where a test asks for it.

It covers what is hard to produce with a real one: lost responses, pages, refusals midway. What Kubernetes itself does
with the objects is tested on a real cluster.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import urllib3

from k8s.api.client import Cluster

LISTS = ("jobs", "jobsets", "pods", "events", "services", "nodes")
"""What can be listed when there is none of it."""

Fault = Callable[[str, str, dict[str, str]], tuple[int, dict[str, Any]] | None]


@dataclass
class Api:
    """`objects` by path; `requests` are those received: (method, path, query, body)."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=dict)
    fault: Fault = lambda method, path, query: None
    warnings: list[str] = field(default_factory=list)
    lose_answer_of: str = ""
    page: int = 500

    def asked(self, method: str) -> list[str]:
        return [path for one, path, _, _ in self.requests if one == method]


@dataclass(frozen=True)
class Configuration:
    """The part of the client library's configuration that k8s.api.client reads."""

    host: str

    def auth_settings(self) -> dict[str, dict[str, str]]:
        return {"BearerToken": {"in": "header", "key": "authorization", "value": "Bearer t0ken"}}


@contextmanager
def serve(api: Api) -> Iterator[Cluster]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    pool = urllib3.PoolManager()
    try:
        yield Cluster(pool, Configuration(f"http://127.0.0.1:{server.server_port}"), "ml")
    finally:
        pool.clear()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def answer(self, status: int, body: Any) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for warning in api.warnings:
                self.send_header("Warning", f'299 - "{warning}"')
            self.end_headers()
            self.wfile.write(data)

        def handle_any(self) -> None:
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query))
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            api.requests.append((self.command, url.path, query, body))
            assert self.headers["authorization"] == "Bearer t0ken"
            failed = api.fault(self.command, url.path, query)
            status, found = failed or self.work(url.path, query, body)
            if self.command == api.lose_answer_of and "dryRun" not in query:
                self.close_connection = True
                return
            self.answer(status, found)

        def work(self, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
            if self.command == "POST":
                one = f"{path}/{body['metadata']['name']}"
                if one in api.objects:
                    return 409, {"reason": "AlreadyExists", "message": "already exists"}
                made = {**body, "metadata": {**body["metadata"], "uid": f"uid-{len(api.requests)}"}}
                if "dryRun" not in query:
                    api.objects[one] = made
                return 201, made
            if self.command == "DELETE":
                return (200, api.objects.pop(path)) if path in api.objects else (404, {"message": "not found"})
            if path.endswith("/log"):
                since = query.get("sinceTime", "")
                lines = [line for line in api.logs[path.split("/")[-2]] if line[:19] >= since[:19]]
                return 200, "".join(f"{line}\n" for line in lines).encode()
            if path in api.objects:
                return 200, api.objects[path]
            found = [one for name, one in sorted(api.objects.items()) if name.rpartition("/")[0] == path]
            if not found and path.rpartition("/")[2] not in LISTS:
                return 404, {"reason": "NotFound", "message": f"{path} not found"}
            start = int(query.get("continue", 0))
            end = start + api.page
            metadata = {"continue": str(end)} if end < len(found) else {}
            return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": found[start:end]}

        do_GET = do_POST = do_DELETE = handle_any

    return Handler
