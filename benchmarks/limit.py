"""How near a step of catdog comes to the least that its network can take.

    python -m benchmarks.limit [--steps N] [--rounds N] [--precision NAME]

The limit is forward and backward of the whole network, dropout included, on one constant batch of float32 pixels that
is on the device already, with the sum of the logits in place of a loss: the same weights, precision and threads as the
step. What the step adds is found by adding it: loss and sums, the optimizer, the copies from the host, the loop around
it (feeds on their own thread, results read, hooks), the augmentation. Each variant takes some steps in each round, in
one process, and rounds begin with different ones; what a part costs is the median over the rounds of what the variant
with it takes more than the one without. The network is `augmented`, 32 pictures of noise at the article's size.

The loop's hooks do nothing here; `benchmarks.observer_cost` has what those of a run take.
"""

import dataclasses
import itertools
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks import table
from benchmarks.table import Figure, Result
from trainer.__main__ import SWITCH_SECONDS
from trainer.config import RunConfig
from trainer.data.augment import transforms
from trainer.data.cache import PixelCache
from trainer.data.pipeline import Feed
from trainer.ledger import NONE
from trainer.models.randomness import Draw, drawing
from trainer.process.activity import Activity
from trainer.process.signals import StopRequest
from trainer.recipes import augmented
from trainer.training import loop
from trainer.training.feeding import to_devices
from trainer.training.hooks import Hooks, StepNumbers
from trainer.training.learner import build_learner
from trainer.training.phases import length_of
from trainer.training.state import LoopState
from trainer.training.step import augmentation_of, build_train_step, part_gradient
from trainer.training.strategy import Distribution, configure, distribute, resolve_precision, set_precision
from trainer.training.task import Task, lay_out
from trainer.workers.topology import ALONE

PRECISIONS = ("float32", "mixed_bfloat16")
# The limit, then each variant with one part more than the one before it.
LIMIT, LOSS, OPTIMIZER, COPIES, PLAIN, AUGMENTED = VARIANTS = (
    "limit",
    "loss",
    "optimizer",
    "copies",
    "plain",
    "augmented",
)
ON_DEVICE = "augmentation on the device"  # optimizer, with the transforms on the device already
PARTS = {
    LOSS: "loss, sums and flattening",
    OPTIMIZER: "optimizer, norm and checks",
    COPIES: "copies to the device, cast to float32",
    PLAIN: "host: feeds, loop, results",
    AUGMENTED: "augmentation",
}
TARGETS = {PLAIN: 0.92, AUGMENTED: 0.85}
RATE = 1e-6  # so that hundreds of steps on noise change nothing that matters


def noise(count: int, size: int) -> PixelCache:
    """So many pictures of noise, of two classes."""
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (count, size, size, 3), np.uint8)
    return PixelCache(pixels, np.arange(count, dtype=np.int32) % 2, np.ones(count, np.bool_), (), False)


def silent(on_step: Callable[[LoopState, StepNumbers], None]) -> Hooks:
    """Hooks of which only that of the step does something."""

    def nothing(*_: Any) -> None:
        return None

    return Hooks(Activity(), on_step, nothing, nothing, nothing, nothing, nothing, lambda: NONE)


def in_the_loop(
    config: RunConfig, distribution: Distribution, learner: Any, steps: int, cpu: list[float]
) -> Callable[[], float]:
    """A variant: seconds a step of trainer.training.loop, from the end of the step that compiles on."""
    pictures = noise((steps + 1) * config.batch_size, config.image_size)
    config = dataclasses.replace(config, steps=steps + 1, checkpoint_every=0)
    length = length_of(config, len(pictures))
    valid = noise(1, config.image_size)
    task = Task(config, distribution, learner, {"train": pictures}, {"train": valid}, length, lay_out(config, 1))

    def run() -> float:
        found: list[float | None] = []
        busy: list[float] = []

        def on_step(_state: LoopState, numbers: StepNumbers) -> None:
            found.append(numbers.seconds)
            busy.append(time.process_time())

        loop.train(task, LoopState(), StopRequest(), silent(on_step))
        cpu.append((busy[-1] - busy[0]) / steps)
        return sum(seconds for seconds in found if seconds) / steps

    return run


