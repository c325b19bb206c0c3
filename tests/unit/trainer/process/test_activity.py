import math
import time
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.fields import AUTO
from trainer.process.activity import LIMITS, RECENT_STEPS, SHORTEST, SLOWEST_TIMES, Activity, Doing

seconds = st.floats(0.0, 1e5)


@given(st.lists(seconds, min_size=1, max_size=200))
def test_a_step_may_take_ten_times_the_slowest_of_late_and_a_minute_at_least(steps: list[float]) -> None:
    now = Activity()
    now.enter(Doing.TRAINING)
    for one in steps:
        now.finished_one(Doing.TRAINING, one)
    slowest = max(steps[-RECENT_STEPS:])
    assert now.limit(AUTO) == max(SHORTEST, SLOWEST_TIMES * slowest)


def test_before_a_step_is_timed_it_may_take_as_long_as_compiling() -> None:
    now = Activity()
    for doing in (Doing.TRAINING, Doing.VALIDATING):
        now.enter(doing)
        assert now.limit(AUTO) == LIMITS[Doing.COMPILING]


def test_steps_of_another_phase_do_not_count() -> None:
    """An epoch on features has steps of milliseconds; those that follow can take minutes."""
    now = Activity()
    now.enter(Doing.TRAINING)
    now.finished_one(Doing.TRAINING, 0.001)
    assert now.limit(AUTO) == SHORTEST
    now.compile()
    assert now.doing == Doing.COMPILING
    now.enter(Doing.TRAINING)
    assert now.limit(AUTO) == LIMITS[Doing.COMPILING]


def test_training_and_validating_are_timed_apart() -> None:
    now = Activity()
    now.enter(Doing.VALIDATING)
    now.finished_one(Doing.TRAINING, 0.001)
    assert now.limit(AUTO) == LIMITS[Doing.COMPILING]
    now.finished_one(Doing.VALIDATING, 30.0)
    assert now.limit(AUTO) == 300.0


@pytest.mark.parametrize("doing", [Doing.STARTING, Doing.READING, Doing.WAITING, Doing.SAVING, Doing.FINISHING])
def test_what_is_no_step_has_a_limit_of_its_own_whatever_is_asked_for_steps(doing: Doing) -> None:
    now = Activity()
    now.enter(doing)
    assert now.limit("5") == now.limit(AUTO) == LIMITS[doing]


@given(st.sampled_from(list(Doing)))
def test_zero_limits_nothing(doing: Doing) -> None:
    now = Activity()
    now.enter(doing)
    assert now.limit("0") == math.inf


def test_whatever_begins_or_comes_forth_begins_the_count_anew() -> None:
    now = Activity()
    assert [now.tick(), now.tick()] == [1, 2]
    now.enter(Doing.READING)
    assert now.tick() == 1
    items = now.counted(letter for letter in "ab")
    assert next(items) == "a"
    assert now.tick() == 1
    assert now.tick() == 2
    assert list(items) == ["b"]
    assert now.tick() == 1
    now.finished_one(Doing.TRAINING, 1.0)
    assert now.tick() == 1


def test_what_is_counted_is_closed_with_the_count() -> None:
    closed = []

    def items() -> Generator[int, None, None]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    counted = Activity().counted(items())
    assert next(counted) == 0
    counted.close()
    assert closed == [True]


def test_seconds_are_those_of_each_thing_done_and_add_up() -> None:
    activity = Activity()
    activity.enter(Doing.READING)
    time.sleep(0.05)
    with activity.during(Doing.MEETING):
        time.sleep(0.02)
    assert activity.doing == Doing.READING
    spent = activity.seconds()
    assert 0.05 <= spent[Doing.READING] < 1
    assert 0.02 <= spent[Doing.MEETING] < 1
    assert sum(spent.values()) == pytest.approx(time.time() - activity.began, abs=0.05)


def test_what_compiles_the_first_time_counts_as_that_until_it_is_done() -> None:
    activity = Activity()
    activity.compile()
    activity.begin(Doing.VALIDATING)
    assert activity.doing == Doing.COMPILING
    activity.compiled(Doing.VALIDATING)
    assert activity.doing == Doing.VALIDATING
    activity.enter(Doing.TRAINING)
    activity.begin(Doing.VALIDATING)
    assert activity.doing == Doing.VALIDATING
    activity.compile()  # the next phase
    activity.begin(Doing.VALIDATING)
    assert activity.doing == Doing.COMPILING
