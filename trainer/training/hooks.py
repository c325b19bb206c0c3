"""What the loop tells those who watch it."""

from collections.abc import Callable
from dataclasses import dataclass

from trainer.ledger import Ledger
from trainer.process.activity import Activity
from trainer.training.checkpoint import Snapshot
from trainer.training.state import LoopState

TRACED_STEP = "train"
"""The name in a trace of the call of a compiled step, which has `step_num`; TensorBoard goes by `_r`."""


@dataclass(frozen=True)
class StepNumbers:
    """One step's global means on the host; `seconds` is None when they include a compilation."""

    loss: float
    accuracy: float
    examples: float
    gradient_norm: float
    learning_rate: float
    seconds: float | None


@dataclass(frozen=True)
class Hooks:
    """Callbacks for each event; all are called on the loop's thread and should return soon. `activity` is told what
    the loop does."""

    activity: Activity
    on_step: Callable[[LoopState, StepNumbers], None]
    on_evaluation_step: Callable[[int, int], None]  # steps done, of how many
    on_epoch: Callable[[LoopState], None]
    on_best: Callable[[Snapshot], None]
    on_checkpoint: Callable[[Snapshot], None]
    on_rollback: Callable[[LoopState], None]  # to this state, which is older
    ledger: Callable[[], Ledger]  # up to now
