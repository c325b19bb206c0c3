"""N workers on this machine that train together: starts them, forwards one signal, finds which one failed first."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

from trainer.contract import ENV_HOSTS, ENV_LOCAL_WORKERS, ENV_PARENT, ENV_RANK, ENV_SECRET
from trainer.exits import Exit
from trainer.process.orphan import stop_with_parent
from trainer.process.signals import handle
from trainer.workers.handshake import new_secret

GRACE_SECONDS = 60.0  # for the others, once one has failed
POLL_SECONDS = 0.05


def run(workers: int, config: str) -> int:
    """Run `python -m trainer train` once per rank on loopback; return the first code that is not 0 or 75.

    `config` goes to each worker's standard input.
    """
    hosts = ",".join(f"127.0.0.1:{port}" for port in _ports(workers))
    environment = {**os.environ, ENV_HOSTS: hosts, ENV_LOCAL_WORKERS: str(workers), ENV_PARENT: str(os.getpid())}
    environment[ENV_SECRET] = new_secret()
    gang = [_start(rank, environment, config) for rank in range(workers)]
    forwarded: list[int] = []

    def forward(number: int, frame: object) -> None:
        # One signal is enough: the workers agree on the stop among themselves. A second one makes all exit at once, but
        # for a SIGHUP, of which a closing terminal sends several.
        if forwarded and number == signal.SIGHUP:
            return
        for worker in gang[:1] if forwarded in ([], [signal.SIGHUP]) else gang:
            if worker.poll() is None:
                worker.send_signal(number)
        forwarded.append(number)

    handle(forward)
    stop_with_parent(os.environ)
    return _await(gang)


def _start(rank: int, environment: dict[str, str], config: str) -> "subprocess.Popen[str]":
    # In its own process group: Ctrl-C in a terminal then reaches only the parent, which forwards it.
    worker = subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", "--config", "-"],
        env={**environment, ENV_RANK: str(rank)},
        stdin=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert worker.stdin is not None
    with worker.stdin as pipe:
        pipe.write(config)
    return worker


def _await(gang: "list[subprocess.Popen[str]]") -> int:
    codes: list[int] = []
    running, deadline = list(gang), float("inf")
    while running:
        for worker in [w for w in running if w.poll() is not None]:
            running.remove(worker)
            code = worker.returncode if worker.returncode >= 0 else 128 - worker.returncode
            codes.append(code)
            if code:
                deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        if running and time.monotonic() > deadline:
            for worker in running:
                worker.kill()
        time.sleep(POLL_SECONDS)
    failed = [code for code in codes if code]
    return next((code for code in failed if code != Exit.PEER_LOST), failed[0] if failed else 0)


def _ports(workers: int) -> list[int]:
    """Free ports, one per worker; the port after rank 0's is free too, for the rendezvous."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < workers:
            probe = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = probe.getsockname()[1]
            if not ports:
                try:
                    held.enter_context(socket.create_server(("", port + 1)))
                except OSError:
                    continue
            ports.append(port)
    return ports
