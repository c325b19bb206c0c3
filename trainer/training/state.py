"""The loop's state except tensors: plain values that go into a checkpoint's manifest, and how they change."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer import ledger
from trainer.config import ACCURACY
from trainer.fields import known, stored
from trainer.ledger import Ledger
from trainer.training.phases import Length


@dataclass(frozen=True)
class Sums:
    """Weighted global sums over some batches: float32 results of steps, added in float64 in order of steps."""

    loss: float = 0.0
    correct: float = 0.0
    weight: float = 0.0
    seconds: float = 0.0
    timed_weight: float = 0.0  # of the batches in `seconds`, which leaves out those delayed by a compilation
    loss_weight: float | None = None  # what `loss` is divided by if classes have weights; None: `weight`

    def add(
        self, loss: float, correct: float, weight: float, seconds: float | None, loss_weight: float | None = None
    ) -> "Sums":
        """Add one batch; `seconds` is None when its time is not meaningful."""
        timed = (0.0, 0.0) if seconds is None else (seconds, weight)
        before = self.weight if self.loss_weight is None else self.loss_weight
        return Sums(
            self.loss + loss,
            self.correct + correct,
            self.weight + weight,
            self.seconds + timed[0],
            self.timed_weight + timed[1],
            None if loss_weight is None else before + loss_weight,
        )

    @property
    def examples_per_second(self) -> float:
        """Over the timed batches; 0 when there are none."""
        return self.timed_weight / self.seconds if self.seconds else 0.0

    @property
    def means(self) -> dict[str, float]:
        """Mean loss and accuracy, as metrics.jsonl has them."""
        count = max(self.weight, 1.0)
        divisor = count if self.loss_weight is None else self.loss_weight or 1.0
        return {"loss": self.loss / divisor, "accuracy": self.correct / count}


@dataclass(frozen=True)
class Best:
    """The epoch (from 1) whose weights are kept as best."""

    epoch: int
    step: int
    accuracy: float
    loss: float

    def beaten_by(self, accuracy: float, loss: float, by: str) -> bool:
        """By "accuracy" the higher wins, if equal the lower loss; by "loss" the lower, if equal the higher accuracy."""
        if by == ACCURACY:
            return (accuracy, -loss) > (self.accuracy, -self.loss)
        return (-loss, accuracy) > (-self.loss, self.accuracy)


@dataclass(frozen=True)
class LoopState:
    """The state of training after `step` steps. Rolling back to an older one discards everything after it."""

    step: int = 0
    sums: Sums = Sums()  # of the current epoch
    history: tuple[Mapping[str, Any], ...] = ()  # the rows of metrics.jsonl
    best: Best | None = None
    epochs_without_improvement: int = 0
    ledger: Ledger = ledger.NONE  # up to this state; of rank 0
    first_start: float = 0.0  # Unix time at which the run's first attempt started
    rollbacks: int = 0


def after_step(
    state: LoopState,
    loss: float,
    correct: float,
    weight: float,
    seconds: float | None,
    loss_weight: float | None = None,
) -> LoopState:
    """Add one step, with its global sums and the time it took."""
    return dataclasses.replace(
        state,
        step=state.step + 1,
        sums=state.sums.add(loss, correct, weight, seconds, loss_weight),
    )


def after_validation(
    state: LoopState, valid: Sums, learning_rate: float, length: Length, best_by: str = ACCURACY
) -> LoopState:
    """Record a validation: a row of metrics.jsonl; updates best and early stopping.

    A run that ends in mid-epoch is validated too. When it continues, that epoch's row is replaced at the epoch's end;
    early stopping counts only whole epochs, and only in the last phase: an earlier one has a fixed length.
    """
    epoch, means = length.epoch_after(state.step), valid.means
    whole = length.is_epoch_end(state.step)
    counts = whole and length.phase_after(state.step) == length.phases[-1]
    row = {
        "epoch": epoch,
        "step": state.step,
        "train": state.sums.means,
        "valid": means,
        "learning_rate": learning_rate,
        "examples_per_second": state.sums.examples_per_second,
        "seconds": state.sums.seconds + valid.seconds,
    }
    improved = state.best is None or state.best.beaten_by(means["accuracy"], means["loss"], best_by)
    return dataclasses.replace(
        state,
        sums=Sums() if whole else state.sums,
        history=(*(old for old in state.history if old["epoch"] < epoch), row),
        best=Best(epoch, state.step, means["accuracy"], means["loss"]) if improved else state.best,
        epochs_without_improvement=0 if improved else state.epochs_without_improvement + counts,
    )


def validation_due(state: LoopState, length: Length) -> bool:
    """Whether an epoch, or the run, has ended but its validation is not recorded yet."""
    ended = length.is_epoch_end(state.step) or state.step == length.total_steps
    return ended and (not state.history or state.history[-1]["step"] != state.step)


def finished(state: LoopState, length: Length) -> bool:
    """Whether all steps are done and validated, or early stopping applies."""
    if length.early_stopping and state.epochs_without_improvement >= length.early_stopping:
        return True
    return state.step >= length.total_steps and not validation_due(state, length)


def to_json(state: LoopState) -> dict[str, Any]:
    """Plain values, as a checkpoint's manifest has them."""
    values = dataclasses.asdict(state)
    if state.sums.loss_weight is None:
        del values["sums"]["loss_weight"]
    return values


def from_json(values: Mapping[str, Any]) -> LoopState:
    """The inverse of to_json; keys that a later version added are left out.

    Raises:
        KeyError, TypeError: for anything else that to_json did not write.
    """
    best = values["best"]
    made = {
        **known(LoopState, values),
        "sums": Sums(**stored(Sums, values["sums"])),
        "history": tuple(values["history"]),
        "best": None if best is None else Best(**stored(Best, best)),
        "ledger": ledger.from_json(values.get("ledger")),
    }
    state = LoopState(**stored(LoopState, made))
    if not all(type(row[name]) is int for row in state.history for name in ("epoch", "step")):
        raise TypeError("a row of the history has no whole epoch and step")
    return state
