"""Real processes that are started again and again, as Kubernetes does it, and come to nothing each time."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from trainer.config import RunConfig
from trainer.contract import ENV_HOSTS, ENV_RANK, ENV_RUN_UID
from trainer.workers.gang import _ports

LIMIT = 60.0
UID = {ENV_RUN_UID: "of the Job"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.drawn(tmp_path_factory.mktemp("data"), 4, 2, 2)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def asked(data: Path, run: Path, **changes: Any) -> RunConfig:
    return runs.config("baseline", data, run, model="small", image_size=16, epochs=1000, **changes)


def read(run: Path, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads((run / name).read_text()))
    except (FileNotFoundError, ValueError):  # not there yet, or being replaced
        return {}


def until(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def begin(config: RunConfig, run: Path, *signals: signal.Signals) -> None:
    """One attempt, killed once it says that it runs; before that it gets other signals, each when the last is noted."""
    before = read(run, "state.json").get("writer")
    with runs.started(config, **UID) as process:
        until(lambda: read(run, "state.json").get("writer") not in (None, before))
        for number in signals:
            process.send_signal(number)
            until(lambda: read(run, "attempt.json").get("stopping"))
        runs.kill_all(process)
    let_time_pass(run)


def let_time_pass(run: Path) -> None:
    """A minute, so that the next attempt need not wait."""
    found = read(run, "attempt.json")
    (run / "attempt.json").write_text(json.dumps({**found, "began": found["began"] - 60}))


def test_a_run_that_is_killed_three_times_ends_itself_until_a_person_resumes_it(data: Path, run: Path) -> None:
    config = asked(data, run)
    for _ in range(3):
        begin(config, run)
    said = runs.train(config, 79, **UID)
    assert "3 attempts in a row have ended without any checkpoint; the first of them: it ended" in said
    state = read(run, "state.json")
    assert (state["state"], state["exit_code"]) == ("failed", 79)
    assert state["reason"] in said
    assert not (run / "lease.json").exists()
    for person in ({ENV_RUN_UID: "of the resumed run"}, {}):
        before = read(run, "state.json").get("writer")
        with runs.started(config, **person) as process:
            until(lambda before=before: read(run, "state.json").get("writer") not in (None, before))
            assert read(run, "state.json")["state"] == "running"
            process.kill()


def test_a_run_whose_pods_are_killed_when_their_grace_is_over_goes_on_for_ever(data: Path, run: Path) -> None:
    config = asked(data, run, grace_period=120.0)
    for _ in range(4):
        begin(config, run, signal.SIGTERM)
    assert read(run, "attempt.json")["row"]["count"] == 0


def test_a_gang_that_never_meets_ends_as_a_whole_with_the_first_cause(data: Path, run: Path) -> None:
    config = asked(data, run, workers=2, rendezvous_timeout=1.0)
    ports = _ports(2)
    place = {**UID, ENV_HOSTS: ",".join(f"127.0.0.1:{port}" for port in ports), ENV_RANK: "0"}
    for attempt in range(3):
        said = runs.train(config, 69, **place)
        assert ("the attempt before came to nothing" in said) == (attempt > 0)
    patient = asked(data, run, workers=2, rendezvous_timeout=30.0)
    with runs.started(patient, **place) as first, runs.started(patient, **{**place, ENV_RANK: "1"}) as second:
        assert "the first of them: exit code 69: rendezvous: 1 of 2 workers joined" in runs.finish(first, 79)
        assert "[rank 1] catdog: rank 0 stopped with 79: 3 attempts in a row" in runs.finish(second, 79)


def test_a_signal_while_it_waits_to_begin_again_ends_it_at_once(data: Path, run: Path) -> None:
    config = asked(data, run)
    begin(config, run)
    found = read(run, "attempt.json")
    (run / "attempt.json").write_text(json.dumps({**found, "began": time.time()}))
    before = read(run, "attempt.json"), read(run, "state.json")
    with runs.started(config, **UID) as process:
        assert process.stdout is not None
        while "waiting" not in (line := process.stdout.readline()):
            assert line, "it did not wait"
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        runs.finish(process, 143)
    assert time.monotonic() - sent < 5
    assert (read(run, "attempt.json"), read(run, "state.json")) == before
    assert not (run / "lease.json").exists()
