"""Whether all replicas still hold the same bits: one that computes or stores wrongly is found, and nothing of it saved.

Replicas apply the same gradient to copies of their own, so their copies are equal to the bit, unless a device is at
fault. From time to time, and before anything is saved, each replica adds up the bits of its own copies, and all of them
compare the sums. They are integers modulo 2^64: the order in which they are added up does not matter, so neither do
threads, kinds of processors, or op determinism. They only read, so training ends with the same bits as without them.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from trainer.exits import Exit, ExitError
from trainer.tensors import Array, Integer, Tensor, Variables
from trainer.training.agreement import blamed
from trainer.training.checkpoint import Snapshot
from trainer.training.hooks import Hooks
from trainer.training.learner import Learner, groups
from trainer.training.strategy import Distribution

EVERY = 1000
"""Steps from one comparison to the next, where nothing is saved sooner."""
NAMED_TENSORS = 3

Comparison = Callable[[int], None]
"""Compares the replicas after so many steps; all ranks call it at the same step. Raises ExitError: 70, 75."""

_BITS = {1: tf.int8, 2: tf.int16, 4: tf.int32, 8: tf.int64}


class Drifted(ExitError):
    """Replicas hold different weights (70)."""


@dataclass(frozen=True)
class Drift:
    """Replicas that hold other bits than more than half of all do, and the tensors in which replicas differ. Where no
    bits are those of more than half, all replicas are named."""

    replicas: tuple[int, ...]
    tensors: tuple[str, ...]


def comparison(distribution: Distribution, variables: Variables) -> Comparison:
    """The comparison of all replicas' copies of the variables, in a compiled function of its own."""
    if distribution.replicas == 1:
        return lambda step: None
    strategy, names = distribution.strategy, tuple(variables)

    def one() -> Tensor:
        sums = tf.stack([checksum(variable.read_value()) for variable in variables.values()])
        return tf.distribute.get_replica_context().all_gather(sums[tf.newaxis], axis=0)

    @tf.function(autograph=False)
    def gathered() -> Tensor:
        return strategy.experimental_local_results(strategy.run(one))[0]

    def compare(step: int) -> None:
        try:
            sums = gathered().numpy()
        except tf.errors.OpError as error:
            raise blamed(error, distribution) from error
        drift = drift_of(sums, names)
        if drift is not None:
            raise Drifted(Exit.BUG, told(drift, step, distribution.replicas, len(distribution.local)))

    return compare


def checksum(value: Tensor) -> Integer:
    """The bits of a tensor's elements as integers, each times an odd number for its position, added up: another value
    of any one element changes the sum."""
    if value.dtype != tf.bool:
        value = tf.bitcast(value, _BITS[value.dtype.size])
    bits = tf.reshape(tf.cast(value, tf.int64), [-1])
    return tf.reduce_sum(bits * (2 * tf.range(tf.size(bits, tf.int64)) + 1))


def drift_of(sums: Array, names: Sequence[str]) -> Drift | None:
    """Which replicas have drifted, by the checksums [replicas, tensors]; None if all are equal."""
    rows = [tuple(map(int, row)) for row in sums]
    most, count = Counter(rows).most_common(1)[0]
    if count == len(rows):
        return None
    majority = most if 2 * count > len(rows) else None
    odd = tuple(replica for replica, row in enumerate(rows) if row != majority)
    return Drift(odd, tuple(name for name, column in zip(names, np.transpose(sums), strict=True) if np.ptp(column)))


def told(drift: Drift, step: int, replicas: int, per_worker: int) -> str:
    """A drift in one line, by rank and replica; both are counted from 0, replicas over all workers."""
    who = ", ".join(f"rank {replica // per_worker} (replica {replica})" for replica in drift.replicas)
    others = replicas - len(drift.replicas)
    where = ", ".join(drift.tensors[:NAMED_TENSORS])
    if more := len(drift.tensors) - NAMED_TENSORS:
        where += f" and {more} more" if more > 0 else ""
    against = f"differs from the other {others}" if others else "differ, and no bits are those of more than half"
    return (
        f"the replicas have drifted apart by step {step}: {who} {against} of {replicas} in {where}: a device there "
        "computes or stores wrongly. Nothing of it was saved: the same command goes on from the checkpoint before; if "
        "it happens again, leave that device out"
    )


def watched(learner: Learner) -> Variables:
    """All variables of which each replica has a copy: what is trained, what the optimizer keeps, and what a pre-trained
    network leaves as it was."""
    trained = {f"{group}/{name}": v for group, variables in groups(learner).items() for name, v in variables.items()}
    ours = {id(variable) for variable in trained.values()}
    others = {
        f"fixed/{layer.name}/{variable.name}": variable.value
        for network in learner.networks.values()
        for layer in network.layers
        for variable in layer.weights
        if id(variable.value) not in ours
    }
    return {**trained, **others}


def guarded(hooks: Hooks, compare: Comparison) -> Hooks:
    """Hooks to which no snapshot is given unless all replicas hold the same bits."""

    def guard(save: Callable[[Snapshot], None]) -> Callable[[Snapshot], None]:
        def compared(snapshot: Snapshot) -> None:
            compare(snapshot.state.step)
            save(snapshot)

        return compared

    return dataclasses.replace(hooks, on_best=guard(hooks.on_best), on_checkpoint=guard(hooks.on_checkpoint))
