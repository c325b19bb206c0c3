"""A worker that shares its processor with others holds up the whole gang, and is named in state.json."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import runs

pytestmark = [pytest.mark.timeout(300), pytest.mark.alone]

BURN = "import time\nend = time.monotonic() + 200\nwhile time.monotonic() < end: pass"
OTHERS = 8  # it is left with a ninth of its processor
LIMIT = 120.0


def pin(pid: int, cpu: int) -> None:
    """All threads that a process has now; those it starts later take over from them."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {cpu})


@contextmanager
def busy(cpu: int) -> Iterator[None]:
    """Other processes that want this processor."""
    with ExitStack() as stack:
        for _ in range(OTHERS):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", BURN]))
            stack.callback(process.kill)
            pin(process.pid, cpu)
        yield


def rank_of(pid: int) -> int | None:
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    found = [int(one.partition(b"=")[2]) for one in variables if one.startswith(b"CATDOG_RANK=")]
    return found[0] if found else None


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors, one for each worker")
def test_the_worker_that_takes_longest_for_its_part_of_a_step_is_named(tmp_path: Path) -> None:
    data, run = runs.drawn(tmp_path / "data", 200, 20, 20), tmp_path / "run"
    first, second, *_ = sorted(os.sched_getaffinity(0))
    asked = runs.config("augmented", data, run, image_size=96, epochs=10_000, workers=2, log_every=1)
    with runs.started(asked) as process:
        runs.await_step(process, 20)
        threading.Thread(target=deque, args=(process.stdout, 0), daemon=True).start()  # else a full pipe stops it
        pids = {rank_of(pid): pid for pid in runs.descendants(process.pid)}
        pin(pids[0], first)
        pin(pids[1], second)
        with busy(second):
            deadline = time.monotonic() + LIMIT
            while not (slow := json.loads((run / "state.json").read_text())["slow"]):
                assert time.monotonic() < deadline, "nobody was named"
                time.sleep(0.5)
        assert slow["rank"] == 1
        assert slow["times"] >= 1.5
