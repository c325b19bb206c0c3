"""The ledger while a process goes on with it."""

import time

import pytest

from trainer.ledger import NONE, Attempt, Ledger, begun
from trainer.process.activity import Activity, Doing
from trainer.timekeeping import Timekeeper


def test_the_ledger_grows_by_what_the_process_does_and_reaches_the_present() -> None:
    activity = Activity()
    found = begun(Ledger((Attempt(1, {"step": 100.0}),), activity.began - 50.0), 2, activity.began, by_a_person=False)
    keeper = Timekeeper(activity, found)
    activity.enter(Doing.TRAINING)
    time.sleep(0.05)
    activity.enter(Doing.WAITING)
    now = keeper.now()
    assert 100.05 <= now.seconds["step"] < 101
    assert now.seconds["down"] == pytest.approx(50.0)
    assert now.until == pytest.approx(time.time(), abs=0.5)
    assert keeper.now().seconds["step"] == now.seconds["step"]  # what was added is not added again
    assert keeper.now().seconds["input"] > now.seconds["input"]


def test_what_a_rollback_loses_is_moved_and_later_time_counts_again() -> None:
    activity = Activity()
    keeper = Timekeeper(activity, begun(NONE, 1, activity.began, by_a_person=True))
    activity.enter(Doing.TRAINING)
    time.sleep(0.02)
    kept = keeper.now()
    time.sleep(0.05)
    activity.enter(Doing.RESTORING)
    keeper.lose(kept, 3)
    lost = keeper.now()
    assert lost.lost_steps == 3
    assert lost.seconds["step"] == pytest.approx(kept.seconds["step"])
    assert 0.05 <= lost.seconds["lost"] < 0.5
    activity.enter(Doing.TRAINING)
    time.sleep(0.02)
    after = keeper.now()
    assert after.seconds["lost"] == lost.seconds["lost"]
    assert after.seconds["step"] >= kept.seconds["step"] + 0.02
    assert sum(after.seconds.values()) == pytest.approx(after.until - activity.began, abs=1e-3)
