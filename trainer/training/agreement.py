"""Checks, once and with a collective, that all ranks agree on a value; and a barrier."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.exits import Exit, ExitError
from trainer.tensors import Tensor
from trainer.training.strategy import Distribution


def agree(distribution: Distribution, what: str, value: str) -> None:
    """Check that `value` is the same on every rank; waits for all of them.

    Raises:
        ExitError: 69 on every rank when it is not; 75 when a peer is lost meanwhile.
    """
    digest = int.from_bytes(hashlib.sha256(value.encode()).digest()[:7], "big")
    if len(set(_gather(distribution, digest))) > 1:
        raise ExitError(
            Exit.RENDEZVOUS_FAILED,
            f"workers differ in {what}; here it is {value}: give every worker the same image and hardware",
        )


def agree_on_hardware(distribution: Distribution, precision: str, models: tuple[str, ...]) -> None:
    """Check that all replicas compute in the same precision, and on the same model of GPU (`models`: of those here) or
    all on CPUs; waits for all ranks. Other models add up in another order and round otherwise, so that replicas would
    drift apart.

    Raises:
        ExitError: 78 when those of this worker differ; 69 on every rank when workers differ; 75 when a peer is lost
            meanwhile.
    """
    if len(set(models)) > 1:
        raise ExitError(
            Exit.NO_ACCELERATOR,
            f"the GPUs here are of different models ({', '.join(models)}), on which replicas would drift apart: "
            "choose equal ones with CUDA_VISIBLE_DEVICES, or one with --devices 1",
        )
    agree(distribution, "precision", precision)
    agree(distribution, "the model of GPU", models[0] if models else "none")


def told_by_all(distribution: Distribution, text: str) -> set[str]:
    """What each rank says here, without white space at its end; waits for all of them.

    Raises:
        ExitError: 75 when a peer is lost meanwhile.
    """
    data = text.encode()
    numbers = max(1, *(-(-length // 8) for length in _gather(distribution, len(data))))
    # Eight bytes to a number, since collectives are of numbers, and as many from each rank.
    rows = _gather_rows(distribution, np.frombuffer(data.ljust(8 * numbers), np.int64))
    return {row.tobytes().decode().rstrip() for row in rows}


def wait_for_all(distribution: Distribution) -> None:
    """Wait until every rank gets here.

    Raises:
        ExitError: 75 when a peer is lost meanwhile.
    """
    _gather(distribution, 0)


def _gather(distribution: Distribution, number: int) -> list[int]:
    return [int(row[0]) for row in _gather_rows(distribution, np.array([number], np.int64))]


def _gather_rows(distribution: Distribution, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The `numbers` of each replica, int64 [n], as int64 [replicas, n]; n is the same everywhere."""
    if distribution.replicas == 1:
        return numbers[np.newaxis]
    strategy = distribution.strategy

    @tf.function(autograph=False)
    def gathered() -> Tensor:
        def one() -> Tensor:
            return tf.distribute.get_replica_context().all_gather(tf.constant(numbers[np.newaxis]), axis=0)

        return strategy.experimental_local_results(strategy.run(one))[0]

    with blaming(distribution):
        return np.asarray(gathered().numpy())


@contextmanager
def blaming(distribution: Distribution) -> Iterator[None]:
    """Ends what fails inside the block with whom it is to blame on, as `blamed` says: such as placing variables, which
    rank 0 sends to the others."""
    try:
        yield
    except tf.errors.OpError as error:
        raise blamed(error, distribution) from error


def blamed(error: tf.errors.OpError, distribution: Distribution) -> ExitError:
    """What a failed op means: with other workers in the collective, one of them is the cause; alone, it is a bug."""
    first = _gist(error.message)[:300]
    if len(distribution.local) == distribution.replicas:
        return ExitError(Exit.BUG, f"TensorFlow failed: {first}")
    return ExitError(Exit.PEER_LOST, f"a peer was lost; its own log has the cause ({first})")


def _gist(message: str) -> str:
    """The line of TensorFlow's message that says what failed, rather than where."""
    lines = [line for line in message.split("\n") if line.strip()]
    told = (line for line in lines if not line.startswith(("Graph execution error", "Detected at node", "  File")))
    return next(told, lines[0] if lines else "").strip()
