"""The loop compares the replicas often enough, and before all that it gives away to be saved; with op determinism, as
the tests' process is configured."""

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trainer.config import RunConfig
from trainer.data.order import Ids
from trainer.data.pipeline import GetRows
from trainer.exits import Exit, ExitError
from trainer.ledger import NONE
from trainer.process.activity import Activity
from trainer.process.signals import StopRequest
from trainer.tensors import Arrays
from trainer.training import loop
from trainer.training.checkpoint import Snapshot
from trainer.training.hooks import Hooks, StepNumbers
from trainer.training.learner import build_learner, copy_to_host
from trainer.training.phases import length_of
from trainer.training.state import LoopState
from trainer.training.strategy import Devices, distribute
from trainer.training.task import Task, lay_out
from trainer.workers.topology import ALONE

PICTURES, SIZE = 40, 32


class Noise:
    """Pictures of noise: in batches of 8, 5 steps an epoch."""

    ahead, rejected = 1, ()

    def __len__(self) -> int:
        return PICTURES

    def expecting(self, ids: Ids, pieces: Ids | None) -> nullcontext[GetRows]:
        return nullcontext(self.rows)

    def rows(self, ids: Ids) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (PICTURES, SIZE, SIZE, 3), dtype=np.uint8)
        return pixels[ids], (ids % 2).astype(np.int32), (ids >= 0).astype(np.float32)


def task_on(replicas: int, **changes: Any) -> Task:
    base = RunConfig(model="small", image_size=SIZE, batch_size=8, epochs=2, precision="float32", checkpoint_every=0)
    config = dataclasses.replace(base, **changes)
    distribution = distribute(ALONE, Devices("CPU", tuple(f"/cpu:{i}" for i in range(replicas))), {})
    rows = {"train": Noise()}
    return Task(
        config,
        distribution,
        build_learner(config, 2, distribution.strategy),
        rows,
        rows,
        length_of(config, PICTURES),
        lay_out(config, replicas),
    )


@dataclasses.dataclass
class Watched:
    """What the loop has told: the steps of what was saved. The functions are called when it comes to it."""

    saved: list[int] = dataclasses.field(default_factory=list)
    at_step: Callable[[int], None] = lambda step: None
    in_validation: Callable[[], None] = lambda: None

    def hooks(self) -> Hooks:
        def step(state: LoopState, numbers: StepNumbers) -> None:
            self.at_step(state.step)

        def save(snapshot: Snapshot) -> None:
            self.saved.append(snapshot.state.step)

        def ignore(state: LoopState) -> None:
            pass

        return Hooks(Activity(), step, lambda done, of: self.in_validation(), ignore, save, save, ignore, lambda: NONE)


def spoil(task: Task, replica: int) -> None:
    copy = next(iter(task.learner.weights.values())).values[replica]
    value = np.array(copy.numpy())
    value.reshape(-1).view(np.uint32)[3] ^= 1
    copy.assign(value)


def train(task: Task, watched: Watched, stop: StopRequest | None = None) -> None:
    loop.train(task, LoopState(), stop or StopRequest(), watched.hooks())


def drifted(task: Task, watched: Watched, stop: StopRequest | None = None) -> str:
    with pytest.raises(ExitError) as no:
        train(task, watched, stop)
    assert no.value.code == Exit.BUG
    return no.value.message


@pytest.mark.parametrize(
    ("replicas", "changes", "named"),
    [
        (2, {}, "rank 0 (replica 0), rank 0 (replica 1) differ"),
        (3, {}, "rank 0 (replica 1) differs from the other 2 of 3"),
        (2, {"deterministic": True, "ema": 0.9}, "rank 0 (replica 0), rank 0 (replica 1) differ"),
        (4, {"deterministic": True}, "rank 0 (replica 1) differs from the other 3 of 4"),
    ],
    ids=["2", "3", "2, exact", "4, exact"],
)
def test_a_drift_is_found_before_the_next_checkpoint(replicas: int, changes: dict[str, Any], named: str) -> None:
    task = task_on(replicas, checkpoint_every=2, **changes)
    watched = Watched()
    watched.at_step = lambda step: spoil(task, 1) if step == 3 else None
    assert f"drifted apart by step 4: {named}" in drifted(task, watched)
    assert watched.saved == [2]


def test_a_drift_is_found_every_so_many_steps_where_nothing_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "EVERY", 4)
    task = task_on(2, batch_size=1)
    watched = Watched()
    watched.at_step = lambda step: spoil(task, 0) if step == 5 else None
    assert "by step 8: " in drifted(task, watched)
    assert watched.saved == []


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_drift_is_found_before_a_validation(ema: float) -> None:
    """After it all devices would have the same weights again: those that the moving average was put in place of."""
    task = task_on(2, ema=ema)
    watched = Watched()
    watched.at_step = lambda step: spoil(task, 0) if step == 5 else None
    assert "by step 5: " in drifted(task, watched)
    assert watched.saved == []


def test_a_drift_in_a_validation_is_saved_neither_as_best_nor_as_checkpoint() -> None:
    task = task_on(2)
    watched = Watched(in_validation=lambda: spoil(task, 0))
    assert "by step 5: " in drifted(task, watched)
    assert watched.saved == []


def test_what_is_saved_at_a_stop_has_not_drifted() -> None:
    task, stop = task_on(2), StopRequest()
    watched = Watched()

    def stopped(step: int) -> None:
        if step == 2:
            spoil(task, 1)
            stop.signal = 15

    watched.at_step = stopped
    drifted(task, watched, stop)


def test_replicas_that_differ_at_the_start_do_not_train() -> None:
    task, watched = task_on(3), Watched()
    spoil(task, 2)
    assert "by step 0: rank 0 (replica 2)" in drifted(task, watched)


def test_training_ends_with_the_same_bits_however_often_it_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def weights(every: int) -> Arrays:
        monkeypatch.setattr(loop, "EVERY", every)
        task = task_on(2, deterministic=True)
        train(task, Watched())
        return copy_to_host(task.learner.weights)

    often, seldom = weights(1), weights(1000)
    assert {name: array.tobytes() for name, array in often.items()} == {
        name: array.tobytes() for name, array in seldom.items()
    }


def test_one_device_has_nothing_to_compare_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "EVERY", 1)
    watched = Watched()
    train(task_on(1, checkpoint_every=3), watched)
    assert set(watched.saved) == {3, 5, 6, 9, 10}
