"""The parameters of every network in the registry."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras

from trainer.tensors import Layer, Tensor

DropoutLayer = Callable[..., Layer]
"""Takes the rate, a name, and optionally a dtype."""


@dataclass(frozen=True)
class Network:
    """The symbolic input (float32 [n, size, size, 3], 0 to 255) and the dropout rate before the output."""

    inputs: Tensor
    dropout: float


@contextmanager
def in_float32() -> Iterator[None]:
    """Layers built inside compute in float32, whatever the precision of training."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
