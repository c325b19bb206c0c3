"""Runs a cell of the matrix in the real cluster, with two workers as a Job or as a JobSet. Used by cluster_cells.py."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import runs
from tests.e2e.kit import LONG, Site, until
from tests.e2e.test_faults import given_up
from tests.faults import cluster_faults
from tests.faults.cluster_faults import NODE, NODE_LOST, OF_NODES, OUTAGE_SECONDS
from tests.faults.results import AS_EXPECTED, Outcome, revision
from tests.faults.table import Cell, expected, odd
from trainer.storage.opening import open_storage
from trainer.storage.retry import RetryPolicy
from trainer.training.checkpoint import Snapshot

ENV_CELLS, ENV_SOAK = "CATDOG_FAULT_CELLS", "CATDOG_FAULT_SOAK"
FIRST_STEP = 20
LIMIT = 1500.0
"""Seconds for one run with its restarts; a worker that stands still fails its liveness probe after three minutes."""
DETECTED_WITHIN = 300.0


def run(cells: Sequence[Cell]) -> bool:
    """Run cells; whether all came to what was expected."""
    return _run_file({ENV_CELLS: ",".join(cell.name for cell in cells)})


def run_soak(faults: int, seed: int) -> bool:
    """Run a soak; whether it came to what was expected."""
    return _run_file({ENV_SOAK: f"{faults}/{seed}"})


def _run_file(asked: dict[str, str]) -> bool:
    """Run cluster_cells.py through pytest, with the cluster, the image and the site of the end-to-end tests."""
    words = ["-p", "tests.e2e.conftest", "-p", "no:cacheprovider", "-v", "-s"]
    argv = [sys.executable, "-m", "pytest", *words, str(Path(__file__).with_name("cluster_cells.py"))]
    return subprocess.run(argv, env={**os.environ, **asked}).returncode == 0


@dataclass
class Seen:
    """What was seen of a run since the fault, in seconds after it."""

    at: float = field(default_factory=time.monotonic)
    step: int = 0
    attempt: int = 0
    codes: list[int] = field(default_factory=list)
    lost: str = ""
    detected: float | None = None
    resumed: float | None = None
    restored: int | None = None

    def look(self, site: Site, name: str) -> None:
        """Add what can be seen now; an API server or a storage that is away shows nothing."""
        try:
            state, pods = state_of(site, name), site.pods(name)
        except Exception:  # noqa: BLE001 - the fault is that one of them does not answer
            return
        after = round(time.monotonic() - self.at, 1)
        for pod in pods:
            for status in pod["status"].get("containerStatuses", ()):
                for one in (status.get("state", {}), status.get("lastState", {})):
                    code = one.get("terminated", {}).get("exitCode")
                    if code and code not in self.codes:
                        self.codes.append(code)
        if state.get("lost"):
            self.lost = f"state.json: lost {state['lost']}"
        if (self.codes or self.lost) and self.detected is None:
            self.detected = after
        if int(state.get("attempt", 0)) > self.attempt:
            if self.restored is None:
                self.restored = int(state["step"])
            elif int(state["step"]) > self.restored and self.resumed is None:
                self.resumed = after
        else:
            self.step = max(self.step, int(state.get("step", 0)))


def run_cell(site: Site, data: str, undisturbed: Snapshot, cell: Cell) -> Outcome:
    """Submit a run, wait for the moment, do it, watch the run until its end."""
    name = cell.name.replace("/", "-").lower() + f"-{int(time.time()) % 100000}"
    more: list[object] = ["--storage-timeout", 60] if cell.fault == "away for ever" else []
    words = ("--gpus", 0, "--workers", 2, "--shape", cell.shape, "--data", data, *LONG, *more, "--no-follow")
    site.submit(name, *words)
    _await_moment(site, name, cell.moment)
    try:
        # The listing of a storage that stands still would never come.
        durable = 0 if cell.moment == "save" else runs.durable_step(site.folder(name).uri)
        state = {} if cell.moment == "save" else site.state(name)
        pod = _victim(site, name, cell)
        seen = Seen(step=int(state.get("step", 0)), attempt=int(state.get("attempt", 1)))
        undo = cluster_faults.inject(site, cell.fault, pod)
    finally:
        if cell.moment == "save":
            cluster_faults.storage_goes_on(site)
    try:
        why = _watch(site, name, cell, seen, pod)
    finally:
        undo()
    done = until(f"{name} has ended", lambda: _ended(site, name, seen), limit=LIMIT, every=1.0)
    code = site.catdog("wait", name, code=None).code
    lost = 0 if seen.restored is None else max(0, seen.step - seen.restored)
    difference = "" if code else runs.difference(runs.last(site.folder(name).uri), undisturbed)
    problem = odd(expected(cell), code, lost, seen.restored, durable, difference)
    codes = ", ".join(map(str, seen.codes)) or "no worker ended"
    happened = f"{codes}; {done['restarts']} restarts{f'; {seen.lost}' if seen.lost else ''}"
    verdict = f"finding: {problem}" if problem else AS_EXPECTED
    site.catdog("delete", name, code=None)
    plain = why.replace(name, "RUN")
    return Outcome(cell.name, code, happened, seen.detected, seen.resumed, lost, plain, verdict, revision())


def _await_moment(site: Site, name: str, moment: str) -> None:
    if moment == "start":  # TensorFlow takes seconds to import, on a small share of a processor
        until(f"{name} has claimed its folder", lambda: site.state(name), every=0.05)
    elif moment == "save":
        cluster_faults.await_half_a_save(site, name, FIRST_STEP)
    else:
        until(f"{name} has saved step {FIRST_STEP}", lambda: site.saved_step(name) >= FIRST_STEP)


def _victim(site: Site, name: str, cell: Cell) -> Any:
    """The worker that the fault befalls: rank 0 while it saves, else rank 1; or the one on the node that it befalls."""
    pods = site.pods(name)
    if cell.fault in OF_NODES:
        return next(pod for pod in pods if pod["spec"]["nodeName"] == NODE)
    return pods[int(cell.moment != "save")]


def _watch(site: Site, name: str, cell: Cell, seen: Seen, pod: Any) -> str:
    """Let the fault last; return what `catdog why` says when something is noticed, or at the end of the fault.

    A node that comes back before its pods were given up has lost nothing, so that is waited for.
    """
    end, why = seen.at + OUTAGE_SECONDS.get(cell.fault, DETECTED_WITHIN), ""
    while time.monotonic() < end:
        seen.look(site, name)
        if seen.detected is not None and not why:
            why = _why(site, name)
        lasts = cell.fault in OUTAGE_SECONDS or (cell.fault in NODE_LOST and not given_up(site, name, pod))
        if why and not lasts:
            break
        if cell.fault in ("packet loss", "storage slow") and _finished(site, name):
            break
        time.sleep(0.5)
    return why or _why(site, name)


def state_of(site: Site, name: str) -> dict[str, Any]:
    """state.json, without the patience that a run has with storage."""
    folder = open_storage(f"{site.runs}/{name}", retry=RetryPolicy(total=1.0, attempt=2.0, connect=1.0))
    return dict(json.loads(folder.read("state.json"))) if folder.stat("state.json") else {}


def _why(site: Site, name: str) -> str:
    done = site.catdog("why", name, code=None)
    return " ".join((done.out or done.err).split())


def _finished(site: Site, name: str) -> bool:
    return site.state(name).get("state") == "succeeded"


def _ended(site: Site, name: str, seen: Seen) -> dict[str, Any] | None:
    seen.look(site, name)
    return site.state(name) if site.status(name)["phase"] in ("succeeded", "failed", "cancelled") else None
