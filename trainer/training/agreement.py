"""What all ranks must have the same, checked once with a collective, and the barrier at the end."""

import hashlib
from typing import Any

import tensorflow as tf

from trainer.exits import Exit, ExitError
from trainer.strategy import Distribution


def agree(distribution: Distribution, what: str, value: str) -> None:
    """Check that `value` is the same on every rank; waits for all of them.

    Raises:
        ExitError: 69 on every rank when it is not.
    """
    digest = int.from_bytes(hashlib.sha256(value.encode()).digest()[:7], "big")
    seen = _gather(distribution, digest)
    if len(set(seen)) > 1:
        raise ExitError(
            Exit.RENDEZVOUS_FAILED,
            f"workers differ in {what}; here it is {value}: give every worker the same image and hardware",
        )


def barrier(distribution: Distribution) -> None:
    """Wait until every rank is here: one that leaves early would look like a lost peer (tensorflow#58434)."""
    _gather(distribution, 0)


def _gather(distribution: Distribution, number: int) -> list[int]:
    if distribution.replicas == 1:
        return [number]
    strategy = distribution.strategy

    @tf.function(autograph=False)
    def gathered() -> Any:
        def one() -> Any:
            return tf.distribute.get_replica_context().all_gather(tf.constant([number], tf.int64), axis=0)

        return strategy.experimental_local_results(strategy.run(one))[0]

    return [int(n) for n in gathered().numpy()]
