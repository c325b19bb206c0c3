"""What every network of the registry is given."""

from collections.abc import Callable
from dataclasses import dataclass

from trainer.tensors import Layer, Tensor

DropoutLayer = Callable[[float, str], Layer]


@dataclass(frozen=True)
class Network:
    """The symbolic input (float32 [n, size, size, 3], 0 to 255) and the rate of dropout before the output."""

    inputs: Tensor
    dropout: float
