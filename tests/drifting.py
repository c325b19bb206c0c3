"""Makes one replica of a real training process drift, for tests: a module that Python imports at its start."""

import os
from pathlib import Path

from tests import runs
from trainer.config import RunConfig

# In the process of one rank it flips the lowest bit of one replica's copy of one weight, once, after the step given.
_PLANT = """
import importlib.abc, importlib.machinery, os, sys

def spoil(learner, replica):
    import numpy as np
    variable = next(iter(learner.weights.values()))
    copy = (getattr(variable, "values", None) or (variable,))[replica]
    value = np.array(copy.numpy())
    value.reshape(-1).view("u4")[0] ^= 1
    copy.assign(value)

def plant(loop):
    build = loop.build_train_step
    def spoiled(strategy, learner, *others):
        step = build(strategy, learner, *others)
        def run(rows, number, rate):
            result = step(rows, number, rate)
            if int(number) + 1 == int(os.environ["DRIFT_STEP"]):
                spoil(learner, int(os.environ["DRIFT_REPLICA"]))
            return result
        return run
    loop.build_train_step = spoiled

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "trainer.training.loop" or os.environ.get("CATDOG_RANK", "0") != os.environ["DRIFT_RANK"]:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), plant(module))
        return spec

sys.meta_path.insert(0, Finder())
"""


def train(asked: RunConfig, folder: Path, rank: int, replica: int, step: int) -> str:
    """A run in which a replica (of those of its worker) drifts, and which ends with 70; returns what it printed."""
    (folder / "sitecustomize.py").write_text(_PLANT)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    return runs.train(
        asked, code=70, PYTHONPATH=path, DRIFT_RANK=str(rank), DRIFT_REPLICA=str(replica), DRIFT_STEP=str(step)
    )


def saved(run: Path) -> dict[str, bytes]:
    """The files of all checkpoints of a run."""
    files = [path for folder in ("checkpoints", "best") for path in (run / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}
