"""Real servers for the integration tests, all on loopback: fake-gcs-server, and a proxy that injects faults."""

import asyncio
import contextlib
import fcntl
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

FAKE_GCS_SERVER = "github.com/fsouza/fake-gcs-server@v1.56.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def go_binary(module: str) -> Path:
    """Builds a Go program once (30 s to 2 min) and keeps it in the user's cache folder by module and version."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "catdog" / "bin"
    path, _, version = module.partition("@")
    name = path.rpartition("/")[2]
    binary = cache / version / name
    if binary.exists():
        return binary
    if not shutil.which("go"):
        raise RuntimeError(f"{name} must be built, but 'go' is not installed: install Go, see CONTRIBUTING.md")
    binary.parent.mkdir(parents=True, exist_ok=True)
    with (cache / f".{name}.lock").open("w") as lock:  # parallel test processes build it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            building = binary.parent / "building"
            alike = {"GOBIN": str(building), "CGO_ENABLED": "0"}  # as in tests/cluster: Go compiles it once for both
            subprocess.run(["go", "install", "-trimpath", module], check=True, env=os.environ | alike, timeout=600)
            (building / name).rename(binary)
    return binary


@dataclass(frozen=True)
class FakeGcs:
    """A running fake-gcs-server: `url` is what STORAGE_EMULATOR_HOST takes."""

    url: str
    process: subprocess.Popen[bytes]

    def make_bucket(self, name: str) -> str:
        """Makes a bucket and returns its gs:// URI."""
        body = f'{{"name": "{name}"}}'.encode()
        request = Request(f"{self.url}/storage/v1/b?project=test", body, {"Content-Type": "application/json"})
        with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
            answer.read()
        return f"gs://{name}"


