"""Random draws that are the same with every version of numpy."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Dice:
    """Random draws from the raw 64-bit stream of Philox.

    numpy keeps the raw stream of a bit generator stable but may change the results of Generator's methods (NEP 19), so
    this class has the few methods needed.
    """

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=16).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest, "little"))

    def array(self, *shape: int) -> NDArray[np.float64]:
        """Uniform numbers in [0, 1), float64, of the given shape."""
        raw = self._bits.random_raw(math.prod(shape))
        return np.asarray(raw >> np.uint64(11), np.float64).reshape(shape) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, inclusive."""
        return low + int(self.between(0, high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.between(0, 1) < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, all equally likely."""
        return choices[self.integer(0, len(choices) - 1)]
