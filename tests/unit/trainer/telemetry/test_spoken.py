"""The line of progress in rank 0's log: what it holds, who writes it, and that the command line reads it back."""

import io
import json
import threading
from datetime import UTC, datetime

import pytest

from k8s.explain.spoken import heard_in
from trainer.contract import ENV_RUN_UID
from trainer.folder.files import RunState
from trainer.telemetry import spoken
from trainer.telemetry.spoken import Spoken, line_of

STATE = RunState(
    "running", reason="a very long story", epoch=2, step=120, total_steps=1890, restarts=1, activity="training",
    eta_seconds=61.5, loss=0.25, examples_per_second=40.0, losses=(0.5, 0.25), gpus=4, cpus=8,
    ledger={"seconds": {"step": 9.5}, "lost_steps": 3, "until": 1.0, "attempts": [{"attempt": 1}]},
)  # fmt: skip
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
IN_CLUSTER = {ENV_RUN_UID: "u"}


def test_the_line_is_one_and_is_read_back_as_the_state() -> None:
    line = line_of(STATE, NOW)
    assert "\n" not in line
    assert heard_in([f"2026-11-23T12:00:01Z {line}"]) == {
        "state": "running",
        "epoch": 2,
        "step": 120,
        "total_steps": 1890,
        "restarts": 1,
        "activity": "training",
        "eta_seconds": 61.5,
        "loss": 0.25,
        "examples_per_second": 40.0,
        "gpus": 4,
        "cpus": 8,
        "step_seconds": {},
        "ledger": {"seconds": {"step": 9.5}, "lost_steps": 3},
        "updated": "2026-11-23T12:00:00+00:00",
    }


def lines_of(out: io.StringIO) -> list[str]:
    return out.getvalue().splitlines()


def test_it_comes_at_once_and_again_with_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "EVERY_SECONDS", 0.01)
    steps = iter(range(1000))
    seen, out = threading.Event(), io.StringIO()

    def state() -> RunState:
        step = next(steps)
        if step == 3:
            seen.set()
        return RunState("running", step=step)

    with Spoken(state, 0, IN_CLUSTER, out):
        assert seen.wait(10)
    told = [json.loads(line.partition(" ")[2])["step"] for line in lines_of(out)[:3]]
    assert told == [0, 1, 2]


@pytest.mark.parametrize(("rank", "environment"), [(1, IN_CLUSTER), (0, {}), (0, {ENV_RUN_UID: ""})])
def test_other_ranks_and_runs_outside_kubernetes_print_nothing(rank: int, environment: dict[str, str]) -> None:
    out = io.StringIO()
    with Spoken(lambda: STATE, rank, environment, out):
        pass
    assert lines_of(out) == []


def test_a_log_that_nobody_takes_stops_nothing() -> None:
    class Full(io.StringIO):
        tried = threading.Event()

        def write(self, text: str) -> int:
            self.tried.set()
            raise OSError(28, "No space left on device")

    out = Full()
    with Spoken(lambda: STATE, 0, IN_CLUSTER, out):
        assert out.tried.wait(10)
