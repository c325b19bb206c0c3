"""Where a run stands and where it goes: how long the rest takes, and how the loss went. For state.json and metrics."""

from collections.abc import Mapping
from typing import Any

from trainer.ledger import REPEATED, Ledger
from trainer.training.phases import Length
from trainer.training.state import LoopState

POINTS = 40
"""Of the loss over the whole run."""


class Outlook:
    """Told of each step by the thread that trains; read from any thread.

    Seconds of a step are those of the phase that the run is in, with its share of waiting for input, validation and
    checkpoints; a later phase is taken to go on at the same rate, for want of anything better.
    """

    def __init__(self, length: Length, state: LoopState, ledger: Ledger) -> None:
        self._length, self._state = length, state
        self._phase, self._from_step, self._from_seconds = length.phase_after(state.step), state.step, _work(ledger)
        self._sum, self._count = 0.0, 0
        self._losses: list[float] = []

    def step(self, state: LoopState, loss: float) -> None:
        """A step's result is known."""
        before, self._state = self._state, state
        point = state.step * POINTS // self._length.total_steps
        if self._count and point != before.step * POINTS // self._length.total_steps:
            self._losses = [*self._losses, self._sum / self._count][-POINTS:]
            self._sum, self._count = 0.0, 0
        self._sum, self._count = self._sum + loss, self._count + 1

    def eta(self, ledger: Ledger) -> float | None:
        """Seconds until the last step, as long as the rate holds; None before there is one."""
        state, phase = self._state, self._length.phase_after(self._state.step)
        if phase != self._phase:
            self._phase, self._from_step, self._from_seconds = phase, state.step, _work(ledger)
        steps = state.step - self._from_step
        if steps <= 0:
            return None
        return max(0.0, _work(ledger) - self._from_seconds) / steps * (self._length.total_steps - state.step)

    def told(self, ledger: Ledger) -> Mapping[str, Any]:
        """What state.json says of it."""
        state, eta = self._state, self.eta(ledger)
        return {
            "eta_seconds": None if eta is None else round(eta, 1),
            "loss": state.sums.means["loss"] if state.sums.weight else None,
            "losses": tuple(round(loss, 6) for loss in self._losses),
            "examples_per_second": round(state.sums.examples_per_second, 1) or None,
        }


def _work(ledger: Ledger) -> float:
    return sum(ledger.seconds[category] for category in REPEATED)
