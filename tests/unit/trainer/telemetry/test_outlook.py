"""How long the rest of a run takes, and how its loss went."""

import pytest

from trainer.ledger import Attempt, Ledger
from trainer.telemetry.outlook import POINTS, Outlook
from trainer.training.phases import Length, Phase
from trainer.training.state import LoopState, Sums

HEAD = Phase("head", True, 40, 10, 0, 0, 100, 1e-3, 0)
TUNE = Phase("tune", False, 40, 10, 10, 100, 400, 1e-4, 0)
LENGTH = Length((HEAD, TUNE), 0)


def spent(seconds: float) -> Ledger:
    """A ledger with so many seconds of work, and with others that are none."""
    return Ledger((Attempt(1, {"step": seconds * 0.5, "input": seconds * 0.5, "starting": 77.0, "down": 900.0}),))


def at(step: int) -> LoopState:
    return LoopState(step=step, sums=Sums(loss=6.0, correct=3.0, weight=8.0, seconds=2.0, timed_weight=8.0))


def test_the_rest_takes_as_long_as_the_steps_of_this_attempt_took() -> None:
    outlook = Outlook(LENGTH, at(20), spent(500.0))
    assert outlook.eta(spent(500.0)) is None  # no step yet
    outlook.step(at(21), 0.5)
    outlook.step(at(30), 0.5)
    assert outlook.eta(spent(505.0)) == pytest.approx(0.5 * 370)


def test_a_new_phase_has_a_rate_of_its_own() -> None:
    outlook = Outlook(LENGTH, at(0), spent(0.0))
    outlook.step(at(100), 0.5)
    assert outlook.eta(spent(1.0)) == pytest.approx(0.01 * 300)
    outlook.step(at(101), 0.5)
    assert outlook.eta(spent(3.0)) is None
    outlook.step(at(111), 0.5)
    assert outlook.eta(spent(23.0)) == pytest.approx(2.0 * 289)
    outlook.step(at(400), 0.5)
    assert outlook.eta(spent(600.0)) == 0.0


def test_the_loss_is_told_as_means_over_equal_parts_of_the_run() -> None:
    outlook = Outlook(LENGTH, at(0), spent(0.0))
    for step in range(1, 401):
        outlook.step(at(step), float(step))
    losses = outlook.told(spent(1.0))["losses"]
    assert len(losses) == POINTS
    assert losses[0] == pytest.approx(5.0)  # steps 1 to 9
    assert losses[1:3] == pytest.approx((14.5, 24.5))
    assert list(losses) == sorted(losses)


def test_what_state_json_says_before_and_after_the_first_step() -> None:
    outlook = Outlook(LENGTH, LoopState(), spent(0.0))
    assert outlook.told(spent(0.0)) == {
        "eta_seconds": None, "loss": None, "losses": (), "examples_per_second": None
    }  # fmt: skip
    outlook.step(at(4), 0.5)
    told = outlook.told(spent(2.0))
    assert (told["eta_seconds"], told["loss"], told["examples_per_second"]) == (198.0, 0.75, 4.0)
