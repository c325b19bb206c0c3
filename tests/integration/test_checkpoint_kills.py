"""A process killed at any moment of saving leaves a newest complete checkpoint that loads, and nothing half-written."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.integration.saving_child import KEEP, SHAPES
from tests.servers import FaultProxy, Faults
from trainer.contract import MANIFEST
from trainer.storage.opening import open_storage
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot

KILLS = 50


@pytest.fixture(params=["local", "gcs"])
def run_uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "run")
    else:
        proxy: FaultProxy = request.getfixturevalue("proxy")
        proxy.faults = Faults(latency=0.005)  # so that a kill falls into every phase of a save
        yield request.getfixturevalue("bucket") + "/run"


def is_of_one_step(snapshot: Snapshot) -> bool:
    return all(
        array.shape == SHAPES[group] and bool(np.all(array == snapshot.state.step))
        for group, tensors in snapshot.groups.items()
        for array in tensors.values()
    )


@pytest.mark.alone  # a child has less than half a second to save in
@pytest.mark.timeout(600)
def test_killed_fifty_times_while_saving_the_newest_complete_checkpoint_always_loads(run_uri: str) -> None:
    chance = random.Random(20)
    run = open_storage(run_uri)
    store = run.child("checkpoints")
    durable = incomplete = unpruned = 0
    for kill in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.saving_child", run_uri], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child.stdout as lines:
            begun = int(lines.readline().removeprefix("begin "))
            assert begun >= durable, f"kill {kill}: went on from {begun} though {durable} was durable"
            time.sleep(chance.uniform(0.0, 0.4))
            child.kill()
            said = [line.split() for line in lines.read().splitlines()]
            durable = max([begun, *(int(step) for word, step in said if word == "durable")])
            # Each life can leave one checkpoint that it did not live to prune; the next that lives on takes them all.
            unpruned = 1 if any(word == "pruned" for word, _ in said) else unpruned + 1
        child.wait(timeout=10)

        newest = checkpoint.newest(store).snapshot
        assert (newest.state.step if newest is not None else 0) >= durable
        assert newest is None or is_of_one_step(newest)
        if run.stat(f"best/{MANIFEST}") is not None:
            assert is_of_one_step(checkpoint.read(run, "best"))
        complete = {s.name.split("/")[0] for s in store.list("step-") if s.name.endswith(MANIFEST)}
        incomplete += len(set(checkpoint.step_names(store)) - complete)
        assert len(complete) <= KEEP + unpruned
    assert durable > KILLS / 5, "the children hardly got to save"
    assert incomplete > 0, "no kill fell into a save"

    last = checkpoint.step_names(store)[0]
    checkpoint.prune(store, KEEP, int(last.removeprefix("step-")))
    assert len(set(checkpoint.step_names(store)) - {last}) <= KEEP, "what kills left is cleared up by the next save"
