from typing import Any

import pytest
from hypothesis import given, settings

from k8s.explain.told import LARGEST, Ledger, Told, told
from tests import odd
from tests.unit.k8s.explain.sightings import state
from tests.unit.k8s.explain.worked import LEDGER, SECONDS, WORK


def test_everything_is_read() -> None:
    found = told(state(**WORK))
    assert found == Told(
        step=120,
        total_steps=1890,
        activity="training",
        eta_seconds=4210.0,
        loss=0.4312,
        losses=tuple(WORK["losses"]),
        examples_per_second=812.3,
        step_seconds={0: 0.052, 1: 0.061},
        gpus=4,
        ledger=Ledger(SECONDS, 140),
    )


def test_an_older_run_says_nothing_of_it() -> None:
    assert told(state()) == Told(step=120, total_steps=1890)
    assert told(None) == Told()


def test_the_summary_serves_where_there_is_no_state() -> None:
    found = told(None, {"ledger": SECONDS, "lost_steps": 7, "gpus": 2})
    assert (found.ledger, found.gpus) == (Ledger(SECONDS, 7), 2)
    assert told(state(ledger=LEDGER), {"ledger": {"step": 1.0}}).ledger == Ledger(SECONDS, 140)


def test_goodput_leaves_out_what_a_person_stopped_and_cost_what_had_no_pods() -> None:
    ledger = Ledger(SECONDS)
    assert ledger.counted == sum(SECONDS.values()) - 600
    assert ledger.with_pods == sum(SECONDS.values()) - 600 - 60
    assert ledger.goodput == 3900 / ledger.counted
    assert [name for name, _ in ledger.wastes][:3] == ["decode", "lost", "starting"]
    assert "export" not in dict(ledger.wastes)
    assert Ledger({"stopped": 5.0}).goodput is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eta_seconds", -1),
        ("eta_seconds", float("nan")),
        ("eta_seconds", True),
        ("eta_seconds", "5"),
        ("loss", float("inf")),
        ("gpus", 1.5),
        ("gpus", 2**70),
        ("examples_per_second", LARGEST * 2),
        ("activity", 5),
        ("losses", "abc"),
        ("step_seconds", [1]),
        ("ledger", {"seconds": 5}),
        ("ledger", {"seconds": {"step": 0}}),
        ("ledger", []),
    ],
)
def test_a_value_that_makes_no_sense_is_unknown(name: str, value: Any) -> None:
    assert told(state(**{name: value})) == Told(step=120, total_steps=1890)


def test_of_lists_the_values_that_make_sense_are_kept() -> None:
    found = told({"losses": [1, "x", None, 2.5], "step_seconds": {"0": 1, "x": 2, "-1": 3, "3": None, "²": 4}})
    assert (found.losses, found.step_seconds) == ((1.0, 2.5), {0: 1.0})
    assert len(told({"losses": [1.0] * 999}).losses) == 40


@settings(max_examples=300, deadline=None)
@given(odd.changed(state(**WORK)))
def test_whatever_it_says_can_be_computed_with(values: Any) -> None:
    found = told(values if isinstance(values, dict) else None, values if isinstance(values, dict) else None)
    assert all(value >= 0 for value in found.step_seconds.values())
    if found.ledger is not None:
        assert found.ledger.goodput is None or 0 <= found.ledger.goodput <= 1
