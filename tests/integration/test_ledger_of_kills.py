"""The ledger of a run that is killed at random, against what the test itself noted with its own clock."""

import dataclasses
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from trainer.contract import ENV_RUN_UID, STATE, SUMMARY

KILLS = 3
STEPS_PER_EPOCH = 100
HEARTBEAT = 10.0  # seconds that a kill can come after what was last told, which are down then instead of lost


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_each_second_of_a_run_that_is_killed_three_times_is_counted_once(tmp_path: Path) -> None:
    draw, data, run = random.Random(16), runs.drawn(tmp_path / "data", 400, 10, 10), tmp_path / "run"
    asked = runs.config(
        "augmented", data, run, model="small", image_size=64, batch_size=8, epochs=1000, log_every=1,
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    first_start, killed, down, lost = time.time(), 0.0, 0.0, 0
    for _ in range(KILLS):
        if killed:
            time.sleep(draw.uniform(1.0, 4.0))
            down += time.time() - killed
        with runs.started(asked, **{ENV_RUN_UID: "one"}) as process:
            runs.await_step(process, runs.durable_step(run) + draw.randrange(1, 50))
            told = _heartbeat_ahead(run)
            runs.kill_all(process)
            killed = time.time()
        lost += told["step"] - runs.durable_step(run)
    down += time.time() - killed
    epochs = runs.durable_step(run) // STEPS_PER_EPOCH + 1
    runs.train(dataclasses.replace(asked, epochs=epochs), **{ENV_RUN_UID: "one"})
    ended = time.time()

    summary = json.loads((run / SUMMARY).read_text())
    ledger = summary["ledger"]
    assert sum(ledger.values()) == pytest.approx(summary["wall_seconds"], rel=0.01)
    assert summary["wall_seconds"] == pytest.approx(ended - first_start, rel=0.05)
    assert [one["attempt"] for one in summary["attempts"]] == [1, 2, 3, 4]
    assert summary["lost_steps"] == lost
    assert lost > 0 < ledger["lost"]
    assert down - 2 <= ledger["down"] <= down + KILLS * HEARTBEAT
    assert ledger["stopped"] == 0
    state = json.loads((run / STATE).read_text())
    assert state["ledger"]["attempts"][:3] == summary["attempts"][:3]


def _heartbeat_ahead(run: Path) -> dict[str, Any]:
    """Wait for a heartbeat that tells of a step which no checkpoint has yet."""
    deadline = time.monotonic() + runs.LIMIT
    while (told := json.loads((run / STATE).read_text()))["step"] <= runs.durable_step(run):
        assert time.monotonic() < deadline, "no heartbeat is ahead of the checkpoints"
        time.sleep(0.02)
    return dict(told)
