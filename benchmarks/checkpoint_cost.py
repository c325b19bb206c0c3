"""Training time lost to a checkpoint: catdog's background save against Keras's BackupAndRestore.

    python -m benchmarks.checkpoint_cost

Intervals of the same training steps alternate: without a save, with Keras's callback, without, with catdog's.
The cost of a save is how much longer its interval takes than its two neighbours without one. This includes what the
background thread takes from the steps (cores, memory bandwidth, the interpreter's lock), not only how long the training
thread is blocked. A catdog interval continues until the save is on the disk; Keras leaves that to the kernel.
"""

import dataclasses
import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import layers

from benchmarks import table
from benchmarks.table import Figure, Result
from trainer.__main__ import SWITCH_SECONDS
from trainer.folder.uploads import Uploads
from trainer.storage.opening import open_storage
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot
from trainer.training.learner import hold
from trainer.training.state import LoopState


@dataclass(frozen=True)
class Case:
    """Rows per batch; minimum steps per interval; saves of each kind."""

    rows: int
    steps: int
    saves: int


CASES = {1_000_000: Case(512, 10, 400), 25_000_000: Case(32, 10, 30)}

TARGET = 0.2  # of what Keras's save takes

Save = Callable[[int], None]


@dataclass(frozen=True)
class Interval:
    """Number of steps, and the seconds they took."""

    seconds: float
    steps: int


def _model(parameters: int) -> Any:
    width = int(parameters**0.5) // 2
    model = keras.Sequential([layers.Input((width,)), *(layers.Dense(width, name=f"dense{i}") for i in range(4))])
    model.compile(optimizer="rmsprop", loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _train_step(model: Any, rows: int) -> Callable[[], None]:
    x = tf.random.normal([rows, *model.input_shape[1:]])
    y = tf.random.normal([rows, *model.output_shape[1:]])

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    return step


def _keras_save(model: Any, folder: str) -> Save:
    callback = keras.callbacks.BackupAndRestore(f"{folder}/backup", save_freq=1)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    return lambda step: callback.on_train_batch_end(step)


class _Catdog:
    """What the trainer does at a checkpoint: hold the values, write them on the upload thread."""

    def __init__(self, model: Any, folder: str) -> None:
        self._store = open_storage(f"{folder}/checkpoints")
        self._uploads = Uploads(("checkpoint",), 60.0, lambda: "")
        self._weights = {v.path: v.value for v in model.trainable_variables}
        self._optimizer = {v.path: v.value for v in model.optimizer.variables}
        self._asked = self._written = 0

    def save(self, step: int) -> None:
        taken = Snapshot(LoopState(step=step), {"weights": hold(self._weights), "optimizer": hold(self._optimizer)})
        self._asked += 1
        self._uploads.submit("checkpoint", lambda: self._write(taken))

    def _write(self, taken: Snapshot) -> None:
        checkpoint.sweep(self._store, checkpoint.write(self._store, checkpoint.step_name(taken.state.step), taken))
        checkpoint.prune(self._store, 2, taken.state.step)
        self._written += 1

    def idle(self) -> bool:
        """Whether every requested save is on the disk."""
        return self._written == self._asked

    def close(self) -> None:
        self._uploads.close()


def _interval(
    step: Callable[[], None],
    steps: int,
    save: Callable[[], None] = lambda: None,
    saved: Callable[[], bool] = lambda: True,
) -> Interval:
    """Run `steps` steps, and more until the save, which starts after the first, is done."""
    began = time.monotonic()
    step()
    save()
    done = 1
    while done < steps or not saved():
        step()
        done += 1
    return Interval(time.monotonic() - began, done)


def _seconds_a_save(parameters: int, case: Case) -> dict[str, Any]:
    model = _model(parameters)
    step = _train_step(model, case.rows)
    with tempfile.TemporaryDirectory() as folder:
        catdog = _Catdog(model, folder)
        saves: dict[str, Save] = {"keras": _keras_save(model, folder), "catdog": catdog.save}
        lost: dict[str, list[float]] = {name: [] for name in saves}
        steps: list[float] = []
        for number in range(1, 3 + case.saves):
            for name, save in saves.items():
                before = _interval(step, case.steps)
                with_save = _interval(step, case.steps, functools.partial(save, number), catdog.idle)
                after = _interval(step, case.steps)
                steps += [before.seconds / before.steps, after.seconds / after.steps]
                lost[name].append(with_save.seconds - with_save.steps * (steps[-2] + steps[-1]) / 2)
        catdog.close()
    keras_seconds, catdog_seconds = (statistics.median(lost[name][2:]) for name in ("keras", "catdog"))
    return {
        "parameters": int(model.count_params()),
        "step_seconds": round(statistics.median(steps), 5),
        "saves": case.saves,
        "keras_seconds_a_save": round(keras_seconds, 5),
        "catdog_seconds_a_save": round(catdog_seconds, 5),
        "quartiles": {name: [round(q, 5) for q in statistics.quantiles(each[2:])] for name, each in lost.items()},
    }


def measure(sizes: Sequence[int], most_saves: int | None = None) -> Result:
    """Median time that a save adds to the steps around it, for networks of the given numbers of parameters."""
    cases = {size: CASES[size] for size in sizes}
    if most_saves is not None:
        cases = {size: dataclasses.replace(case, saves=min(case.saves, most_saves)) for size, case in cases.items()}
    rows = {str(size): _seconds_a_save(size, case) for size, case in cases.items()}
    found = {
        f"save_{parameters}": Figure(
            f"training time lost to a save of {int(parameters):,} parameters",
            "ms",
            1e3 * row["catdog_seconds_a_save"],
            1e3 * row["keras_seconds_a_save"],
            "Keras's BackupAndRestore",
            TARGET,
            at_least=False,
        )
        for parameters, row in rows.items()
    }
    return Result("checkpoint_cost", found, {"by_parameters": rows})


if __name__ == "__main__":
    parser = table.options(__doc__)
    parser.add_argument("--parameters", type=int, nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--saves", type=int, help="of each kind at most; fewer are less exact")
    asked = parser.parse_args()
    tf.config.set_visible_devices([], "GPU")
    sys.setswitchinterval(SWITCH_SECONDS)  # as the trainer does
    table.publish(measure(asked.parameters, asked.saves), asked.out)