def variants(
    config: RunConfig, distribution: Distribution, steps: int, cpu: defaultdict[str, list[float]]
) -> dict[str, Callable[[], float]]:
    """Seconds a step of each of VARIANTS, by a call that takes some steps; compiled and warm. `cpu` gets the seconds of
    processor time a step of each call."""
    config = dataclasses.replace(config, learning_rate=RATE)
    plain = dataclasses.replace(config, flip=False, rotation=0.0, zoom=0.0)
    learner = build_learner(config, 2, distribution.strategy)
    network, layout = learner.networks["train"], lay_out(config, 1)
    batch = noise(config.batch_size, config.image_size)
    ids = np.arange(config.batch_size, dtype=np.int64)
    matrices = transforms(augmentation_of(config), config.seed, 0, ids, config.image_size)
    feed = Feed(batch.pixels, None, batch.labels, np.ones(len(ids), np.float32), ids, 0)
    part = {**to_devices(distribution, (feed,), 0.0), "inputs": tf.constant(batch.pixels, tf.float32)}
    rate = tf.constant(RATE)
    train_step = build_train_step(distribution.strategy, learner, "train", plain, layout)

    @tf.function(autograph=False)
    def limit(inputs: Any, step: Any) -> Any:
        with tf.GradientTape() as tape, drawing(Draw(config.seed, step, tf.constant(0, tf.int64))):
            target = tf.reduce_sum(network(inputs, training=True))
        return tape.gradient(target, [v.value for v in network.trainable_variables])

    @tf.function(autograph=False)
    def with_loss(rows: Any, step: Any) -> Any:
        return part_gradient(learner, network, plain, rows, step)

    calls: dict[str, Callable[[Any], Any]] = {
        LIMIT: lambda step: limit(part["inputs"], step)[-1],
        LOSS: lambda step: with_loss(part, step),
        OPTIMIZER: lambda step: train_step(part, step, rate).sums,
        COPIES: lambda step: train_step(to_devices(distribution, (feed,), 0.0), step, rate).sums,
    }
    on_device = {**part, "transforms": tf.constant(matrices)}
    calls[ON_DEVICE] = lambda step: train_step(on_device, step, rate).sums

    def timed(name: str, call: Callable[[Any], Any]) -> Callable[[], float]:
        def run() -> float:
            began, busy = time.perf_counter(), time.process_time()
            for step in range(steps):
                last = call(tf.constant(step, tf.int64))
            last.numpy()
            cpu[name].append((time.process_time() - busy) / steps)
            return (time.perf_counter() - began) / steps

        call(tf.constant(0, tf.int64))
        return run

    return {
        **{name: timed(name, call) for name, call in calls.items()},
        PLAIN: in_the_loop(plain, distribution, learner, steps, cpu[PLAIN]),
        AUGMENTED: in_the_loop(config, distribution, learner, steps, cpu[AUGMENTED]),
    }


def figures(
    precision: str, batch: int, samples: Mapping[str, list[float]], cpu: Mapping[str, list[float]]
) -> dict[str, Figure]:
    """Shares of the limit with their targets; the same of processor time, which other work on the machine disturbs
    less, but which does not see a core that waits; then what each part adds."""
    middle = table.medians(samples)
    words = {PLAIN: "step without augmentation", AUGMENTED: "step with augmentation"}
    found = {
        f"{precision}_{name}": Figure(
            f"{words[name]}, {precision}", "images/s", batch / middle[name], batch / middle[LIMIT], "the limit", target
        )
        for name, target in TARGETS.items()
    }
    for name in TARGETS:
        ours, theirs = batch / statistics.median(cpu[name]), batch / statistics.median(cpu[LIMIT])
        what = f"{words[name]}, by processor time, {precision}"
        found[f"{precision}_{name}_cpu"] = Figure(what, "images/s a core", ours, theirs, "the limit")
    for before, name in itertools.pairwise(VARIANTS):
        added = statistics.median(b - a for a, b in zip(samples[before], samples[name], strict=True))
        what = f"added to a step: {PARTS[name]}, {precision}"
        found[f"{precision}_adds_{name}"] = Figure(what, "ms", 1e3 * added, 1e3 * middle[LIMIT], "the limit")
    alone = statistics.median(b - a for a, b in zip(samples[OPTIMIZER], samples[ON_DEVICE], strict=True))
    what = f"of that, {ON_DEVICE}, {precision}"
    found[f"{precision}_adds_transform"] = Figure(what, "ms", 1e3 * alone, 1e3 * middle[LIMIT], "the limit")
    return found


def measure(distribution: Distribution, precisions: list[str], steps: int, rounds: int) -> Result:
    """All variants of each precision, one precision after the other."""
    config = augmented()
    found: dict[str, Figure] = {}
    samples: dict[str, dict[str, list[float]]] = {}
    busy: dict[str, dict[str, list[float]]] = {}
    for precision in precisions:
        set_precision(precision)
        cpu: defaultdict[str, list[float]] = defaultdict(list)
        chosen = variants(dataclasses.replace(config, precision=precision), distribution, steps, cpu)
        samples[precision] = table.interleaved(chosen, rounds)
        busy[precision] = dict(cpu)
        found |= figures(precision, config.batch_size, samples[precision], cpu)
    details = {"steps": steps, "rounds": rounds, "batch": config.batch_size, "side": config.image_size}
    return Result("limit", found, {**details, "seconds_a_step": samples, "cpu_seconds_a_step": busy})


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = table.options(__doc__)
    parser.add_argument("--steps", type=int, default=8, help="of each variant in each round (default: %(default)s)")
    told = "default: float32, and mixed_bfloat16 where the processor has instructions for it"
    parser.add_argument("--precision", choices=PRECISIONS, nargs="+", help=told)
    asked = parser.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)  # as the trainer does
    tf.get_logger().setLevel("ERROR")  # the loop's variants compile in each round, which it warns of
    devices = configure(augmented(), {})
    chosen = resolve_precision(augmented(), devices).precision
    precisions = asked.precision or list(dict.fromkeys(("float32", chosen)))
    table.publish(measure(distribute(ALONE, devices, {}), precisions, asked.steps, asked.rounds), asked.out)


if __name__ == "__main__":
    main()
