"""A real MLflow server on loopback, installed from requirements/mlflow-server.txt into an environment of its own."""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements" / "mlflow-server.txt"
STARTS_WITHIN = 90.0


def program() -> Path:
    """Installs the server once (about a minute) and keeps it in the user's cache folder by what the lock says."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "catdog"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    kept = cache / f"mlflow-{version}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".mlflow.lock").open("w") as lock:  # parallel test processes install it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (kept / "installed").exists():
            venv.create(kept, clear=True)
            python, uv = kept / "bin" / "python", Path(sys.executable).with_name("uv")
            install = ["pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", LOCK]
            subprocess.run([uv, *install], check=True, timeout=600)
            (kept / "installed").touch()
    return kept / "bin" / "mlflow"


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """Starts the server on what it has in `folder`, and stops it; its address."""
    folder.mkdir(exist_ok=True)
    command = [
        str(program()), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'runs.db'}", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    # Its job runner is ten processes, each of which takes eight seconds of CPU to start; tracking needs none.
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=quiet, cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        _await(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _await(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the MLflow server does not answer:\n{log.read_text()[-2000:]}")
