"""Starts real training processes for tests, and reads their results."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainer.config import RunConfig
from trainer.contract import MANIFEST
from trainer.data.demo import DemoSize, write_demo
from trainer.recipes import RECIPES
from trainer.requests import SCHEMA, to_json
from trainer.storage.opening import open_storage
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot

LIMIT = 240.0  # seconds for one training


def drawn(folder: Path, train: int, valid: int, test: int) -> Path:
    """A drawn data set with that many pictures per class."""
    return write_demo(folder, seed=7, size=DemoSize(train, valid, test))


def config(recipe: str, data: Path | str, run: Path | str, **changes: Any) -> RunConfig:
    return dataclasses.replace(RECIPES[recipe](), data=str(data), run=str(run), **changes)


@contextmanager
def started(asked: RunConfig, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    """`python -m trainer train`, as the command line and the pods start it; killed if it outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", "--config", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdin is not None
    process.stdin.write(to_json(asked))
    process.stdin.close()
    process.stdin = None
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                kill_all(process)


def finish(process: "subprocess.Popen[str]", code: int = 0) -> str:
    """Wait for the process to exit, check the exit code, return what it printed."""
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == code, f"exit {process.returncode}, expected {code}:\n{output}"
    return output


def train(asked: RunConfig, code: int = 0, **environment: str) -> str:
    with started(asked, **environment) as process:
        return finish(process, code)


def verb(name: str, request: dict[str, Any], code: int = 0) -> str:
    """Another verb of `python -m trainer`; returns its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "trainer", name, "--config", "-"],
        input=json.dumps({"schema": SCHEMA, "config": request}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == code, f"exit {done.returncode}, expected {code}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def await_step(process: "subprocess.Popen[str]", step: int) -> str:
    """Read lines until this step (log_every=1) or a later one is reported; return what was read."""
    assert process.stdout is not None
    deadline, read = time.monotonic() + LIMIT, []
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        read.append(line)
        words = line.split()
        if words[:1] == ["step"] and int(words[1].split("/")[0]) >= step:
            return "".join(read)
        if not line:
            break
    raise AssertionError(f"step {step} was never reported:\n{''.join(read)}")


def kill_all(process: "subprocess.Popen[str]") -> None:
    """SIGKILL for a process and all its descendants, at once."""
    for pid in [*descendants(process.pid), process.pid]:
        send_kill(pid)
    process.communicate(timeout=60)


def send_kill(pid: int) -> None:
    """SIGKILL for a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Processes below this one, children before grandchildren."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # threads come and go
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def await_checkpoint(run: Path | str) -> None:
    """Wait until a checkpoint is complete: it is written in the background, later if the machine is busy."""
    deadline = time.monotonic() + LIMIT
    while durable_step(run) == 0:
        assert time.monotonic() < deadline, f"no checkpoint in {run}"
        time.sleep(0.05)


def durable_steps(run: Path | str) -> list[int]:
    """Steps of the complete checkpoints, ascending; also for a run that continues and deletes older ones."""
    listed = open_storage(str(run)).child("checkpoints").list("step-")
    complete = [stat.name.split("/")[0] for stat in listed if stat.name.endswith(f"/{MANIFEST}")]
    return sorted(int(name.removeprefix("step-")) for name in complete)


def durable_step(run: Path | str) -> int:
    """Step of the newest complete checkpoint, 0 without one."""
    return max(durable_steps(run), default=0)


def last(run: Path | str) -> Snapshot:
    """The newest checkpoint of a run."""
    folder = open_storage(str(run))
    snapshot = checkpoint.newest(folder.child("checkpoints"), folder).snapshot
    assert snapshot is not None
    return snapshot


def differing(one: Snapshot, other: Snapshot) -> Sequence[str]:
    """Tensors whose bits differ, or that exist on one side only."""
    ours = {f"{group}/{name}": array for group, tensors in one.groups.items() for name, array in tensors.items()}
    theirs = {f"{group}/{name}": array for group, tensors in other.groups.items() for name, array in tensors.items()}
    odd = set(ours) ^ set(theirs)
    return sorted(odd | {name for name in set(ours) & set(theirs) if ours[name].tobytes() != theirs[name].tobytes()})


def results(snapshot: Snapshot) -> list[Any]:
    """Loss and accuracy of each epoch, for comparison; times left out."""
    return [(row["epoch"], row["step"], row["train"], row["valid"]) for row in snapshot.state.history]


def difference(one: Snapshot, other: Snapshot) -> str:
    """How two runs that should have ended alike differ, and from which epoch on; empty if they do not."""
    tensors = differing(one, other)
    epochs = [ours[0] for ours, theirs in zip(results(one), results(other), strict=False) if ours != theirs]
    since = f", and results from epoch {epochs[0]} on" if epochs else ""
    return f"{len(tensors)} tensors{since} differ from the undisturbed run" if tensors or epochs else ""


def command(*words: object, code: int = 0, limit: float = LIMIT) -> str:
    """Runs `catdog WORDS` to completion, `limit` seconds at most; returns its standard output."""
    done = subprocess.run(
        [sys.executable, "-c", "from k8s.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=limit,
    )
    assert done.returncode == code, f"exit {done.returncode}, expected {code}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
