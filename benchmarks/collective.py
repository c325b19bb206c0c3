"""What it costs two workers on one machine to add up their gradients: against two processes that do not talk.

    python -m benchmarks.collective [--steps N] [--mode fast|deterministic]

Two pairs of processes, with the same threads each, take turns at some steps of `augmented` (16 of 32 pictures each, on
the device already). One pair trains together (RING on loopback, as `catdog train --workers 2` does); of the other, each
trains alone on its 16 pictures, both at the same time. How many collectives a step has is counted in its graph.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import table
from benchmarks.table import Figure, Result
from trainer.contract import ENV_LOCAL_WORKERS
from trainer.workers.gang import _ports

WORKERS, ROWS, SIDE = 2, 16, 180
FEWEST = {"fast": 1.0, "deterministic": 2.0}
"""Collectives a step: an all_reduce is one; before an all_gather, TensorFlow has the workers exchange the shapes."""


@dataclass(frozen=True)
class Asked:
    """What one process does: alone without `hosts`."""

    rank: int
    hosts: tuple[str, ...]
    steps: int
    deterministic: bool


def work(asked: Asked) -> None:
    """In a child: get ready, then take the steps or count collectives when a line says so, and print what was found."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.limit import noise
    from trainer.data.augment import transforms
    from trainer.data.pipeline import Feed
    from trainer.recipes import augmented
    from trainer.training import strategy
    from trainer.training.feeding import to_devices
    from trainer.training.learner import build_learner
    from trainer.training.step import augmentation_of, build_train_step
    from trainer.training.task import lay_out
    from trainer.workers.topology import Topology

    topology = Topology(asked.rank, tuple(asked.hosts))
    batch = ROWS * topology.world
    config = dataclasses.replace(
        augmented(), batch_size=batch, image_size=SIDE, precision="float32", accelerator="cpu",
        deterministic=asked.deterministic, slices=2 * topology.world,
    )  # fmt: skip
    devices = strategy.configure(config, {ENV_LOCAL_WORKERS: str(WORKERS)})
    distribution = strategy.distribute(topology, devices, os.environ)
    layout = lay_out(config, distribution.replicas)
    learner = build_learner(config, 2, distribution.strategy)
    step = build_train_step(distribution.strategy, learner, "train", config, layout)
    pictures, ids = noise(ROWS, SIDE), np.arange(ROWS, dtype=np.int64)
    matrices, ones = transforms(augmentation_of(config), 0, 0, ids, SIDE), np.ones(ROWS, np.float32)
    feed = Feed(pictures.pixels, matrices, pictures.labels, ones, ids, asked.rank * ROWS)
    rows = to_devices(distribution, (feed,), 0.0)

    def train(number: int) -> Any:
        return step(rows, tf.constant(number, tf.int64), tf.constant(1e-6)).sums

    def several() -> float:
        began = time.perf_counter()
        for number in range(asked.steps):
            last = train(number)
        last.numpy()
        seconds: float = time.perf_counter() - began
        return seconds / asked.steps

    for number in range(2):
        train(number).numpy()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        if line.strip() == "collectives":
            print(json.dumps(_collectives(lambda: train(0))), flush=True)
        else:
            print(json.dumps(several()), flush=True)


def _collectives(step: Callable[[], Any]) -> dict[str, int]:
    """Collectives a step, by type, in the graph of a call."""
    import tensorflow as tf

    graph = tf.function(step, autograph=False).get_concrete_function().graph.as_graph_def()
    nodes = chain(graph.node, *(function.node_def for function in graph.library.function))
    return dict(Counter(node.op for node in nodes if node.op.startswith("Collective")))


class Pair:
    """Two processes that do the same at the same time."""

    def __init__(self, together: bool, steps: int, deterministic: bool) -> None:
        hosts = tuple(f"127.0.0.1:{port}" for port in _ports(WORKERS)) if together else ()
        self.processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "benchmarks.collective", "--child"),
                    json.dumps(asdict(Asked(rank if together else 0, hosts, steps, deterministic))),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(WORKERS)
        ]

    def answers(self) -> list[Any]:
        """The next line of each, which is awaited."""
        lines = [process.stdout.readline() for process in self.processes if process.stdout is not None]
        if not all(lines):
            raise SystemExit("a worker has ended; what it wrote is above")
        return [json.loads(line) for line in lines]

    def ask(self, word: str) -> list[Any]:
        """Have both do something, and wait for both."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(word + "\n")
            process.stdin.flush()
        return self.answers()

    def step(self) -> float:
        """Seconds a step, in the mean of both."""
        return statistics.mean(self.ask("steps"))


@contextmanager
def ready(pair: Pair) -> Iterator[Pair]:
    """A pair that has compiled; its processes are ended at the end."""
    try:
        pair.answers()
        yield pair
    finally:
        for process in pair.processes:
            process.kill()
            process.communicate()


def measure(modes: list[str], steps: int, rounds: int) -> Result:
    """Both pairs of each mode, in turns."""
    found: dict[str, Figure] = {}
    details: dict[str, Any] = {"steps": steps, "rows": ROWS, "side": SIDE}
    for mode in modes:
        exact = mode == "deterministic"
        with ExitStack() as stack:
            pairs = {
                name: stack.enter_context(ready(Pair(name == "together", steps, exact)))
                for name in ("together", "apart")
            }
            samples = table.interleaved({name: pair.step for name, pair in pairs.items()}, rounds)
            calls = pairs["together"].ask("collectives")[0]
        middle = table.medians(samples)
        told = "two that do not talk"
        cost = statistics.median(a - b for a, b in zip(samples["together"], samples["apart"], strict=True))
        ours, theirs = 1e3 * middle["together"], 1e3 * middle["apart"]
        found[f"{mode}_step"] = Figure(f"step of two workers, {mode}", "ms", ours, theirs, told)
        found[f"{mode}_cost"] = Figure(f"collective and waiting for each other, {mode}", "ms a step", 1e3 * cost)
        count = sum(calls.values()) if calls else None
        found[f"{mode}_calls"] = Figure(
            f"collectives, {mode}", "calls a step", count, target=FEWEST[mode], at_least=False
        )
        details[mode] = {"seconds_a_step": samples, "collectives_a_step": calls}
    return Result("collective", found, details)


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = table.options(__doc__)
    parser.add_argument("--steps", type=int, default=6, help="of each pair in each round (default: %(default)s)")
    parser.add_argument("--mode", choices=list(FEWEST), nargs="+", default=list(FEWEST))
    parser.add_argument("--child", default="", help="what a child of this program is told")
    asked = parser.parse_args()
    if asked.child:
        work(Asked(**json.loads(asked.child)))
    else:
        table.publish(measure(asked.mode, asked.steps, asked.rounds), asked.out)


if __name__ == "__main__":
    main()