@contextlib.contextmanager
def fake_gcs_server() -> Iterator[FakeGcs]:
    """Starts fake-gcs-server on a free port, with data in memory, and stops it."""
    port = free_port()
    command = [str(go_binary(FAKE_GCS_SERVER)), "-scheme", "http", "-backend", "memory", "-log-level", "error"]
    command += ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        server = FakeGcs(f"http://127.0.0.1:{port}", process)
        _wait_until_it_answers(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(server: FakeGcs, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        if server.process.poll() is not None:
            raise RuntimeError(f"fake-gcs-server exited at once with code {server.process.returncode}")
        try:
            with build_opener(ProxyHandler({})).open(f"{server.url}/storage/v1/b?project=test", timeout=1):
                return
        except HTTPError:
            return
        except (URLError, OSError):
            if time.monotonic() > deadline:
                raise RuntimeError(f"fake-gcs-server did not answer within {seconds} s") from None
            time.sleep(0.05)


@dataclass(frozen=True)
class Faults:
    """Share of requests that each fault affects; the sum is at most 1. Stall and latency are in seconds.

    status: answered with one of `statuses` and not passed on. reset: connection reset, not passed on.
    lost: passed on, then the connection is reset instead of an answer. cut: the answer's body ends early.
    late: reset, and kept in the proxy's `late`, to be passed on whenever the test wants.
    trickle: an object's content comes at 20 bytes a second.
    flip: one bit of an object's content is wrong, in an answer, or, with `flip_uploads`, in a request.
    stall: the answer comes `stall_seconds` later. A fault that does not fit a request (cut, flip) is not counted.
    Faults apply only to requests whose method and path (with query) contain `of`.
    """

    status: float = 0.0
    reset: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    cut: float = 0.0
    flip: float = 0.0
    stall: float = 0.0
    trickle: float = 0.0
    statuses: tuple[int, ...] = (503, 429)
    stall_seconds: float = 2.0
    latency: float = 0.0
    flip_uploads: bool = True
    of: str = ""


async def _at_once(first: str, body: bytes) -> None:
    return


@dataclass
class FaultProxy:
    """A running proxy. `faults` may be replaced while it runs; `script` holds faults for the next requests, in order:
    a Faults field's name, a status code as text ("503"), or "" for none. `requests` counts by method, `paths` by
    method and path without query ("GET /b/o/name"). `deliver` passes on what is late, and returns the status of each
    answer. Each request waits for `before`, which can raise ConnectionError to have it dropped."""

    url: str
    faults: Faults
    script: deque[str] = field(default_factory=deque)
    counts: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    late: "deque[_Message]" = field(default_factory=deque)
    before: Callable[[str, bytes], Awaitable[None]] = _at_once
    deliver: Callable[[], list[int]] = list

    def next(self, *faults: str) -> None:
        self.script.extend(faults)


@contextlib.contextmanager
def fault_proxy(upstream: str, faults: Faults | None = None, seed: int = 0) -> Iterator[FaultProxy]:
    """Serves `upstream` (http://host:port) on a free port, with faults drawn from a generator seeded with `seed`."""
    loop = asyncio.new_event_loop()
    target = urlsplit(upstream)
    proxy = FaultProxy("", faults or Faults())
    relay = _Relay(proxy, target.hostname or "127.0.0.1", target.port or 80, random.Random(seed))
    server = loop.run_until_complete(asyncio.start_server(relay.serve, "127.0.0.1", 0, backlog=512))
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, name="fault-proxy", daemon=True)
    thread.start()
    proxy.deliver = lambda: asyncio.run_coroutine_threadsafe(relay.deliver(), loop).result(30)
    try:
        yield proxy
    finally:

        async def stop() -> None:
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass(frozen=True)
class _Message:
    """One HTTP/1.1 request or answer: first line, header lines without length and connection, body."""

    first: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def encode(self, *extra: tuple[str, str], declared: int | None = None) -> bytes:
        length = len(self.body) if declared is None else declared
        lines = [
            self.first,
            *(f"{key}: {value}" for key, value in (*self.headers, *extra)),
            f"Content-Length: {length}",
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "keep-alive")


async def _receive(reader: asyncio.StreamReader, *, has_body: bool = True) -> _Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    pairs = [(key, value.strip()) for key, _, value in (line.partition(":") for line in head[1:])]
    known = {key.lower(): value for key, value in pairs}
    body = b""
    if has_body and "chunked" in known.get("transfer-encoding", ""):
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    elif has_body:
        body = await reader.readexactly(int(known.get("content-length", 0)))
    return _Message(head[0], tuple(pair for pair in pairs if pair[0].lower() not in _HOP_BY_HOP), body)


@dataclass(frozen=True)
class _Relay:
    proxy: FaultProxy
    host: str
    port: int
    draw: random.Random
    tasks: set["asyncio.Task[None] | None"] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.tasks.add(task)  # the loop keeps weak references, so one whose client was killed would be collected
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the client, the server or the test disconnected, which is what these tests are about
        finally:
            writer.close()
            self.tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serves one request; False when the connection cannot be reused."""
        request = await _receive(reader)
        method, path, _ = request.first.split(" ", 2)
        self.proxy.requests[method] += 1
        self.proxy.paths[f"{method} {path.partition('?')[0]}"] += 1
        await self.proxy.before(request.first, request.body)
        fault = self._fault(f"{method} {path}")
        await asyncio.sleep(self.proxy.faults.latency)
        if fault.isdecimal():
            self.proxy.counts["status"] += 1
            writer.write(_refusal(int(fault)).encode())
            await writer.drain()
            return True
        if fault in ("reset", "late"):
            self.proxy.counts[fault] += 1
            if fault == "late":
                self.proxy.late.append(request)
            writer.transport.abort()
            return False
        uploads = "/upload/" in path and len(request.body) > 4096
        if fault == "flip" and uploads and self.proxy.faults.flip_uploads:
            self.proxy.counts["flip"] += 1
            request = _flipped(request)
        answer = await self._forward(request, method)
        if fault == "lost":
            self.proxy.counts["lost"] += 1
            writer.transport.abort()
            return False
        if fault == "stall":
            self.proxy.counts["stall"] += 1
            await asyncio.sleep(self.proxy.faults.stall_seconds)
        if fault == "trickle" and "alt=media" in path:
            self.proxy.counts["trickle"] += 1
            await _trickle(answer.encode(), writer)
            return True
        declared = None
        if fault == "flip" and "alt=media" in path and answer.body and " 20" in answer.first:
            self.proxy.counts["flip"] += 1
            answer = _flipped(answer)
        if fault == "cut" and answer.body:
            self.proxy.counts["cut"] += 1
            declared = len(answer.body)
            answer = _Message(answer.first, answer.headers, answer.body[: declared // 2])
        writer.write(answer.encode(declared=declared if method != "HEAD" else 0))
        await writer.drain()
        return declared is None

    def _fault(self, request: str) -> str:
        if self.proxy.script:
            return self.proxy.script.popleft()
        faults = self.proxy.faults
        if faults.of not in request:
            return ""
        at = self.draw.random()
        for name in ("status", "reset", "lost", "late", "cut", "flip", "stall", "trickle"):
            at -= getattr(faults, name)
            if at < 0:
                return str(self.draw.choice(faults.statuses)) if name == "status" else name
        return ""

    async def deliver(self) -> list[int]:
        """Pass on the requests that are late, in their order; answer with the status codes that nobody waits for."""
        answers = []
        while self.proxy.late:
            request = self.proxy.late.popleft()
            answer = await self._forward(request, request.first.split(" ", 1)[0])
            answers.append(int(answer.first.split(" ")[1]))
        return answers

    async def _forward(self, request: _Message, method: str) -> _Message:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(request.encode(("Connection", "close")))
            await writer.drain()
            return await _receive(reader, has_body=method != "HEAD")
        finally:
            writer.close()


async def _trickle(data: bytes, writer: asyncio.StreamWriter) -> None:
    head = data.index(b"\r\n\r\n") + 4
    writer.write(data[:head])
    for at in range(head, len(data)):
        writer.write(data[at : at + 1])
        await writer.drain()
        await asyncio.sleep(0.05)


def _flipped(message: _Message) -> _Message:
    """One bit wrong near the end, which in a multipart upload is content too."""
    at = max(len(message.body) - 1024, len(message.body) // 2)
    body = bytearray(message.body)
    body[at] ^= 0x10
    return _Message(message.first, message.headers, bytes(body))


def _refusal(status: int) -> _Message:
    """What Cloud Storage answers, in its JSON form: https://cloud.google.com/storage/docs/json_api/v1/status-codes"""
    reason = {
        401: "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object.",
        403: "trainer@example-project.iam.gserviceaccount.com does not have storage.objects.get access to the Google "
        "Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist).",
    }.get(status, "injected fault")
    body = f'{{"error": {{"code": {status}, "message": "{reason}"}}}}'.encode()
    return _Message(f"HTTP/1.1 {status} Injected", (("Content-Type", "application/json"),), body)


def reasons(events: Iterable[object]) -> Counter[str]:
    """How often each reason was reported through on_retry."""
    return Counter(str(event.reason) for event in events)  # type: ignore[attr-defined]
