"""Time that the watchers of the loop take from a step: metrics, heartbeat, progress, outlook, ledger.

    python -m benchmarks.observer_cost

What the loop calls after each step is called alone, with the results of steps as they come, and without a step. The
activity's own accounting, which the loop does twice a step, is measured with it.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from benchmarks import table
from benchmarks.table import Figure, Result
from trainer.config import RunConfig
from trainer.contract import State
from trainer.folder.attempt import Attempt
from trainer.folder.files import RunState
from trainer.ledger import NONE, begun
from trainer.observers import Observers
from trainer.process.activity import Activity, Doing
from trainer.storage.opening import open_storage
from trainer.telemetry.metrics import Metrics
from trainer.timekeeping import Timekeeper
from trainer.training.hooks import StepNumbers
from trainer.training.phases import length_of
from trainer.training.state import LoopState, after_step
from trainer.training.task import Task

CALLS = 10_000


def measure(folder: Path) -> float:
    """Seconds that one step's watchers take, in the mean of many."""
    config = RunConfig(epochs=1, steps=CALLS, batch_size=20, log_every=1000)
    activity = Activity()
    metrics, keeper = Metrics(activity), Timekeeper(activity, begun(NONE, 1, activity.began, by_a_person=True))
    length = length_of(config, 20 * CALLS)
    train = {phase.name: None for phase in length.phases}  # asked only when there is something to complain of
    task = cast(Task, SimpleNamespace(length=length, config=config, learner=SimpleNamespace(fixed={}), train=train))
    run = open_storage(str(folder))
    attempt = Attempt(run, 0, None, RunState(State.RUNNING))
    observers = Observers(task, run, 0, attempt, metrics, activity, keeper, LoopState())
    with observers:
        seconds = _timed(observers.hooks().on_step, activity)
    return seconds


def _timed(on_step: Callable[[LoopState, StepNumbers], None], activity: Activity) -> float:
    state, spent = LoopState(), 0.0
    for _ in range(CALLS):
        state = after_step(state, 12.5, 11.0, 20.0, 0.5)
        numbers = StepNumbers(0.625, 0.55, 20.0, 1.5, 1e-3, 0.5)
        began = time.perf_counter()
        activity.enter(Doing.WAITING)
        activity.enter(Doing.TRAINING)
        on_step(state, numbers)
        spent += time.perf_counter() - began
    return spent / CALLS


def main() -> None:
    """The median of some rounds, against what a step of `augmented` takes."""
    asked = table.options(__doc__).parse_args()

    def once() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return 1e6 * measure(Path(folder))

    samples = table.interleaved({"observers": once}, asked.rounds)
    cost = Figure("watchers of a step", "microseconds", table.medians(samples)["observers"])
    table.publish(Result("observer_cost", {"observers": cost}, {"calls": CALLS, "microseconds": samples}), asked.out)


if __name__ == "__main__":
    main()
