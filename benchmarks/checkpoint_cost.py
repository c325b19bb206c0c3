"""Training time lost to a checkpoint: catdog's background save against Keras's BackupAndRestore.

    python -m benchmarks.checkpoint_cost

Both save after each step to a local folder; what is measured is how long the training thread stands still for it.
Keras's callback writes through model.save_weights on that thread; catdog holds on to the values, which do not change
any more, and copies and writes them on another one.
"""

import json
import os
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.machine import describe
from trainer.storage.base import open_storage
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot
from trainer.training.learner import hold
from trainer.training.state import LoopState
from trainer.uploads import Uploads

SAVES = 9
PAUSE = 1.0  # of training between saves, in which the background write goes on


def _model(parameters: int) -> Any:
    width = int(parameters**0.5) // 2
    model = keras.Sequential([layers.Input((width,)), *(layers.Dense(width, name=f"dense{i}") for i in range(4))])
    model.compile(optimizer="rmsprop", loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _keras_seconds(model: Any) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        callback = keras.callbacks.BackupAndRestore(os.path.join(folder, "backup"), save_freq=1)
        callback.set_model(model)
        callback.on_train_begin()
        callback.on_epoch_begin(0)
        lost = []
        for step in range(SAVES):
            began = time.monotonic()
            callback.on_train_batch_end(step)
            lost.append(time.monotonic() - began)
        return lost


def _catdog_seconds(model: Any) -> list[float]:
    variables = {"weights": {v.path: v.value for v in model.trainable_variables}}
    variables["optimizer"] = {v.path: v.value for v in model.optimizer.variables if len(v.shape)}
    with tempfile.TemporaryDirectory() as folder:
        store = open_storage(folder)
        uploads = Uploads(("checkpoint",), 60.0, lambda: "")
        lost = []
        for step in range(1, SAVES + 1):
            began = time.monotonic()
            taken = Snapshot(LoopState(step=step), {group: hold(each) for group, each in variables.items()})
            uploads.submit(
                "checkpoint", lambda taken=taken: checkpoint.write(store, checkpoint.folder(taken.state.step), taken)
            )
            lost.append(time.monotonic() - began)
            _train_for(PAUSE)
        uploads.close()
        return lost


def _train_for(seconds: float) -> None:
    """Stand-in for steps: keeps one core in native code, as training does."""
    a = np.ones((600, 600), np.float32)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        a @ a


def measure() -> dict[str, Any]:
    """Median seconds that the training thread is held by one save."""
    rows = {}
    for parameters in (1_000_000, 25_000_000):
        model = _model(parameters)
        keras_seconds, catdog_seconds = sorted(_keras_seconds(model)), sorted(_catdog_seconds(model))
        middle = SAVES // 2
        rows[f"{parameters:,}"] = {
            "parameters": int(model.count_params()),
            "keras_seconds": round(keras_seconds[middle], 5),
            "catdog_seconds": round(catdog_seconds[middle], 5),
            "catdog_share": round(catdog_seconds[middle] / keras_seconds[middle], 4),
        }
    return {"benchmark": "checkpoint_cost", "saves": SAVES, "by_parameters": rows, "machine": describe()}


if __name__ == "__main__":
    tf.config.set_visible_devices([], "GPU")
    print(json.dumps(measure(), indent=1))
