"""First weights that depend on the seed alone, whatever other threads do meanwhile."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Layers that are made in the block, on this thread, have the first weights of this seed.

    Keras draws a seed for each initializer with `random.randint` (keras.src.random.seed_generator.make_default_seed),
    and google-cloud-storage draws from the same generator for each upload: a heartbeat at the wrong moment would give
    the layers after it other weights. So this thread draws from a generator of its own, the same numbers.
    """
    keras.utils.set_random_seed(seed)
    own, owner, shared = random.Random(seed), threading.get_ident(), random.randint

    def drawn(low: int, high: int) -> int:
        return (own.randint if threading.get_ident() == owner else shared)(low, high)

    random.randint = drawn  # type: ignore[assignment]
    try:
        yield
    finally:
        random.randint = shared
