"""The ledger of wall time: what it adds up to, what a failure moves, what an attempt goes on with."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import odd
from trainer import ledger
from trainer.ledger import NONE, REPEATED, Attempt, Category, Ledger, begun, from_json, latest, lost_since, passed
from trainer.process.activity import Doing

AMOUNTS = st.floats(0, 1e5, allow_nan=False)
SECONDS = st.dictionaries(st.sampled_from([str(one) for one in Category]), AMOUNTS)


def made(*attempts: Mapping[str, float], until: float = 1000.0) -> Ledger:
    return Ledger(tuple(Attempt(number, seconds) for number, seconds in enumerate(attempts, 1)), until)


def test_each_thing_a_process_does_has_a_category_and_a_meaning() -> None:
    assert set(ledger.CATEGORY_OF) == set(Doing)
    assert set(ledger.MEANING) == set(Category)


def test_goodput_leaves_a_person_s_pauses_out() -> None:
    seconds = {"step": 50.0, "evaluation": 10.0, "starting": 30.0, "lost": 10.0, "stopped": 900.0}
    assert made(seconds).goodput == pytest.approx(0.6)
    assert NONE.goodput == 0.0


def test_the_time_between_attempts_is_down_or_stopped_by_who_began() -> None:
    told = made({"step": 5.0})
    assert begun(told, 2, 1030.0, by_a_person=False).seconds["down"] == 30.0
    assert begun(told, 2, 1030.0, by_a_person=True).seconds["stopped"] == 30.0
    assert begun(told, 2, 990.0, by_a_person=True).seconds["stopped"] == 0.0  # its clock is behind
    assert begun(NONE, 1, 1030.0, by_a_person=True) == Ledger((Attempt(1),), 1030.0)


@given(st.lists(SECONDS, max_size=4), SECONDS, st.floats(0, 1e6))
def test_time_that_passes_is_added_once(before: list[dict[str, float]], new: dict[str, float], gap: float) -> None:
    told = made(*before)
    after = passed(begun(told, 9, 1000.0 + gap, by_a_person=False), new)
    expected = sum(told.seconds.values()) + sum(new.values()) + (gap if before else 0.0)
    assert sum(after.seconds.values()) == pytest.approx(expected)
    assert after.until == pytest.approx(1000.0 + gap + sum(new.values()))


@given(SECONDS, SECONDS, SECONDS, st.integers(0, 50))
def test_what_is_lost_changes_its_category_and_nothing_else(
    first: dict[str, float], second: dict[str, float], third: dict[str, float], steps: int
) -> None:
    kept = made(first)
    later = made({name: first.get(name, 0.0) + second.get(name, 0.0) for name in {**first, **second}}, third)
    after = lost_since(later, kept, steps)
    assert sum(after.seconds.values()) == pytest.approx(sum(later.seconds.values()))
    assert after.lost_steps == steps
    for category in REPEATED:
        assert after.seconds[category] == pytest.approx(first.get(category, 0.0), abs=1e-6)
    repeated = sum(second.get(one, 0.0) + third.get(one, 0.0) for one in REPEATED)
    assert after.seconds["lost"] == pytest.approx(later.seconds["lost"] + repeated)
    again = lost_since(after, kept, 0)
    assert again.seconds == pytest.approx(after.seconds)  # nothing is lost twice


def test_an_attempt_that_saved_nothing_is_lost_in_its_own_row() -> None:
    kept = made({"step": 10.0, "starting": 5.0})
    told = made({"step": 10.0, "starting": 5.0}, {"step": 7.0, "input": 1.0, "compile": 2.0})
    first, second = lost_since(told, kept, 4).attempts
    assert first.seconds == {"step": 10.0, "starting": 5.0}
    assert (second.seconds, second.lost_steps) == ({"compile": 2.0, "lost": 8.0}, 4)


def test_the_newer_of_state_and_checkpoint_is_gone_on_with() -> None:
    older, newer = made({"step": 1.0}, until=10.0), made({"step": 2.0}, until=11.0)
    assert latest(older, newer) == latest(newer, older) == newer


def test_of_many_attempts_the_oldest_become_one_and_no_second_is_lost() -> None:
    one = NONE
    for number in range(1, ledger.MOST_ATTEMPTS + 20):
        one = passed(begun(one, number, one.until + 1.0, by_a_person=False), {"step": 2.0})
    assert len(one.attempts) == ledger.MOST_ATTEMPTS
    assert one.seconds["step"] == 2.0 * (ledger.MOST_ATTEMPTS + 19)
    assert one.attempts[-1].attempt == ledger.MOST_ATTEMPTS + 19


def test_attempts_that_became_one_since_the_checkpoint_are_not_lost() -> None:
    kept = NONE
    for number in range(1, ledger.MOST_ATTEMPTS + 1):
        kept = passed(begun(kept, number, kept.until, by_a_person=False), {"step": 2.0})
    told = passed(begun(kept, ledger.MOST_ATTEMPTS + 1, kept.until, by_a_person=False), {"step": 5.0})
    after = lost_since(told, kept, 3)
    assert (after.seconds["lost"], after.seconds["step"]) == (5.0, 2.0 * ledger.MOST_ATTEMPTS)


@given(st.lists(SECONDS, max_size=3), st.floats(0, 1e10))
def test_a_stored_ledger_is_read_as_it_was_to_the_millisecond(rows: list[dict[str, float]], until: float) -> None:
    stored = json.loads(json.dumps(ledger.to_json(made(*rows, until=until))))
    read = from_json(stored)
    assert read.until == until
    assert read.seconds == pytest.approx(made(*rows).seconds, abs=2e-3)
    assert list(stored["seconds"]) == [str(one) for one in Category]


@given(odd.values)
def test_anything_else_is_an_empty_ledger(value: object) -> None:
    assert isinstance(from_json(value), Ledger)
    assert from_json({"attempts": [{"attempt": 1, "seconds": value}], "until": 1.0}).until in (0.0, 1.0)


@pytest.mark.parametrize("seconds", [{"step": -1.0}, {"step": float("nan")}, {"step": "3"}, {"step": True}, None])
def test_seconds_that_are_none_are_refused(seconds: object) -> None:
    assert from_json({"attempts": [{"attempt": 1, "seconds": seconds}], "until": 1.0}) == NONE
