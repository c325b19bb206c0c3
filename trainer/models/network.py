"""The parameters of every network in the registry."""

from collections.abc import Callable
from dataclasses import dataclass

from trainer.tensors import Layer, Tensor

DropoutLayer = Callable[..., Layer]
"""Takes the rate, a name, and optionally a dtype."""


@dataclass(frozen=True)
class Network:
    """The symbolic input (float32 [n, size, size, 3], 0 to 255) and the dropout rate before the output."""

    inputs: Tensor
    dropout: float
