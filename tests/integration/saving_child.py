"""Saves checkpoints over and over, as a training process does; killed by test_checkpoint_kills at any moment.

    python -m tests.integration.saving_child RUN_URI

Tensors of step s are all s, so a mixture of two steps would be seen. Prints "durable N" after each save, "pruned N"
once the older ones are deleted.
"""

import dataclasses
import sys

import numpy as np

from trainer.storage.opening import open_storage
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot
from trainer.training.state import Best, LoopState

SHAPES = {"weights": (300, 400), "optimizer": (2, 300, 400)}
KEEP = 2


def snapshot(state: LoopState) -> Snapshot:
    groups = {
        group: {f"layer/{i}": np.full(shape, state.step, np.float32) for i in range(2)}
        for group, shape in SHAPES.items()
    }
    return Snapshot(state, groups)


def main(uri: str) -> None:
    run = open_storage(uri)
    store = run.child("checkpoints")
    found = checkpoint.newest(store).snapshot
    state = LoopState() if found is None else found.state
    print(f"begin {state.step}", flush=True)
    while True:
        state = dataclasses.replace(state, step=state.step + 1, best=Best(1, state.step + 1, 0.5, 1.0))
        saved = snapshot(state)
        checkpoint.sweep(run, checkpoint.write(run, "best", saved))
        left = checkpoint.write(store, checkpoint.step_name(state.step), saved)
        print(f"durable {state.step}", flush=True)
        checkpoint.sweep(store, left)
        checkpoint.prune(store, KEEP, state.step)
        print(f"pruned {state.step}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
