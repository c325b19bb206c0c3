import threading
import time

import pytest

from trainer.process import activity
from trainer.process.activity import Activity, Doing
from trainer.process.watchdog import Watchdog

LIMIT = 20.0
TICK = 0.02


class Stalls:
    """What a watchdog has said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.came = threading.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self.came.set()


def test_silence_is_noticed_once_with_its_length_and_the_stacks_of_all_threads(
    capfd: pytest.CaptureFixture[str],
) -> None:
    now, stalls = Activity(), Stalls()
    now.enter(Doing.TRAINING)
    with Watchdog(now, "5", stalls, TICK):
        assert stalls.came.wait(LIMIT)
        time.sleep(10 * TICK)
    assert stalls.lines == ["training: no progress for 6 s, and 5 s are allowed"]
    shown = capfd.readouterr().err
    assert "stacks of all threads" in shown
    assert "test_silence_is_noticed_once" in shown


def test_progress_keeps_it_quiet_until_it_ends() -> None:
    now, stalls = Activity(), Stalls()
    now.enter(Doing.TRAINING)
    with Watchdog(now, "20", stalls, TICK):
        for _ in range(60):
            now.finished_one(Doing.TRAINING, 0.001)
            time.sleep(TICK)
        assert not stalls.came.is_set()
        assert stalls.came.wait(LIMIT)


def test_a_closed_watchdog_says_nothing() -> None:
    now, stalls = Activity(), Stalls()
    now.enter(Doing.TRAINING)
    with Watchdog(now, "10", stalls, TICK):
        pass
    time.sleep(20 * TICK)
    assert not stalls.came.is_set()


def test_zero_is_never(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stalls = Activity(), Stalls()
    for doing in Doing:
        monkeypatch.setitem(activity.LIMITS, doing, 1.0)
        now.enter(doing)
        with Watchdog(now, "0", stalls, TICK):
            time.sleep(5 * TICK)
    assert not stalls.came.is_set()


def test_a_pause_of_the_process_counts_as_one_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on while the process is stopped, or that jumps, is not looked at."""
    now, stalls = Activity(), Stalls()
    now.enter(Doing.TRAINING)
    with Watchdog(now, "1000", stalls, TICK):
        monkeypatch.setattr(time, "monotonic", lambda: 1e9)
        monkeypatch.setattr(time, "time", lambda: 1e9)
        time.sleep(5 * TICK)
    assert not stalls.came.is_set()


def test_while_another_worker_is_excused_nothing_is_a_stall() -> None:
    now, stalls, excused = Activity(), Stalls(), threading.Event()
    excused.set()
    now.enter(Doing.TRAINING)
    with Watchdog(now, "5", stalls, TICK, excused.is_set):
        assert not stalls.came.wait(20 * TICK)
        excused.clear()
        assert stalls.came.wait(LIMIT)
